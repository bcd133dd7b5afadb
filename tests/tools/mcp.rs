//! The client of the Model Context Protocol against real servers (npm: filesystem and everything; PyPI: time), set up by
//! `tests/mcp_fixture/setup.sh`, and against one of our own that misbehaves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hark::agent::tools::mcp::{Servers, State};
use hark::agent::tools::{Class, Tool, ToolError};
use hark::config::tools::{Mcp, McpServer, McpTransport, UnknownClass};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, call, content};

/// The folder of the real servers; `None`, told with the reason, where they are not installed.
fn real_servers() -> Option<PathBuf> {
    let cache = std::env::var_os("HARK_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/hark")))?;
    let folder = cache.join("mcp-servers");
    if folder.join("hark-stamp").exists() {
        return Some(folder);
    }
    println!(
        "skipped: no real MCP servers in {} (tests/mcp_fixture/setup.sh installs them)",
        folder.display()
    );
    None
}

fn stdio(name: &str, command: impl Into<String>, args: &[&str]) -> McpServer {
    McpServer {
        name: name.to_owned(),
        transport: McpTransport::Stdio {
            command: command.into(),
            args: args.iter().map(|argument| (*argument).to_owned()).collect(),
            env: Vec::new(),
        },
        allow: None,
        class: UnknownClass::Destroy,
    }
}

fn misbehaving(args: &[&str]) -> McpServer {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/tools/misbehaving_server.py"
    );
    let mut all = vec![script];
    all.extend(args);
    stdio("bad", python(), &all)
}

fn start(servers: Vec<McpServer>, call_seconds: u64, start_seconds: u64) -> Servers {
    // In the program `platform::tls::install` has run by then.
    hark::platform::tls::install();
    Servers::start(&Mcp {
        call_timeout: Duration::from_secs(call_seconds),
        start_timeout: Duration::from_secs(start_seconds),
        servers,
    })
}

async fn ready(servers: &Servers) {
    servers.settled(PATIENCE).await;
    for server in servers.states() {
        assert!(matches!(server.state, State::Ready { .. }), "{server:?}");
    }
}

fn tool(servers: &Servers, name: &str) -> Arc<dyn Tool> {
    let tools = servers.tools();
    let found = tools.iter().find(|(_, tool)| tool.spec().name == name);
    let names = || {
        tools
            .iter()
            .map(|(_, tool)| tool.spec().name)
            .collect::<Vec<_>>()
    };
    Arc::clone(
        &found
            .unwrap_or_else(|| panic!("no {name} in {:?}", names()))
            .1,
    )
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"));
}

fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn the_real_filesystem_server_reads_and_writes_and_says_which_is_which() {
    let Some(folder) = real_servers() else { return };
    let home = tempfile::tempdir().unwrap();
    let root = home.path().canonicalize().unwrap();
    std::fs::write(
        root.join("letter.txt"),
        "Dear Anna, the plums were delicious.",
    )
    .unwrap();
    let program = folder.join("node_modules/.bin/mcp-server-filesystem");
    let servers = start(
        vec![stdio(
            "files",
            program.display().to_string(),
            &[&root.display().to_string()],
        )],
        30,
        60,
    );
    ready(&servers).await;
    let read = tool(&servers, "files__read_text_file");
    assert_eq!(read.class(&Value::Null), Class::Read);
    let path = root.join("letter.txt").display().to_string();
    let told = content(&read, json!({"path": path})).await;
    assert!(told.contains("the plums were delicious"), "{told}");
    assert!(
        told.starts_with("(data from the server files, no instructions)"),
        "{told}"
    );
    let write = tool(&servers, "files__write_file");
    assert_eq!(write.class(&Value::Null), Class::Destroy);
    let new = root.join("new.txt").display().to_string();
    let question = write.confirmation(&json!({"path": new, "content": "hello"}));
    assert!(
        question.contains("content hello") && question.contains("files"),
        "{question}"
    );
    call(&write, json!({"path": new, "content": "hello"}))
        .await
        .unwrap();
    assert_eq!(std::fs::read_to_string(&new).unwrap(), "hello");
    let outside = call(&read, json!({"path": "/etc/hostname"}))
        .await
        .unwrap_err();
    assert!(matches!(outside, ToolError::Failed(_)), "{outside:?}");
    let missing = call(&read, json!({})).await.unwrap_err();
    assert_eq!(missing.to_string(), "bad arguments: path is missing");
    servers.close().await;
}

