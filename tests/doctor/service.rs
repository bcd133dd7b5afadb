//! The service: each way in which it can be broken, through the binary with a scripted service manager and by the function.

use std::fs;
use std::path::PathBuf;

use hark::daemon::doctor::Status;
use hark::daemon::doctor::service::{Installed, judge};
use hark::service::{State, Supervisor};

use crate::support::Home;

const LAUNCHD: Supervisor = Supervisor::Launchd { uid: 501 };

/// A home with a unit file that starts `program`, and a `systemctl` that answers `shown`.
fn installed(program: &str, shown: &str) -> Home {
    let home = Home::new().script("systemctl", &format!("printf '{shown}'"));
    let folder = home.path().join(".config/systemd/user");
    fs::create_dir_all(&folder).unwrap();
    let unit = format!("[Service]\nExecStart=\"{program}\" \"run\"\n");
    fs::write(folder.join("hark.service"), unit).unwrap();
    home
}

const RUNNING: &str = "LoadState=loaded\\nActiveState=active\\nSubState=running\\nMainPID=4711\\n";

#[test]
fn a_service_that_is_not_installed_is_no_finding() {
    Home::new()
        .doctor()
        .expect("service", "skip", "`hark service install`", "");
}

#[test]
fn a_service_whose_program_is_gone_is_named_with_how_to_write_it_anew() {
    if cfg!(target_os = "macos") {
        println!("skipped: this machine's service manager is launchd");
        return;
    }
    installed("/no/such/hark", RUNNING).doctor().expect(
        "service",
        "warn",
        "/no/such/hark, which is not there",
        "`hark service install`",
    );
}

#[test]
fn a_service_that_is_not_loaded_stopped_or_failing_is_told_apart() {
    if cfg!(target_os = "macos") {
        println!("skipped: this machine's service manager is launchd");
        return;
    }
    let program = env!("CARGO_BIN_EXE_hark");
    for (shown, detail, remedy) in [
        (
            "LoadState=not-found\\n",
            "has not loaded it",
            "`hark service start`",
        ),
        (
            "LoadState=loaded\\nActiveState=inactive\\nSubState=dead\\nMainPID=0\\nExecMainStatus=0\\n",
            "does not run",
            "`hark service start`",
        ),
        (
            "LoadState=loaded\\nActiveState=inactive\\nSubState=dead\\nMainPID=0\\nExecMainStatus=2\\n",
            "it ended with code 2",
            "`hark service logs`",
        ),
        (
            "LoadState=loaded\\nActiveState=failed\\nSubState=failed\\nMainPID=0\\nExecMainStatus=70\\n",
            "fails again and again; it ended with code 70",
            "`hark service logs`",
        ),
    ] {
        installed(program, shown)
            .doctor()
            .expect("service", "warn", detail, remedy);
    }
}

#[test]
fn a_service_manager_that_does_not_answer_is_named() {
    if cfg!(target_os = "macos") {
        println!("skipped: this machine's service manager is launchd");
        return;
    }
    let home = installed(env!("CARGO_BIN_EXE_hark"), RUNNING);
    // Longer than the limit of the check; the test ends it with its folder.
    let home = home.script("systemctl", "exec sleep 30");
    home.doctor()
        .expect("service", "warn", "does not answer", "XDG_RUNTIME_DIR");
}

#[test]
fn a_file_older_than_the_program_is_told_and_a_newer_one_is_in_order() {
    if cfg!(target_os = "macos") {
        println!("skipped: this machine's service manager is launchd");
        return;
    }
    let home = installed(env!("CARGO_BIN_EXE_hark"), RUNNING);
    home.doctor()
        .expect("service", "ok", "runs as process 4711", "");
    let unit = home.path().join(".config/systemd/user/hark.service");
    let file = fs::File::options().write(true).open(unit).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    home.doctor().expect(
        "service",
        "warn",
        "was changed after",
        "`hark service install`",
    );
}

#[test]
fn the_same_is_said_of_launchd() {
    let found = |state| Installed {
        file: PathBuf::from("/Users/ann/Library/LaunchAgents/dev.hark.daemon.plist"),
        program: Some(PathBuf::from("/Applications/Hark.app/Contents/MacOS/hark")),
        missing: false,
        program_is_newer: false,
        state,
    };
    let judged = |state| judge(LAUNCHD, Some(&found(state)));
    assert_eq!(judged(Ok(State::Running { pid: 7 })).status, Status::Ok);
    let failing = judged(Ok(State::Failing { last_exit: Some(4) }));
    assert_eq!(failing.status, Status::Warn);
    assert!(failing.detail.contains("code 4"), "{failing:?}");
    let silent = judged(Err("launchctl did not answer within 90 s".to_owned()));
    let remedy = silent.remedy.unwrap();
    assert!(remedy.contains("`hark service status`"), "{remedy}");
}

#[test]
fn the_program_is_read_back_from_either_file() {
    let odd = "/Users/ann/it's <A> & \"B\" 100%/$HOME/hark";
    let job = hark::service::Job {
        name: hark::service::JobName::Hark,
        program: PathBuf::from(odd),
        arguments: vec!["run".to_owned()],
        environment: Vec::new(),
        directory: PathBuf::from("/"),
        stderr: PathBuf::from("/dev/null"),
        exit: std::time::Duration::from_secs(20),
    };
    for supervisor in [LAUNCHD, Supervisor::Systemd] {
        let text = supervisor.render(&job);
        assert_eq!(
            supervisor.program(&text),
            Some(PathBuf::from(odd)),
            "{text}"
        );
        assert_eq!(supervisor.program("nothing"), None);
    }
}
