//! The command line: one file a verb, thin. Contracts (names, JSON keys, exit codes) stand in the README.

pub mod ask;
pub mod backend;
pub mod bench;
pub mod config;
pub mod console;
pub mod control;
pub mod demo;
pub mod devices;
pub mod doctor;
pub mod facts;
pub mod failure;
pub mod gateway;
pub mod listen;
pub mod logging;
pub mod models;
pub mod plan;
pub mod receipt;
pub mod run;
pub mod say;
pub mod service;
pub mod tools;
pub mod transcribe;
pub mod transcripts;
pub mod waiting;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::config::{Config, Places, Request};
use crate::daemon::parts;
use failure::Failure;

/// A voice-first local assistant: hears, understands and answers on this machine, and sends nothing anywhere.
#[derive(Debug, Parser)]
#[command(name = "hark", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Start here:\n  hark demo                 one spoken question, answered with what this machine has\n  hark run                  listen for the wake phrase until stopped\n  hark ask \"what time is it\"\n  hark doctor               what is missing, and the command that helps"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Log more to standard error (-v: what happens, -vv: details); what was said is never logged
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Listens and answers, in the foreground (launchd and systemd start this)
    Run(run::RunArgs),
    /// One whole turn with what this machine has, with the receipt of where the time went
    Demo(demo::DemoArgs),
    /// Answers a typed question
    Ask(ask::AskArgs),
    /// Says a text
    Say(say::SayArgs),
    /// Turns recordings into text
    Transcribe(transcribe::Args),
    /// Transcribes the microphone live; nothing is answered
    Listen(listen::ListenArgs),
    /// Lists microphones and loudspeakers, which one is used and why
    Devices(devices::DevicesArgs),
    /// Speech models: list, pull, verify, remove
    Models(models::Args),
    /// Serves the resident model to other programs: only the gateway, no audio
    Gateway(gateway::GatewayArgs),
    /// The language models' servers: which is resident, use another, warm, stop, measure
    Backend(backend::BackendArgs),
    /// What fits into memory next to the language model, every term with its source
    Plan(plan::PlanArgs),
    /// The log of what was said: list, search, export, forget
    Transcripts(transcripts::TranscriptsArgs),
    /// What the model can do on this machine: list the tools, call one
    Tools(tools::ToolsArgs),
    /// What Hark was asked to remember: list, add, remove
    Facts(facts::FactsArgs),
    /// Finds what stops Hark from working, each with its remedy
    Doctor(doctor::DoctorArgs),
    /// Reproducible measurements, with the machine and the version in them
    Bench(bench::BenchArgs),
    /// What the running daemon is doing
    Status(control::StatusArgs),
    /// Closes the ear of the running daemon until it is opened again
    #[command(after_help = "Example:\n  hark mute")]
    Mute(control::PlainArgs),
    /// Opens the ear again
    #[command(after_help = "Example:\n  hark unmute")]
    Unmute(control::PlainArgs),
    /// Switches writing down what is said off (on) or on again (off)
    OffRecord(control::OffRecordArgs),
    /// Prints what happens in the running daemon, as JSON Lines
    Events(control::EventsArgs),
    /// Push-to-talk from any hotkey tool or script
    Ptt(control::PttArgs),
    /// Silences the running daemon at once; it goes on listening
    #[command(visible_alias = "hush", after_help = "Example:\n  hark stop")]
    Stop(control::PlainArgs),
    /// Settings: path, show, check, init
    Config(config::ConfigArgs),
    /// Runs Hark whenever you log in: install, start, stop, status, logs
    Service(service::ServiceArgs),
    /// Prints the completions of a shell
    #[command(after_help = "Example:\n  hark completions zsh > ~/.zfunc/_hark")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page, of Hark or of one verb
    #[command(
        after_help = "Examples:\n  hark man | man -l -\n  hark man service install | man -l -"
    )]
    Man {
        /// The verb, with its own if it has any
        verb: Vec<String>,
    },
}

/// Parses the arguments, runs the verb, tells what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(panicked));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                failure::USAGE
            } else {
                0
            };
            // Printing help into a closed pipe is no failure.
            error.print().ok();
            return ExitCode::from(code);
        }
    };
    crate::platform::tls::install();
    let outcome = crate::platform::run_main_loop(move || {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(cli)))
    });
    let outcome = outcome.unwrap_or_else(|error| {
        Ok(Err(
            anyhow::Error::new(error).context("no thread to work on")
        ))
    });
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let (code, next) = failure::judge(&error);
            eprintln!("hark: {error:#}");
            if let Some(next) = next {
                eprintln!("  next: {next}");
            }
            ExitCode::from(code)
        }
        Err(_) => ExitCode::from(failure::BUG),
    }
}

