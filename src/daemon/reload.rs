//! Follows the settings of a running daemon: what can change while it runs takes effect, what cannot is named.
//!
//! One task beside the conductor. It looks at the file every `LOOK` (its time, size and place; a watcher of the kernel's
//! would need a dependency for one file), and reads it when it has changed or when `hark config reload` asks. Everything that
//! takes time is done here: a new voice is opened, a new key is registered; the conductor only takes over what is ready. A
//! file that is wrong, or a voice that does not exist, changes nothing and is told once, with what is wrong.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::conductor::Report;
use super::doors::{self, Doors};
use super::parts;
use crate::config::changes::Changes;
use crate::config::resolved::LogLevel;
use crate::config::{Config, Places, Raw, Request, load};
use crate::control::{Answer, HotkeyStatus, Refused};
use crate::platform::hotkey::Hotkey;
use crate::speak::Synthesizer;

/// What the settings of a run were made of.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The environment and the flags, which stay as they are.
    pub request: Request,
    /// As they were read.
    pub raw: Raw,
    /// Changes how much is logged.
    pub set_log_level: fn(LogLevel),
}

/// Settings to be taken over by the conductor.
pub struct Fresh {
    /// All of them; what needs a restart is as it was.
    pub config: Config,
    /// Names of those that take effect now.
    pub applied: Vec<String>,
    /// Names of those that need a restart.
    pub restart: Vec<String>,
    /// The new voice, where it changed.
    pub voice: Option<Box<dyn Synthesizer>>,
    /// How the new key is, where it changed.
    pub hotkey: Option<HotkeyStatus>,
    /// What is wrong with what was not taken over.
    pub trouble: Option<String>,
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Fresh")
            .field("applied", &self.applied)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}

/// Whoever asked for it, and is told what became of it.
pub type Asker = oneshot::Sender<Result<Answer, Refused>>;

/// The task's mailbox.
pub type Handle = mpsc::Sender<Asker>;

/// What the task starts with.
pub struct Start {
    /// What the settings were made of.
    pub origin: Origin,
    /// Where the file lies.
    pub places: Places,
    /// Which keys may be registered.
    pub doors: Doors,
    /// The key that is registered.
    pub hotkey: Option<Hotkey>,
    /// The conductor's inbox.
    pub reports: mpsc::Sender<Report>,
    /// Ends the task.
    pub shutdown: CancellationToken,
}

/// Starts the task; it gives the key back at its end.
#[must_use]
pub fn start(start: Start) -> (Handle, JoinHandle<()>) {
    let (handle, inbox) = mpsc::channel(ASKERS);
    let seen = Stamp::of(&start.places.config_file);
    let follower = Follower {
        running: start.origin.raw.clone(),
        origin: start.origin,
        places: start.places,
        doors: start.doors,
        hotkey: start.hotkey,
        reports: start.reports,
        seen,
        changing: None,
        told_wrong: None,
        told_restart: Vec::new(),
    };
    let task = tokio::spawn(follower.run(inbox, start.shutdown));
    (handle, task)
}

/// What shows that a file is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    fn of(file: &Path) -> Self {
        let meta = file.metadata().ok();
        Self(meta.and_then(|meta| Some((meta.modified().ok()?, meta.len(), meta.ino()))))
    }
}

struct Follower {
    origin: Origin,
    places: Places,
    doors: Doors,
    hotkey: Option<Hotkey>,
    reports: mpsc::Sender<Report>,
    /// The settings that the daemon runs with.
    running: Raw,
    seen: Stamp,
    /// How it looked last time.
    changing: Option<Stamp>,
    /// What was wrong when that was told last.
    told_wrong: Option<String>,
    told_restart: Vec<String>,
}

