//! The built-in tools on real files and real programs, and the tools of macOS with programs that note how they are called.

use hark::agent::schedule::Kind;
use hark::agent::tools::ToolError;
use hark::agent::tools::host::Host;
use hark::platform::System;
use serde_json::json;

use crate::support::{Home, call, content};

#[tokio::test]
async fn timers_alarms_and_reminders_are_set_listed_and_cancelled() {
    let home = Home::new();
    let tool = |name: &str| home.tool(home.host(System::Linux), name);
    let set = call(&tool("set_timer"), json!({"minutes": "5", "label": "tea"}))
        .await
        .unwrap();
    assert_eq!(set.did.as_deref(), Some("The tea timer is set: 5 minutes."));
    let set = content(
        &tool("set_alarm"),
        json!({"time": "07:30", "repeat": "weekdays"}),
    )
    .await;
    assert!(
        set.starts_with("The alarm is set ") && set.ends_with("at 7:30 AM, every weekday."),
        "{set}"
    );
    let set = content(
        &tool("set_reminder"),
        json!({"text": "call Anna", "in_minutes": 10}),
    )
    .await;
    assert!(set.starts_with("I'll remind you "), "{set}");
    let list = content(&tool("list_timers"), json!({})).await;
    for part in [
        "tea timer",
        "7:30 AM alarm",
        "every weekday",
        "call Anna",
        "\"id\":1",
    ] {
        assert!(list.contains(part), "{list}");
    }
    let entries = home.notebook.schedule().entries().to_vec();
    assert!(matches!(entries[0].kind, Kind::Timer { length } if length.as_secs() == 300));
    assert_eq!(
        content(&tool("cancel_timer"), json!({"which": "Tea"})).await,
        "The tea timer is cancelled."
    );
    assert_eq!(
        content(&tool("cancel_timer"), json!({"which": 2})).await,
        "The 7:30 AM alarm is cancelled."
    );
    let none = call(&tool("cancel_timer"), json!({"which": "pasta"}))
        .await
        .unwrap_err();
    assert!(none.to_string().contains("list_timers"), "{none}");
    content(&tool("set_timer"), json!({"seconds": 90})).await;
    assert_eq!(
        content(&tool("cancel_timer"), json!({"which": "all"})).await,
        "2 of them are cancelled."
    );
    assert!(home.notebook.schedule().entries().is_empty());
    for bad in [
        json!({}),
        json!({"minutes": 0}),
        json!({"hours": 400}),
        json!({"minutes": "soon"}),
    ] {
        let error = call(&tool("set_timer"), bad.clone()).await.unwrap_err();
        assert!(matches!(error, ToolError::Arguments(_)), "{bad}: {error}");
    }
    for bad in [
        json!({"time": "25:00"}),
        json!({"time": "7 pm"}),
        json!({"time": "07:00", "date": "2020-01-01"}),
        json!({"time": "07:00", "date": "2031-01-01", "repeat": "daily"}),
        json!({"time": "07:00", "repeat": "sometimes"}),
    ] {
        let error = call(&tool("set_alarm"), bad.clone()).await.unwrap_err();
        assert!(matches!(error, ToolError::Arguments(_)), "{bad}: {error}");
    }
}

#[tokio::test]
async fn a_note_is_deleted_only_by_its_own_words() {
    let home = Home::new();
    let tool = |name: &str| home.tool(home.host(System::Linux), name);
    content(&tool("add_note"), json!({"text": "Buy milk, and eggs."})).await;
    content(
        &tool("add_note"),
        json!({"text": "The plumber comes on Friday."}),
    )
    .await;
    let found = content(&tool("find_notes"), json!({"query": "milk"})).await;
    assert!(
        found.contains("Buy milk, and eggs.") && !found.contains("plumber"),
        "{found}"
    );
    let wrong = call(&tool("delete_note"), json!({"id": 2, "text": "Buy milk"})).await;
    assert!(matches!(wrong, Err(ToolError::Arguments(_))), "{wrong:?}");
    let gone = content(
        &tool("delete_note"),
        json!({"id": 1, "text": "buy milk and"}),
    )
    .await;
    assert_eq!(gone, "The note is deleted: Buy milk, and eggs..");
    assert_eq!(home.notebook.notes("", 9).unwrap().len(), 1);
}

