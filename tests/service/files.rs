//! The property list and the unit: golden, and read back by programs that know these formats.

use std::io::Write;
use std::process::{Command, Stdio};

use hark::service::backend::{Server, mlx, ollama};
use hark::service::{Job, Supervisor};

use super::sample::job;

const LAUNCHD: Supervisor = Supervisor::Launchd { uid: 501 };

#[test]
fn the_property_list_is_this() {
    insta::assert_snapshot!("plist", LAUNCHD.render(&job()));
}

#[test]
fn the_unit_is_this() {
    insta::assert_snapshot!("unit", Supervisor::Systemd.render(&job()));
}

fn server(program: &str, port: u16) -> Server {
    Server {
        program: program.into(),
        host: "127.0.0.1".to_owned(),
        port,
        home: "/Users/ann".into(),
        stderr: "/Users/ann/Library/Logs/hark/server.log".into(),
        path: "/opt/homebrew/bin:/usr/bin:/bin".to_owned(),
    }
}

fn servers() -> [Job; 2] {
    [
        ollama(server("/opt/homebrew/bin/ollama", 11434), 16384),
        mlx(
            server("/Users/ann/mlx/bin/mlx_lm.server", 8080),
            "/Users/ann/models/gemma",
            16_384,
        ),
    ]
}

#[test]
fn the_model_servers_are_closed_to_others_and_hold_one_model() {
    let [ollama, mlx] = servers();
    insta::assert_snapshot!("ollama", Supervisor::Systemd.render(&ollama));
    insta::assert_snapshot!("mlx", LAUNCHD.render(&mlx));
}

/// What Python's own reader of property lists makes of the text.
fn read_by_python(plist: &str) -> serde_json::Value {
    let script =
        "import plistlib,json,sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is one of the things that the tests need");
    python
        .stdin
        .take()
        .unwrap()
        .write_all(plist.as_bytes())
        .unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "not a property list:\n{plist}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn another_reader_finds_in_the_property_list_what_was_put_in() {
    let mut jobs = servers().to_vec();
    jobs.push(job());
    for job in jobs {
        let read = read_by_python(&LAUNCHD.render(&job));
        assert_eq!(read["Label"], job.name.label());
        let mut words = vec![job.program.display().to_string()];
        words.extend(job.arguments.clone());
        assert_eq!(read["ProgramArguments"], serde_json::json!(words));
        let environment = read["EnvironmentVariables"].as_object().unwrap();
        assert_eq!(environment.len(), job.environment.len());
        for (key, value) in &job.environment {
            assert_eq!(environment[key], *value);
        }
        assert_eq!(read["ProcessType"], "Interactive");
        assert_eq!(read["LimitLoadToSessionType"], "Aqua");
        assert_eq!(
            read["KeepAlive"],
            serde_json::json!({"SuccessfulExit": false})
        );
        assert_eq!(read["RunAtLoad"], true);
        // Our own shutdown takes up to 5 s.
        assert!(read["ExitTimeOut"].as_u64().unwrap() >= 10);
    }
}

#[test]
fn systemd_itself_finds_nothing_wrong_with_the_units() {
    let verify = Command::new("systemd-analyze").arg("--version").output();
    if verify.is_err() {
        println!("skipped: systemd-analyze is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = servers().to_vec();
    jobs.push(job());
    for mut job in jobs {
        // It looks whether the program is there.
        job.program = "/bin/true".into();
        job.directory = "/".into();
        let path = folder.path().join(job.name.unit());
        std::fs::write(&path, Supervisor::Systemd.render(&job)).unwrap();
        let said = Command::new("systemd-analyze")
            .args(["verify", "--user", "--man=no"])
            .arg(&path)
            .env("XDG_RUNTIME_DIR", folder.path())
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&said.stderr);
        let ours: Vec<&str> = words.lines().filter(|line| line.contains("hark")).collect();
        assert!(ours.is_empty(), "{ours:?}");
    }
}
