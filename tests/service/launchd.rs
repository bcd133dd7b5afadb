//! Plans carried out against a model of launchd on simulated time: `bootout` returns before the job has gone, `bootstrap`
//! meanwhile fails with code 5, a job that fell is started again after ten seconds.

use std::time::Duration;

use hark::daemon::service::{Manager, ServiceError, carry_out, state, stays_up};
use hark::platform::command::{CommandError, Ended};
use hark::service::{Command, JobName, State, Step, Supervisor, Wish};

use super::sample::{folders, job};

const LAUNCHD: Supervisor = Supervisor::Launchd { uid: 501 };

/// What the model of launchd knows of the one job.
#[derive(Default)]
struct Launchd {
    now: Duration,
    loaded: bool,
    /// While it ends after a `bootout`: until then.
    ending: Option<Duration>,
    pid: Option<u32>,
    pids: u32,
    /// How long the program takes to end after SIGTERM.
    takes_to_end: Duration,
    /// How long the program stays up; for ever if not given.
    falls_after: Option<Duration>,
    started: Duration,
    /// Two processes of the job at a time would be a race lost.
    at_once: u32,
    disabled: bool,
    said: Vec<String>,
}

impl Launchd {
    fn settle(&mut self) {
        if self.ending.is_some_and(|until| self.now >= until) {
            self.ending = None;
            self.loaded = false;
            self.pid = None;
        }
        if let (Some(after), Some(_)) = (self.falls_after, self.pid)
            && self.now >= self.started + after
        {
            self.pid = None;
        }
    }

    fn spawn(&mut self) {
        self.pids += 1;
        self.at_once = self.at_once.max(u32::from(self.pid.is_some()) + 1);
        self.pid = Some(self.pids);
        self.started = self.now;
    }

    fn run(&mut self, command: &Command) -> Ended {
        self.settle();
        self.said.push(command.to_string());
        assert_eq!(command.program, "launchctl");
        let words: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
        let (code, out) = match words.as_slice() {
            ["print", "gui/501/dev.hark.daemon"] if self.loaded => (0, self.printed()),
            ["print", _] => (113, String::new()),
            ["bootout", "gui/501/dev.hark.daemon"] if self.ending.is_some() => (36, String::new()),
            ["bootout", _] if !self.loaded => (3, String::new()),
            ["bootout", _] => {
                self.ending = Some(self.now + self.takes_to_end);
                (0, String::new())
            }
            ["enable", "gui/501/dev.hark.daemon"] => {
                self.disabled = false;
                (0, String::new())
            }
            ["bootstrap", "gui/501", path] => {
                assert!(path.ends_with("dev.hark.daemon.plist"));
                if self.loaded || self.disabled {
                    (5, String::new())
                } else {
                    self.loaded = true;
                    self.spawn();
                    (0, String::new())
                }
            }
            ["kickstart", "gui/501/dev.hark.daemon"] => {
                if self.pid.is_none() {
                    self.spawn();
                }
                (0, String::new())
            }
            ["kickstart", "-k", "gui/501/dev.hark.daemon"] => {
                // It kills, waits, and starts.
                self.now += self.takes_to_end;
                self.pid = None;
                self.spawn();
                (0, String::new())
            }
            other => panic!("launchctl has no {other:?}"),
        };
        Ended {
            code,
            out,
            err: if code == 0 {
                String::new()
            } else {
                format!("failed: {code}")
            },
        }
    }

    fn printed(&self) -> String {
        match self.pid {
            Some(pid) => format!(
                "gui/501/dev.hark.daemon = {{\n\tactive count = 1\n\tstate = running\n\n\tprogram = /x\n\tpid = {pid}\n}}\n"
            ),
            None => {
                "gui/501/dev.hark.daemon = {\n\tstate = spawn scheduled\n\tlast exit code = 1\n}\n"
                    .to_owned()
            }
        }
    }
}

