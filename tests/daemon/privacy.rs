//! Off the record nothing is written, not even to be deleted again; and where sound is kept, it goes with its turn.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::process::{events, hark, output, text};
use crate::remote::{Daemon, timeline};
use crate::server::Server;
use crate::support::{Home, data, plain, samples, understood};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// Every file below `folder` that holds one of the words, in any case, also as UTF-16.
fn found_in(folder: &Path, words: &[&str]) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    files(folder, &mut all);
    let mut found = Vec::new();
    for path in all {
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        for word in words {
            let wide: String = word.chars().flat_map(|c| [c, '\0']).collect();
            if holds(&bytes, word) || holds(&bytes, &wide) {
                found.push((path.clone(), (*word).to_owned()));
            }
        }
    }
    found
}

/// Watches every file of a folder while something runs: what is written and deleted again is seen, too.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<(PathBuf, String)>>,
}

impl Watch {
    fn start(folder: &Path, words: &'static [&'static str]) -> Self {
        let (stop, folder) = (Arc::new(AtomicBool::new(false)), folder.to_owned());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut found = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                found.extend(found_in(&folder, words));
                std::thread::sleep(Duration::from_millis(100));
            }
            found
        });
        Self { stop, thread }
    }

    fn found(self) -> Vec<(PathBuf, String)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// What is said and answered off the record in these tests, and nowhere else.
const MARKERS: &[&str] = &["kitchen", "pineapple", "marmalade"];

