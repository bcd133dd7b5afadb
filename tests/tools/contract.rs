//! What every tool keeps, on every system's set: a valid and stable description, arguments that are judged, words that can
//! be said, an end when it is cancelled, and a bounded result.

use std::collections::BTreeSet;
use std::sync::Arc;

use hark::agent::prompt::estimate_tool;
use hark::agent::spoken::spoken;
use hark::agent::tools::builtin::{MOST_CONTENT, bounded};
use hark::agent::tools::{Class, Tool, ToolError, ToolOutput, Toolbox};
use hark::platform::System;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Home, PATIENCE, call};

/// Every program that any built-in tool knows; each hangs, so that no call gets away with a quick failure.
const PROGRAMS: &[&str] = &[
    "osascript",
    "open",
    "pbcopy",
    "pbpaste",
    "mdfind",
    "shortcuts",
    "pmset",
    "scutil",
    "brightness",
    "xdg-open",
    "gtk-launch",
    "wl-copy",
    "wl-paste",
    "xclip",
    "wpctl",
    "pactl",
    "playerctl",
    "brightnessctl",
    "dunstctl",
    "notify-send",
];

const SYSTEMS: [System; 2] = [System::MacOs, System::Linux];

fn home_with_hanging_programs() -> Home {
    let home = Home::new();
    for program in PROGRAMS {
        home.script(
            program,
            "#!/bin/sh\necho $$ >>\"$0.pids\"\nexec sleep 300\n",
        );
    }
    std::fs::create_dir_all(home.path("home/.local/share/applications")).unwrap();
    std::fs::write(
        home.path("home/.local/share/applications/editor.desktop"),
        "[Desktop Entry]\nName=Editor\n",
    )
    .unwrap();
    std::fs::write(home.path("home/letter.txt"), "Dear Anna").unwrap();
    home
}

fn all(home: &Home, system: System) -> Vec<Arc<dyn Tool>> {
    let mut host = home.host(system);
    host.environment = vec![
        ("DISPLAY".to_owned(), ":99".to_owned()),
        ("WAYLAND_DISPLAY".to_owned(), "wayland-9".to_owned()),
    ];
    home.offers(host)
        .into_iter()
        .map(|offer| offer.tool)
        .collect()
}

/// Arguments with which a call gets as far as it can.
fn good(name: &str) -> Value {
    match name {
        "set_timer" => json!({"minutes": 5, "label": "tea"}),
        "set_alarm" => json!({"time": "07:30", "repeat": "weekdays"}),
        "set_reminder" => json!({"text": "call Anna", "in_minutes": 10}),
        "cancel_timer" => json!({"which": "tea"}),
        "add_note" => json!({"text": "buy milk"}),
        "find_notes" => json!({"query": "milk"}),
        "delete_note" => json!({"id": 1, "text": "buy milk"}),
        "remember_fact" | "forget_fact" => json!({"fact": "my wife is called Anna"}),
        "find_files" => json!({"query": "letter"}),
        "open_app" => json!({"name": "Editor"}),
        "open_file" => json!({"path": "letter.txt"}),
        "open_url" => json!({"url": "https://example.com/page?q=secret"}),
        "write_clipboard" => json!({"text": "hello"}),
        "set_volume" | "set_brightness" => json!({"percent": 40}),
        "control_media" => json!({"action": "next"}),
        "do_not_disturb" => json!({"on": true}),
        "add_event" => json!({"title": "Dentist", "start": "2031-01-02T10:00"}),
        "add_reminder" => json!({"text": "eggs", "due": "2031-01-02T10:00"}),
        "run_shortcut" => json!({"name": "Lights Off", "input": "kitchen"}),
        "run_command" => json!({"program": "open", "arguments": ["-la"]}),
        _ => json!({}),
    }
}

#[test]
fn every_name_and_description_is_stable_and_every_schema_is_valid() {
    let (one, other) = (Home::new(), Home::new());
    for system in SYSTEMS {
        let mut names = BTreeSet::new();
        let again = all(&other, system);
        for (tool, twin) in all(&one, system).iter().zip(&again) {
            let spec = tool.spec();
            assert_eq!(spec, twin.spec(), "the same for everybody");
            let bytes = |tool: &Arc<dyn Tool>| tool.spec().parameters.to_string();
            assert_eq!(bytes(tool), bytes(tool), "the same bytes at every call");
            assert!(
                names.insert(spec.name.clone()),
                "{} is there twice",
                spec.name
            );
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(
                spec.name.chars().all(plain) && spec.name.len() <= 32,
                "{}",
                spec.name
            );
            assert!(
                spec.description.ends_with('.') && spec.description.len() <= 120,
                "{}",
                spec.name
            );
            assert_eq!(spec.parameters["type"], "object", "{}", spec.name);
            jsonschema::meta::validate(&spec.parameters)
                .unwrap_or_else(|error| panic!("{}: {error}", spec.name));
            let validator = jsonschema::validator_for(&spec.parameters).unwrap();
            assert!(validator.is_valid(&good(&spec.name)), "{}", spec.name);
        }
        assert!(names.len() >= 25, "{names:?}");
    }
}

