//! Ports that other machines reach: real sockets of this process, and the servers of the settings.

use std::net::TcpListener;

use hark::config::{Config, Places, Request, load};
use hark::daemon::doctor::Status;
use hark::daemon::doctor::ports::open_doors;
use hark::platform::ports::listening;

fn config(settings: &[(&'static str, String)]) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let places = Places {
        config_file: folder.path().join("config.toml"),
        state: folder.path().to_owned(),
        home: folder.path().to_owned(),
    };
    let mut request = Request::default();
    for (key, value) in settings {
        request = request.with_flag("--flag", key, value.clone());
    }
    load(&places, &request).unwrap().0
}

/// Settings whose ports nobody has, with one of them changed.
fn with(key: &'static str, value: String) -> Config {
    let mut all = vec![
        ("gateway.listen", "127.0.0.1:1".to_owned()),
        ("llm.mlx.url", "http://127.0.0.1:2/v1".to_owned()),
        ("llm.ollama.url", "http://127.0.0.1:3".to_owned()),
    ];
    all.retain(|(known, _)| *known != key);
    all.push((key, value));
    config(&all)
}

#[test]
fn a_model_server_that_the_network_reaches_is_named_with_how_to_close_it() {
    let Some(_) = listening() else {
        println!("skipped: this system does not tell which ports are open");
        return;
    };
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = open.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for (key, value, who, remedy) in [
        (
            "llm.ollama.url",
            url.clone(),
            "Ollama listens on 0.0.0.0",
            "`OLLAMA_HOST=127.0.0.1:",
        ),
        (
            "llm.mlx.url",
            format!("{url}/v1"),
            "the MLX server listens",
            "--host 127.0.0.1 --port",
        ),
        (
            "llm.openai.url",
            format!("{url}/v1"),
            "llm.openai listens",
            "`--host 127.0.0.1`",
        ),
        (
            "gateway.listen",
            format!("127.0.0.1:{port}"),
            "the inference gateway listens",
            "`hark config path`",
        ),
    ] {
        let found = listening();
        let check = open_doors(&with(key, value), found.as_deref(), &[]);
        assert_eq!(check.status, Status::Warn, "{check:?}");
        assert!(check.detail.contains(who), "{check:?}");
        assert!(
            check.remedy.as_deref().unwrap().contains(remedy),
            "{check:?}"
        );
    }
    drop(open);
    let closed = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let found = listening();
    let check = open_doors(&with("llm.ollama.url", url), found.as_deref(), &[]);
    assert_eq!(check.status, Status::Ok, "{check:?}");
    drop(closed);
}

#[test]
fn any_open_socket_of_the_daemon_is_named_and_those_of_others_are_their_own_business() {
    let Some(_) = listening() else {
        println!("skipped: this system does not tell which ports are open");
        return;
    };
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let quiet = with("llm.ollama.url", "http://127.0.0.1:3".to_owned());
    let found = listening();
    let theirs = open_doors(&quiet, found.as_deref(), &[]);
    assert_eq!(theirs.status, Status::Ok, "{theirs:?}");
    let ours = open_doors(&quiet, found.as_deref(), &[std::process::id()]);
    assert_eq!(ours.status, Status::Warn, "{ours:?}");
    assert!(ours.detail.contains("Hark listens on 0.0.0.0"), "{ours:?}");
    drop(open);
}

#[test]
fn a_gateway_that_is_meant_to_be_open_is_told_and_no_finding() {
    let Some(_) = listening() else {
        println!("skipped: this system does not tell which ports are open");
        return;
    };
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let settings = [
        ("gateway.listen", open.local_addr().unwrap().to_string()),
        ("gateway.expose", "true".to_owned()),
        ("llm.mlx.url", "http://127.0.0.1:2/v1".to_owned()),
        ("llm.ollama.url", "http://127.0.0.1:3".to_owned()),
    ];
    let found = listening();
    let check = open_doors(&config(&settings), found.as_deref(), &[]);
    assert_eq!(check.status, Status::Ok, "{check:?}");
    assert!(check.detail.contains("gateway.expose"), "{check:?}");
}

#[test]
fn where_the_system_does_not_tell_nothing_is_claimed() {
    let check = open_doors(
        &with("llm.mlx.url", "http://127.0.0.1:2/v1".to_owned()),
        None,
        &[],
    );
    assert_eq!(check.status, Status::Skip);
}