/// Runs `work` with a manager that talks to the model.
fn with<T>(launchd: &mut Launchd, work: impl FnOnce(&mut Manager<'_>) -> T) -> T {
    let shared = std::cell::RefCell::new(launchd);
    work(&mut Manager {
        run: &mut |command| Ok::<_, CommandError>(shared.borrow_mut().run(command)),
        sleep: &mut |time| shared.borrow_mut().now += time,
    })
}

/// The steps without those that touch files.
fn commands(steps: Vec<Step>) -> Vec<Step> {
    steps
        .into_iter()
        .filter(|step| {
            !matches!(
                step,
                Step::Folder { .. } | Step::Write { .. } | Step::Remove { .. }
            )
        })
        .collect()
}

fn do_it(launchd: &mut Launchd, steps: Vec<Step>) -> Result<(), ServiceError> {
    with(launchd, |manager| {
        carry_out(&commands(steps), manager, &mut |_| {})
    })
}

#[test]
fn a_hundred_installs_over_a_slowly_ending_job_never_race() {
    for try_number in 0..100_u64 {
        let mut launchd = Launchd {
            takes_to_end: Duration::from_millis(try_number * 170),
            ..Launchd::default()
        };
        do_it(&mut launchd, LAUNCHD.install(&folders(), &job())).unwrap();
        do_it(&mut launchd, LAUNCHD.install(&folders(), &job())).unwrap();
        assert_eq!(
            (launchd.at_once, launchd.pid),
            (1, Some(2)),
            "try {try_number}"
        );
    }
}

#[test]
fn start_stop_and_restart_in_any_order_end_as_asked() {
    // A hundred sequences of twelve wishes each, from a fixed rule.
    let mut seed = 7_u32;
    for _ in 0..100 {
        let mut launchd = Launchd {
            takes_to_end: Duration::from_millis(u64::from(seed % 19_000)),
            ..Launchd::default()
        };
        do_it(&mut launchd, LAUNCHD.install(&folders(), &job())).unwrap();
        for _ in 0..12 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wish = [Wish::Start, Wish::Stop, Wish::Restart][(seed >> 16) as usize % 3];
            let before = launchd.pid;
            do_it(&mut launchd, LAUNCHD.plan(&folders(), JobName::Hark, wish)).unwrap();
            launchd.settle();
            match wish {
                Wish::Stop => assert_eq!(launchd.pid, None),
                Wish::Start => {
                    assert!(launchd.pid.is_some() && (before.is_none() || launchd.pid == before))
                }
                Wish::Restart => assert!(launchd.pid.is_some() && launchd.pid != before),
            }
            assert_eq!(launchd.at_once, 1);
        }
    }
}

#[test]
fn a_job_that_was_disabled_by_hand_is_enabled_again() {
    let mut launchd = Launchd {
        disabled: true,
        ..Launchd::default()
    };
    do_it(&mut launchd, LAUNCHD.install(&folders(), &job())).unwrap();
    assert!(launchd.pid.is_some());
}

#[test]
fn a_job_that_does_not_end_is_told_and_not_started_twice() {
    let mut launchd = Launchd {
        takes_to_end: Duration::from_secs(600),
        ..Launchd::default()
    };
    do_it(&mut launchd, LAUNCHD.install(&folders(), &job())).unwrap();
    let error = do_it(&mut launchd, LAUNCHD.install(&folders(), &job())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the running one to end took longer than 45 s"
    );
    assert_eq!(launchd.at_once, 1);
}

#[test]
fn uninstalling_what_is_not_there_is_no_failure() {
    let mut launchd = Launchd::default();
    do_it(&mut launchd, LAUNCHD.uninstall(&folders(), JobName::Hark)).unwrap();
    assert_eq!(
        launchd.said,
        [
            "launchctl bootout gui/501/dev.hark.daemon",
            "launchctl print gui/501/dev.hark.daemon"
        ]
    );
}

#[test]
fn a_program_that_falls_at_once_is_noticed_and_one_that_stays_is_not_blamed() {
    let mut launchd = Launchd {
        falls_after: Some(Duration::from_millis(700)),
        ..Launchd::default()
    };
    do_it(&mut launchd, LAUNCHD.install(&folders(), &job())).unwrap();
    let fell = with(&mut launchd, |manager| {
        stays_up(manager, LAUNCHD, JobName::Hark)
    });
    assert!(matches!(fell, Err(ServiceError::Fell { .. })));
    let failing = with(&mut launchd, |manager| {
        state(manager, LAUNCHD, JobName::Hark)
    })
    .unwrap();
    assert_eq!(failing, State::Failing { last_exit: Some(1) });

    let mut launchd = Launchd::default();
    do_it(&mut launchd, LAUNCHD.install(&folders(), &job())).unwrap();
    assert_eq!(
        with(&mut launchd, |manager| stays_up(
            manager,
            LAUNCHD,
            JobName::Hark
        ))
        .unwrap(),
        1
    );
}
