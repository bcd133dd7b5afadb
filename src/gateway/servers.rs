//! How each kind of backend is started, found and told to give its memory back.
//!
//! Edge: builds command lines and looks at processes; the order of things is [`super::residency`]'s, their execution
//! [`super::supervisor`]'s. The flags and variables are those that keep either server bounded: one model, one slot, loopback
//! only, no unbounded prompt cache (mlx_lm.server grows to 26 GB with its defaults, Ollama's child by 8 GiB and 200 MB a
//! message).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::residency::{Kind, Owner};
use crate::llm::backends::LlmSettings;
use crate::memory::server::{Engine, Tuning};
use crate::platform::process::{self, Identity, Launch};
use crate::service::backend;

/// What is needed to start either server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Addresses and timeouts of the backends.
    pub llm: LlmSettings,
    /// The program of the MLX server (`llm.mlx.command`).
    pub mlx_command: String,
    /// The model that it is started with (`llm.mlx.model`).
    pub mlx_model: Option<String>,
    /// The program of Ollama (`llm.ollama.command`).
    pub ollama_command: String,
    /// Tokens of context (`llm.ollama.num_ctx`): prompt caches are cut to what fits beside them.
    pub context: u64,
    /// Where logs, launchers and the notes of what was started lie: `<state>/backends`.
    pub folder: PathBuf,
    /// Whether the children are to end with this process: a daemon's do, a command's do not.
    pub keeping: Keeping,
}

/// How long a child stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeping {
    /// As long as the daemon that started it.
    WithDaemon,
    /// Until `hark backend stop`: a command started it and has ended since.
    UntilStopped,
}

/// Why a server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The program is not installed. Install it, or name it.
    #[error(
        "{program} is not installed or not in the PATH; install it, or set llm.{kind}.command to where it lies"
    )]
    NoProgram {
        /// The program.
        program: String,
        /// The kind.
        kind: &'static str,
    },
    /// Nothing says which model. Name one.
    #[error("no model is configured for it; set llm.mlx.model to a model folder or repository")]
    NoModel,
    /// The address is not one of this machine. Servers are started on loopback only.
    #[error(
        "{url} is not an address of this machine with a port; a server is started on 127.0.0.1 only"
    )]
    NotLocal {
        /// The address.
        url: String,
    },
    /// Somebody else has the port. Stop it, or choose another port.
    #[error(
        "port {port} is taken by process {pid}; stop it, or choose another port in llm.{kind}.url"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// Whose.
        pid: u32,
        /// The kind.
        kind: &'static str,
    },
    /// The system refused.
    #[error("{what}: {reason}")]
    Io {
        /// The file or program.
        what: String,
        /// What the system said.
        reason: std::io::Error,
    },
}

impl ServerSettings {
    /// The address of a kind.
    #[must_use]
    pub fn url(&self, kind: Kind) -> &str {
        match kind {
            Kind::Mlx => &self.llm.mlx.url,
            Kind::Ollama => &self.llm.ollama.url,
        }
    }

    /// The port of a kind on this machine; `None` where its address is another machine's.
    #[must_use]
    pub fn port(&self, kind: Kind) -> Option<u16> {
        let url = reqwest::Url::parse(self.url(kind)).ok()?;
        let local = matches!(url.host_str()?, "127.0.0.1" | "localhost" | "[::1]");
        local.then(|| url.port_or_known_default())?
    }

    /// How to start a kind.
    ///
    /// # Errors
    /// [`LaunchError`]: nothing has been started then.
    pub fn launch(&self, kind: Kind) -> Result<Launch, LaunchError> {
        let port = self.port(kind).ok_or_else(|| LaunchError::NotLocal {
            url: self.url(kind).to_owned(),
        })?;
        if let Some(pid) = process::listener(port) {
            return Err(LaunchError::PortTaken {
                port,
                pid,
                kind: kind.name(),
            });
        }
        match kind {
            Kind::Mlx => self.mlx(port),
            Kind::Ollama => self.ollama(port),
        }
    }

    fn program(&self, kind: Kind) -> Result<PathBuf, LaunchError> {
        let name = match kind {
            Kind::Mlx => &self.mlx_command,
            Kind::Ollama => &self.ollama_command,
        };
        process::find_program(name).ok_or_else(|| LaunchError::NoProgram {
            program: name.clone(),
            kind: kind.name(),
        })
    }

