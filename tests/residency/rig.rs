//! Servers with real processes and memory, written into a folder of their own, and a sampler that sees who is resident.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hark::daemon::desk::beginning::of_instructions;
use hark::gateway::residency::{Consent, Policy};
use hark::gateway::servers::{Keeping, ServerSettings};
use hark::gateway::supervisor::Supervisor;
use hark::llm::backends::LlmSettings;
use hark::platform::clock::Clock;
use hark::platform::process;

/// How a server behaves.
#[derive(Clone, Copy)]
pub struct Behaviour {
    pub megabytes: u32,
    pub load_seconds: f64,
    pub dies_at: u32,
    pub hangs_at: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            megabytes: 64,
            load_seconds: 0.2,
            dies_at: 0,
            hangs_at: 0,
        }
    }
}

/// Writes the server into `folder` and returns the program.
pub fn write_server(folder: &Path, behaviour: Behaviour) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let script = include_str!("server.py")
        .replace("@MEGABYTES@", &behaviour.megabytes.to_string())
        .replace("@LOAD@", &behaviour.load_seconds.to_string())
        .replace("@DIES_AT@", &behaviour.dies_at.to_string())
        .replace("@HANGS_AT@", &behaviour.hangs_at.to_string());
    // The program itself: a wrapper around it would be counted as a second server.
    let asked = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("these tests need python3");
    let python = std::path::PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let path = folder.join("server.py");
    std::fs::write(&path, format!("#!{}\n{script}", python.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

pub fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// A folder with both servers, and the settings that start them. What still runs at its end is killed.
pub struct Rig {
    pub folder: tempfile::TempDir,
    pub settings: ServerSettings,
}

impl Rig {
    pub fn new(behaviour: Behaviour) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mlx = write_server(&folder.path().join("mlx"), behaviour);
        let ollama = write_server(&folder.path().join("ollama"), behaviour);
        let mut llm = LlmSettings::default();
        llm.mlx.url = format!("http://127.0.0.1:{}/v1", free_port());
        llm.ollama.url = format!("http://127.0.0.1:{}", free_port());
        let settings = ServerSettings {
            llm,
            mlx_command: mlx.display().to_string(),
            mlx_model: Some("/no/model/needed".to_owned()),
            ollama_command: ollama.display().to_string(),
            context: 4_096,
            folder: folder.path().join("backends"),
            keeping: Keeping::WithDaemon,
        };
        Self { folder, settings }
    }

    pub fn supervisor(&self, consent: Consent) -> Supervisor {
        let policy = Policy {
            consent,
            first_pause: Duration::from_millis(50),
            // A busy machine takes its time to end a process.
            unload: Duration::from_secs(20),
            ..Policy::default()
        };
        Supervisor::new(
            self.settings.clone(),
            policy,
            Clock::start(),
            of_instructions(),
        )
    }

    /// The processes of this rig that hold a model's memory.
    pub fn holders(&self) -> Vec<String> {
        holders(&self.folder.path().display().to_string())
    }

    /// Looks every 20 ms who is resident.
    pub fn sampler(&self) -> Sampler {
        let marker = self.folder.path().display().to_string();
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut seen = Samples::default();
            while !stop.load(Ordering::Acquire) {
                let began = Instant::now();
                let resident = holders(&marker);
                seen.count += 1;
                if resident.len() > 1 {
                    seen.doubled.push(resident);
                }
                std::thread::sleep(Duration::from_millis(20).saturating_sub(began.elapsed()));
            }
            seen
        });
        Sampler { over, thread }
    }
}

fn holders(marker: &str) -> Vec<String> {
    process::all()
        .into_iter()
        .filter(|process| process.command.contains(marker))
        .filter(|process| process.command.contains("runner") || process.command.contains("--port"))
        .map(|process| format!("{} {}", process.pid, process.command))
        .collect()
}

impl Drop for Rig {
    fn drop(&mut self) {
        let marker = self.folder.path().display().to_string();
        for process in process::all() {
            if process.command.contains(&marker) {
                process::signal_process(process.pid, process::Signal::Kill);
            }
        }
    }
}

#[derive(Default)]
pub struct Samples {
    pub count: usize,
    /// The moments with more than one resident.
    pub doubled: Vec<Vec<String>>,
}

pub struct Sampler {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Samples>,
}

impl Sampler {
    pub fn end(self) -> Samples {
        self.over.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}