#[tokio::test]
async fn facts_are_remembered_and_forgotten() {
    let home = Home::new();
    let tool = |name: &str| home.tool(home.host(System::Linux), name);
    let fact = json!({"fact": "My wife is called Anna."});
    let told = call(&tool("remember_fact"), fact.clone()).await.unwrap();
    assert_eq!(
        told.did.as_deref(),
        Some("I'll remember: My wife is called Anna.")
    );
    assert!(
        content(&tool("remember_fact"), fact.clone())
            .await
            .starts_with("I know that already")
    );
    assert_eq!(
        content(&tool("list_facts"), json!({})).await,
        "My wife is called Anna."
    );
    content(&tool("forget_fact"), fact).await;
    assert!(home.notebook.facts().is_empty());
}

#[tokio::test]
async fn files_of_the_home_folder_are_found_by_name_and_only_documents_are_opened() {
    let home = Home::new();
    home.program("xdg-open", "");
    for folder in ["home/Papers", "home/.secret", "home/node_modules"] {
        std::fs::create_dir_all(home.path(folder)).unwrap();
    }
    for file in [
        "home/Papers/Tax letter 2026.pdf",
        "home/.secret/tax letter.txt",
        "home/node_modules/tax letter.js",
        "home/run-tax.sh",
        "outside.txt",
    ] {
        std::fs::write(home.path(file), "x").unwrap();
    }
    std::os::unix::fs::symlink(home.path("outside.txt"), home.path("home/link.txt")).unwrap();
    let mut host = home.host(System::Linux);
    host.environment = vec![("DISPLAY".to_owned(), ":9".to_owned())];
    let find = home.tool(host.clone(), "find_files");
    let found = content(&find, json!({"query": "letter tax"})).await;
    let letter = home.path("home/Papers/Tax letter 2026.pdf");
    assert_eq!(found, json!(letter.display().to_string()).to_string());
    let none = content(&find, json!({"query": "elephant"})).await;
    assert!(none.contains("elephant"), "{none}");

    let open = home.tool(host, "open_file");
    let done = content(&open, json!({"path": "Papers/Tax letter 2026.pdf"})).await;
    assert_eq!(done, "Tax letter 2026.pdf is open.");
    let calls = home.calls("xdg-open");
    let real = letter.canonicalize().unwrap().display().to_string();
    assert_eq!(calls, [(vec![real], String::new())]);
    for (path, why) in [
        ("../outside.txt", "home folder"),
        ("link.txt", "home folder"),
        ("/etc/passwd", "home folder"),
        (".secret/tax letter.txt", "hidden"),
        ("run-tax.sh", "program"),
        ("nothing.txt", "no such file"),
    ] {
        let error = call(&open, json!({"path": path}))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{path}: {error}");
    }
    assert_eq!(home.calls("xdg-open").len(), 1);
}

#[tokio::test]
async fn a_tool_that_the_machine_lacks_is_not_offered_and_says_why() {
    let home = Home::new();
    let why = |host: Host| {
        let offers = home.offers(host).into_iter();
        let named = offers.map(|offer| (offer.tool.spec().name, offer.why_not));
        named.collect::<std::collections::BTreeMap<_, _>>()
    };
    let bare = why(home.host(System::Linux));
    for (tool, told) in [
        ("set_volume", "neither wpctl nor pactl"),
        ("control_media", "playerctl"),
        ("set_brightness", "brightnessctl"),
        ("read_calendar", "no calendar"),
        ("run_shortcut", "macOS only"),
        ("do_not_disturb", "dunst or GNOME"),
    ] {
        let why = bare[tool]
            .as_deref()
            .unwrap_or_else(|| panic!("{tool} is offered"));
        assert!(why.contains(told), "{tool}: {why}");
    }
    for tool in [
        "set_timer",
        "add_note",
        "system_status",
        "find_files",
        "remember_fact",
    ] {
        assert_eq!(bare[tool], None, "{tool} needs nothing");
    }
    home.program("pactl", "");
    home.program("playerctl", "");
    let more = why(home.host(System::Linux));
    assert_eq!(
        (&more["set_volume"], &more["control_media"]),
        (&None, &None)
    );
}

