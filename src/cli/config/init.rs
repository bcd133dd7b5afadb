//! `hark config init`: a few questions on a terminal, and a commented file.
//!
//! Each question has a default that an empty line takes; a wrong answer is asked again. What can be looked up is: which
//! model servers answer and what they have, which models fit into memory, which voices there are. Without a terminal, or
//! with `--yes`, nothing is asked and nothing is looked up.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

use super::ConfigRefusal;
use crate::cli::console::Console;
use crate::config::{Config, Origin, Places, Raw, Request, Value, load, template};
use crate::daemon::parts;
use crate::daemon::survey::{self, Fit, Surroundings};
use crate::memory::human;
use crate::models::{self, manifest};

type Answers = BTreeMap<String, Value>;

/// Runs the verb.
///
/// # Errors
/// The file is there and may not be replaced (2), or cannot be written (1).
pub fn run(
    places: &Places,
    request: &Request,
    console: &mut Console<'_>,
    yes: bool,
    force: bool,
) -> anyhow::Result<()> {
    let file = &places.config_file;
    let asks = !yes && console.answers.is_some();
    if file.exists() && !force && !(asks && may_replace(file, console)?) {
        return Err(ConfigRefusal::Exists(file.display().to_string()).into());
    }
    let answers = if asks {
        Interview::new(places, request).hold(console)?
    } else {
        Answers::new()
    };
    write_file(file, &template::render(&answers)).with_context(|| {
        format!(
            "{} cannot be written; check the folder's permissions",
            file.display()
        )
    })?;
    writeln!(
        console.out,
        "Wrote {}. `hark config check` checks it after you edit it.",
        file.display()
    )?;
    if asks {
        next_steps(&answers, places, request, console)?;
    }
    Ok(())
}

fn may_replace(file: &Path, console: &mut Console<'_>) -> std::io::Result<bool> {
    let question = format!(
        "{} exists already. Replace it? The old one is kept beside it as {}. [y/N]",
        file.display(),
        backup(file).display()
    );
    let answer = console.ask(&question)?.unwrap_or_default();
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

/// The questions, with what is known of this machine.
struct Interview<'a> {
    places: &'a Places,
    config: Config,
    answers: Answers,
}

impl<'a> Interview<'a> {
    fn new(places: &'a Places, request: &Request) -> Self {
        let config = load(places, request).map_or_else(|_| defaults(places), |(config, _)| config);
        Self {
            places,
            config,
            answers: Answers::new(),
        }
    }

    fn hold(mut self, console: &mut Console<'_>) -> anyhow::Result<Answers> {
        writeln!(
            console.err,
            "A few questions. An empty line takes what stands in brackets; everything can be changed later."
        )?;
        self.put("agent.name", "What is the assistant's name?", console)?;
        self.put("wake.phrase", "What should wake it?", console)?;
        self.put("hotkey.push_to_talk", "Which key is push-to-talk?", console)?;
        write!(console.err, "Looking for model servers ...")?;
        console.err.flush()?;
        let found = survey::look(&self.config, self.places);
        writeln!(console.err, "\r\x1b[K{}", servers(&found))?;
        self.backend(&found, console)?;
        self.put(
            "stt.language",
            "Which language do you speak to it (a code like en, or auto)?",
            console,
        )?;
        self.speech_model(console)?;
        self.voice(console)?;
        Ok(self.answers)
    }

    fn backend(&mut self, found: &Surroundings, console: &mut Console<'_>) -> anyhow::Result<()> {
        self.put(
            BACKEND,
            "Which backend: auto, mlx, ollama, openai or none?",
            console,
        )?;
        match self.answered(BACKEND) {
            Some("openai") => {
                self.put(ADDRESS, "What is its address, with /v1?", console)?;
                if !self.answers.contains_key(ADDRESS) {
                    self.answers.remove(BACKEND);
                    writeln!(
                        console.err,
                        "Without an address that backend cannot be used; llm.backend stays as it was."
                    )?;
                }
                Ok(())
            }
            Some("mlx") => self.mlx_model(console),
            Some("ollama") | None if !found.ollama.is_empty() => {
                self.ollama_model(&found.ollama, console)
            }
            _ => Ok(()),
        }
    }