    /// Whether a kind could be started: its program is there, and for MLX a model is named.
    #[must_use]
    pub fn can_start(&self, kind: Kind) -> bool {
        let named = kind != Kind::Mlx || self.mlx_model.is_some();
        named && self.port(kind).is_some() && self.program(kind).is_ok()
    }

    fn mlx(&self, port: u16) -> Result<Launch, LaunchError> {
        let program = self.program(Kind::Mlx)?;
        let model = self.mlx_model.clone().ok_or(LaunchError::NoModel)?;
        let cache = Tuning::full(Engine::Mlx, self.context);
        let mut arguments = backend::mlx_arguments(&model, "127.0.0.1", port, self.context);
        let mut environment = BTreeMap::from([
            ("PYTHONUNBUFFERED".to_owned(), "1".to_owned()),
            (
                "HARK_PROMPT_CACHE_BYTES".to_owned(),
                cache.prompt_cache_bytes.to_string(),
            ),
        ]);
        // A model in a folder needs no network; one that is named is looked for in the hub's cache first and may be fetched.
        if Path::new(&model).exists() {
            for name in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
                environment.insert(name.to_owned(), "1".to_owned());
            }
        }
        let leash = self.keeping == Keeping::WithDaemon;
        if leash {
            environment.insert("HARK_LEASH".to_owned(), "1".to_owned());
        }
        let program = match interpreter(&program) {
            Some(python) => {
                let launcher = self.launcher()?;
                arguments.insert(0, launcher.display().to_string());
                python
            }
            None => program,
        };
        Ok(Launch {
            program,
            arguments,
            environment,
            log: self.folder.join("mlx.log"),
            leash,
        })
    }

    /// Writes the launcher of the MLX server and tells where it lies.
    fn launcher(&self) -> Result<PathBuf, LaunchError> {
        let path = self.folder.join("mlx_launch.py");
        let failed = |reason| LaunchError::Io {
            what: path.display().to_string(),
            reason,
        };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        std::fs::write(&path, include_str!("mlx_launch.py")).map_err(failed)?;
        Ok(path)
    }

    fn ollama(&self, port: u16) -> Result<Launch, LaunchError> {
        let environment = backend::ollama_environment(format!("127.0.0.1:{port}"), self.context);
        Ok(Launch {
            program: self.program(Kind::Ollama)?,
            arguments: vec!["serve".to_owned()],
            environment: environment
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            log: self.folder.join("ollama.log"),
            leash: false,
        })
    }

    /// Notes that `identity` was started for `kind`, so that a later start finds it.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn note(&self, kind: Kind, identity: &Identity) -> std::io::Result<()> {
        let keeper = process::identity(std::process::id());
        let note = Note {
            server: identity.clone(),
            keeper,
            keeping: self.keeping,
        };
        std::fs::create_dir_all(&self.folder)?;
        let text = serde_json::to_string(&note).map_err(std::io::Error::other)?;
        std::fs::write(self.note_path(kind), text)
    }

    /// What was started for `kind` and not stopped since; `None` where nothing was, or it has ended.
    #[must_use]
    pub fn noted(&self, kind: Kind) -> Option<Note> {
        let text = std::fs::read_to_string(self.note_path(kind)).ok()?;
        let note: Note = serde_json::from_str(&text).ok()?;
        process::is_alive(&note.server).then_some(note)
    }

    /// Whether something is noted for `kind`, be it alive or not.
    #[must_use]
    pub fn is_noted(&self, kind: Kind) -> bool {
        self.note_path(kind).exists()
    }

    /// Forgets what was noted.
    pub fn forget(&self, kind: Kind) {
        let path = self.note_path(kind);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a note of a server cannot be removed");
        }
    }

    fn note_path(&self, kind: Kind) -> PathBuf {
        self.folder.join(format!("{}.json", kind.name()))
    }

    /// The process that serves a kind now, and whose it is.
    #[must_use]
    pub fn serving(&self, kind: Kind) -> Option<(u32, Owner)> {
        let noted = self.noted(kind);
        let port = self.port(kind)?;
        let pid = process::listener(port)?;
        let ours = noted.is_some_and(|note| {
            note.server.pid == pid
                || process::descendants(note.server.pid)
                    .iter()
                    .any(|below| below.pid == pid)
        });
        Some((pid, if ours { Owner::Ours } else { Owner::Foreign }))
    }
}

/// What a file in the folder says of a server that was started.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Note {
    /// The server: leader of its process group.
    pub server: Identity,
    /// Who started it.
    pub keeper: Option<Identity>,
    /// How long it is to stay.
    pub keeping: Keeping,
}