#[tokio::test]
async fn a_program_that_disappears_or_fails_is_told() {
    let home = Home::new();
    home.script(
        "playerctl",
        "#!/bin/sh\necho 'No players found' >&2\nexit 1\n",
    );
    let media = home.tool(home.host(System::Linux), "control_media");
    let error = call(&media, json!({"action": "play"})).await.unwrap_err();
    assert_eq!(error.to_string(), "no program plays anything");
    std::fs::remove_file(home.path("bin/playerctl")).unwrap();
    let error = call(&media, json!({"action": "play"})).await.unwrap_err();
    assert!(matches!(error, ToolError::Gone(_)), "{error}");
}

#[tokio::test]
async fn a_command_runs_without_a_shell_in_the_home_folder() {
    let home = Home::new();
    let mut host = home.host(System::Linux);
    host.path.push("/usr/bin".into());
    host.path.push("/bin".into());
    let tool = home.tool(host, "run_command");
    let arguments = json!({"program": "printf", "arguments": ["%s|", "$(id)", "a;b", "*"]});
    let ran: serde_json::Value = serde_json::from_str(&content(&tool, arguments).await).unwrap();
    assert_eq!(
        (&ran["output"], &ran["exit_code"]),
        (&json!("$(id)|a;b|*|"), &json!(0))
    );
    let ran = content(&tool, json!({"program": "pwd"})).await;
    assert!(ran.contains("/home"), "{ran}");
    for program in ["/bin/sh", "../bin/sh", "no-such-program"] {
        let error = call(&tool, json!({"program": program})).await.unwrap_err();
        assert!(
            matches!(error, ToolError::Arguments(_)),
            "{program}: {error}"
        );
    }
    let flood = content(
        &tool,
        json!({"program": "head", "arguments": ["-c", "9000000", "/dev/zero"]}),
    )
    .await;
    assert!(flood.len() < 60_000, "{}", flood.len());
}

#[tokio::test]
async fn the_calendar_of_macos_is_read_by_arguments_and_told_in_order() {
    let home = Home::new();
    let lines = "1926400800000\t1926404400000\tfalse\tDentist\tHigh Street\tHome\n\
                 1926370000000\t1926370000000\ttrue\tHoliday\t\tFamily\nbroken line\n";
    home.program("osascript", lines);
    let read = home.tool(home.host(System::MacOs), "read_calendar");
    let told = content(&read, json!({"date": "2031-01-17", "days": 2})).await;
    let events: Vec<serde_json::Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 2, "{told}");
    assert_eq!(
        (&events[0]["title"], &events[0]["whole_day"]),
        (&json!("Holiday"), &json!(true))
    );
    assert_eq!(
        (&events[1]["title"], &events[1]["place"]),
        (&json!("Dentist"), &json!("High Street"))
    );
    let (arguments, _) = &home.calls("osascript")[0];
    let from: i64 = arguments[5].parse().unwrap();
    let until: i64 = arguments[6].parse().unwrap();
    assert_eq!(until - from, 2 * 86_400_000);
    let add = home.tool(home.host(System::MacOs), "add_event");
    let error = call(&add, json!({"title": "x", "start": "tomorrow"}))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("start"), "{error}");
}

#[tokio::test]
async fn a_shortcut_is_run_by_its_exact_name_only() {
    let home = Home::new();
    home.program("shortcuts", "Lights Off\nLights On\nSend Mail\n");
    let run = home.tool(home.host(System::MacOs), "run_shortcut");
    let error = call(&run, json!({"name": "Lights"}))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Lights On") && error.contains("name"),
        "{error}"
    );
    assert_eq!(
        home.calls("shortcuts").len(),
        1,
        "only the list was asked for"
    );
    content(&run, json!({"name": "lights off", "input": "kitchen"})).await;
    let (arguments, input) = home.calls("shortcuts").pop().unwrap();
    assert_eq!(arguments, ["run", "Lights Off", "--input-path", "-"]);
    assert_eq!(input, "kitchen");
}

#[tokio::test]
async fn this_machine_tells_its_state() {
    let home = Home::new();
    let status = home.tool(home.host(System::Linux), "system_status");
    let told: serde_json::Value = serde_json::from_str(&content(&status, json!({})).await).unwrap();
    assert!(
        told["disk_free_gigabytes"].as_f64().unwrap() > 0.0,
        "{told}"
    );
    assert!(told["time"].as_str().unwrap().len() > 10, "{told}");
}