/// A reader that has seen enough (`hark … | head`) is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn panicked(info: &std::panic::PanicHookInfo<'_>) {
    let place = info
        .location()
        .map(|place| format!("{}:{}", place.file(), place.line()))
        .unwrap_or_default();
    // The payload may quote what was said: the place is enough to find the bug.
    eprintln!("hark: a bug in Hark, at {place}");
    eprintln!("  next: please report this line with the output of `hark --version`");
}

fn dispatch(cli: Cli) -> anyhow::Result<()> {
    let places = places()?;
    let request = Request::from_environment();
    match cli.verb {
        Verb::Completions { shell } => {
            // `generate` panics on a closed pipe: it gets memory, and the pipe its own error.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "hark", &mut script);
            Ok(std::io::stdout().write_all(&script)?)
        }
        Verb::Man { verb } => manual(&verb),
        Verb::Config(args) => {
            console::with_standard_streams(|console| config::run(&args, &places, &request, console))
        }
        Verb::Transcripts(args) => {
            console::with_standard_streams(|console| transcripts::run(&args, &places, console))
        }
        Verb::Status(args) => control::status(&args),
        Verb::Mute(args) => control::mute(&args, true),
        Verb::Unmute(args) => control::mute(&args, false),
        Verb::OffRecord(args) => control::off_record(&args),
        Verb::Events(args) => control::events(&args),
        Verb::Ptt(args) => control::ptt(&args),
        Verb::Stop(args) => control::stop(&args),
        Verb::Facts(args) => {
            console::with_standard_streams(|console| facts::run(&args, &places, console))
        }
        Verb::Doctor(args) => {
            // What a log would tell, the checks tell with a remedy; whoever asks for the log gets it.
            if cli.verbose > 0
                && let Ok((config, _)) = crate::config::load(&places, &request)
            {
                logging::start(cli.verbose, logging::Reader::Person, &config, None);
            }
            console::with_standard_streams(|console| doctor::run(&args, &places, &request, console))
        }
        verb => {
            let config = crate::config::load(&places, &request)?.0;
            logging::start(cli.verbose, reader(&verb), &config, log_folder().as_deref());
            with_config(
                verb,
                &Setting {
                    config,
                    places,
                    request,
                },
            )
        }
    }
}

/// Prints the page of Hark (`hark.1`) or of a verb (`hark-service-install.1`).
fn manual(words: &[String]) -> anyhow::Result<()> {
    let mut command = Cli::command();
    command.build();
    let mut name = "hark".to_owned();
    for word in words {
        let found = command
            .get_subcommands()
            .find(|known| known.get_name() == word)
            .cloned();
        let Some(found) = found else {
            return Err(Failure::usage(
                format!("{} has no verb named {word}", name.replace('-', " ")),
                format!("see them: {} --help", name.replace('-', " ")),
            )
            .into());
        };
        name = format!("{name}-{word}");
        command = found.display_name(name.clone());
    }
    // Rendered first: a closed pipe has its own error.
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .title(name)
        .render(&mut page)?;
    Ok(std::io::stdout().write_all(&page)?)
}

/// Who reads what `verb` logs.
fn reader(verb: &Verb) -> logging::Reader {
    match verb {
        Verb::Run(_) if std::env::var_os(logging::SERVICE).is_some() => logging::Reader::File,
        // Somebody at a terminal wants to see turns, not log lines; the file has them.
        Verb::Run(_) if !std::io::stderr().is_terminal() => logging::Reader::Daemon,
        Verb::Run(_) => logging::Reader::Terminal,
        _ => logging::Reader::Person,
    }
}

/// Where log files lie; `None` where there is no home.
fn log_folder() -> Option<std::path::PathBuf> {
    let found = crate::platform::directories::from_environment().ok()?;
    Some(found.logs)
}

/// What every verb that works with sound or models needs to know.
#[derive(Debug)]
pub struct Setting {
    /// The settings, resolved.
    pub config: Config,
    /// Where files lie.
    pub places: Places,
    /// What the settings were made of, for verbs whose flags override some.
    pub request: Request,
}

