//! What each verb of `hark transcripts` prints, asks and refuses.

use std::io::Write;

use clap::{CommandFactory, Parser};
use hark::cli::console::Console;
use hark::cli::transcripts::{TranscriptsArgs, exit_code, run};
use hark::flow::ToolUse;
use hark::transcripts::{Reader, RecordId};

use super::exporting::household;
use super::{State, at, turn};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: TranscriptsArgs,
}

/// What came of a command.
struct Ran {
    out: String,
    err: String,
    /// The message and the exit code of a failure.
    failure: Option<(String, u8)>,
}

fn hark_transcripts(state: &State, line: &str) -> Ran {
    answered(state, line, None)
}

/// Runs `hark transcripts LINE` on 24 November 2026 with these answers on the terminal.
fn answered(state: &State, line: &str, answers: Option<&str>) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let failure = {
        let mut input = answers.map(str::as_bytes);
        let mut console = Console {
            out: &mut out,
            err: &mut err,
            answers: input
                .as_mut()
                .map(|input| input as &mut dyn std::io::BufRead),
            colour: false,
            width: 60,
            now: at("2026-11-21T12:00:00+01:00[Europe/Berlin]"),
        };
        let words = line.split(' ').filter(|word| !word.is_empty());
        let line = Line::parse_from(std::iter::once("transcripts").chain(words));
        run(&line.args, &state.places(), &mut console).err()
    };
    let failure = failure.map(|error| {
        let message = format!("{error:#}").replace(&state.folder().display().to_string(), "~");
        (message, exit_code(&error))
    });
    Ran {
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
        failure,
    }
}

