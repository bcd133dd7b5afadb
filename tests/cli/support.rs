//! A home for the program and a short way to run it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// Longer than any command here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// The model that the tests run on: `$HARK_TEST_MODEL`, or the starter in `models/`.
pub fn model() -> PathBuf {
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter.en.bin");
    let named = std::env::var_os("HARK_TEST_MODEL").map(PathBuf::from);
    let model = named.unwrap_or(starter);
    assert!(
        model.is_file(),
        "no speech model at {}: set HARK_TEST_MODEL to one",
        model.display()
    );
    std::path::absolute(model).unwrap()
}

pub fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
        .display()
        .to_string()
}

/// A home of its own, and the folder in which commands run. The test model lies in `bundled/` as the starter.
pub struct Home {
    folder: tempfile::TempDir,
    settings: Vec<(String, String)>,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bundled")).unwrap();
        std::os::unix::fs::symlink(model(), folder.path().join("bundled/starter.en.bin")).unwrap();
        Self {
            folder,
            settings: Vec::new(),
        }
    }

    /// With a variable of the environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_hark"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("there is a PATH"))
            .env("HARK_HOME", self.folder.path())
            .env("HARK_MODELS_DIR", self.path("bundled"))
            .env("HARK_LLM_BACKEND", "none")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .args(arguments)
            .timeout(LIMIT);
        command
    }

    /// Runs `hark ARGUMENTS` in the home's folder.
    pub fn hark(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().expect("it runs");
        let text = |bytes| {
            let text = String::from_utf8(bytes).expect("UTF-8");
            text.replace(&self.folder.path().display().to_string(), "~")
        };
        let ran = Ran {
            code: output.status.code().expect("it ends by itself"),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        assert!(
            !ran.err.contains("a bug in Hark, at"),
            "{arguments:?}: {ran:?}"
        );
        ran
    }

    /// A home in which one question has been asked aloud.
    pub fn after_a_demo() -> (Self, Value) {
        let home = Self::new();
        let ran = home.hark(&[
            "demo",
            "--wav",
            &data("question.wav"),
            "--out",
            "a.wav",
            "--json",
        ]);
        assert_eq!(ran.code, 0, "{ran:?}");
        (home, json(&ran.out))
    }
}

/// The one JSON document that a command prints.
pub fn json(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

pub fn keys(object: &Value) -> Vec<&str> {
    let object = object
        .as_object()
        .unwrap_or_else(|| panic!("{object} is no object"));
    object.keys().map(String::as_str).collect()
}

/// The keys of a receipt, as scripts rely on them.
pub const RECEIPT: [&str; 13] = [
    "endpoint_ms",
    "transcript_ms",
    "llm_request_ms",
    "first_token_ms",
    "first_clause_ms",
    "first_sample_ms",
    "first_audio_ms",
    "prompt_tokens",
    "cached_tokens",
    "prefix",
    "speculation",
    "model",
    "backend",
];
