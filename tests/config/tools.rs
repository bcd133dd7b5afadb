//! The tables in which users name the keys themselves: permissions of tools, and servers that bring more.

use std::time::Duration;

use hark::config::tools::{McpTransport, Permission, UnknownClass};

use super::Home;

#[test]
fn by_default_tools_are_on_and_none_runs_commands() {
    let config = Home::new().config();
    assert!(config.tools.enabled && !config.tools.run_command);
    assert_eq!(config.tools.budget_tokens, 1_400);
    assert_eq!(config.tools.permissions.of("delete_note"), None);
    assert!(config.mcp.servers.is_empty());
    assert_eq!(config.mcp.call_timeout, Duration::from_secs(30));
    let config = Home::new()
        .with_variable("HARK_TOOLS_ENABLED", "no")
        .with_variable("HARK_TOOLS_RUN_COMMAND", "yes")
        .with_variable("HARK_TOOLS_BUDGET_TOKENS", "0")
        .with_variable("HARK_MCP_START_TIMEOUT_S", "5")
        .config();
    assert!(!config.tools.enabled && config.tools.run_command);
    assert_eq!(config.tools.budget_tokens, 0);
    assert_eq!(config.mcp.start_timeout, Duration::from_secs(5));
}

#[test]
fn permissions_and_servers_are_read() {
    let config = Home::with_file(
        "[tools.permissions]\nopen_url = \"allow\"\n\"files__*\" = \"Ask\"\n\n\
         [mcp.servers.files]\ncommand = \"npx\"\nargs = [\"-y\", \"server\"]\nenv.KEY = \"${SECRET}\"\nenv.DEPTH = 3\nallow = [\"read\"]\n\n\
         [mcp.servers.home]\nurl = \"http://127.0.0.1:1/mcp\"\nheaders.Authorization = \"Bearer x\"\nclass = \"act\"\n\n\
         [mcp.servers.off]\ncommand = \"x\"\nenabled = false\n",
    )
    .config();
    assert_eq!(
        config.tools.permissions.of("open_url"),
        Some(Permission::Allow)
    );
    assert_eq!(
        config.tools.permissions.of("files__read"),
        Some(Permission::Ask)
    );
    let names: Vec<&str> = config
        .mcp
        .servers
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    assert_eq!(names, ["files", "home"]);
    let (files, home) = (&config.mcp.servers[0], &config.mcp.servers[1]);
    assert_eq!(files.allow.as_deref(), Some(&["read".to_owned()][..]));
    assert_eq!(
        (files.class, home.class),
        (UnknownClass::Destroy, UnknownClass::Act)
    );
    let McpTransport::Stdio { command, args, env } = &files.transport else {
        panic!("a command");
    };
    assert_eq!((command.as_str(), args.len()), ("npx", 2));
    assert_eq!(env[0], ("DEPTH".to_owned(), "3".to_owned()));
    assert_eq!(env[1], ("KEY".to_owned(), "${SECRET}".to_owned()));
    let shown = format!("{files:?} {home:?}");
    assert!(
        !shown.contains("SECRET") && !shown.contains("Bearer"),
        "{shown}"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_without_secrets() {
    for (text, told) in [
        (
            "[tools.permissions]\nopen_url = \"always\"",
            "~/config.toml:2: tools.permissions.open_url is \"always\", but must be one of \"allow\", \"ask\", \"deny\"",
        ),
        (
            "[mcp.servers.files]\ncomand = \"npx\"",
            "~/config.toml:2: mcp.servers.files.comand is no setting of a server; did you mean command?",
        ),
        (
            "[mcp.servers.files]\nargs = [\"x\"]",
            "must be beside either a command or a url",
        ),
        (
            "[mcp.servers.files]\ncommand = \"x\"\nurl = \"http://a/mcp\"",
            "must be beside either a command or a url",
        ),
        (
            "[mcp.servers.home]\nurl = \"ftp://a\"",
            "must be an address like",
        ),
        ("[mcp.servers.\"a b\"]\ncommand = \"x\"", "letters, digits"),
        ("[mcp.servers.a__b]\ncommand = \"x\"", "letters, digits"),
        (
            "[mcp.servers.a]\ncommand = \"x\"\nclass = \"good\"",
            "one of \"read\", \"act\", \"destroy\"",
        ),
        (
            "[mcp.servers.a]\ncommand = 5\nenv.KEY = \"hush\"",
            "a string in quotes",
        ),
    ] {
        let complaint = Home::with_file(text).complaint();
        assert!(complaint.contains(told), "{text}: {complaint}");
        assert!(!complaint.contains("hush"), "{complaint}");
    }
}