#[test]
fn off_the_record_by_command_no_byte_is_written_anywhere() {
    let home = Home::new();
    // The clips and the input must not be searched: they lie elsewhere.
    let workshop = Home::new();
    let server = Server::start(|_, mut talk| {
        if talk.say("Pineapple it is. ") && talk.say("And marmalade.") {
            talk.done();
        }
    });
    let input = timeline(
        &workshop,
        &[(9.0, "turn on the lights in the kitchen")],
        60.0,
    );
    let log = std::fs::File::create(home.path("stderr.log")).unwrap();
    drop(log);
    let mut more = server.settings();
    more.push(("HARK_TRANSCRIPTS_KEEP_AUDIO", "true".to_owned()));
    let file = text(&home.path("events.jsonl"));
    let watch = Watch::start(home.root(), MARKERS);
    let mut daemon = Daemon::start(&home, &input, &["-vv"], &more);
    daemon.next("ready");
    daemon.told(&["off-record", "on"]);
    let mut follower = hark(&home, &[], &["events"])
        .stdout(std::fs::File::create(&file).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let turn = daemon.next("turn");
    assert_eq!(
        (&turn["recorded"], &turn["private"]),
        (&false.into(), &true.into()),
        "{turn}"
    );
    daemon.told(&["off-record", "off"]);
    let (err, seen) = daemon.stop();
    follower.wait().unwrap();
    std::fs::write(home.path("stderr.log"), &err).unwrap();
    let stream = serde_json::to_vec(&seen).unwrap();
    std::fs::write(home.path("stream.jsonl"), &stream).unwrap();

    assert_eq!(watch.found(), [], "at any moment");
    assert_eq!(found_in(home.root(), MARKERS), [], "in the end");
    let mut all = Vec::new();
    files(home.root(), &mut all);
    assert!(all.len() > 4, "there are files to look at: {all:?}");
    let blank = seen
        .iter()
        .filter(|line| line["private"] == true && line["text"] == "");
    assert!(
        blank.count() >= 3,
        "transcript, reply and heard come without their words: {seen:#?}"
    );
    assert_eq!(home.records().len(), 0);
    let sounds = std::fs::read_dir(home.path("transcripts/audio")).map_or(0, Iterator::count);
    assert_eq!(sounds, 0, "the sound of it is not kept either");
}

#[test]
fn off_the_record_by_voice_is_confirmed_and_holds_until_it_is_taken_back() {
    let home = Home::new();
    let workshop = Home::new();
    let server = Server::start(|_, mut talk| {
        if talk.say("Pineapple it is.") {
            talk.done();
        }
    });
    let questions = workshop.spoken(
        &[
            "what is twelve plus thirty",
            "do not write this down",
            "turn on the lights in the kitchen",
            "you can write this down",
            "say that again",
            "what day is it today",
        ],
        Duration::from_secs(2),
    );
    let (input, answer) = (text(&questions), text(&home.answer()));
    let arguments = [
        "-vv", "run", "--input", &input, "--output", &answer, "--fast", "--events", "-",
    ];
    let ran = output(hark(&home, &server.settings(), &arguments));
    let err = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{err}");
    std::fs::write(home.path("out.log"), &ran.stdout).unwrap();
    std::fs::write(home.path("err.log"), &ran.stderr).unwrap();
    assert_eq!(found_in(home.root(), MARKERS), []);
    let seen = events(&ran.stdout);
    let switched: Vec<bool> = seen
        .iter()
        .filter(|line| line["event"] == "off_record")
        .map(|line| line["off_record"].as_bool().unwrap())
        .collect();
    assert_eq!(switched, [true, false], "{seen:#?}");
    let recorded: Vec<bool> = seen
        .iter()
        .filter(|line| line["event"] == "turn")
        .map(|line| line["recorded"].as_bool().unwrap())
        .collect();
    // The question after the switch may have begun before it: then it stays unrecorded too.
    assert_eq!(recorded.len(), 6);
    assert_eq!(recorded[..4], [true, false, false, false]);
    assert!(recorded[5], "{recorded:?}");
    let asked: Vec<String> = home
        .records()
        .iter()
        .map(|record| plain(record.turn.asked.as_str()))
        .collect();
    assert_eq!(
        asked,
        [
            "what is twelve plus thirty",
            "say that again",
            "what day is it today"
        ]
    );
    let again = home.records()[1].turn.replied.as_str().to_owned();
    assert!(
        again.contains("42"),
        "what was said last on the record: {again}"
    );
    // The test can see: what was on the record is there.
    let on: Vec<PathBuf> = found_in(home.root(), &["twelve plus thirty"])
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert!(on.contains(&home.path("out.log")), "{on:?}");
    assert!(
        on.iter()
            .any(|path| path.starts_with(home.path("transcripts"))),
        "{on:?}"
    );
    // Both confirmations and the answer between them were heard to their end, and only that is told of them.
    let heard: Vec<_> = seen
        .iter()
        .filter(|line| line["event"] == "heard" && line["private"] == true)
        .map(|line| {
            (
                line["text"].as_str().unwrap(),
                line["cut"].as_bool().unwrap(),
            )
        })
        .collect();
    assert!(
        heard.len() >= 3 && heard.iter().all(|line| *line == ("", false)),
        "{heard:?}"
    );
    // A typed question of another process is not written either while it is on, and is when it is off.
    std::fs::write(home.path("switches.json"), "{\"off_record\": true}").unwrap();
    let typed = output(hark(&home, &[], &["ask", "what is one plus one"]));
    assert_eq!(typed.status.code(), Some(0));
    assert_eq!(home.records().len(), 3);
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_sound_of_a_question_is_kept_where_that_is_wanted_and_forgotten_with_its_turn() {
    let home = Home::new();
    let keep = [("HARK_TRANSCRIPTS_KEEP_AUDIO", "true".to_owned())];
    let (input, answer) = (text(&data("questions3.wav")), text(&home.answer()));
    let arguments = ["run", "--input", &input, "--output", &answer, "--fast"];
    assert_eq!(
        output(hark(&home, &keep, &arguments)).status.code(),
        Some(0)
    );
    let folder = home.path("transcripts/audio");
    let sound = |id: u32| folder.join(format!("{id}.wav"));
    assert_eq!(mode(&folder), 0o700);
    for (id, words) in [
        (1, "what time is it"),
        (2, "what is twelve plus thirty"),
        (3, "what day is it today"),
    ] {
        assert_eq!(mode(&sound(id)), 0o600);
        assert_eq!(understood(&sound(id)), words);
        assert!(samples(&sound(id)).len() > 8_000);
    }
    let shown = output(hark(&home, &[], &["transcripts", "show", "2"]));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains(&format!("Sound:    {}", sound(2).display())),
        "{shown}"
    );
    let json = output(hark(&home, &[], &["transcripts", "show", "2", "--json"]));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["audio"], sound(2).display().to_string());

    assert_eq!(
        output(hark(&home, &[], &["transcripts", "forget", "2", "--yes"]))
            .status
            .code(),
        Some(0)
    );
    assert!(sound(1).exists() && !sound(2).exists() && sound(3).exists());
    let json = output(hark(&home, &[], &["transcripts", "show", "1", "--json"]));
    assert!(String::from_utf8_lossy(&json.stdout).contains("audio/1.wav"));
    // Half a sound of a turn that is gone, as a crash may leave it, and something that is not ours.
    std::fs::write(folder.join("2.part"), "half").unwrap();
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    assert_eq!(
        output(hark(
            &home,
            &[],
            &["transcripts", "forget", "--all", "--yes"]
        ))
        .status
        .code(),
        Some(0)
    );
    let left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["notes.txt"]);
    // Without the setting none is kept.
    assert_eq!(output(hark(&home, &[], &arguments)).status.code(), Some(0));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    let mut child = hark(&home, &[], &["transcripts", "show"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut shown)
        .unwrap();
    child.wait().unwrap();
    assert!(!shown.contains("Sound:"), "{shown}");
}
