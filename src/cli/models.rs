//! `hark models`: list, pull, verify, remove and locate speech models.
//!
//! Called by the command line on the main thread; blocks. Results go to standard output (one JSON document with `--json`),
//! progress and errors to standard error.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::models::manifest::Languages;
use crate::models::pull::{PullError, PullEvent, Pulled, Puller, Source};
use crate::models::{Entry, Library, ModelError, Verified, manifest};

/// Speech models: which there are, which are here.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark models list\n  hark models pull base.en\n  \
                        hark models pull small --from /media/stick\n  hark models verify"
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Print one JSON document.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The verbs of `hark models`.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Lists the models that Hark knows, and which are here.
    #[command(after_help = "Example:\n  hark models list --json")]
    List,
    /// Downloads a model; goes on where an earlier download stopped.
    #[command(
        after_help = "Examples:\n  hark models pull base.en\n  hark models pull base.en --from /media/stick"
    )]
    Pull {
        /// Its name in `hark models list`.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// A mirror (address of the folder or file), or a folder that holds the file, for machines without a network.
        #[arg(long, value_name = "DIR|URL")]
        from: Option<String>,
    },
    /// Compares files with their SHA-256; without names, all that are here.
    #[command(after_help = "Example:\n  hark models verify")]
    Verify {
        /// Names in `hark models list`.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Deletes a downloaded model.
    #[command(after_help = "Example:\n  hark models remove base.en")]
    Remove {
        /// Its name in `hark models list`.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Prints where the file of a model lies.
    #[command(after_help = "Example:\n  hark models path starter.en")]
    Path {
        /// Its name in `hark models list`; without one, the bundled model.
        #[arg(value_name = "NAME", default_value = crate::models::STARTER)]
        name: String,
    },
}

/// Why the command failed, with its exit code.
#[derive(Debug, thiserror::Error)]
pub enum ModelsCommandError {
    /// A name, or a file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A download.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// Some of the checked files are damaged; each was reported.
    #[error("{failed} of {all} models are damaged; see above")]
    Verify {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// Standard output is closed or full, or the system gives no runtime.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl ModelsCommandError {
    /// The exit code of the process: 2 for a wrong name, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let name = |error: &ModelError| {
            matches!(
                error,
                ModelError::Unknown { .. } | ModelError::Bundled { .. }
            )
        };
        match self {
            Self::Model(error) | Self::Pull(PullError::Model(error)) if name(error) => 2,
            _ => 1,
        }
    }
}

/// Runs the command on the process's own standard output.
///
/// # Errors
/// [`ModelsCommandError`], always downcastable.
pub fn run(args: &Args, library: &Library) -> anyhow::Result<()> {
    execute(args, library, &mut io::stdout().lock())?;
    Ok(())
}

/// The command itself, with its results on `output`.
///
/// # Errors
/// See [`ModelsCommandError`].
pub fn execute(
    args: &Args,
    library: &Library,
    output: &mut dyn Write,
) -> Result<(), ModelsCommandError> {
    match &args.verb {
        Verb::List => list(library, args.json, output),
        Verb::Pull { names, from } => pull(names, from.as_deref(), library, args.json, output),
        Verb::Verify { names } => verify(names, library, args.json, output),
        Verb::Remove { name } => {
            let freed = library.remove(name)?;
            let text = format!("removed {name}, {} freed", size(freed));
            print(
                args.json,
                output,
                &text,
                || json!({"name": name, "freed_bytes": freed}),
            )
        }
        Verb::Path { name } => {
            let path = library.path(name)?;
            print(
                args.json,
                output,
                &path.display().to_string(),
                || json!({"name": name, "path": path}),
            )
        }
    }
}

fn print(
    as_json: bool,
    output: &mut dyn Write,
    text: &str,
    document: impl FnOnce() -> Value,
) -> Result<(), ModelsCommandError> {
    if as_json {
        writeln!(output, "{:#}", document())?;
    } else {
        writeln!(output, "{text}")?;
    }
    Ok(())
}

fn list(
    library: &Library,
    as_json: bool,
    output: &mut dyn Write,
) -> Result<(), ModelsCommandError> {
    let entries = library.list();
    if as_json {
        let models: Vec<Value> = entries.iter().map(entry_json).collect();
        writeln!(output, "{:#}", Value::from(models))?;
        return Ok(());
    }
    writeln!(
        output,
        "{:<22} {:>9} {:>9}  {:<8} {:<8} HERE",
        "NAME", "FILE", "MEMORY", "SPEAKS", "LICENCE"
    )?;
    for Entry { info, path } in &entries {
        let speaks = match info.languages {
            Languages::English => "English",
            Languages::Many => "many",
        };
        let here = match path {
            Some(_) if info.bundled => "comes with Hark",
            Some(_) => "yes",
            None => "",
        };
        let line = format!(
            "{:<22} {:>9} {:>9}  {speaks:<8} {:<8} {here}",
            info.name,
            size(info.size()),
            size(info.memory_bytes),
            info.licence
        );
        writeln!(output, "{}", line.trim_end())?;
    }
    writeln!(output, "\nGet one with: hark models pull NAME")?;
    Ok(())
}

