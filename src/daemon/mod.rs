//! The daemon: builds the edges from the settings, runs the conductor, owns shutdown. Nothing depends on it but `cli`.

pub mod conductor;
pub mod desk;
pub mod doctor;
pub mod echo;
pub mod effectors;
pub mod events;
pub mod hear;
pub mod neighbours;
pub mod parts;
pub mod service;
pub mod typed;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::audio::reference::Tap;
use crate::config::resolved::EchoCancellation;
use crate::config::{Config, Places};
use crate::dialogue::{Policy, Start};
use crate::platform::clock::Clock;
use conductor::{Conductor, INBOX, Report, Summary, Until};
use desk::{Desk, Stay};
use echo::EchoCare;
use effectors::Effectors;
use events::Sink;
use neighbours::Neighbours;

/// How fast a file passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As a device would.
    RealTime,
    /// As fast as it can be answered.
    Fast,
}

/// Where sound comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A microphone: `default` or (a part of) its name.
    Device(String),
    /// A sound file.
    File {
        /// The file, in any usual format.
        path: PathBuf,
        /// How fast it is read.
        pace: Pace,
    },
    /// Sound that is at hand already (the bundled question), interleaved.
    Samples {
        /// What to call it.
        name: String,
        /// Amplitudes in −1..1.
        samples: Vec<f32>,
        /// Their layout.
        format: crate::audio::Format,
    },
}

/// Where sound goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A loudspeaker: `default` or (a part of) its name.
    Device(String),
    /// A WAV file, 16 bits, mono.
    File {
        /// The file; an existing one is replaced.
        path: PathBuf,
        /// Whether silence between clauses takes its time.
        pace: Pace,
    },
}

/// What opens a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The wake phrase of the settings.
    Phrase,
    /// Every utterance.
    EveryUtterance,
}

/// Everything that a run of the daemon needs to know.
#[derive(Debug)]
pub struct Plan {
    /// The settings.
    pub config: Config,
    /// Where files lie.
    pub places: Places,
    /// Where sound comes from.
    pub input: Input,
    /// Where sound goes.
    pub output: Output,
    /// What opens a turn.
    pub wake: Wake,
    /// When it ends by itself.
    pub until: Until,
    /// Whether turns go into the transcript log.
    pub keep_records: bool,
}

/// Runs the daemon until its end or a signal (SIGINT, SIGTERM).
///
/// # Errors
/// A device, file or model cannot be used; nothing was recorded then.
pub async fn run(plan: Plan, sink: Sink) -> anyhow::Result<Summary> {
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(shutdown.clone()));
    let summary = run_until(plan, sink, shutdown).await;
    signals.abort();
    summary
}

/// Runs the daemon until its end or until `shutdown`.
///
/// # Errors
/// See [`run`].
pub async fn run_until(
    plan: Plan,
    sink: Sink,
    shutdown: CancellationToken,
) -> anyhow::Result<Summary> {
    for setting in parts::without_effect(&plan.config)? {
        tracing::warn!(setting, "has no effect in this version");
    }
    let clock = Clock::start_with_lead();
    let (reports, inbox) = mpsc::channel(INBOX);
    let policy = policy(&plan);
    let until = plan.until;
    let hold = matches!(
        plan.input,
        Input::File {
            pace: Pace::Fast,
            ..
        } | Input::Samples { .. }
    )
    .then(|| Arc::new(AtomicBool::new(false)));
    let (effectors, desk) = start(&plan, clock, &reports, hold.clone()).await?;
    let conductor = Conductor::new(
        policy,
        conductor::Parts {
            clock,
            inbox,
            effectors,
            desk,
            sink,
            until,
            hold,
        },
    );
    drop(reports);
    Ok(conductor.run(shutdown).await)
}