impl Setting {
    /// The settings with flags put over them: name of the flag, key, value.
    ///
    /// # Errors
    /// A flag's value is not allowed.
    pub fn with_flags(
        &self,
        flags: &[(&str, &'static str, Option<&String>)],
    ) -> anyhow::Result<Config> {
        Ok(crate::config::load(&self.places, &self.request_with(flags))?.0)
    }

    /// What the settings are made of with those flags.
    #[must_use]
    pub fn request_with(&self, flags: &[(&str, &'static str, Option<&String>)]) -> Request {
        let mut request = self.request.clone();
        for (name, key, value) in flags {
            if let Some(value) = value {
                request = request.with_flag(name, key, (*value).clone());
            }
        }
        request
    }
}

fn with_config(verb: Verb, setting: &Setting) -> anyhow::Result<()> {
    match verb {
        Verb::Run(args) => run::run(&args, setting),
        Verb::Demo(args) => demo::run(&args, setting),
        Verb::Ask(args) => ask::run(&args, setting),
        Verb::Say(args) => say::run(&args, setting),
        Verb::Transcribe(args) => transcribe::run(
            &args,
            &parts::library(&setting.places),
            &transcribe_defaults(&setting.config),
        ),
        Verb::Listen(args) => listen::run(&args, setting),
        Verb::Devices(args) => devices::run(&args, setting),
        Verb::Tools(args) => {
            console::with_standard_streams(|console| tools::run(&args, setting, console))
        }
        Verb::Bench(args) => bench::run(&args, setting),
        Verb::Gateway(args) => gateway::run(&args, setting),
        Verb::Models(args) => models::run(&args, &parts::library(&setting.places)),
        Verb::Service(args) => console::with_standard_streams(|console| {
            service::run(&args, &setting.config, &setting.places, console)
        }),
        Verb::Plan(args) => plan::run(&args, setting),
        Verb::Backend(args) => backend::run(&args, setting),
        Verb::Config(_)
        | Verb::Transcripts(_)
        | Verb::Facts(_)
        | Verb::Doctor(_)
        | Verb::Status(_)
        | Verb::Mute(_)
        | Verb::Unmute(_)
        | Verb::OffRecord(_)
        | Verb::Events(_)
        | Verb::Ptt(_)
        | Verb::Stop(_)
        | Verb::Completions { .. }
        | Verb::Man { .. } => {
            Err(Failure::failed("this verb needs no settings", "report this as a bug").into())
        }
    }
}

/// What `hark transcribe` does unless its flags say otherwise.
fn transcribe_defaults(config: &Config) -> transcribe::Defaults {
    transcribe::Defaults {
        hints: config.stt.hints.clone(),
        model: config
            .stt
            .model
            .clone()
            .unwrap_or_else(|| "auto".to_owned()),
        language: config.stt.language.clone(),
        memory_bytes: parts::speech_memory(config),
    }
}

/// Where Hark's files lie.
///
/// # Errors
/// There is no home folder and `HARK_HOME` is not set.
fn places() -> anyhow::Result<Places> {
    let found = crate::platform::directories::from_environment().map_err(|error| {
        Failure::usage(
            error.to_string(),
            "set HARK_HOME to a folder for Hark's files",
        )
    })?;
    let home = std::env::home_dir().unwrap_or_else(|| found.state.clone());
    Ok(Places {
        config_file: found.config.join("config.toml"),
        state: found.state,
        home,
    })
}

/// A runtime for the verbs that stream from a model.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every `hark VERB` that a message promises, with the file that does.
    fn promised(folder: &std::path::Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                promised(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                for (at, start) in line.match_indices("`hark ") {
                    let rest = &line[at + start.len()..];
                    let verb: String = rest
                        .chars()
                        .take_while(|c| c.is_ascii_lowercase() || *c == '-')
                        .collect();
                    let verb = if verb.starts_with('-') {
                        String::new()
                    } else {
                        verb
                    };
                    found.push((verb, path.display().to_string()));
                }
            }
        }
    }

    #[test]
    fn no_message_promises_a_verb_that_does_not_exist() {
        let mut found = Vec::new();
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        promised(&source, &mut found);
        assert!(found.len() > 20, "only {} found", found.len());
        let command = Cli::command();
        let missing: Vec<_> = found
            .iter()
            // `hark --version` has no verb.
            .filter(|(verb, _)| !verb.is_empty() && command.find_subcommand(verb).is_none())
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
