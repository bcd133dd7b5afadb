//! Hark as a service of the user's session: the files and the commands, as values.
//!
//! Core: renders a launchd property list ([`launchd`]) or a systemd user unit ([`systemd`]) for a [`Job`] and plans what
//! has to be done as a list of [`Step`]s, which `daemon::service` carries out and `hark service … --dry-run` prints.
//! Reading what the service manager says is here too, because it is text in and a [`State`] out.

pub mod backend;
pub mod launchd;
pub mod systemd;

use std::path::PathBuf;
use std::time::Duration;

/// Who starts and watches the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervisor {
    /// macOS; the jobs live in the session of this user id.
    Launchd {
        /// The user.
        uid: u32,
    },
    /// Linux, `systemctl --user`.
    Systemd,
}

/// What can be a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobName {
    /// Hark itself.
    Hark,
    /// `ollama serve`.
    Ollama,
    /// `mlx_lm.server`.
    Mlx,
}

impl JobName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hark, Self::Ollama, Self::Mlx];

    /// The name that launchd knows the job by.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hark => "dev.hark.daemon",
            Self::Ollama => "dev.hark.ollama",
            Self::Mlx => "dev.hark.mlx",
        }
    }

    /// The name that systemd knows the job by.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Hark => "hark.service",
            Self::Ollama => "hark-ollama.service",
            Self::Mlx => "hark-mlx.service",
        }
    }

    /// What it is, for people.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Hark => "Hark, the local voice assistant",
            Self::Ollama => "Ollama, the model server of Hark",
            Self::Mlx => "mlx_lm.server, the model server of Hark",
        }
    }

    /// The stem of its log files.
    #[must_use]
    pub const fn stem(self) -> &'static str {
        match self {
            Self::Hark => "hark",
            Self::Ollama => "ollama",
            Self::Mlx => "mlx",
        }
    }
}

/// The bundle of `make app`; the microphone is granted to it.
pub const BUNDLE: &str = "dev.hark.Hark";

/// A program that the service manager keeps running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which one.
    pub name: JobName,
    /// The program, absolute.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// All of its environment, in this order.
    pub environment: Vec<(String, String)>,
    /// Where it starts.
    pub directory: PathBuf,
    /// Where what it prints goes, where the service manager has no place of its own for that.
    pub stderr: PathBuf,
    /// How long it may take to end.
    pub exit: Duration,
}

/// A command of the service manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program, looked up in `PATH`.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Command {
    fn new(program: &'static str, arguments: &[&str]) -> Self {
        Self {
            program,
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        }
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.program)?;
        for word in &self.arguments {
            if word.is_empty() || word.contains([' ', '\'', '"', '$', '\\']) {
                write!(out, " '{}'", word.replace('\'', r"'\''"))?;
            } else {
                write!(out, " {word}")?;
            }
        }
        Ok(())
    }
}

/// What a command is expected to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Exit code 0.
    Succeeds,
    /// Any other.
    Fails,
}

/// One thing to do. Steps are carried out in order; the first that fails ends the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a folder and those above it.
    Folder {
        /// Where.
        path: PathBuf,
        /// Permissions of the folder itself, if it was not there.
        mode: u32,
    },
    /// Write a file as a whole: it is never seen half written.
    Write {
        /// Where.
        path: PathBuf,
        /// What.
        text: String,
        /// Its permissions.
        mode: u32,
    },
    /// Remove a file; one that is not there is no failure.
    Remove {
        /// Which.
        path: PathBuf,
    },
    /// Run a command; these exit codes beside 0 are as good.
    Run {
        /// The command.
        command: Command,
        /// Codes that mean that there was nothing to do.
        tolerated: &'static [i32],
    },
    /// Run a command again while it exits with one of these codes.
    Retry {
        /// The command.
        command: Command,
        /// Codes that pass by themselves.
        on: &'static [i32],
        /// How often in all.
        times: u32,
        /// How long to wait in between.
        pause: Duration,
    },
    /// Run a command until it comes to what is expected.
    Until {
        /// The command.
        command: Command,
        /// What is expected.
        verdict: Verdict,
        /// How long at most.
        limit: Duration,
        /// What is being waited for, for people.
        waiting_for: &'static str,
    },
    /// Run a command and go on by its success.
    When {
        /// The command.
        probe: Command,
        /// After success.
        then: Vec<Step>,
        /// After failure.
        otherwise: Vec<Step>,
    },
}