/// Starts every part. The ear is last: by the time it hears, everything behind it is ready.
async fn start(
    plan: &Plan,
    clock: Clock,
    reports: &mpsc::Sender<Report>,
    hold: Option<Arc<AtomicBool>>,
) -> anyhow::Result<(Effectors, Desk)> {
    let tap = hears_itself(plan).then(Tap::default);
    let source = parts::source(&plan.input, &plan.config, clock, hold.clone(), tap.as_ref())?;
    let transcriber = parts::transcriber(&plan.config, &plan.places)?;
    let speaker = parts::speaker(&plan.config, &plan.output, clock, reports.clone(), tap)?;
    let backend = parts::backend(&plan.config).await?;
    let stay = if plan.until == Until::OneTurn {
        Stay::OneTurn
    } else {
        Stay::Daemon
    };
    let desk = Desk::new(&plan.config, backend, clock, stay);
    let names = parts::Names {
        input: source.name.clone(),
        output: speaker.name.clone(),
        model: transcriber.model().to_owned(),
        phrase: plan.config.wake.phrase.clone(),
    };
    let store = if plan.keep_records {
        Some(parts::store(
            &plan.config,
            &plan.places,
            &names,
            desk.backend(),
            clock,
            reports.clone(),
        )?)
    } else {
        None
    };
    let whisper = parts::whisper(transcriber, reports.clone())?;
    let ear = parts::ear(source, &plan.config, clock, reports.clone(), hold)?;
    let language = plan.config.stt.language.clone();
    Ok((
        Effectors::new(
            names,
            language,
            reports.clone(),
            whisper,
            speaker.thread,
            ear,
            store,
        )
        .with_echo(EchoCare::new(
            plan.config.audio.echo_cancellation,
            both_devices(plan),
            &plan.places,
        ))
        .with_neighbours(watch_neighbours(plan, reports)),
        desk,
    ))
}

fn policy(plan: &Plan) -> Policy {
    let config = &plan.config;
    Policy {
        start: match plan.wake {
            Wake::Phrase => Start::Phrase(config.wake.phrase.to_lowercase()),
            Wake::EveryUtterance => Start::Every,
        },
        barge_in: EchoCare::at_start(config.audio.echo_cancellation, both_devices(plan)),
        follow_up: config.turn.follow_up,
        longest_utterance: config.turn.max_utterance + Duration::from_secs(5),
        ..Policy::default()
    }
}

/// Watches for calls where the settings say so and the input is a microphone.
fn watch_neighbours(plan: &Plan, reports: &mpsc::Sender<Report>) -> Option<Neighbours> {
    if !(plan.config.audio.yield_to_calls && matches!(plan.input, Input::Device(_))) {
        return None;
    }
    let reports = reports.downgrade();
    neighbours::watch(move |listen| {
        reports
            .upgrade()
            .is_some_and(|reports| reports.blocking_send(Report::Neighbours(listen)).is_ok())
    })
}

fn both_devices(plan: &Plan) -> bool {
    matches!(
        (&plan.input, &plan.output),
        (Input::Device(_), Output::Device(_))
    )
}

/// Whether the microphone may hear the loudspeaker, and our own voice is to be removed.
fn hears_itself(plan: &Plan) -> bool {
    both_devices(plan) && plan.config.audio.echo_cancellation != EchoCancellation::Off
}

async fn stop_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be watched; end the daemon with SIGKILL");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("stopping");
    shutdown.cancel();
}

/// Says `text` on `output` and returns when it has been played or written.
///
/// # Errors
/// The engine, the device or the file cannot be used.
pub fn say(config: &Config, output: &Output, text: &str) -> anyhow::Result<()> {
    let clock = Clock::start();
    let (mut sink, _) = parts::sink(output, clock, None)?;
    let mut voice = parts::voice(config)?;
    let mut writer = parts::SpeechWriter::new(sink.rate());
    let said = crate::agent::spoken::spoken(text);
    let mut trouble = None;
    voice.synthesize(
        &said,
        &mut |piece| match writer.feed(piece, sink.as_mut()) {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(error) => {
                trouble = Some(error);
                std::ops::ControlFlow::Break(())
            }
        },
    )?;
    if let Some(error) = trouble {
        return Err(error);
    }
    writer.finish(sink.as_mut())?;
    sink.close().context("the speech could not be finished")
}
