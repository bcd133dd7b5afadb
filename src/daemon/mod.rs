//! The daemon: builds the edges from the settings, runs the conductor, owns shutdown. Nothing depends on it but `cli`.

pub mod conductor;
pub mod desk;
pub mod doctor;
pub mod doors;
pub mod echo;
pub mod effectors;
pub mod events;
pub mod gateway;
pub mod hear;
pub mod neighbours;
mod pad;
pub mod partials;
pub mod parts;
pub mod reload;
pub mod resident;
pub mod ring;
pub mod service;
pub mod survey;
pub mod switches;
pub mod tools;
pub mod typed;
pub mod welcome;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::consent::Permissions;
use crate::agent::tools::Toolbox;
use crate::audio::reference::Tap;
use crate::config::resolved::{Backend, EchoCancellation, Engine};
use crate::config::{Config, Places};
use crate::control::hub::Hub;
use crate::dialogue::ending::EndPolicy;
use crate::dialogue::{Policy, Start};
use crate::platform::clock::Clock;
use crate::platform::hotkey::Hotkey;
use crate::transcribe::thread::Exchange;
use conductor::{Conductor, INBOX, Remote, Report, Summary, Until};
use desk::{Desk, Stay};
use doors::{ControlDoor, Doors};
use echo::EchoCare;
use effectors::Effectors;
use events::Sink;
use neighbours::Neighbours;
use partials::Partials;
use switches::{Kept, Switches};

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
    /// The push-to-talk key only.
    Key,
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

/// Runs the daemon, without ways in beside the ear, until its end or a signal (SIGINT, SIGTERM).
///
/// # Errors
/// A device, file or model cannot be used; nothing was recorded then.
pub async fn run(plan: Plan, sink: Sink) -> anyhow::Result<Summary> {
    serve(plan, sink, Doors::default()).await
}

/// Runs the daemon until its end or a signal (SIGINT, SIGTERM), open for commands and keys.
///
/// # Errors
/// As [`run`]; also where another daemon runs here and [`doors::Taken::Refuse`] holds.
pub async fn serve(plan: Plan, sink: Sink, doors: Doors) -> anyhow::Result<Summary> {
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(shutdown.clone()));
    let summary = serve_until(plan, sink, doors, shutdown).await;
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
    serve_until(plan, sink, Doors::default(), shutdown).await
}

/// The same with these tools beside its own.
///
/// # Errors
/// See [`run`].
pub async fn run_with_tools(
    plan: Plan,
    tools: &Toolbox,
    sink: Sink,
    shutdown: CancellationToken,
) -> anyhow::Result<Summary> {
    serve_with_tools(plan, tools, sink, Doors::default(), shutdown).await
}

/// Runs the daemon until its end or until `shutdown`, open for commands and keys.
///
/// # Errors
/// See [`serve`].
pub async fn serve_until(
    plan: Plan,
    sink: Sink,
    doors: Doors,
    shutdown: CancellationToken,
) -> anyhow::Result<Summary> {
    serve_with_tools(plan, &Toolbox::default(), sink, doors, shutdown).await
}

async fn serve_with_tools(
    plan: Plan,
    tools: &Toolbox,
    sink: Sink,
    doors: Doors,
    shutdown: CancellationToken,
) -> anyhow::Result<Summary> {
    let lease = doors::lease(&doors)?;
    let clock = Clock::start_with_lead();
    let (reports, inbox) = mpsc::channel(INBOX);
    let wake_word = match plan.wake {
        Wake::Phrase => parts::wake_word(&plan.config, &plan.places),
        Wake::EveryUtterance | Wake::Key => None,
    };
    let policy = Policy {
        wake: wake_word.as_ref().map(|word| word.levels),
        ..policy(&plan)
    };
    let until = plan.until;
    let hold = matches!(
        plan.input,
        Input::File {
            pace: Pace::Fast,
            ..
        } | Input::Samples { .. }
    )
    .then(|| Arc::new(parts::Hold::default()));
    let hub = Hub::default();
    let control = lease.map(|lease| ControlDoor::open(lease, hub.clone(), reports.clone()));
    let serves = plan.until == Until::Stopped && plan.config.gateway.listen.is_some();
    let seats = serves.then(|| gateway::Seats::new(&plan.config, clock));
    // OpenClaw's own requests come through the gateway: they must not wait for the turn that waits for them.
    let shared = seats
        .clone()
        .filter(|_| plan.config.agent == Engine::Builtin);
    let (effectors, mut desk) =
        start(&plan, clock, &reports, hold.clone(), shared, wake_word).await?;
    desk.equip(tools, Permissions::default());
    let serving = match &seats {
        Some(seats) => gateway::start_beside(&plan.config, &plan.places, seats).await,
        None => None,
    };
    let sink = doors::spread(hub, sink);
    let (hotkey, mut remote) = remote(&plan, &doors, clock, &reports).await;
    let welcome = doors
        .greets
        .then(|| welcome::due(&plan, &remote.hotkey))
        .flatten();
    if let Some(control) = &control {
        control.started();
    }
    let registry = desk.registry();
    let ending = CancellationToken::new();
    let followed = follow_settings(&plan, doors, hotkey, &reports, &ending);
    remote.reload = followed.handle;
    let speech = effectors.speech_exchange();
    let shared = seats.clone();
    let keeper = keep_backend(&plan, &mut desk, clock, &reports, &ending, shared, speech);
    let conductor = Conductor::new(
        policy,
        conductor::Parts {
            clock,
            inbox,
            effectors,
            desk,
            sink,
            until,
            partials: Partials::new(plan.config.stt.partials && hold.is_none()),
            hold,
        },
    );
    drop(reports);
    let conductor = conductor
        .with_remote(remote)
        .keeping(plan.keep_records, plan.config.transcripts.keep_audio)
        .welcoming(welcome);
    let summary = conductor.run(shutdown).await;
    drop(followed.hotkey);
    ending.cancel();
    if let Some(keeper) = keeper
        && tokio::time::timeout(CLOSING, keeper).await.is_err()
    {
        tracing::error!("the keeper of the language model did not end in time");
    }
    if let Some(task) = followed.task
        && tokio::time::timeout(CLOSING, task).await.is_err()
    {
        tracing::error!("whoever follows the settings did not end in time");
    }
    close_tools(registry).await;
    if let Some(serving) = serving {
        serving.close().await;
    }
    if let Some(control) = control {
        control.close().await;
    }
    Ok(summary)
}

