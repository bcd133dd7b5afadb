//! `hark config path|show|check|init|reload`.
//!
//! Thin: reads, prints, asks. All knowledge of settings lies in [`crate::config`].

mod init;

use serde_json::json;

use super::console::Console;
use crate::config::load::{layers, stray_variables};
use crate::config::raw::{PERMISSIONS, SERVERS, Setting, is_secret};
use crate::config::{Places, Raw, Request, Value, load};

/// Arguments of `hark config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hark config show --sources")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// Prints where the configuration file lies (or would lie)
    #[command(after_help = "Example:\n  $EDITOR \"$(hark config path)\"")]
    Path,
    /// Prints every setting with its value
    #[command(after_help = "Example:\n  hark config show --sources")]
    Show {
        /// Only these settings or sections, like `llm` or `llm.ollama.url`
        keys: Vec<String>,
        /// Tells where each value comes from: default, file and line, environment variable or flag
        #[arg(long)]
        sources: bool,
        /// Prints one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Checks the configuration file and the environment
    #[command(after_help = "Example:\n  hark config check && hark run")]
    Check,
    /// Writes a commented configuration file, after a few questions on a terminal
    #[command(after_help = "Example:\n  hark config init --yes")]
    Init {
        /// Takes the defaults without asking
        #[arg(long, short)]
        yes: bool,
        /// Replaces an existing file; the old one is kept beside it
        #[arg(long)]
        force: bool,
    },
    /// Lets the running daemon read the file again now, and tells what takes effect
    #[command(
        after_help = "Example:\n  hark config reload\n\nThe daemon also sees by itself that the file has changed, within two seconds."
    )]
    Reload {
        /// Prints one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// A refusal that is the caller's to mend: exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigRefusal {
    /// `init` would replace a file: say `--force`, or edit it.
    #[error("{0} exists already; edit it, or replace it with `hark config init --force`")]
    Exists(String),
    /// `show` was asked for something that is no setting or section.
    #[error("{what}; {remedy}")]
    Unknown {
        /// What is wrong.
        what: String,
        /// What was probably meant.
        remedy: String,
    },
}

/// The exit code of a failure of this verb: 2 where the settings or the arguments are wrong.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<crate::config::LoadError>() || error.is::<ConfigRefusal>() {
        2
    } else {
        1
    }
}

/// Runs the verb.
///
/// # Errors
/// See [`exit_code`].
pub fn run(
    args: &ConfigArgs,
    places: &Places,
    request: &Request,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    match &args.command {
        ConfigCommand::Path => writeln!(console.out, "{}", places.config_file.display())?,
        ConfigCommand::Show {
            keys,
            sources,
            json,
        } => show(places, request, console, keys, *sources, *json)?,
        ConfigCommand::Check => check(places, request, console)?,
        ConfigCommand::Init { yes, force } => init::run(places, request, console, *yes, *force)?,
        ConfigCommand::Reload { json } => super::control::reload(*json)?,
    }
    Ok(())
}

fn show(
    places: &Places,
    request: &Request,
    console: &mut Console<'_>,
    wanted: &[String],
    sources: bool,
    json: bool,
) -> anyhow::Result<()> {
    let (_, raw) = load(places, request)?;
    let shown = selected(&raw, wanted)?;
    if json {
        return show_json(console, &shown, sources);
    }
    let lines: Vec<String> = shown
        .iter()
        .map(|(name, setting)| format!("{name} = {}", visible(name, &setting.value)))
        .collect();
    let lengths = lines.iter().map(|line| line.chars().count());
    let width = lengths.max().unwrap_or(0);
    for (line, (_, setting)) in lines.iter().zip(shown) {
        if sources {
            let origin = console.dim(&format!("# {}", setting.origin));
            writeln!(console.out, "{line:width$}  {origin}")?;
        } else {
            writeln!(console.out, "{line}")?;
        }
    }
    Ok(())
}

fn show_json(
    console: &mut Console<'_>,
    shown: &[(&str, &Setting)],
    sources: bool,
) -> anyhow::Result<()> {
    let document: serde_json::Map<_, _> = shown
        .iter()
        .map(|(name, setting)| {
            let value = json_value(&visible(name, &setting.value));
            let entry = if sources {
                json!({"value": value, "source": setting.origin.to_string()})
            } else {
                value
            };
            ((*name).to_owned(), entry)
        })
        .collect();
    let text = serde_json::to_string_pretty(&document)?;
    writeln!(console.out, "{text}")?;
    Ok(())
}

/// The settings that are asked for by name or section; all where nothing is.
fn selected<'a>(
    raw: &'a Raw,
    wanted: &[String],
) -> Result<Vec<(&'a str, &'a Setting)>, ConfigRefusal> {
    let belongs = |name: &str, wanted: &String| {
        name.strip_prefix(wanted.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    for name in wanted {
        if !shown(raw).any(|(key, _)| belongs(key, name)) {
            let origin = crate::config::Origin::Default;
            let problem = crate::config::raw::unknown(name, origin);
            return Err(ConfigRefusal::Unknown {
                what: format!("{name} {}", problem.what),
                remedy: problem.remedy,
            });
        }
    }
    Ok(shown(raw)
        .filter(|(key, _)| wanted.is_empty() || wanted.iter().any(|name| belongs(key, name)))
        .collect())
}

/// Every known key, then those that the user named.
fn shown(raw: &Raw) -> impl Iterator<Item = (&str, &Setting)> {
    raw.sources()
        .map(|(key, setting)| (key.name.as_str(), setting))
        .chain(raw.opened(PERMISSIONS))
        .chain(raw.opened(SERVERS))
}

/// The value as it may be shown: what a server is given in confidence is not.
fn visible<'a>(name: &str, value: &'a Value) -> std::borrow::Cow<'a, Value> {
    if is_secret(name) {
        std::borrow::Cow::Owned(Value::Text("(hidden)".to_owned()))
    } else {
        std::borrow::Cow::Borrowed(value)
    }
}

fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Number(number) => json!(number),
        Value::Truth(truth) => json!(truth),
        Value::List(items) => json!(items),
    }
}

fn check(places: &Places, request: &Request, console: &mut Console<'_>) -> anyhow::Result<()> {
    for stray in stray_variables(request) {
        writeln!(console.err, "warning: {stray}")?;
    }
    let raw = layers(places, request)?;
    crate::config::Config::resolve(&raw, places).map_err(crate::config::LoadError::from)?;
    let own = raw
        .sources()
        .filter(|(_, setting)| setting.origin != crate::config::Origin::Default)
        .count();
    let file = places.config_file.display();
    if places.config_file.exists() {
        writeln!(
            console.out,
            "{file} is valid; {own} settings differ from the defaults or are written out."
        )?;
    } else {
        writeln!(
            console.out,
            "There is no {file}; the defaults are used. `hark config init` writes one."
        )?;
    }
    Ok(())
}