impl Note {
    /// Whether the daemon that started it has ended without stopping it (it was killed): such a server is stopped.
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        let keeper = self.keeper.as_ref();
        self.keeping == Keeping::WithDaemon && !keeper.is_some_and(process::is_alive)
    }
}

/// The Python that a script of an environment runs on, by its first line.
fn interpreter(script: &Path) -> Option<PathBuf> {
    use std::io::Read as _;
    let mut start = Vec::new();
    let file = std::fs::File::open(script).ok()?;
    file.take(512).read_to_end(&mut start).ok()?;
    let text = String::from_utf8_lossy(&start);
    let line = text.lines().next()?.strip_prefix("#!")?.trim();
    let program = PathBuf::from(line.split_whitespace().next()?);
    let name = program.file_name()?.to_str()?;
    let whole = text.contains("mlx_lm");
    (name.starts_with("python") && whole).then_some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path) -> ServerSettings {
        ServerSettings {
            llm: LlmSettings::default(),
            mlx_command: "/no/such/server".to_owned(),
            mlx_model: None,
            ollama_command: "sh".to_owned(),
            context: 16_384,
            folder: folder.to_owned(),
            keeping: Keeping::WithDaemon,
        }
    }

    #[test]
    fn both_servers_are_bound_to_loopback_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("mlx_lm.server");
        std::fs::write(
            &script,
            "#!/opt/venv/bin/python3\nfrom mlx_lm.server import main\n",
        )
        .unwrap();
        let mut settings = settings(folder.path());
        settings.llm.mlx.url = "http://127.0.0.1:4/v1".to_owned();
        settings.llm.ollama.url = "http://127.0.0.1:5".to_owned();
        settings.mlx_command = script.display().to_string();
        settings.mlx_model = Some("org/model".to_owned());
        let mlx = settings.launch(Kind::Mlx).unwrap();
        assert_eq!(mlx.program, PathBuf::from("/opt/venv/bin/python3"));
        let line = mlx.arguments.join(" ");
        for flag in [
            "--host 127.0.0.1",
            "--port 4",
            "--decode-concurrency 1",
            "--prompt-cache-bytes 2000000000",
            "--prefill-step-size 512",
        ] {
            assert!(line.contains(flag), "{flag} in {line}");
        }
        assert!(mlx.leash && mlx.environment["HARK_LEASH"] == "1");
        let ollama = settings.launch(Kind::Ollama).unwrap();
        assert_eq!(ollama.arguments, ["serve"]);
        assert_eq!(ollama.environment["OLLAMA_HOST"], "127.0.0.1:5");
        assert_eq!(ollama.environment["LLAMA_ARG_CTX_CHECKPOINTS"], "2");
        assert_eq!(ollama.environment["OLLAMA_MAX_LOADED_MODELS"], "1");
    }

    #[test]
    fn what_cannot_be_started_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        settings.llm.mlx.url = "http://127.0.0.1:4/v1".to_owned();
        let error = settings.launch(Kind::Mlx).unwrap_err();
        assert!(error.to_string().contains("llm.mlx.command"), "{error}");
        settings.llm.ollama.url = "http://192.0.2.1:11434".to_owned();
        assert!(matches!(
            settings.launch(Kind::Ollama),
            Err(LaunchError::NotLocal { .. })
        ));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        settings.llm.ollama.url = format!("http://{}", socket.local_addr().unwrap());
        let error = settings.launch(Kind::Ollama).unwrap_err();
        assert!(error.to_string().contains("is taken by process"), "{error}");
    }

    #[test]
    fn a_note_outlives_its_writer_and_tells_an_orphan() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let own = process::identity(std::process::id()).unwrap();
        settings.note(Kind::Mlx, &own).unwrap();
        let note = settings.noted(Kind::Mlx).unwrap();
        assert!(!note.is_orphan(), "its keeper lives");
        let gone = Identity {
            started: "long ago".to_owned(),
            ..own
        };
        assert!(
            Note {
                keeper: Some(gone.clone()),
                ..note.clone()
            }
            .is_orphan()
        );
        assert!(
            !Note {
                keeper: Some(gone),
                keeping: Keeping::UntilStopped,
                ..note
            }
            .is_orphan()
        );
        settings.forget(Kind::Mlx);
        assert_eq!(settings.noted(Kind::Mlx), None);
    }
}