/// Who follows the settings, and the key, which belongs to them where there is somebody.
struct Followed {
    handle: Option<reload::Handle>,
    task: Option<tokio::task::JoinHandle<()>>,
    hotkey: Option<Hotkey>,
}

fn follow_settings(
    plan: &Plan,
    mut doors: Doors,
    hotkey: Option<Hotkey>,
    reports: &mpsc::Sender<Report>,
    ending: &CancellationToken,
) -> Followed {
    let Some(origin) = doors.settings.take() else {
        return Followed {
            handle: None,
            task: None,
            hotkey,
        };
    };
    let (handle, task) = reload::start(reload::Start {
        origin,
        places: plan.places.clone(),
        doors,
        hotkey,
        reports: reports.clone(),
        shutdown: ending.clone(),
    });
    Followed {
        handle: Some(handle),
        task: Some(task),
        hotkey: None,
    }
}

/// What is switched and told from outside: as an earlier run left it. A file is not a room: it is heard although the ear
/// was closed there.
async fn remote(
    plan: &Plan,
    doors: &Doors,
    clock: Clock,
    reports: &mpsc::Sender<Report>,
) -> (Option<Hotkey>, Remote) {
    let mut kept = Kept::read(&plan.places);
    let room = matches!(plan.input, Input::Device(_));
    kept.muted &= room;
    for (on, told) in [
        (
            kept.muted,
            "the ear is still closed: `hark unmute` opens it",
        ),
        (
            kept.off_record,
            "still off the record: `hark off-record off` ends that",
        ),
    ] {
        if on {
            tracing::warn!("{told}");
        }
    }
    let (hotkey, status) = doors::hotkey(&plan.config, doors, reports.clone()).await;
    let phrase = match plan.wake {
        Wake::Phrase => Some(plan.config.wake.phrase.clone()),
        Wake::EveryUtterance | Wake::Key => None,
    };
    let switches = if room {
        Switches::restored(kept, &plan.places)
    } else {
        Switches::passing(kept)
    };
    (hotkey, Remote::new(switches, phrase, status, clock.now()))
}

/// Puts somebody in charge of the language model, unless it is only one turn.
fn keep_backend(
    plan: &Plan,
    desk: &mut Desk,
    clock: Clock,
    reports: &mpsc::Sender<Report>,
    ending: &CancellationToken,
    seats: Option<gateway::Seats>,
    speech: Exchange,
) -> Option<tokio::task::JoinHandle<()>> {
    if plan.until == Until::OneTurn || plan.config.llm.backend == Backend::None {
        return None;
    }
    let start = resident::Start {
        backend: desk.first_backend(),
        clock,
        reports: reports.clone(),
        shutdown: ending.clone(),
        prefix: desk.beginning(),
        seats,
        speech: Some(speech),
        strain: resident::Strain::of_the_system(),
    };
    let (handle, task) = resident::start(&plan.config, &plan.places, start);
    desk.follow(handle);
    Some(task)
}

/// Ends the servers that brought tools: nothing that we started outlives us.
async fn close_tools(registry: Option<Arc<tools::Registry>>) {
    if let Some(registry) = registry
        && tokio::time::timeout(CLOSING, registry.close())
            .await
            .is_err()
    {
        tracing::error!("the servers that bring tools did not end in time");
    }
}

