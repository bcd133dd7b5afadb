//! The language model's servers: which answer, in which version, which model they hold, and whether two of them share the
//! machine.

use std::time::Duration;

use super::bounded::within;
use super::model::{self, NoProbe};
use super::{Check, Setup, neighbours};
use crate::config::Config;
use crate::config::resolved::{Backend, Engine};
use crate::daemon::parts;
use crate::llm::backends;
use crate::llm::survey::{Found, Presence, survey};

/// All checks of this group; every server is asked at once, for about a second.
#[must_use]
pub fn checks(setup: &Setup) -> Vec<Check> {
    let settings = parts::llm_settings(&setup.config.llm);
    let config = setup.config.clone();
    let auto = config.llm.backend == Backend::Auto;
    let ask = move || -> std::io::Result<_> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(async {
            let detect = async {
                if auto {
                    backends::detect(&settings).await
                } else {
                    None
                }
            };
            let (found, chosen) = tokio::join!(survey(&settings), detect);
            let chosen = chosen.map(|backend| backend.info().name);
            let asked = match unasked(&config, &found, chosen) {
                Some(why) => Err(NoProbe::Skipped(why)),
                None => model::probe(&config).await,
            };
            (found, chosen, asked)
        }))
    };
    let trouble = |why: String| {
        vec![Check::fail(
            "language_model",
            format!("the servers cannot be asked: {why}"),
            "end what uses up threads or files (`top`), then run `hark doctor` again",
        )]
    };
    match within(ASKING, ask) {
        Ok(Ok((found, chosen, asked))) => {
            let mut checks = judge(&setup.config, &found, chosen);
            checks.extend(model::judge(setup, &asked));
            checks.push(neighbours::check(&setup.config));
            checks
        }
        Ok(Err(error)) => trouble(error.to_string()),
        Err(stuck) => trouble(stuck.to_string()),
    }
}

/// Why the model is not asked: nothing is loaded for a check, and a server that does not answer has been told of already.
fn unasked(config: &Config, found: &[Presence], chosen: Option<&str>) -> Option<&'static str> {
    if matches!(config.agent, Engine::OpenClaw { .. }) {
        return Some("OpenClaw asks the model, not Hark");
    }
    let name = match config.llm.backend {
        Backend::None => return Some("llm.backend is \"none\""),
        Backend::Auto => chosen,
        Backend::Mlx => Some("mlx"),
        Backend::Ollama => Some("ollama"),
        Backend::Openai => Some("openai"),
    };
    let presence = name.and_then(|name| found.iter().find(|presence| presence.name == name));
    match presence.map(|presence| &presence.found) {
        Some(Found::Resident { model, .. }) => {
            // Asking for another model than the resident one would load it.
            let other = model
                .as_deref()
                .zip(wanted(config))
                .filter(|_| name == Some("ollama"));
            other
                .is_some_and(|(resident, wanted)| !has(&[resident.to_owned()], wanted))
                .then_some(
                    "the model that is to answer is not resident; the first question loads it",
                )
        }
        Some(Found::Loading) => Some("the model is being loaded"),
        Some(Found::Idle { .. }) => Some("no model is resident; the first question loads one"),
        _ => Some("no language model answers"),
    }
}

/// The checks for what was found; `chosen` is what `llm.backend = "auto"` takes.
#[must_use]
pub fn judge(config: &Config, found: &[Presence], chosen: Option<&str>) -> Vec<Check> {
    let mut checks: Vec<Check> = found
        .iter()
        .map(|presence| server(config, presence))
        .collect();
    checks.push(language_model(config, found, chosen));
    checks.push(residents(found));
    checks
}

/// The name of the check of a backend.
fn check_name(backend: &str) -> &'static str {
    match backend {
        "mlx" => "backend_mlx",
        "ollama" => "backend_ollama",
        _ => "backend_openai",
    }
}

