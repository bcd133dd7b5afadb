//! Command lines of macOS.
//!
//! Scripts are constants; what the user said reaches them as arguments of `run(argv)` only. Calendar, Reminders, Music and
//! Spotify are asked by Apple Events: the first call of each makes macOS ask the user whether Hark may.

use super::{CommandLine, Media};

/// Opens a file (an absolute path) or an address with the program that the system has for it.
#[must_use]
pub fn open(target: &str) -> CommandLine {
    CommandLine::new("open", &[target]).within(10)
}

/// Starts an application or brings it to the front.
#[must_use]
pub fn open_app(name: &str) -> CommandLine {
    CommandLine::new("open", &["-a", name]).within(10)
}

/// What the clipboard holds, as text.
#[must_use]
pub fn paste() -> CommandLine {
    CommandLine::new("pbpaste", &["-Prefer", "txt"])
}

/// Puts a text into the clipboard.
#[must_use]
pub fn copy(text: &str) -> CommandLine {
    CommandLine::new("pbcopy", &[]).reading(text)
}

/// A script in JavaScript with its arguments, which it finds from `argv[1]` on: the word before them ends osascript's own
/// options, so that a text that begins with "-e" is a text.
fn script(text: &str, arguments: &[&str]) -> CommandLine {
    let mut all = vec!["-l", "JavaScript", "-e", text, "hark"];
    all.extend(arguments);
    CommandLine::new("osascript", &all)
}

/// The loudness: "45 false".
#[must_use]
pub fn volume() -> CommandLine {
    script(VOLUME, &[])
}

/// Sets the loudness.
#[must_use]
pub fn set_volume(percent: u8) -> CommandLine {
    script(SET_VOLUME, &[&percent.to_string()])
}

/// Switches the sound off or on.
#[must_use]
pub fn set_muted(muted: bool) -> CommandLine {
    script(SET_MUTED, &[if muted { "true" } else { "false" }])
}

/// The brightness of the screen, by the `brightness` tool.
#[must_use]
pub fn brightness() -> CommandLine {
    CommandLine::new("brightness", &["-l"])
}

/// Sets the brightness.
#[must_use]
pub fn set_brightness(percent: u8) -> CommandLine {
    CommandLine::new(
        "brightness",
        &[&format!("{:.2}", f32::from(percent) / 100.0)],
    )
}

/// Music and films: what runs of Music, Spotify and TV, else Music.
#[must_use]
pub fn media(action: Media) -> CommandLine {
    let word = match action {
        Media::Play => "play",
        Media::Pause => "pause",
        Media::Toggle => "playpause",
        Media::Next => "nextTrack",
        Media::Previous => "previousTrack",
        Media::Status => "status",
    };
    script(MEDIA, &[word]).within(10)
}

/// The names of the Shortcuts, one a line.
#[must_use]
pub fn shortcuts() -> CommandLine {
    CommandLine::new("shortcuts", &["list"]).within(10)
}

/// Runs a Shortcut; `-` gives it standard input.
#[must_use]
pub fn shortcut(name: &str, input: Option<&str>) -> CommandLine {
    let line = match input {
        Some(input) => {
            CommandLine::new("shortcuts", &["run", name, "--input-path", "-"]).reading(input)
        }
        None => CommandLine::new("shortcuts", &["run", name]),
    };
    line.within(60)
}

/// The battery.
#[must_use]
pub fn battery() -> CommandLine {
    CommandLine::new("pmset", &["-g", "batt"])
}

/// The network's interfaces and whether they are up.
#[must_use]
pub fn network() -> CommandLine {
    CommandLine::new("scutil", &["--nwi"])
}

/// Files below `folder` whose name holds `query`, by Spotlight.
#[must_use]
pub fn find_by_name(folder: &str, query: &str) -> CommandLine {
    CommandLine::new("mdfind", &["-onlyin", folder, "-name", query]).within(10)
}

/// Files below `folder` in whose words or name the words occur, by Spotlight.
#[must_use]
pub fn find_by_words(folder: &str, query: &str) -> CommandLine {
    CommandLine::new("mdfind", &["-onlyin", folder, "-interpret", query]).within(10)
}

/// Appointments between two moments (milliseconds since 1970): one a line, fields separated by tabs: start, end, whether it
/// takes the whole day, title, place, calendar.
#[must_use]
pub fn events(from_ms: i64, until_ms: i64) -> CommandLine {
    script(EVENTS, &[&from_ms.to_string(), &until_ms.to_string()]).within(30)
}

/// Adds an appointment to the default calendar, or to the named one.
#[must_use]
pub fn add_event(title: &str, start_ms: i64, end_ms: i64, place: &str) -> CommandLine {
    script(
        ADD_EVENT,
        &[title, &start_ms.to_string(), &end_ms.to_string(), place],
    )
    .within(30)
}

/// Open reminders: one a line, fields separated by tabs: due (milliseconds or empty), list, name.
#[must_use]
pub fn reminders() -> CommandLine {
    script(REMINDERS, &[]).within(30)
}

