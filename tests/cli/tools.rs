//! `hark tools` and `hark facts` as scripts meet them.

use crate::support::{Home, json};

#[test]
fn the_tools_are_listed_with_class_source_and_reason() {
    let home = Home::new();
    let ran = home.hark(&["tools"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = |name: &str| {
        let found = ran.out.lines().find(|line| line.starts_with(name));
        found.unwrap_or_else(|| panic!("{name} is not in {}", ran.out))
    };
    assert!(line("set_timer").contains("act") && line("set_timer").ends_with("offered"));
    assert!(line("delete_note").ends_with("asks first"));
    assert!(line("run_command").contains("not offered: it is switched off"));
    let document = json(&home.hark(&["tools", "list", "--json"]).out);
    let tools = document["tools"].as_array().unwrap();
    assert_eq!(tools[0]["name"], "set_timer");
    assert_eq!(tools[0]["source"], "built-in");
    assert_eq!(tools[0]["permission"], "allow");
    assert_eq!(document["servers"], serde_json::json!([]));
}

#[test]
fn permissions_of_the_settings_decide_what_is_offered() {
    let home = Home::new();
    home.write(
        "config.toml",
        "[tools.permissions]\nset_timer = \"deny\"\nadd_note = \"ask\"\n",
    );
    let document = json(&home.hark(&["tools", "--json"]).out);
    let tools = document["tools"].as_array().unwrap();
    let of = |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap();
    assert_eq!(of("set_timer")["offered"], false);
    assert_eq!(of("add_note")["permission"], "ask");
    let denied = home.hark(&["tools", "call", "set_timer", "{\"minutes\": 1}"]);
    assert_eq!(denied.code, 1);
    assert!(
        denied.err.contains("tools.permissions denies it"),
        "{}",
        denied.err
    );
}

#[test]
fn a_call_by_hand_acts_and_asks_where_the_model_would_have_to() {
    let home = Home::new();
    let added = home.hark(&["tools", "call", "add_note", "{\"text\": \"buy milk\"}"]);
    assert_eq!(
        (added.code, added.out.as_str()),
        (0, "Noted: buy milk.\n"),
        "{}",
        added.err
    );
    let delete = "{\"id\": 1, \"text\": \"buy milk\"}";
    let asked = home.hark(&["tools", "call", "delete_note", delete]);
    assert_eq!(asked.code, 2);
    assert!(
        asked.err.contains("Delete the note: buy milk?") && asked.err.contains("--yes"),
        "{}",
        asked.err
    );
    let done = home.hark(&["tools", "call", "delete_note", delete, "--yes", "--json"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(json(&done.out)["tool"], "delete_note");
    let wrong = home.hark(&["tools", "call", "set_timer", "{\"minute\": 1}"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("no argument minute"), "{}", wrong.err);
    let unknown = home.hark(&["tools", "call", "set_timr"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.err.contains("did you mean set_timer?"),
        "{}",
        unknown.err
    );
    let broken = home.hark(&["tools", "call", "set_timer", "{"]);
    assert_eq!(broken.code, 2);
}

#[test]
fn a_server_that_cannot_be_started_is_told_and_hides_no_tool() {
    let home = Home::new();
    home.write(
        "config.toml",
        "[mcp.servers.gone]\ncommand = \"no-such-program\"\nenv.KEY = \"hush\"\n",
    );
    let ran = home.hark(&["tools"]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.err
            .contains("server gone: no-such-program cannot be started"),
        "{}",
        ran.err
    );
    assert!(ran.out.contains("set_timer"));
    let shown = home.hark(&["config", "show", "mcp"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(
        shown
            .out
            .contains("mcp.servers.gone.command = \"no-such-program\"")
            && shown
                .out
                .contains("mcp.servers.gone.env.KEY = \"(hidden)\""),
        "{}",
        shown.out
    );
    assert!(
        !home
            .hark(&["config", "show", "--json"])
            .out
            .contains("hush")
    );
}

#[test]
fn facts_are_added_listed_and_removed() {
    let home = Home::new();
    assert!(
        home.hark(&["facts"])
            .out
            .starts_with("Nothing is remembered.")
    );
    let added = home.hark(&["facts", "add", "my", "wife", "is", "called", "Anna"]);
    assert_eq!(
        (added.code, added.out.as_str()),
        (0, "Remembered as number 1.\n")
    );
    let listed = home.hark(&["facts", "list"]);
    assert_eq!(listed.out, "   1  my wife is called Anna\n");
    let asked = home.hark(&["ask", "what do you remember"]);
    assert!(
        asked.out.contains("my wife is called Anna"),
        "{}",
        asked.out
    );
    let document = json(&home.hark(&["facts", "--json"]).out);
    assert_eq!(document[0]["text"], "my wife is called Anna");
    assert_eq!(home.hark(&["facts", "remove", "7"]).code, 2);
    assert_eq!(
        home.hark(&["facts", "remove", "my wife is called Anna"])
            .code,
        0
    );
    assert_eq!(home.hark(&["facts", "remove"]).code, 2);
    assert_eq!(
        json(&home.hark(&["facts", "--json"]).out),
        serde_json::json!([])
    );
}