/// What the user wants done with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Run it now.
    Start,
    /// End it; it comes back with the next session.
    Stop,
    /// End it and run it again.
    Restart,
}

/// Where a service manager's files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// The user's home.
    pub home: PathBuf,
    /// systemd: `$XDG_CONFIG_HOME`, as a rule `~/.config`.
    pub config: PathBuf,
    /// Hark's log folder.
    pub logs: PathBuf,
}

impl Supervisor {
    /// The file that describes the job.
    #[must_use]
    pub fn file(self, folders: &Folders, name: JobName) -> PathBuf {
        match self {
            Self::Launchd { .. } => folders
                .home
                .join("Library/LaunchAgents")
                .join(format!("{}.plist", name.label())),
            Self::Systemd => folders.config.join("systemd/user").join(name.unit()),
        }
    }

    /// What stands in that file.
    #[must_use]
    pub fn render(self, job: &Job) -> String {
        match self {
            Self::Launchd { .. } => launchd::render(job),
            Self::Systemd => systemd::render(job),
        }
    }

    /// The program that such a file starts; `None` where it names none.
    #[must_use]
    pub fn program(self, text: &str) -> Option<PathBuf> {
        match self {
            Self::Launchd { .. } => launchd::program(text),
            Self::Systemd => systemd::program(text),
        }
    }

    /// Write the file, make the service manager know it, run the job. Doing it twice is doing it once.
    #[must_use]
    pub fn install(self, folders: &Folders, job: &Job) -> Vec<Step> {
        let path = self.file(folders, job.name);
        let mut steps = vec![Step::Folder {
            path: folders.logs.clone(),
            mode: 0o700,
        }];
        if let Some(parent) = path.parent() {
            steps.push(Step::Folder {
                path: parent.to_owned(),
                mode: 0o755,
            });
        }
        let write = Step::Write {
            path: path.clone(),
            text: self.render(job),
            mode: 0o644,
        };
        match self {
            Self::Launchd { uid } => launchd::install(&mut steps, uid, job, &path, write),
            Self::Systemd => systemd::install(&mut steps, job.name, write),
        }
        steps
    }

    /// End the job and forget it. What Hark has written stays.
    #[must_use]
    pub fn uninstall(self, folders: &Folders, name: JobName) -> Vec<Step> {
        let path = self.file(folders, name);
        match self {
            Self::Launchd { uid } => launchd::uninstall(uid, name, path),
            Self::Systemd => systemd::uninstall(name, path),
        }
    }

    /// Start, stop or restart a job that is installed.
    #[must_use]
    pub fn plan(self, folders: &Folders, name: JobName, wish: Wish) -> Vec<Step> {
        match self {
            Self::Launchd { uid } => launchd::plan(uid, name, &self.file(folders, name), wish),
            Self::Systemd => systemd::plan(name, wish),
        }
    }

    /// The command that tells how the job is; [`Self::read`] understands it.
    #[must_use]
    pub fn query(self, name: JobName) -> Command {
        match self {
            Self::Launchd { uid } => launchd::print(uid, name),
            Self::Systemd => systemd::show(name),
        }
    }

    /// What the answer to [`Self::query`] says.
    #[must_use]
    pub fn read(self, code: i32, text: &str) -> State {
        match self {
            Self::Launchd { .. } => launchd::read(code, text),
            Self::Systemd => systemd::read(code, text),
        }
    }
}

/// How a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The service manager does not know it.
    Unknown,
    /// Known, not running.
    Stopped {
        /// How it ended last, where that is told.
        last_exit: Option<i32>,
    },
    /// On its way up or down.
    Changing,
    /// Running.
    Running {
        /// Its process.
        pid: u32,
    },
    /// It fails again and again; the service manager waits before the next try.
    Failing {
        /// How it ended last, where that is told.
        last_exit: Option<i32>,
    },
}

impl State {
    /// A stable name, for scripts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "not_installed",
            Self::Stopped { .. } => "stopped",
            Self::Changing => "changing",
            Self::Running { .. } => "running",
            Self::Failing { .. } => "failing",
        }
    }
}