fn entry_json(Entry { info, path }: &Entry) -> Value {
    json!({
        "name": info.name,
        "file": info.file,
        "bytes": info.bytes,
        "about_bytes": info.about_bytes,
        "memory_bytes": info.memory_bytes,
        "sha256": info.sha256,
        "licence": info.licence,
        "multilingual": info.languages == Languages::Many,
        "bundled": info.bundled,
        "path": path,
    })
}

fn pull(
    names: &[String],
    from: Option<&str>,
    library: &Library,
    as_json: bool,
    output: &mut dyn Write,
) -> Result<(), ModelsCommandError> {
    if let Some(unknown) = names.iter().find(|name| manifest::find(name).is_none()) {
        // Before a long download rather than after it.
        library.path(unknown)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let source = Source::parse(from);
    let puller = Puller::new(library);
    let mut documents = Vec::new();
    for name in names {
        let bar = bar();
        let pulled =
            runtime.block_on(puller.pull(name, &source, &mut |event| show(&bar, name, event)));
        bar.finish_and_clear();
        let pulled = pulled?;
        if !as_json {
            writeln!(output, "{}", told(name, &pulled))?;
        }
        documents.push(pulled_json(name, &pulled));
    }
    if as_json {
        writeln!(output, "{:#}", Value::from(documents))?;
    }
    Ok(())
}

fn told(name: &str, pulled: &Pulled) -> String {
    match pulled {
        Pulled::AlreadyHere(path) => format!("{name} is here and whole: {}", path.display()),
        Pulled::Verified(path) => {
            format!("{name} is here, its SHA-256 is right: {}", path.display())
        }
        Pulled::Pinned { path, sha256 } => format!(
            "{name} is here: {}\nNo SHA-256 was known for it. This one is pinned now, and later downloads must have it: {sha256}",
            path.display()
        ),
    }
}

fn pulled_json(name: &str, pulled: &Pulled) -> Value {
    match pulled {
        Pulled::AlreadyHere(path) => json!({"name": name, "path": path, "outcome": "already_here"}),
        Pulled::Verified(path) => json!({"name": name, "path": path, "outcome": "verified"}),
        Pulled::Pinned { path, sha256 } => {
            json!({"name": name, "path": path, "outcome": "pinned", "sha256": sha256})
        }
    }
}

fn verify(
    names: &[String],
    library: &Library,
    as_json: bool,
    output: &mut dyn Write,
) -> Result<(), ModelsCommandError> {
    let here = library
        .list()
        .into_iter()
        .filter(|entry| entry.path.is_some());
    let names: Vec<String> = match names {
        [] => here.map(|entry| entry.info.name.clone()).collect(),
        names => names.to_vec(),
    };
    let mut documents = Vec::new();
    let mut failed = 0;
    for name in &names {
        let (state, text) = verdict(name, library)?;
        failed += usize::from(state == DAMAGED);
        if !as_json {
            writeln!(output, "{name}: {text}")?;
        }
        documents.push(json!({"name": name, "state": state, "detail": text}));
    }
    if as_json {
        writeln!(output, "{:#}", Value::from(documents))?;
    }
    let all = names.len();
    match failed {
        0 => Ok(()),
        failed => Err(ModelsCommandError::Verify { failed, all }),
    }
}

const DAMAGED: &str = "damaged";

/// The state of one model for scripts, and for people.
fn verdict(name: &str, library: &Library) -> Result<(&'static str, String), ModelError> {
    let bar = bar();
    let verified = library.verify(name, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    Ok(match verified {
        Ok(Verified::Known) => ("ok", "its SHA-256 is right".to_owned()),
        Ok(Verified::Pinned) => ("ok", "unchanged since its first download".to_owned()),
        Ok(Verified::Unknown { sha256 }) => (
            "unknown",
            format!("no SHA-256 is known for it; it is {sha256}"),
        ),
        Err(error @ ModelError::Damaged { .. }) => (DAMAGED, error.to_string()),
        Err(error) => return Err(error),
    })
}

/// Drawn on standard error if that is a terminal.
fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta}",
    )
    .expect("the template is constant");
    ProgressBar::new(0).with_style(style)
}

fn show(bar: &ProgressBar, name: &str, event: PullEvent) {
    match event {
        PullEvent::Progress { done, total } => {
            bar.set_length(total.max(done));
            bar.set_position(done);
            bar.set_message(name.to_owned());
        }
        PullEvent::Resumed { at } => bar.println(format!("{name}: goes on after {}", size(at))),
        PullEvent::Restarted { reason } => bar.println(format!("{name}: starts again, {reason}")),
        PullEvent::Retry { wait, reason } => {
            bar.println(format!(
                "{name}: {reason}; next try in {:.1} s",
                wait.as_secs_f32()
            ));
        }
        PullEvent::Checking => bar.set_message(format!("{name}: checking")),
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    if bytes >= 1_000_000_000 {
        format!("{:.2} GB", bytes as f64 / 1e9)
    } else {
        format!("{:.1} MB", bytes as f64 / 1e6)
    }
}