    /// One of the models that Ollama has: the largest that fits is the default.
    fn ollama_model(&mut self, models: &[Fit], console: &mut Console<'_>) -> anyhow::Result<()> {
        for (number, model) in models.iter().enumerate() {
            writeln!(console.err, "  {}. {}", number + 1, fit(model))?;
        }
        let best = models
            .iter()
            .filter(|model| model.fits == Some(true))
            .max_by_key(|model| model.bytes)
            .or(models.first());
        let Some(best) = best.map(|model| model.name.clone()) else {
            return Ok(());
        };
        loop {
            let question = format!("Which of Ollama's models, by number or name? [\"{best}\"]");
            let answer = console.ask(&question)?.filter(|answer| !answer.is_empty());
            let answer = answer.map(|answer| answer.trim_matches('"').to_owned());
            let name = match &answer {
                None => Some(best.clone()),
                Some(answer) => chosen(models, answer),
            };
            if let Some(name) = name {
                self.answers
                    .insert("llm.ollama.model".to_owned(), Value::Text(name));
                return Ok(());
            }
            writeln!(console.err, "Ollama has no {}.", answer.unwrap_or_default())?;
        }
    }

    fn mlx_model(&mut self, console: &mut Console<'_>) -> anyhow::Result<()> {
        let text = "Which model folder or repository is mlx_lm.server to load?";
        loop {
            self.answers.remove(MLX_MODEL);
            self.put(MLX_MODEL, text, console)?;
            let Some(name) = self.answered(MLX_MODEL).map(str::to_owned) else {
                return Ok(());
            };
            let weighed = survey::weigh(&name, &self.config, self.places);
            writeln!(console.err, "  {}", fit(&weighed))?;
            if weighed.fits != Some(false) {
                return Ok(());
            }
            let answer = console.ask("Take it all the same? [y/N]")?;
            match answer.as_deref() {
                Some("y" | "Y" | "yes") | None => return Ok(()),
                Some(_) => {}
            }
        }
    }

    /// By the memory plan: what is here, and what this machine has room for.
    fn speech_model(&mut self, console: &mut Console<'_>) -> anyhow::Result<()> {
        let language = self.answered("stt.language").unwrap_or("en").to_owned();
        let room = parts::speech_memory(&self.config);
        let here = parts::library(self.places)
            .best(&language, room)
            .map_or_else(|_| "none".to_owned(), |(info, _)| info.name.clone());
        let best = models::best(manifest::all(), &language, room);
        if let Some(best) = best.filter(|best| best.name != here) {
            writeln!(
                console.err,
                "  Here is {here}; this machine has room for {} ({} to download: `hark models pull {}`).",
                best.name,
                human(best.size()),
                best.name
            )?;
        }
        loop {
            self.answers.remove(SPEECH_MODEL);
            self.put(
                SPEECH_MODEL,
                "Which speech model (auto takes the best that is here)?",
                console,
            )?;
            let Some(name) = self.answered(SPEECH_MODEL) else {
                return Ok(());
            };
            if manifest::find(name).is_some() || Path::new(name).is_file() {
                return Ok(());
            }
            writeln!(
                console.err,
                "{name} is no speech model; `hark models list` shows the names."
            )?;
        }
    }

    fn voice(&mut self, console: &mut Console<'_>) -> anyhow::Result<()> {
        let language = self.answered("stt.language").unwrap_or("en");
        let voices = survey::voices(&self.config, language);
        if !voices.is_empty() {
            let shown: Vec<&str> = voices.iter().take(12).map(String::as_str).collect();
            writeln!(console.err, "  There are {}.", shown.join(", "))?;
        }
        self.put("tts.voice", "Which voice should it have?", console)
    }

