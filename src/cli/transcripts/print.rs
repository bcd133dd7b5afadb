//! Turns as people read them on a terminal.

use std::io;

use jiff::civil::Date;
use serde_json::Value;

use crate::cli::console::Console;
use crate::private::Private;
use crate::transcripts::export::ending;
use crate::transcripts::when::day_name;
use crate::transcripts::{Hit, MARK, StoredTurn};

/// A run of lines under headings of days.
#[derive(Default)]
pub(super) struct Lines {
    day: Option<Date>,
}

/// Columns before the words: blank, time, number, blanks.
const MARGIN: usize = 18;

impl Lines {
    /// A turn on two lines, each cut to the width.
    pub(super) fn turn(
        &mut self,
        console: &mut Console<'_>,
        stored: &StoredTurn,
    ) -> io::Result<()> {
        self.heading(console, stored)?;
        let width = console.width.saturating_sub(MARGIN);
        let asked = cut(stored.turn.asked.as_str(), width);
        writeln!(console.out, "{}{}", label(stored), console.bold(&asked))?;
        let replied = cut(stored.turn.replied.as_str(), width);
        if !replied.is_empty() {
            writeln!(console.out, "{:MARGIN$}{replied}", "")?;
        }
        if let Some(note) = ending(stored) {
            let note = console.dim(&format!("({})", cut(&note, width.saturating_sub(2))));
            writeln!(console.out, "{:MARGIN$}{note}", "")?;
        }
        Ok(())
    }

    /// The places that were found.
    pub(super) fn hit(&mut self, console: &mut Console<'_>, hit: &Hit) -> io::Result<()> {
        self.heading(console, &hit.turn)?;
        let mut label = label(&hit.turn);
        for (speaker, place) in [("You", &hit.asked), ("Hark", &hit.replied)] {
            let Some(place) = place else { continue };
            let text = marked(console, place);
            writeln!(console.out, "{label}{:<6}{text}", format!("{speaker}:"))?;
            label = " ".repeat(MARGIN);
        }
        Ok(())
    }

    fn heading(&mut self, console: &mut Console<'_>, stored: &StoredTurn) -> io::Result<()> {
        let day = stored.began.zoned().date();
        if self.day == Some(day) {
            return Ok(());
        }
        if self.day.is_some() {
            writeln!(console.out)?;
        }
        self.day = Some(day);
        let name = console.dim(&day_name(day, &console.now));
        writeln!(console.out, "{name}")
    }
}

/// Time and number, `MARGIN` columns wide.
fn label(stored: &StoredTurn) -> String {
    let time = stored.began.zoned().strftime("%H:%M").to_string();
    format!("  {time} {:>8}  ", stored.id.0)
}

/// A turn with everything that a person may want to know of it.
pub(super) fn whole(console: &mut Console<'_>, stored: &StoredTurn) -> io::Result<()> {
    let turn = &stored.turn;
    let began = stored
        .began
        .zoned()
        .strftime("%A, %-d %B %Y, %H:%M:%S")
        .to_string();
    let title = console.bold(&format!("Turn {}", stored.id));
    writeln!(console.out, "{title}, {began}")?;
    writeln!(console.out)?;
    spoken(console, "You:", turn.asked.as_str())?;
    spoken(console, "Hark:", turn.replied.as_str())?;
    writeln!(console.out)?;
    for (name, fact) in facts(stored) {
        writeln!(console.out, "{name:<10}{fact}")?;
    }
    Ok(())
}

/// What is known of a turn beside its words; only what is worth a line.
fn facts(stored: &StoredTurn) -> Vec<(&'static str, String)> {
    let turn = &stored.turn;
    let mut facts = Vec::new();
    facts.extend(ending(stored).map(|note| ("Ended:", note)));
    if !turn.tools.is_empty() {
        let tools = turn
            .tools
            .iter()
            .map(|tool| format!("{} ({})", tool.name, tool.outcome));
        facts.push(("Tools:", tools.collect::<Vec<_>>().join(", ")));
    }
    let seconds = turn.span.duration().as_secs_f64();
    let (language, confidence) = (&turn.language, turn.confidence);
    facts.push((
        "Speech:",
        format!("{seconds:.1} s, language {language}, confidence {confidence:.2}"),
    ));
    if let Some(ms) = turn.receipt.first_audio_ms {
        let seconds = ms as f64 / 1_000.0;
        let id = stored.id;
        facts.push((
            "Answered:",
            format!("after {seconds:.1} s; `hark transcripts why {id}` tells where they went"),
        ));
    }
    if stored.redacted > 0 {
        let secrets = counted(stored.redacted as usize, "secret");
        facts.push(("Removed:", format!("{secrets}, before this was written")));
    }
    facts
}

/// The words of one side, wrapped with a hanging indent.
fn spoken(console: &mut Console<'_>, who: &str, words: &str) -> io::Result<()> {
    if words.is_empty() {
        return Ok(());
    }
    let width = console.width.saturating_sub(INDENT).max(20);
    let mut label = who;
    for line in words.lines().flat_map(|line| wrapped(line, width)) {
        let text = format!("{label:INDENT$}{line}");
        writeln!(console.out, "{}", text.trim_end())?;
        label = "";
    }
    Ok(())
}

const INDENT: usize = 6;

/// `line` in pieces of at most `width` characters, broken at blanks where there are some.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split_whitespace() {
        let current = lines.last_mut().expect("one is there from the start");
        let length = current.chars().count();
        if length > 0 && length + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                current.push(' ');
            }
            current.push_str(word);
        }
    }
    lines
}

/// `text` on one line of at most `width` characters.
fn cut(text: &str, width: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= width {
        return line;
    }
    let kept: String = line.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// A found place on one line, the found words bold where colour is allowed.
fn marked(console: &Console<'_>, place: &Private<String>) -> String {
    let line = place
        .as_str()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let (start, end) = if console.colour {
        ("\x1b[1m", "\x1b[0m")
    } else {
        ("", "")
    };
    line.replace(MARK[0], start).replace(MARK[1], end)
}

/// A find for scripts: the turn, and the places with the found words between asterisks.
pub(super) fn hit_json(hit: &Hit) -> Value {
    let place = |place: &Option<Private<String>>| {
        let text = place
            .as_ref()
            .map(|place| place.as_str().replace(MARK, "**"));
        text.map_or(Value::Null, Value::from)
    };
    let mut value = hit.turn.to_json();
    value["asked_snippet"] = place(&hit.asked);
    value["replied_snippet"] = place(&hit.replied);
    value
}

/// `1 turn`, `2 turns`.
pub(super) fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}