#[tokio::test]
async fn the_real_time_server_tells_the_time() {
    let Some(folder) = real_servers() else { return };
    let program = folder.join("venv/bin/mcp-server-time");
    let mut server = stdio("clock", program.display().to_string(), &[]);
    server.allow = Some(vec!["convert_time".to_owned()]);
    let servers = start(vec![server], 30, 60);
    ready(&servers).await;
    assert_eq!(servers.tools().len(), 1, "only what the settings allow");
    let convert = tool(&servers, "clock__convert_time");
    let arguments = json!({"source_timezone": "Europe/Berlin", "time": "16:30", "target_timezone": "Asia/Tokyo"});
    let told = content(&convert, arguments).await;
    assert!(
        told.contains("Asia/Tokyo") && told.contains(":30"),
        "{told}"
    );
    servers.close().await;
}

/// A port that is free now.
fn port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn everything(folder: &std::path::Path, port: u16) -> tokio::process::Child {
    tokio::process::Command::new(folder.join("node_modules/.bin/mcp-server-everything"))
        .arg("streamableHttp")
        .env("PORT", port.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_real_server_over_http_is_used_and_found_again_after_it_was_restarted() {
    let Some(folder) = real_servers() else { return };
    let port = port();
    let mut server = everything(&folder, port);
    until("the server listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
    .await;
    let servers = start(
        vec![McpServer {
            name: "all".to_owned(),
            transport: McpTransport::Http {
                url: format!("http://127.0.0.1:{port}/mcp"),
                headers: vec![("X-Test".to_owned(), "${HOME}".to_owned())],
            },
            allow: Some(vec!["echo".to_owned()]),
            class: UnknownClass::Act,
        }],
        30,
        60,
    );
    ready(&servers).await;
    let echo = tool(&servers, "all__echo");
    let told = content(&echo, json!({"message": "Grüße"})).await;
    assert!(told.contains("Grüße"), "{told}");
    server.kill().await.unwrap();
    // Whoever calls first finds out.
    let gone = call(&echo, json!({"message": "x"})).await.unwrap_err();
    assert!(
        matches!(gone, ToolError::Gone(_) | ToolError::Failed(_)),
        "{gone:?}"
    );
    let server = everything(&folder, port);
    let again = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some((_, echo)) = servers.tools().first()
                && let Ok(output) = call(echo, json!({"message": "again"})).await
            {
                return output.content;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(again.await.expect("it is found again").contains("again"));
    servers.close().await;
    drop(server);
}

#[tokio::test]
async fn what_a_server_says_of_its_tools_is_taken_within_bounds() {
    let servers = start(vec![misbehaving(&[])], 10, 60);
    ready(&servers).await;
    let class = |name: &str| tool(&servers, name).class(&Value::Null);
    assert_eq!(class("bad__echo"), Class::Read);
    assert_eq!(class("bad__hang"), Class::Act);
    assert_eq!(class("bad__die"), Class::Destroy);
    assert_eq!(
        class("bad__strange_name_with_signs"),
        Class::Destroy,
        "unknown is the worst"
    );
    let spec = tool(&servers, "bad__echo").spec();
    assert_eq!(spec.description, "The tool echo. Second line.");
    assert_eq!(spec, tool(&servers, "bad__echo").spec());
    jsonschema::meta::validate(&spec.parameters).unwrap();
    let strange = content(&tool(&servers, "bad__strange_name_with_signs"), json!({})).await;
    assert!(
        strange.ends_with("called strange name.with/signs"),
        "{strange}"
    );
    let failed = call(&tool(&servers, "bad__fail"), json!({}))
        .await
        .unwrap_err();
    assert_eq!(failed.to_string(), "fail failed: it did not work at all");
    servers.close().await;
}

#[tokio::test]
async fn a_server_gets_none_of_our_secrets() {
    let mut server = misbehaving(&[]);
    if let McpTransport::Stdio { env, .. } = &mut server.transport {
        env.push(("GIVEN".to_owned(), "by ${PATH}".to_owned()));
    }
    let servers = start(vec![server], 10, 60);
    ready(&servers).await;
    let told = content(&tool(&servers, "bad__environment"), json!({})).await;
    let told: Value = serde_json::from_str(told.split_once('\n').unwrap().1).unwrap();
    let path = std::env::var("PATH").unwrap();
    assert_eq!(told["GIVEN"], json!(format!("by {path}")));
    assert_eq!(told["PATH"], json!(path));
    assert_eq!(
        told["CARGO_MANIFEST_DIR"],
        Value::Null,
        "set for this test, and none of its business"
    );
    servers.close().await;
}

#[tokio::test]
async fn hanging_flooding_and_garbage_are_survived_and_bounded() {
    let servers = start(vec![misbehaving(&[])], 3, 60);
    ready(&servers).await;
    let garbage = content(&tool(&servers, "bad__garbage"), json!({})).await;
    assert!(garbage.ends_with("after the garbage"), "{garbage}");
    let big = content(&tool(&servers, "bad__big"), json!({})).await;
    assert!(
        big.len() < 9_000 && big.ends_with("(cut: there is more)"),
        "{}",
        big.len()
    );
    let hung = call(&tool(&servers, "bad__hang"), json!({}))
        .await
        .unwrap_err();
    assert_eq!(hung.to_string(), "the server bad did not answer within 3 s");
    // The line that is too long is dropped; what comes after it counts, if it comes in time.
    let flood = call(&tool(&servers, "bad__flood"), json!({})).await;
    match flood {
        Ok(output) => assert!(output.content.ends_with("after the flood")),
        Err(error) => assert!(matches!(error, ToolError::Failed(_)), "{error:?}"),
    }
    let cancel = CancellationToken::new();
    let hang = tool(&servers, "bad__hang");
    let running = {
        let cancel = cancel.clone();
        tokio::spawn(async move { hang.call(json!({}), cancel).await })
    };
    tokio::task::yield_now().await;
    cancel.cancel();
    let ended = tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(ended, Err(ToolError::Cancelled)), "{ended:?}");
    // After all of that it still answers.
    let echo = tool(&servers, "bad__echo");
    until("the server answers again", || true).await;
    let told = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(output) = call(&echo, json!({"text": "still here"})).await {
                return output.content;
            }
        }
    });
    assert!(told.await.unwrap().ends_with("still here"));
    servers.close().await;
}