impl Follower {
    async fn run(mut self, mut inbox: mpsc::Receiver<Asker>, shutdown: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                asker = inbox.recv() => match asker {
                    Some(asker) => self.read(Some(asker)).await,
                    None => return,
                },
                _ = look.tick() => {
                    let now = Stamp::of(&self.places.config_file);
                    // An editor may be writing: what has stood still for one look is whole.
                    let stands_still = self.changing.replace(now.clone()) == Some(now.clone());
                    if now != self.seen && stands_still {
                        self.read(None).await;
                    }
                }
            }
        }
    }

    /// Reads the settings and gives the conductor what it can take over.
    async fn read(&mut self, asker: Option<Asker>) {
        self.seen = Stamp::of(&self.places.config_file);
        let (places, request) = (self.places.clone(), self.origin.request.clone());
        let read = tokio::task::spawn_blocking(move || load(&places, &request)).await;
        let loaded = match read {
            Ok(loaded) => loaded.map_err(|error| error.to_string()),
            Err(error) => Err(format!("reading the settings failed: {error}")),
        };
        match loaded {
            Ok((_, raw)) => self.take_over(&raw, asker).await,
            Err(wrong) => self.refuse(&wrong, asker).await,
        }
    }

    /// The old settings stay; what is wrong is told once.
    async fn refuse(&mut self, wrong: &str, asker: Option<Asker>) {
        let message = format!(
            "{}; until then the old settings stay",
            wrong.replace('\n', "; ")
        );
        if self.told_wrong.as_deref() != Some(wrong) {
            self.told_wrong = Some(wrong.to_owned());
            self.tell(Report::SettingsWrong(message.clone())).await;
        }
        if let Some(asker) = asker {
            let refused = Refused {
                kind: "configuration".to_owned(),
                message: wrong.replace('\n', "; "),
                next: "correct it until `hark config check` is content; the old settings stay"
                    .to_owned(),
            };
            // Whoever has gone away wants no answer.
            asker.send(Err(refused)).ok();
        }
    }

    async fn take_over(&mut self, raw: &Raw, asker: Option<Asker>) {
        let was_wrong = self.told_wrong.take().is_some();
        let changes = Changes::between(&self.running, raw);
        let mut next = self.running.clone();
        for name in &changes.live {
            next.adopt(raw, name);
        }
        // Live settings alone can contradict one that waits for a restart; then they wait, too.
        let (config, mut applied, mut restart) = match Config::resolve(&next, &self.places) {
            Ok(config) => (config, changes.live, changes.restart),
            Err(_) => {
                next = self.running.clone();
                let Ok(config) = Config::resolve(&next, &self.places) else {
                    return tracing::error!("settings that had been valid are not any more");
                };
                (config, Vec::new(), [changes.live, changes.restart].concat())
            }
        };
        let (mut config, mut trouble, mut voice) = (config, None, None);
        if applied.iter().any(|name| name.starts_with(VOICE)) {
            match open_voice(&config).await {
                Ok(opened) => voice = Some(opened),
                Err(error) => {
                    trouble = Some(format!("{error}; the old voice stays"));
                    for name in applied.extract_if(.., |name| name.starts_with(VOICE)) {
                        next.adopt(&self.running, &name);
                    }
                    config.tts = self.running_tts().unwrap_or(config.tts);
                }
            }
        }
        let hotkey = match applied.iter().any(|name| name == HOTKEY) {
            true => Some(self.register(&config).await),
            false => None,
        };
        if applied.iter().any(|name| name == "log.level") {
            (self.origin.set_log_level)(config.log_level);
        }
        self.running = next;
        restart.sort_unstable();
        let news =
            !applied.is_empty() || restart != self.told_restart || trouble.is_some() || was_wrong;
        self.told_restart.clone_from(&restart);
        let answer = Answer::Settings {
            applied: applied.clone(),
            restart: restart.clone(),
        };
        if news {
            let fresh = Fresh {
                config,
                applied,
                restart,
                voice,
                hotkey,
                trouble: trouble.clone(),
            };
            self.tell(Report::Settings(Box::new(fresh))).await;
        }
        if let Some(asker) = asker {
            let told = match trouble {
                None => Ok(answer),
                Some(message) => Err(Refused {
                    kind: "configuration".to_owned(),
                    message,
                    next: "correct it in the file that `hark config path` names".to_owned(),
                }),
            };
            asker.send(told).ok();
        }
    }

    fn running_tts(&self) -> Option<crate::config::resolved::Tts> {
        Config::resolve(&self.running, &self.places)
            .ok()
            .map(|config| config.tts)
    }

    /// Gives the old key back and takes the new one.
    async fn register(&mut self, config: &Config) -> HotkeyStatus {
        drop(self.hotkey.take());
        let (hotkey, status) = doors::hotkey(config, &self.doors, self.reports.clone()).await;
        self.hotkey = hotkey;
        status
    }

    async fn tell(&self, report: Report) {
        if self.reports.send(report).await.is_err() {
            tracing::debug!("the daemon ends: nobody takes its settings over");
        }
    }
}

/// Opening a voice starts a program on some systems.
async fn open_voice(config: &Config) -> Result<Box<dyn Synthesizer>, String> {
    let config = config.clone();
    let opened = tokio::task::spawn_blocking(move || parts::voice(&config)).await;
    match opened {
        Ok(Ok(voice)) => Ok(voice),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(format!("opening the voice failed: {error}")),
    }
}

/// How often the file is looked at: a change takes effect within two looks, before a person has gone back to the other window.
const LOOK: Duration = Duration::from_millis(500);

/// Who may wait at a time.
const ASKERS: usize = 8;

const VOICE: &str = "tts.";
const HOTKEY: &str = "hotkey.push_to_talk";