/// What stands at one address. What it means for the main job is the business of [`language_model`].
fn server(config: &Config, presence: &Presence) -> Check {
    let name = check_name(presence.name);
    let (kind, url) = (presence.name, presence.url.as_str());
    let version = presence.version.as_deref();
    let told = match version {
        Some(version) => format!("version {version} answers at {url}"),
        None => format!("answers at {url}"),
    };
    match &presence.found {
        Found::NotConfigured => Check::skip(name, "llm.openai.url is not set"),
        Found::Nobody => Check::skip(name, format!("nothing answers at {url}")),
        Found::Misconfigured(error) => Check::warn(
            name,
            error.to_string(),
            format!("correct it: `hark config show llm.{kind} --sources` tells where it is set"),
        ),
        Found::Hung => Check::warn(
            name,
            format!("{url} accepts connections but does not answer"),
            format!("restart that server: {}", start(config, kind)),
        ),
        Found::Foreign => Check::warn(
            name,
            format!("what answers at {url} is no {kind} server, or refuses"),
            foreign(kind, url),
        ),
        Found::Loading => Check::ok(name, format!("{told} and is loading a model")),
        Found::Resident {
            model: Some(model), ..
        } => Check::ok(name, format!("{told} with {model}")),
        Found::Resident { model: None, .. } => Check::ok(
            name,
            format!("{told}; it does not tell which model it holds"),
        ),
        Found::Idle { installed } => match installed.first() {
            Some(first) => Check::ok(
                name,
                format!(
                    "{told} and holds no model yet; the first request loads {}",
                    wanted(config).unwrap_or(first)
                ),
            ),
            None => Check::warn(
                name,
                format!("{told} but has no model that can chat"),
                format!("`ollama pull {}`", wanted(config).unwrap_or("MODEL")),
            ),
        },
    }
}

fn wanted(config: &Config) -> Option<&str> {
    config.llm.ollama.model.as_deref()
}

fn foreign(kind: &str, url: &str) -> String {
    if kind == "openai" {
        return "check llm.openai.url (it usually ends in /v1) and llm.openai.key_file: `hark config show llm.openai`"
            .to_owned();
    }
    format!(
        "see who has the port with `lsof -iTCP:{} -sTCP:LISTEN`, and stop it or set llm.{kind}.url",
        port(url)
    )
}

/// Whether the language model will answer.
fn language_model(config: &Config, found: &[Presence], chosen: Option<&str>) -> Check {
    const NAME: &str = "language_model";
    let configured = match config.llm.backend {
        Backend::None => {
            return Check::ok(
                NAME,
                "llm.backend is \"none\": only local answers, as it is set",
            );
        }
        Backend::Auto => None,
        Backend::Mlx => Some("mlx"),
        Backend::Ollama => Some("ollama"),
        Backend::Openai => Some("openai"),
    };
    let backend = configured.or(chosen);
    let presence = backend.and_then(|name| found.iter().find(|presence| presence.name == name));
    let Some(presence) = presence else {
        return Check::warn(
            NAME,
            "no language model answers: Hark tells the time, sets timers and calculates by itself, and nothing else",
            format!(
                "start one of the two: {}, or {}",
                start(config, "ollama"),
                start(config, "mlx")
            ),
        );
    };
    let (kind, url) = (presence.name, presence.url.as_str());
    match &presence.found {
        Found::Misconfigured(error) => Check::fail(
            NAME,
            error.to_string(),
            format!("correct it: `hark config show llm.{kind} --sources` tells where it is set"),
        ),
        Found::NotConfigured | Found::Nobody => Check::fail(
            NAME,
            format!("llm.backend is \"{kind}\", and nothing answers at {url}"),
            format!("start it: {}", start(config, kind)),
        ),
        Found::Hung => Check::fail(
            NAME,
            format!("llm.backend is \"{kind}\", and {url} does not answer"),
            format!("restart it: {}", start(config, kind)),
        ),
        Found::Foreign => Check::fail(
            NAME,
            format!("llm.backend is \"{kind}\", and something else answers at {url}, or refuses"),
            foreign(kind, url),
        ),
        Found::Loading => Check::ok(NAME, format!("{kind} answers and is loading a model")),
        Found::Resident { model, installed } => {
            answering(config, kind, model.as_deref(), installed)
        }
        Found::Idle { installed } => answering(config, kind, None, installed),
    }
}