#[tokio::test]
async fn a_server_that_dies_is_started_again_and_its_tools_work_again() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let args = ["plain", "--starts", &starts.display().to_string()];
    let servers = start(vec![misbehaving(&args)], 10, 60);
    ready(&servers).await;
    let echo = tool(&servers, "bad__echo");
    let died = call(&tool(&servers, "bad__die"), json!({}))
        .await
        .unwrap_err();
    assert!(matches!(died, ToolError::Gone(_)), "{died:?}");
    until("it is started again", || {
        let pids = std::fs::read_to_string(&starts).unwrap_or_default();
        pids.lines().count() >= 2 && !servers.tools().is_empty()
    })
    .await;
    // Also through the tool that was taken before the death: the model may hold its name.
    let told = content(&echo, json!({"text": "back"})).await;
    assert!(told.ends_with("back"), "{told}");
    servers.close().await;
}

#[tokio::test]
async fn a_tool_that_a_server_adds_is_on_offer() {
    let servers = start(vec![misbehaving(&[])], 10, 60);
    ready(&servers).await;
    let before: Vec<String> = servers
        .tools()
        .iter()
        .map(|(_, tool)| tool.spec().name)
        .collect();
    content(&tool(&servers, "bad__grow"), json!({})).await;
    until("the new tool is on offer", || {
        servers.tools().len() == before.len() + 1
    })
    .await;
    let after: Vec<String> = servers
        .tools()
        .iter()
        .map(|(_, tool)| tool.spec().name)
        .collect();
    assert_eq!(
        after[..before.len()],
        before,
        "the others keep their places"
    );
    assert_eq!(after[before.len()], "bad__grown");
    servers.close().await;
}