/// Adds a reminder to the default list; `due_ms` may be missing.
#[must_use]
pub fn add_reminder(name: &str, due_ms: Option<i64>) -> CommandLine {
    let due = due_ms.map(|due| due.to_string()).unwrap_or_default();
    script(ADD_REMINDER, &[name, &due]).within(30)
}

/// Shows a message on the desktop.
#[must_use]
pub fn notify(title: &str, text: &str) -> CommandLine {
    script(NOTIFY, &[title, text])
}

const VOLUME: &str = "function run() {
  const app = Application.currentApplication(); app.includeStandardAdditions = true;
  const now = app.getVolumeSettings();
  return now.outputVolume + ' ' + now.outputMuted;
}";

const SET_VOLUME: &str = "function run(argv) {
  const app = Application.currentApplication(); app.includeStandardAdditions = true;
  app.setVolume(null, {outputVolume: Number(argv[1])});
}";

const SET_MUTED: &str = "function run(argv) {
  const app = Application.currentApplication(); app.includeStandardAdditions = true;
  app.setVolume(null, {outputMuted: argv[1] === 'true'});
}";

const MEDIA: &str = "function run(argv) {
  const names = ['Spotify', 'Music', 'TV'];
  const name = names.find(name => { try { return Application(name).running(); } catch (e) { return false; } }) || 'Music';
  const app = Application(name);
  if (argv[1] === 'status') {
    if (!app.running() || String(app.playerState()) === 'stopped') return 'nothing is played';
    const track = app.currentTrack;
    return app.playerState() + ': ' + track.name() + ' by ' + track.artist() + ' (' + name + ')';
  }
  app[argv[1]]();
}";

const EVENTS: &str = "function run(argv) {
  const from = new Date(Number(argv[1])), until = new Date(Number(argv[2]));
  const clean = text => String(text || '').replace(/[\\t\\n\\r]+/g, ' ');
  const lines = [];
  for (const calendar of Application('Calendar').calendars()) {
    const found = calendar.events.whose({_and: [{startDate: {_lessThan: until}}, {endDate: {_greaterThan: from}}]})();
    for (const event of found) {
      lines.push([event.startDate().getTime(), event.endDate().getTime(), event.alldayEvent(),
        clean(event.summary()), clean(event.location()), clean(calendar.name())].join('\\t'));
      if (lines.length >= 200) return lines.join('\\n');
    }
  }
  return lines.join('\\n');
}";

const ADD_EVENT: &str = "function run(argv) {
  const app = Application('Calendar');
  const calendar = app.calendars.whose({writable: true})()[0];
  const event = app.Event({summary: argv[1], startDate: new Date(Number(argv[2])), endDate: new Date(Number(argv[3])),
    location: argv[4]});
  calendar.events.push(event);
  return calendar.name();
}";

const REMINDERS: &str = "function run() {
  const clean = text => String(text || '').replace(/[\\t\\n\\r]+/g, ' ');
  const lines = [];
  for (const list of Application('Reminders').lists()) {
    for (const reminder of list.reminders.whose({completed: false})()) {
      const due = reminder.dueDate();
      lines.push([due ? due.getTime() : '', clean(list.name()), clean(reminder.name())].join('\\t'));
      if (lines.length >= 200) return lines.join('\\n');
    }
  }
  return lines.join('\\n');
}";

const ADD_REMINDER: &str = "function run(argv) {
  const app = Application('Reminders');
  const properties = {name: argv[1]};
  if (argv[2]) properties.dueDate = new Date(Number(argv[2]));
  const list = app.defaultList();
  list.reminders.push(app.Reminder(properties));
  return list.name();
}";

const NOTIFY: &str = "function run(argv) {
  const app = Application.currentApplication(); app.includeStandardAdditions = true;
  app.displayNotification(argv[2], {withTitle: argv[1]});
}";

/// "45 false": percent, and whether the sound is off.
#[must_use]
pub fn read_volume(printed: &str) -> Option<(u8, bool)> {
    let mut words = printed.split_whitespace();
    // Outputs that set their own loudness (HDMI, many interfaces) answer "null" or "missing value".
    let percent = words.next()?.parse::<u8>().ok()?;
    Some((percent.min(100), words.next() == Some("true")))
}

/// "Now drawing from 'Battery Power' … 76%; discharging; 4:02 remaining": percent, and whether it is on mains.
#[must_use]
pub fn read_battery(printed: &str) -> Option<(u8, bool)> {
    let percent = printed
        .split(['\t', ' ', ';'])
        .find_map(|word| word.strip_suffix('%'))?
        .parse()
        .ok()?;
    Some((percent, printed.contains("'AC Power'")))
}

/// "display 0: brightness 0.75": percent.
#[must_use]
pub fn read_brightness(printed: &str) -> Option<u8> {
    let level: f32 = printed
        .lines()
        .find_map(|line| line.split("brightness ").nth(1))?
        .trim()
        .parse()
        .ok()?;
    Some((level * 100.0).round().clamp(0.0, 100.0) as u8)
}
