//! What the daemon keeps, and what it does not: no spoken word outside the transcript log, no acknowledged turn lost when
//! it is killed, a full disk waited out.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hark::daemon::{Output, Pace};
use serde_json::Value;

use crate::process::{events, hark, output, text};
use crate::server::Server;
use crate::support::{Home, Running, data};

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn holds(path: &Path, word: &str) -> bool {
    let bytes = std::fs::read(path).unwrap().to_ascii_lowercase();
    bytes
        .windows(word.len())
        .any(|part| part == word.as_bytes())
}

#[test]
fn a_marker_word_is_in_the_transcript_log_and_in_no_other_file() {
    let home = Home::new();
    let server = Server::start(|_, mut talk| {
        if talk.say("The secret word is pineapple. ") {
            talk.done();
        }
    });
    let questions = home.spoken(
        &["turn on the lights in the kitchen", "tell me a joke"],
        Duration::from_secs(1),
    );
    let mut settings = server.settings();
    settings.push(("HARK_LOG_LEVEL", "trace".to_owned()));
    // As under a service manager: everything that is logged goes into the file.
    settings.push(("HARK_SERVICE", "1".to_owned()));
    let (input, answer) = (text(&questions), text(&home.answer()));
    let arguments = [
        "run", "--input", &input, "--output", &answer, "--fast", "--events", "-",
    ];
    let ran = output(hark(&home, &settings, &arguments));
    assert_eq!(ran.status.code(), Some(0));
    assert!(
        ran.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );

    let log = home.path("logs/hark.log");
    assert!(holds(&log, "speech model"), "there is a log");
    assert_eq!(
        std::fs::metadata(&log).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        let fields: Value = serde_json::from_str(line).expect("the log is JSON Lines");
        assert!(fields["timestamp"].is_string() && fields["level"].is_string());
    }
    let transcripts = home.path("transcripts");
    let mut looked_at = 0;
    for word in ["kitchen", "joke", "pineapple"] {
        let kept = files(&transcripts).iter().any(|path| holds(path, word));
        assert!(kept, "{word} was said and is in the transcript log");
        for path in files(home.root())
            .iter()
            .filter(|path| !path.starts_with(&transcripts))
        {
            assert!(!holds(path, word), "{word} is in {}", path.display());
            looked_at += 1;
        }
    }
    assert!(looked_at > 6, "only {looked_at} files were looked at");
}

#[test]
fn the_log_file_is_put_aside_by_size_and_only_so_many_are_kept() {
    let home = Home::new();
    let logs = home.path("logs");
    std::fs::create_dir(&logs).unwrap();
    std::fs::write(logs.join("hark.log"), "x".repeat(70_000)).unwrap();
    for number in 1..=3 {
        std::fs::write(
            logs.join(format!("hark.log.{number}")),
            format!("old {number}"),
        )
        .unwrap();
    }
    let settings = [
        ("HARK_SERVICE", "1".to_owned()),
        ("HARK_LOG_MAX_SIZE", "64KiB".to_owned()),
        ("HARK_LOG_KEEP", "2".to_owned()),
    ];
    let (input, answer) = (text(&data("question.wav")), text(&home.answer()));
    let ran = output(hark(
        &home,
        &settings,
        &["run", "--input", &input, "--output", &answer, "--fast"],
    ));
    assert_eq!(ran.status.code(), Some(0));
    let mut names: Vec<String> = files(&logs)
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["hark.log", "hark.log.1", "hark.log.2"]);
    assert!(std::fs::metadata(logs.join("hark.log")).unwrap().len() < 70_000);
}

#[test]
fn a_daemon_that_is_killed_at_any_moment_has_lost_no_turn_that_it_called_recorded() {
    // A kill takes about half a second: the daemon loads its models each time.
    let kills = if std::env::var_os("HARK_LONG_TESTS").is_some() {
        1_000
    } else {
        12
    };
    let home = Home::new();
    let (input, answer) = (text(&data("questions3.wav")), text(&home.answer()));
    let arguments = [
        "run", "--input", &input, "--output", &answer, "--fast", "--events", "-",
    ];
    let mut seed = 0x2545_f491_u32;
    let mut promised = 0_usize;
    let mut cut_short = 0;
    for _ in 0..kills {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let after_events = 2 + (seed >> 24) as usize % 24;
        let then = Duration::from_micros(u64::from(seed >> 8 & 0x3fff));
        let mut child = hark(&home, &[], &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen: Vec<u8> = Vec::new();
        for line in lines.by_ref().take(after_events) {
            seen.extend(line.unwrap().bytes().chain([b'\n']));
        }
        std::thread::sleep(then);
        if child.try_wait().unwrap().is_none() {
            cut_short += 1;
            child.kill().unwrap();
        }
        child.wait().unwrap();
        // What it had written before it died is still in the pipe; the last line may be half a one.
        for line in lines.map_while(Result::ok) {
            if serde_json::from_str::<Value>(&line).is_ok() {
                seen.extend(line.bytes().chain([b'\n']));
            }
        }
        promised += events(&seen)
            .iter()
            .filter(|event| event["event"] == "turn" && event["recorded"] == true)
            .count();
    }
    let mut copies: BTreeMap<(i64, u64), u32> = BTreeMap::new();
    let records = home.records();
    for record in &records {
        *copies
            .entry((record.session, record.turn.id.0))
            .or_default() += 1;
    }
    println!(
        "{kills} runs, {cut_short} killed, {promised} turns called recorded, {} in the log",
        records.len()
    );
    assert!(
        copies.values().all(|count| *count == 1),
        "a turn is there twice"
    );
    assert!(
        records.len() >= promised,
        "{promised} promised, {} kept",
        records.len()
    );
    // A turn may have been written and its event not yet printed: one for each kill at most.
    assert!(records.len() <= promised + cut_short);
    assert!(
        cut_short > kills / 4,
        "the kills came too late to show anything"
    );
}

/// A file system of a few megabytes that goes away with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder)
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "{:?} stays mounted",
            self.0
        );
    }
}

#[test]
fn a_conversation_goes_on_over_a_full_disk_and_is_kept_when_there_is_room() {
    let home = Home::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let transcripts = home.path("transcripts");
    std::fs::create_dir(&transcripts).unwrap();
    let Some(disk) = SmallDisk::mount(&transcripts, "1m") else {
        println!("skipped: no small disk can be mounted here (not root)");
        return;
    };
    let ballast = transcripts.join("ballast");
    // Whatever fits, fills it: the last write is cut.
    let filled = std::fs::write(&ballast, vec![1; 2_000_000]);
    assert!(filled.is_err(), "the disk is full");
    let mut plan = home.plan(home.config(&[]), &data("questions3.wav"));
    plan.output = Output::File {
        path: elsewhere.path().join("answer.wav"),
        pace: Pace::Fast,
    };
    let running = Running::start(plan);
    let first = running.wait_for("a turn", |seen| seen.name() == "turn");
    assert_eq!(first.json["recorded"], false, "{}", first.json);
    assert_eq!(first.json["outcome"], "completed");
    std::fs::remove_file(&ballast).unwrap();
    let ended = running.ended();
    assert_eq!(ended.named("turn").len(), 3);
    let told = ended.named("error");
    assert_eq!(told.len(), 1, "told once: {told:?}");
    let kept = home.records();
    assert_eq!(
        kept.len(),
        3,
        "all of it is kept: {:?}",
        ended.summary.trouble
    );
    drop(disk);
}