#[test]
fn the_tools_of_a_machine_fit_into_the_prompt() {
    let home = home_with_hanging_programs();
    for system in SYSTEMS {
        let tools = all(&home, system);
        let each: Vec<u32> = tools
            .iter()
            .map(|tool| estimate_tool(&tool.spec()))
            .collect();
        assert!(each.iter().all(|tokens| *tokens <= 150), "{each:?}");
        let sum: u32 = each.iter().sum();
        assert!(sum <= 2_200, "{sum} tokens for {} tools", tools.len());
    }
}

#[tokio::test]
async fn bad_arguments_are_told_by_their_name() {
    let home = home_with_hanging_programs();
    for system in SYSTEMS {
        for tool in all(&home, system) {
            let spec = tool.spec();
            let unknown = call(&tool, json!({"no_such_argument": 1})).await;
            complains(&spec.name, "no_such_argument", unknown);
            let text = call(&tool, json!("text")).await;
            assert!(
                matches!(text, Err(ToolError::Arguments(_))),
                "{}: {text:?}",
                spec.name
            );
            let properties = spec.parameters["properties"].as_object().unwrap();
            for (argument, schema) in properties {
                let mut arguments = good(&spec.name);
                // A list of lists is wrong for every kind.
                arguments[argument] = json!([[1]]);
                // A delete needs both; the wrong one is told first or the other is missing.
                if spec.name == "set_reminder" && argument == "time" {
                    arguments["in_minutes"] = Value::Null;
                }
                complains(&spec.name, argument, call(&tool, arguments).await);
                if schema["enum"].is_array() {
                    let mut arguments = good(&spec.name);
                    arguments[argument] = json!("nonsense");
                    complains(&spec.name, argument, call(&tool, arguments).await);
                }
            }
            for required in spec.parameters["required"].as_array().into_iter().flatten() {
                let required = required.as_str().unwrap();
                let mut arguments = good(&spec.name);
                arguments.as_object_mut().unwrap().remove(required);
                complains(&spec.name, required, call(&tool, arguments).await);
            }
        }
    }
}

fn complains(tool: &str, argument: &str, outcome: Result<ToolOutput, ToolError>) {
    match outcome {
        Err(ToolError::Arguments(told)) => {
            assert!(
                told.contains(argument),
                "{tool}: {argument} is not named in {told:?}"
            );
        }
        other => panic!("{tool} takes a bad {argument}: {other:?}"),
    }
}

#[test]
fn fillers_and_questions_are_short_sentences_that_can_be_said_and_tell_the_arguments() {
    let home = Home::new();
    let told: &[(&str, &[&str])] = &[
        ("set_timer", &["5 minute", "tea"]),
        ("set_alarm", &["07:30"]),
        ("set_reminder", &["call Anna"]),
        ("cancel_timer", &["tea"]),
        ("add_note", &["buy milk"]),
        ("find_notes", &["milk"]),
        ("delete_note", &["buy milk"]),
        ("remember_fact", &["my wife is called Anna"]),
        ("forget_fact", &["my wife is called Anna"]),
        ("find_files", &["letter"]),
        ("open_app", &["Editor"]),
        ("open_file", &["letter.txt"]),
        ("open_url", &["example.com/page?q=secret"]),
        ("write_clipboard", &["hello"]),
        ("set_volume", &["40"]),
        ("set_brightness", &["40"]),
        ("control_media", &["next"]),
        ("do_not_disturb", &["on"]),
        ("add_event", &["Dentist", "2031-01-02"]),
        ("add_reminder", &["eggs"]),
        ("run_shortcut", &["Lights Off", "kitchen"]),
        ("run_command", &["open -la"]),
    ];
    for tool in all(&home, System::MacOs) {
        let name = tool.spec().name;
        let long = json!({"text": "x ".repeat(2_000), "name": "x".repeat(900), "program": "x\ny", "fact": "# *a*"});
        for arguments in [
            good(&name),
            json!({}),
            json!({"text": [1], "percent": {}}),
            json!(null),
            long,
        ] {
            for sentence in [tool.filler(&arguments), tool.confirmation(&arguments)] {
                assert!(
                    sentence.len() <= 250 && sentence.len() >= 5,
                    "{name}: {sentence:?}"
                );
                assert!(!sentence.contains('\n'), "{name}: {sentence:?}");
                assert!(
                    sentence.starts_with(|c: char| c.is_ascii_uppercase()),
                    "{name}: {sentence:?}"
                );
                assert!(!spoken(&sentence).is_empty(), "{name}: {sentence:?}");
            }
            assert!(tool.filler(&arguments).ends_with('.'), "{name}");
            assert!(tool.confirmation(&arguments).ends_with('?'), "{name}");
        }
        let question = tool.confirmation(&good(&name));
        if let Some((_, words)) = told.iter().find(|(of, _)| *of == name) {
            for word in *words {
                assert!(
                    question.contains(word),
                    "{name}: {question:?} does not tell {word}"
                );
            }
        }
    }
}