    fn answered(&self, key: &str) -> Option<&str> {
        match self.answers.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Keeps the user's answer where it is another than the default; asks again until it is valid.
    fn put(&mut self, key: &str, text: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
        let defaults = Raw::default();
        let default = &defaults
            .get(key)
            .expect("the questions are about known keys")
            .value;
        loop {
            let answer = console.ask(&format!("{text} [{default}]"))?;
            let Some(answer) = answer.filter(|answer| !answer.is_empty()) else {
                return Ok(());
            };
            let answer = Value::Text(answer.trim_matches('"').to_owned());
            if answer == *default {
                return Ok(());
            }
            match self.valid(key, &answer) {
                Ok(()) => {
                    self.answers.insert(key.to_owned(), answer);
                    return Ok(());
                }
                Err(problems) => writeln!(console.err, "{problems}")?,
            }
        }
    }

    fn valid(&self, key: &str, answer: &Value) -> Result<(), crate::config::Problems> {
        let Value::Text(text) = answer else {
            return Ok(());
        };
        if (key, text.as_str()) == (BACKEND, "openai") {
            // It is valid together with an address, which is asked for next.
            return Ok(());
        }
        let mut raw = Raw::default();
        let origin = Origin::Flag {
            name: "your answer".to_owned(),
        };
        raw.overlay(key, text, origin)
            .map_err(|problem| crate::config::Problems(vec![problem]))?;
        Config::resolve(&raw, self.places).map(drop)
    }
}

fn defaults(places: &Places) -> Config {
    Config::resolve(&Raw::default(), places)
        .expect("the defaults are valid on every machine; a test says so")
}

/// What answers, in a line.
fn servers(found: &Surroundings) -> String {
    if found.answering.is_empty() {
        return "No model server answers now: until one does, Hark answers what it knows by itself.".to_owned();
    }
    format!("There answers {}.", found.answering.join(" and "))
}

/// A model and whether it fits, in a line.
fn fit(model: &Fit) -> String {
    let size = if model.bytes > 0 {
        format!(", {}", human(model.bytes))
    } else {
        String::new()
    };
    let verdict = match model.fits {
        Some(true) => "fits".to_owned(),
        Some(false) => format!(
            "does not fit{}",
            model
                .advice
                .as_ref()
                .map_or_else(String::new, |advice| format!(": {advice}"))
        ),
        None => "its memory is not known".to_owned(),
    };
    format!("{}{size}, {verdict}", model.name)
}

/// The model that a number or a name means.
fn chosen(models: &[Fit], answer: &str) -> Option<String> {
    let by_number = answer
        .parse::<usize>()
        .ok()
        .and_then(|number| models.get(number.checked_sub(1)?));
    by_number
        .or_else(|| models.iter().find(|model| model.name == answer))
        .map(|model| model.name.clone())
}

/// What is left to do, with the commands.
fn next_steps(
    answers: &Answers,
    places: &Places,
    request: &Request,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let mut steps = Vec::new();
    let config = load(places, request).map(|(config, _)| config);
    let missing = match (&config, answers.get(SPEECH_MODEL)) {
        (Ok(config), Some(Value::Text(name))) => parts::speech_model(config, places)
            .is_err()
            .then(|| name.clone()),
        (Ok(config), _) if parts::is_starter(config, places) => {
            let best = models::best(
                manifest::all(),
                &config.stt.language,
                parts::speech_memory(config),
            );
            best.map(|best| best.name.clone())
        }
        _ => None,
    };
    if let Some(name) = missing {
        steps.push(format!("hark models pull {name}    # better ears"));
    }
    steps.push("hark doctor    # what is missing, each with its remedy".to_owned());
    steps.push("hark run       # or for good: hark service install".to_owned());
    writeln!(console.out, "Next:")?;
    for step in steps {
        writeln!(console.out, "  {step}")?;
    }
    Ok(())
}

fn backup(file: &Path) -> std::path::PathBuf {
    file.with_extension("toml.bak")
}

/// Writes next to the file and renames, so that a full disk leaves the old one. The old one is kept.
fn write_file(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if file.exists() {
        std::fs::copy(file, backup(file))?;
    }
    let draft = file.with_extension("toml.new");
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, file)
}

const BACKEND: &str = "llm.backend";
/// Asked only after `openai` was chosen, which is of no use without it.
const ADDRESS: &str = "llm.openai.url";
const MLX_MODEL: &str = "llm.mlx.model";
const SPEECH_MODEL: &str = "stt.model";
