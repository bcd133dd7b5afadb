//! Processes: which there are, who listens on a port, starting one in a group of its own, and ending it.
//!
//! Any thread may call it; listing takes some milliseconds and starts `ps` or `lsof` on macOS. A [`Group`] is a child with
//! everything that it starts: it leads a process group of its own, so that a signal reaches all of it and no signal of our
//! terminal does. A recycled process id is told from the process that we knew by its start time, see [`Identity`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::system;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// Its command line, words separated by blanks.
    pub command: String,
}

/// Which process exactly: ids are given out again, with another start time.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The id.
    pub pid: u32,
    /// When it started, as the system writes it; only to be compared.
    pub started: String,
}

/// All processes that this user may see.
#[must_use]
pub fn all() -> Vec<Process> {
    system::processes()
}

/// Everything that `pid` has started, directly or not.
#[must_use]
pub fn descendants(pid: u32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            if !found.iter().any(|known| known.pid == process.pid) {
                parents.push(process.pid);
                found.push(process.clone());
            }
        }
    }
    found
}

/// The process that listens on a TCP port of this machine, where the system tells.
#[must_use]
pub fn listener(port: u16) -> Option<u32> {
    system::listener(port)
}

/// What tells `pid` from a later process with the same id; `None` if there is none.
#[must_use]
pub fn identity(pid: u32) -> Option<Identity> {
    system::started(pid).map(|started| Identity { pid, started })
}

/// Whether exactly this process still runs.
#[must_use]
pub fn is_alive(identity: &Identity) -> bool {
    self::identity(identity.pid).as_ref() == Some(identity)
}

/// Where the program `name` lies: a path as it is, a name by `PATH`.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return path.is_file().then_some(path);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// How a child is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables over the ones that it inherits.
    pub environment: BTreeMap<String, String>,
    /// Where it writes; an existing file is replaced.
    pub log: PathBuf,
    /// Whether its standard input stays open as long as this process lives: a child that reads it ends with us even after
    /// a `kill -9`.
    pub leash: bool,
}

/// A child that leads its own process group.
#[derive(Debug)]
pub struct Group {
    child: Child,
    identity: Identity,
}

impl Group {
    /// Starts it.
    ///
    /// # Errors
    /// The program cannot be run, or the log cannot be written.
    pub fn start(launch: &Launch) -> io::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let log = open_log(&launch.log)?;
        let child = Command::new(&launch.program)
            .args(&launch.arguments)
            .envs(&launch.environment)
            .stdin(if launch.leash {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let pid = child.id();
        let identity = identity(pid).unwrap_or(Identity {
            pid,
            started: String::new(),
        });
        Ok(Self { child, identity })
    }

    /// Which process it is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether it has ended, and how; reaps it.
    ///
    /// # Errors
    /// The system's refusal, which means that it is not ours to wait for.
    pub fn ended(&mut self) -> io::Result<Option<std::process::ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks the whole group to end.
    pub fn terminate(&self) {
        signal_group(self.identity.pid, Signal::Terminate);
    }

    /// Ends the whole group at once.
    pub fn kill(&mut self) {
        signal_group(self.identity.pid, Signal::Kill);
        if let Err(error) = self.child.try_wait() {
            tracing::debug!(%error, "a killed child cannot be waited for");
        }
    }
}

fn open_log(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Servers log prompts at some levels: nobody else's business.
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    options.open(path)
}

/// A way to end a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: it may tidy up.
    Terminate,
    /// SIGKILL.
    Kill,
}

impl Signal {
    const fn number(self) -> libc::c_int {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Kill => libc::SIGKILL,
        }
    }
}

/// Sends a signal to the group that `leader` leads; `false` if there is none.
pub fn signal_group(leader: u32, signal: Signal) -> bool {
    match i32::try_from(leader) {
        // 0 and 1 would be our own group and everybody.
        Ok(leader) if leader > 1 => {
            // SAFETY: plain numbers; the call touches no memory of ours.
            unsafe { libc::kill(-leader, signal.number()) == 0 }
        }
        _ => false,
    }
}

/// Whether nobody is left in the group that `leader` led.
#[must_use]
pub fn group_is_empty(leader: u32) -> bool {
    let Ok(leader) = i32::try_from(leader) else {
        return true;
    };
    // SAFETY: signal 0 only asks; plain numbers, no memory of ours.
    let found = unsafe { libc::kill(-leader, 0) };
    found != 0 || !system::group_lives(leader)
}

/// Sends a signal to one process; `false` if there is none, or it is not ours to end.
pub fn signal_process(pid: u32, signal: Signal) -> bool {
    match i32::try_from(pid) {
        Ok(pid) if pid > 1 => {
            // SAFETY: plain numbers; the call touches no memory of ours.
            unsafe { libc::kill(pid, signal.number()) == 0 }
        }
        _ => false,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_group_is_seen_with_its_children_and_ends_whole() {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch {
            program: find_program("sh").unwrap(),
            arguments: vec!["-c".to_owned(), "sleep 60 & sleep 60; wait".to_owned()],
            environment: BTreeMap::new(),
            log: folder.path().join("logs/child.log"),
            leash: false,
        };
        let mut group = Group::start(&launch).unwrap();
        let identity = group.identity().clone();
        assert!(is_alive(&identity));
        let mut below = Vec::new();
        for _ in 0..200 {
            below = descendants(identity.pid);
            if below.len() == 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(
            below
                .iter()
                .all(|process| process.command.contains("sleep")),
            "{below:?}"
        );
        group.terminate();
        for _ in 0..500 {
            if group.ended().unwrap().is_some()
                && below.iter().all(|p| super::identity(p.pid).is_none())
            {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!is_alive(&identity));
        let other = Identity {
            started: "0".to_owned(),
            ..identity
        };
        assert!(!is_alive(&other));
    }

    #[test]
    fn whoever_listens_on_a_port_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(listener(port), Some(std::process::id()));
        drop(socket);
        assert_eq!(listener(port), None);
    }
}