#[test]
fn what_deletes_sends_or_runs_is_destroying_and_what_looks_is_reading() {
    let home = Home::new();
    for tool in all(&home, System::MacOs) {
        let name = tool.spec().name;
        let class = tool.class(&good(&name));
        let expected = match name.as_str() {
            "delete_note" | "forget_fact" | "open_url" | "run_shortcut" | "run_command" => {
                Class::Destroy
            }
            "list_timers" | "find_notes" | "list_facts" | "system_status" | "find_files"
            | "read_clipboard" | "read_calendar" | "read_reminders" => Class::Read,
            _ => Class::Act,
        };
        assert_eq!(class, expected, "{name}");
    }
}

#[tokio::test]
async fn a_cancelled_call_ends_at_once_and_leaves_no_child() {
    for system in SYSTEMS {
        let home = home_with_hanging_programs();
        let tools = all(&home, system);
        let mut hung = 0;
        for tool in &tools {
            let name = tool.spec().name;
            let before = pids(&home).len();
            let cancel = CancellationToken::new();
            let running = {
                let (tool, cancel, arguments) = (Arc::clone(tool), cancel.clone(), good(&name));
                tokio::spawn(async move { tool.call(arguments, cancel).await })
            };
            // Until it hangs in a program or has ended without one.
            let waited = tokio::time::timeout(PATIENCE, async {
                while !running.is_finished() && pids(&home).len() == before {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            });
            waited.await.expect("it starts its program or ends");
            cancel.cancel();
            let outcome = tokio::time::timeout(PATIENCE, running)
                .await
                .unwrap_or_else(|_| panic!("{name} goes on after it was cancelled"))
                .unwrap();
            if pids(&home).len() > before {
                hung += 1;
                assert!(
                    matches!(outcome, Err(ToolError::Cancelled)),
                    "{name}: {outcome:?}"
                );
            }
        }
        assert!(
            hung >= 8,
            "only {hung} of {} tools ran a program",
            tools.len()
        );
        let mut left = PATIENCE.as_millis() / 10;
        while pids(&home).iter().any(|pid| alive(pid)) {
            left -= 1;
            assert!(left > 0, "children are left: {:?}", pids(&home));
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

fn pids(home: &Home) -> Vec<String> {
    PROGRAMS
        .iter()
        .filter_map(|program| {
            std::fs::read_to_string(home.path("bin").join(format!("{program}.pids"))).ok()
        })
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn alive(pid: &str) -> bool {
    // A zombie that nobody has waited for yet is gone for our purpose.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_call_that_is_cancelled_beforehand_does_nothing() {
    let home = home_with_hanging_programs();
    for tool in all(&home, System::Linux) {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let outcome = tool.call(good(&tool.spec().name), cancel).await;
        assert!(
            matches!(outcome, Err(ToolError::Cancelled)),
            "{}",
            tool.spec().name
        );
    }
    assert!(pids(&home).is_empty());
    assert!(home.notebook.schedule().entries().is_empty());
}

#[test]
fn a_result_is_bounded_at_a_whole_letter() {
    let output = bounded(ToolOutput {
        content: "ü".repeat(MOST_CONTENT),
        did: None,
    });
    assert!(output.content.len() <= MOST_CONTENT + 40);
    assert!(output.content.ends_with("(cut: there is more)"));
}

#[test]
fn the_box_keeps_the_first_of_two_tools_with_one_name() {
    let home = Home::new();
    let mut tools = all(&home, System::Linux);
    let count = tools.len();
    tools.extend(all(&home, System::Linux));
    assert_eq!(Toolbox::new(tools).all().len(), count);
}