#[test]
fn list_shows_the_newest_first_under_days() {
    let ran = hark_transcripts(&household(), "list");
    assert_eq!(ran.failure, None);
    insta::assert_snapshot!(ran.out, @r"
    today
      00:00        5  Good night
                      Sleep well.

    yesterday
      23:59        4  Why is the sky blue?
                      (failed: backend_unreachable)
      18:03        3  Never mind
                      (taken back)
      18:02        2  Tell me a story
                      Once upon a time there was a king who liv…
                      (interrupted after “… a time there was a…)
      18:00        1  What's the *weather*?
                      It is **raining**. - Take a coat - <b>Now…
    ");
}

#[test]
fn list_takes_a_time_and_a_limit() {
    let state = household();
    let ran = hark_transcripts(&state, "list yesterday --limit 1");
    insta::assert_snapshot!(ran.out, @r"
    yesterday
      23:59        4  Why is the sky blue?
                      (failed: backend_unreachable)
    ");
    assert_eq!(
        hark_transcripts(&state, "list 2025").out,
        "Nothing was recorded in that time.\n"
    );
    let (message, code) = hark_transcripts(&state, "list soon").failure.unwrap();
    assert!(
        message.starts_with("\"soon\" is no time; write today, yesterday, a day"),
        "{message}"
    );
    assert_eq!(code, 2);
}

#[test]
fn list_as_json_is_one_list() {
    let ran = hark_transcripts(&household(), "list --json --limit 2");
    let list: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (list[0]["id"].as_i64(), list[1]["id"].as_i64()),
        (Some(5), Some(4))
    );
    assert_eq!(list[1]["failure"], "backend_unreachable");
    assert_eq!(list[1]["receipt"]["first_audio_ms"], 1_240);
}

#[test]
fn before_the_first_turn_every_verb_says_that_there_is_none() {
    let state = State::new();
    assert_eq!(
        hark_transcripts(&state, "list").out,
        "Nothing has been recorded yet.\n"
    );
    assert_eq!(hark_transcripts(&state, "list --json").out, "[]\n");
    assert_eq!(
        hark_transcripts(&state, "search x").out,
        "Nothing was found.\n"
    );
    assert_eq!(
        hark_transcripts(&state, "forget --all --yes").out,
        "Forgot 0 turns.\n"
    );
    for line in ["show", "why", "export", "show 3", "forget 3 --yes"] {
        let (message, code) = hark_transcripts(&state, line).failure.unwrap();
        assert_eq!(
            message,
            "nothing has been recorded yet; `hark run` records what you say to it"
        );
        assert_eq!(code, 1);
    }
    assert!(!state.log().exists());
}

#[test]
fn show_tells_everything_about_a_turn() {
    let state = household();
    let running = state.running();
    let mut busy = turn(
        1,
        "What is on my card 4111 1111 1111 1111?",
        "I looked it up, and it is all in order, so there is nothing to do.",
    );
    busy.tools = vec![
        ToolUse {
            name: "bank".to_owned(),
            outcome: "ok".to_owned(),
        },
        ToolUse {
            name: "calendar".to_owned(),
            outcome: "timeout".to_owned(),
        },
    ];
    running.record_at(busy, &at("2026-11-21T09:00:00+01:00[Europe/Berlin]"));
    running.close();
    insta::assert_snapshot!(hark_transcripts(&state, "show").out, @r"
    Turn 6, Saturday, 21 November 2026, 09:00:00

    You:  What is on my card [card number removed]?
    Hark: I looked it up, and it is all in order, so there is
          nothing to do.

    Tools:    bank (ok), calendar (timeout)
    Speech:   2.5 s, language en, confidence 0.93
    Answered: after 1.2 s; `hark transcripts why 6` tells where they went
    Removed:  1 secret, before this was written
    ");
    let one: serde_json::Value =
        serde_json::from_str(&hark_transcripts(&state, "show 2 --json").out).unwrap();
    assert_eq!(one["outcome"], "interrupted");
    assert_eq!(one["heard"], "Once upon a time there was a king");
}

#[test]
fn a_number_that_is_not_there_is_told_with_the_way_to_those_that_are() {
    let state = household();
    for line in ["show 99", "why 99", "forget 99 --yes"] {
        assert_eq!(
            hark_transcripts(&state, line).failure.unwrap(),
            (
                "there is no turn 99; `hark transcripts list` shows those there are".to_owned(),
                1
            )
        );
    }
}

#[test]
fn search_shows_the_places_with_their_speakers() {
    let state = household();
    insta::assert_snapshot!(hark_transcripts(&state, "search night OR king").out, @r"
    today
      00:00        5  You:  Good night

    yesterday
      18:02        2  Hark: Once upon a time there was a king who lived alone.
    ");
    let found = hark_transcripts(&state, "search --json king --speaker hark --when yesterday").out;
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found[0]["id"], 2);
    assert_eq!(found[0]["asked_snippet"], serde_json::Value::Null);
    assert_eq!(
        found[0]["replied_snippet"],
        "Once upon a time there was a **king** who lived alone."
    );
    assert_eq!(
        hark_transcripts(&state, "search king --speaker user").out,
        "Nothing was found.\n"
    );
}

#[test]
fn search_for_nothing_is_a_usage_error() {
    let (message, code) = hark_transcripts(&household(), "search ?!").failure.unwrap();
    assert!(message.contains("give at least one word"), "{message}");
    assert_eq!(code, 2);
    let (message, code) = hark_transcripts(&household(), "search -- -king")
        .failure
        .unwrap();
    assert!(message.contains("add one before the `-`"), "{message}");
    assert_eq!(code, 2);
}

#[test]
fn export_writes_to_the_output_and_counts_on_the_side() {
    let state = household();
    let ran = hark_transcripts(&state, "export --format text --when today");
    assert_eq!(
        ran.out,
        "2026-11-21 00:00:30 You:  Good night\n2026-11-21 00:00:30 Hark: Sleep well.\n"
    );
    assert_eq!(ran.err, "1 turn; the last is 5.\n");
    let file = state.folder().join("out.md");
    let ran = hark_transcripts(
        &state,
        &format!("export --since-id 4 --output {}", file.display()),
    );
    assert_eq!(ran.out, "");
    assert!(ran.err.starts_with("Wrote 1 turn to "), "{}", ran.err);
    assert_eq!(
        std::fs::read_to_string(file).unwrap(),
        "\n## Saturday, 21 November 2026\n\n**00:00** Good night\n\n> Sleep well.\n"
    );
}

#[test]
fn forget_asks_first_and_does_nothing_without_a_yes() {
    let state = household();
    let count = || Reader::open(&state.log()).unwrap().count().unwrap();
    let ran = answered(&state, "forget 2..3", Some("no\n"));
    assert_eq!(
        ran.err,
        "Forget 2 turns for good? [y/N] Nothing was forgotten.\n"
    );
    assert_eq!((ran.out.as_str(), count()), ("", 5));
    let ran = answered(&state, "forget 2..3", Some("y\n"));
    assert_eq!((ran.out.as_str(), count()), ("Forgot 2 turns.\n", 3));
    assert!(!state.holds_bytes("Never mind"));
}

#[test]
fn forget_without_a_terminal_wants_a_yes() {
    let state = household();
    let (message, code) = hark_transcripts(&state, "forget --all").failure.unwrap();
    assert!(message.contains("say --yes"), "{message}");
    assert_eq!(code, 2);
    assert_eq!(Reader::open(&state.log()).unwrap().count().unwrap(), 5);
}

#[test]
fn forget_takes_days_ages_and_everything() {
    let state = household();
    assert_eq!(
        hark_transcripts(&state, "forget --day today --yes --json").out,
        "{\"forgotten\":1}\n"
    );
    assert_eq!(
        hark_transcripts(&state, "forget --day today --yes").out,
        "There is nothing to forget.\n"
    );
    assert_eq!(
        hark_transcripts(&state, "forget --older-than 13h --yes").out,
        "Forgot 3 turns.\n"
    );
    assert_eq!(
        hark_transcripts(&state, "forget --all --yes").out,
        "Forgot 1 turn.\n"
    );
    assert_eq!(
        hark_transcripts(&state, "list").out,
        "Nothing has been recorded yet.\n"
    );
}

#[test]
fn the_same_command_again_finishes_a_deletion_that_was_cut_short() {
    let state = household();
    let reading = rusqlite::Connection::open(state.log()).unwrap();
    reading.execute_batch("BEGIN").unwrap();
    reading
        .query_row("SELECT count(*) FROM turns", [], |_| Ok(()))
        .unwrap();
    let (message, code) = hark_transcripts(&state, "forget 5 --yes").failure.unwrap();
    assert!(message.contains("run the same command again"), "{message}");
    assert_eq!(code, 1);
    drop(reading);
    let ran = hark_transcripts(&state, "forget 5 --yes");
    assert_eq!(ran.failure, None);
    assert_eq!(
        ran.err,
        "An earlier deletion was cut short; its traces are removed.\n"
    );
    assert!(!state.holds_bytes("Sleep well"));
}

#[test]
fn forget_of_nothing_in_particular_is_a_usage_error() {
    let state = household();
    for line in [
        "forget --yes",
        "forget yesterday --yes",
        "forget 5..2 --yes",
        "forget --older-than old --yes",
    ] {
        assert_eq!(
            hark_transcripts(&state, line).failure.unwrap().1,
            2,
            "{line}"
        );
    }
    assert!(Line::try_parse_from(["transcripts", "forget", "--all", "3"]).is_err());
    assert_eq!(Reader::open(&state.log()).unwrap().count().unwrap(), 5);
}

#[test]
fn why_draws_the_receipt_and_names_the_cause() {
    let state = State::new();
    let running = state.running();
    let mut slow = turn(1, "hello", "hi");
    slow.receipt.llm_request_ms = Some(830);
    slow.receipt.first_token_ms = Some(3_900);
    slow.receipt.first_clause_ms = Some(4_100);
    slow.receipt.first_sample_ms = Some(4_150);
    slow.receipt.first_audio_ms = Some(4_200);
    slow.receipt.prompt_tokens = Some(2_310);
    slow.receipt.cached_tokens = Some(12);
    slow.receipt.model = Some("a-model".to_owned());
    slow.receipt.backend = Some("ollama".to_owned());
    running.record_at(slow, &at("2026-11-20T18:00:00+01:00[Europe/Berlin]"));
    running.close();
    insta::assert_snapshot!(hark_transcripts(&state, "why").out, @r"
    Turn 1, Fri 20 Nov 2026 18:00:00, completed
    4.2 s from the end of your speech to the first sound.

      turn ended    ██▉                          520 ms  +520
      transcript       █▋                        810 ms  +290
      model asked       ▏                        830 ms  +20
      first token       ▐█████████████████▎     3900 ms  +3070
      first clause                        █▍    4100 ms  +200
      first sample                         ▎    4150 ms  +50
      first sound                          ▐    4200 ms  +50

    Answered by a-model (ollama); 2310 tokens of prompt, 12 of them from its cache.

    The model took 3.1 s to its first word because its prompt cache was cold: 2298 of 2310 tokens had to be read.
    ");
    insta::assert_snapshot!(hark_transcripts(&state, "why 1 --json").out, @r#"
    {
      "endpoint_ms": 520,
      "transcript_ms": 810,
      "llm_request_ms": 830,
      "first_token_ms": 3900,
      "first_clause_ms": 4100,
      "first_sample_ms": 4150,
      "first_audio_ms": 4200,
      "prompt_tokens": 2310,
      "cached_tokens": 12,
      "prefix": null,
      "speculation": "none",
      "model": "a-model",
      "backend": "ollama"
    }
    "#);
}

/// Takes so many lines and then goes away, like `head`.
struct Head {
    seen: std::sync::mpsc::Sender<String>,
    lines: usize,
    line: Vec<u8>,
}

impl Write for Head {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for byte in bytes {
            if self.lines == 0 {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            if *byte == b'\n' {
                let line = String::from_utf8(std::mem::take(&mut self.line)).unwrap();
                self.seen.send(line).unwrap();
                self.lines -= 1;
            } else {
                self.line.push(*byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.lines == 0 {
            Err(std::io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(())
        }
    }
}

#[test]
fn follow_prints_turns_as_they_are_recorded_until_the_reader_goes_away() {
    let state = State::new();
    let places = state.places();
    let (seen, lines) = std::sync::mpsc::channel();
    let follower = std::thread::spawn(move || {
        let mut head = Head {
            seen,
            lines: 3,
            line: Vec::new(),
        };
        let mut console = Console {
            out: &mut head,
            err: &mut Vec::new(),
            answers: None,
            colour: false,
            width: 60,
            now: at("2026-11-21T12:00:00+01:00[Europe/Berlin]"),
        };
        let line = Line::parse_from(["transcripts", "list", "--follow", "--json", "-n", "1"]);
        run(&line.args, &places, &mut console)
    });
    // It began before the log was there, and waits for it.
    let running = state.running();
    let mut followed = Vec::new();
    for id in 1..=3 {
        running.record(turn(id, "one after the other", "yes"));
        let line = lines.recv_timeout(super::PATIENCE).unwrap();
        followed.push(
            serde_json::from_str::<serde_json::Value>(&line).unwrap()["turn"]
                .as_u64()
                .unwrap(),
        );
    }
    follower.join().unwrap().unwrap();
    running.close();
    assert_eq!(followed, [1, 2, 3]);
}

#[test]
fn colour_marks_what_was_found_only_where_it_is_allowed() {
    let state = household();
    let mut out = Vec::new();
    let mut console = Console {
        out: &mut out,
        err: &mut Vec::new(),
        answers: None,
        colour: true,
        width: 60,
        now: at("2026-11-21T12:00:00+01:00[Europe/Berlin]"),
    };
    let line = Line::parse_from(["transcripts", "search", "king"]);
    run(&line.args, &state.places(), &mut console).unwrap();
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("a \u{1b}[1mking\u{1b}[0m who")
    );
    assert!(
        !hark_transcripts(&state, "search king")
            .out
            .contains('\u{1b}')
    );
}

#[test]
fn a_log_beside_a_running_daemon_can_be_read_and_forgotten_from() {
    let state = household();
    let running = state.running();
    running.record(turn(1, "while it runs", "yes"));
    assert!(
        hark_transcripts(&state, "search while")
            .out
            .contains("while it runs")
    );
    assert_eq!(
        hark_transcripts(&state, "forget 6 --yes").out,
        "Forgot 1 turn.\n"
    );
    assert_eq!(running.record(turn(2, "still running", "yes")), RecordId(7));
    running.close();
}

#[test]
fn the_arguments_do_not_contradict_each_other_and_the_help_has_examples() {
    Line::command().debug_assert();
    let mut command = Line::command();
    let helps = command.get_subcommands_mut().map(|verb| {
        (
            verb.get_name().to_owned(),
            verb.render_long_help().to_string(),
        )
    });
    let without: Vec<String> = helps
        .filter(|(_, help)| !help.contains("Example"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(without, Vec::<String>::new());
}