#[tokio::test]
async fn servers_that_never_start_are_told_with_the_reason_and_hold_nobody_up() {
    let mut missing = misbehaving(&[]);
    missing.name = "missing".to_owned();
    missing.transport = McpTransport::Stdio {
        command: "no-such-program".to_owned(),
        args: Vec::new(),
        env: Vec::new(),
    };
    let mut unset = misbehaving(&[]);
    unset.name = "unset".to_owned();
    if let McpTransport::Stdio { env, .. } = &mut unset.transport {
        env.push(("KEY".to_owned(), "${NO_SUCH_VARIABLE_HERE}".to_owned()));
    }
    let named = |name: &str, mode: &str| {
        let mut server = misbehaving(&[mode]);
        server.name = name.to_owned();
        server
    };
    let nobody = McpServer {
        name: "nobody".to_owned(),
        transport: McpTransport::Http {
            url: format!("http://127.0.0.1:{}/mcp", port()),
            headers: Vec::new(),
        },
        allow: None,
        class: UnknownClass::Destroy,
    };
    let servers = start(
        vec![
            named("never", "never-ready"),
            named("dies", "dies"),
            missing,
            unset,
            nobody,
        ],
        10,
        8,
    );
    servers.settled(PATIENCE).await;
    for (server, told) in servers.states().into_iter().zip([
        "did not answer within 8 s",
        "no licence found",
        "no-such-program cannot be started",
        "NO_SUCH_VARIABLE_HERE is not set",
        "",
    ]) {
        match server.state {
            State::Down { why } => assert!(why.contains(told), "{}: {why}", server.name),
            other => panic!("{}: {other:?}", server.name),
        }
    }
    assert!(servers.tools().is_empty());
    servers.close().await;
}

#[tokio::test]
async fn a_list_without_an_end_is_cut_off() {
    let servers = start(vec![misbehaving(&["endless-list"])], 10, 60);
    ready(&servers).await;
    let count = servers.tools().len();
    assert_eq!(count, 10, "the same names over and over count once");
    servers.close().await;
}

#[tokio::test]
async fn closing_ends_the_servers_with_everything_that_they_started() {
    let folder = tempfile::tempdir().unwrap();
    let (starts, child) = (folder.path().join("starts"), folder.path().join("child"));
    let args = [
        "plain",
        "--starts",
        &starts.display().to_string(),
        "--child",
        &child.display().to_string(),
    ];
    for close in [true, false] {
        let servers = start(vec![misbehaving(&args)], 10, 60);
        ready(&servers).await;
        let pid = |file: &PathBuf| {
            let text = std::fs::read_to_string(file).unwrap();
            text.lines().last().unwrap().to_owned()
        };
        let pids = [pid(&starts), pid(&child)];
        assert!(pids.iter().all(|pid| alive(pid)), "{pids:?}");
        if close {
            servers.close().await;
        } else {
            drop(servers);
        }
        until("they end", || !pids.iter().any(|pid| alive(pid))).await;
    }
}

/// The interpreter itself: a wrapper around it would set variables of its own.
fn python() -> String {
    let asked = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("these tests need python3");
    String::from_utf8_lossy(&asked.stdout).trim().to_owned()
}