/// How long servers that we started may take to end; then the next start ends them.
const CLOSING: Duration = Duration::from_secs(5);

/// Starts every part. The ear is last: by the time it hears, everything behind it is ready.
async fn start(
    plan: &Plan,
    clock: Clock,
    reports: &mpsc::Sender<Report>,
    hold: Option<Arc<parts::Hold>>,
    seats: Option<gateway::Seats>,
    wake_word: Option<parts::WakeWord>,
) -> anyhow::Result<(Effectors, Desk)> {
    if matches!(plan.input, Input::Device(_)) {
        // At the start and not in the first conversation: the service is started by its installation.
        let asked = tokio::task::spawn_blocking(|| crate::platform::ask_for_microphone(ASK_LIMIT));
        tracing::debug!(permission = ?asked.await?, "microphone");
    }
    let tap = hears_itself(plan).then(Tap::default);
    let turn_over = hold.as_ref().map(|hold| Arc::clone(&hold.turn));
    let source = parts::source(&plan.input, &plan.config, clock, turn_over, tap.as_ref())?;
    let transcriber = parts::transcriber(&plan.config, &plan.places)?;
    let speaker = parts::speaker(&plan.config, &plan.output, clock, reports.clone(), tap)?;
    let backend = parts::backend(&plan.config).await?;
    let stay = if plan.until == Until::OneTurn {
        Stay::OneTurn
    } else {
        Stay::Daemon
    };
    let notebook = Arc::new(parts::notebook(&plan.places)?);
    ring::watch(Arc::clone(&notebook), reports.clone());
    let registry = Arc::new(tools::open(&plan.config, &plan.places, &notebook));
    let languages = speaker.languages.clone();
    let mut desk =
        Desk::new(&plan.config, backend, Arc::clone(&notebook), stay).with_seats(seats.clone());
    desk.connect(registry);
    desk.voice_knows(languages);
    if plan.keep_records {
        let turns = parts::last_turns(&plan.config, &plan.places);
        let now = crate::platform::clock::wall().timestamp().as_millisecond();
        let resumed = desk.resume(&turns, now);
        tracing::info!(turns = resumed, "goes on with the last conversation");
    }
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
    let detector = wake_word.map(|word| word.detector);
    let ear = parts::ear(source, &plan.config, clock, reports.clone(), hold, detector)?;
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
        .with_earcons(plan.config.sounds.earcons, earcons_heard(plan))
        .with_seats(seats)
        .with_echo(EchoCare::new(
            plan.config.audio.echo_cancellation,
            both_devices(plan),
            &plan.places,
        ))
        .with_neighbours(watch_neighbours(plan, reports)),
        desk,
    ))
}

/// How long a person may take to answer whether Hark may use the microphone. After that the stream is opened all the same:
/// it gives silence, which is told in words.
const ASK_LIMIT: Duration = Duration::from_secs(120);

/// A file that is written as fast as it can be has no time in which a sound would tell anybody anything.
fn earcons_heard(plan: &Plan) -> bool {
    match plan.output {
        Output::Device(_) => true,
        Output::File { pace, .. } => pace == Pace::RealTime,
    }
}

fn policy(plan: &Plan) -> Policy {
    let config = &plan.config;
    Policy {
        start: match plan.wake {
            Wake::Phrase => Start::Phrase(config.wake.phrase.to_lowercase()),
            Wake::EveryUtterance => Start::Every,
            Wake::Key => Start::Key,
        },
        barge_in: EchoCare::at_start(config.audio.echo_cancellation, both_devices(plan)),
        proof: if hears_itself(plan) {
            ECHO_PROOF
        } else {
            Duration::ZERO
        },
        follow_up: config.turn.follow_up,
        longest_utterance: config.turn.max_utterance + Duration::from_secs(5),
        end: EndPolicy {
            quick: config.turn.quick_silence,
            usual: config.turn.end_silence,
            longest: config.turn.max_silence,
        },
        speculate: config.turn.speculate,
        ..Policy::default()
    }
}

/// Runs only the gateway, until a signal.
///
/// # Errors
/// Its address or its token file cannot be used.
pub async fn serve_gateway(config: &Config, places: &Places) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(shutdown.clone()));
    let seats = gateway::Seats::new(config, Clock::start());
    let running = gateway::start(config, places, &seats).await?;
    shutdown.cancelled().await;
    if let Some(running) = running {
        running.close().await;
    }
    signals.abort();
    Ok(())
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

/// How long the echo of our last sample may go on: the device's buffers, the way through the room, and the end of a voice as
/// the segmenter sees it. In the rig, with its own pipes, 350 ms.
const ECHO_PROOF: Duration = Duration::from_millis(400);

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