/// A backend that answers: whether it has the model that it is to answer with.
fn answering(config: &Config, kind: &str, model: Option<&str>, installed: &[String]) -> Check {
    const NAME: &str = "language_model";
    if kind != "ollama" {
        let model = model.map(|model| format!(" with {model}"));
        return Check::ok(NAME, format!("{kind} answers{}", model.unwrap_or_default()));
    }
    let wrong = |detail: String, remedy: String| {
        // With `auto` the local answers remain; whoever names a backend expects it to answer.
        if config.llm.backend == Backend::Auto {
            Check::warn(NAME, detail, remedy)
        } else {
            Check::fail(NAME, detail, remedy)
        }
    };
    match wanted(config) {
        Some(wanted) if !has(installed, wanted) => wrong(
            format!("ollama answers but does not have llm.ollama.model, {wanted}"),
            format!("`ollama pull {wanted}`"),
        ),
        Some(wanted) => Check::ok(NAME, format!("ollama answers with {wanted}")),
        None => match model.or(installed.first().map(String::as_str)) {
            Some(model) => Check::ok(NAME, format!("ollama answers with {model}")),
            None => wrong(
                "ollama answers but has no model that can chat".to_owned(),
                "pull one, for example `ollama pull gemma3:4b`".to_owned(),
            ),
        },
    }
}

/// Ollama adds `:latest` to a name without a tag.
fn has(installed: &[String], wanted: &str) -> bool {
    let full = if wanted.contains(':') {
        wanted.to_owned()
    } else {
        format!("{wanted}:latest")
    };
    installed.contains(&full)
}

/// Two servers that hold a model each read the same memory, and both become slow.
fn residents(found: &[Presence]) -> Check {
    const NAME: &str = "resident_models";
    let at = |name: &str| {
        found
            .iter()
            .find(|presence| presence.name == name && presence.found.answers())
    };
    let (mlx, ollama) = (at("mlx"), at("ollama"));
    let (Some(_), Some(ollama)) = (mlx, ollama) else {
        return match mlx.or(ollama) {
            Some(only) => Check::ok(NAME, format!("only {} answers on this machine", only.name)),
            None => Check::skip(NAME, "no local server answers"),
        };
    };
    let speed =
        "two resident servers halve each other's speed (measured: 73 → 35 and 60 → 48 tokens/s)";
    match &ollama.found {
        Found::Resident {
            model: Some(model), ..
        } => Check::warn(
            NAME,
            format!(
                "mlx and ollama both answer, and ollama holds {model} beside mlx's model: {speed}"
            ),
            format!("keep one: `ollama stop {model}`, or `pkill -f mlx_lm.server`"),
        ),
        _ => Check::warn(
            NAME,
            format!("mlx and ollama both answer; as soon as both hold a model, {speed}"),
            "keep one: quit Ollama (`pkill -x ollama`), or `pkill -f mlx_lm.server`",
        ),
    }
}

/// The command that starts a backend as it is configured.
#[must_use]
pub fn start(config: &Config, kind: &str) -> String {
    match kind {
        "mlx" => {
            let model = config.llm.mlx.model.as_deref().unwrap_or("FOLDER");
            let model = super::shell(std::path::Path::new(model));
            format!(
                "`mlx_lm.server --model {model} --port {}`",
                port(&config.llm.mlx.url)
            )
        }
        "ollama" => match port(&config.llm.ollama.url) {
            11_434 => "`ollama serve`".to_owned(),
            other => format!("`OLLAMA_HOST=127.0.0.1:{other} ollama serve`"),
        },
        _ => {
            "start that server, or correct llm.openai.url: `hark config show llm.openai`".to_owned()
        }
    }
}

fn port(url: &str) -> u16 {
    let parsed = reqwest::Url::parse(url).ok();
    parsed
        .and_then(|url| url.port_or_known_default())
        .unwrap_or(80)
}

/// The probes' own limits end within 3 s, on a machine that is not stuck; then two questions, each with its own limit.
const ASKING: Duration = Duration::from_secs(8 + 2 * model::ASKING.as_secs());
