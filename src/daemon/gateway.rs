//! The gateway with what it needs: the backend of the settings, our ear, our voice, and the places that conversation and
//! clients share.
//!
//! Wiring: `hark run` starts it beside the conversation, `hark gateway` alone.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::parts;
use crate::agent::spoken::spoken;
use crate::audio::Format;
use crate::audio::decode::{DecodeError, Input, decode_mono};
use crate::audio::resample::Resampler;
use crate::config::resolved::{Backend, Voice};
use crate::config::{Config, Places};
use crate::gateway::admission::{Class, Limits};
use crate::gateway::door::Door;
use crate::gateway::gate::{Gate, Ticket};
use crate::gateway::sound::{Hear, Recording, Say, Saying, Sound, SoundError, Spoken, Words};
use crate::gateway::source::{Look, Resident};
use crate::gateway::{self, token};
use crate::llm::backends::{self, LlmSettings};
use crate::llm::upstream::Upstream;
use crate::platform::clock::Clock;
use crate::private::Private;
use crate::speak::{SpeakError, Synthesizer};
use crate::time::samples_to_duration;
use crate::transcribe::whisper::{Whisper, WhisperSettings};
use crate::transcribe::{Abort, TranscribeError, TranscribeOptions, subtitles};

/// The places that the conversation and the gateway's clients share, and the backend that both ask.
#[derive(Debug, Clone)]
pub struct Seats {
    model: Arc<Gate>,
    sound: Arc<Gate>,
    resident: Arc<Resident>,
    settings: Arc<LlmSettings>,
    /// Requests at a time, where the settings say.
    slots: Option<usize>,
}

impl Seats {
    /// As the settings want it; needs a runtime.
    #[must_use]
    pub fn new(config: &Config, clock: Clock) -> Self {
        let limits = Limits {
            slots: config.gateway.slots.unwrap_or(1),
            ..Limits::default()
        };
        let model = Gate::open(clock, limits);
        Self {
            resident: Arc::new(Resident::new(look(config, &model))),
            model,
            sound: Gate::open(clock, Limits::default()),
            settings: Arc::new(parts::llm_settings(&config.llm)),
            slots: config.gateway.slots,
        }
    }

    /// The backend of that name has taken over: clients are served by it from now on.
    pub fn serves(&self, name: &str) {
        match Upstream::open(name, &self.settings) {
            Ok(backend) => {
                self.model.set_slots(slots(self.slots, name));
                self.resident.serves(backend);
            }
            Err(error) => {
                tracing::error!(%error, "the gateway's backend cannot be set up");
                self.resident.look_again();
            }
        }
    }

    /// The backend changes: clients wait until [`Self::serves`] or [`Self::look_again`].
    pub fn changes(&self) {
        self.resident.changes();
    }

    /// The daemon keeps no backend: clients get whichever answers.
    pub fn look_again(&self) {
        self.resident.look_again();
    }

    /// Clients are refused for want of memory, (needed, free) in bytes, until it is called with `None`.
    pub fn refuse_for_memory(&self, shortage: Option<(u64, u64)>) {
        self.model.set_no_memory(shortage);
    }

    /// Requests of other programs that run at the backend.
    #[must_use]
    pub fn others_running(&self) -> u32 {
        u32::try_from(self.model.others_running()).unwrap_or(u32::MAX)
    }

    /// The user has spoken to us: clients give way.
    pub fn hold(&self) {
        self.model.hold();
        self.sound.hold();
    }

    /// The conversation no longer needs the model.
    pub fn release(&self) {
        self.model.release();
        self.sound.release();
    }

    /// A place for the conversation's own request, within half a second; `None` at shutdown.
    pub async fn voice(&self) -> Option<Ticket> {
        self.model.admit(Class::Voice).await.ok()
    }

    /// Requests of other programs that came to the model so far.
    #[must_use]
    pub fn served_others(&self) -> u64 {
        self.model.served_others()
    }

    /// The gate to the model.
    #[must_use]
    pub fn model(&self) -> &Arc<Gate> {
        &self.model
    }
}

/// A gateway that answers, on a thread of its own: a reply's tasks then wake each other without waking a core, and nothing
/// that clients do can delay the conductor.
#[derive(Debug)]
pub struct Running {
    thread: JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
}

impl Running {
    /// Lets running replies end, for two seconds at most.
    pub async fn close(self) {
        self.stop.cancel();
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(Ok(())))) {
            tracing::error!("the gateway did not end well");
        }
    }
}

/// Takes the address and reads or makes the token; answers from then on.
///
/// # Errors
/// The address or the token file cannot be used ([`gateway::BindError`], [`token::TokenError`]).
pub async fn start(
    config: &Config,
    places: &Places,
    seats: &Seats,
) -> anyhow::Result<Option<Running>> {
    let Some(address) = config.gateway.listen else {
        return Ok(None);
    };
    let token = token::read_or_make(&config.gateway.token_file)?;
    let listener = gateway::bind(address).await?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "the gateway can be reached from other machines, unencrypted (gateway.expose)"
        );
    }
    tracing::info!(%address, "the gateway answers");
    let door = Door::new(address, token);
    let listener = listener.into_std()?;
    Ok(Some(run(config, places, seats, listener, door)?))
}

/// As [`start`], beside a conversation: what stops the gateway is told and stops nothing else.
pub async fn start_beside(config: &Config, places: &Places, seats: &Seats) -> Option<Running> {
    start(config, places, seats).await.unwrap_or_else(|error| {
        tracing::error!("there is no gateway: {error:#}");
        None
    })
}

fn run(
    config: &Config,
    places: &Places,
    seats: &Seats,
    listener: std::net::TcpListener,
    door: Door,
) -> std::io::Result<Running> {
    let parts = gateway::Parts {
        door,
        gate: Arc::clone(&seats.model),
        sound: Arc::clone(&seats.sound),
        resident: Arc::clone(&seats.resident),
        hear: Some(ear(config, places)),
        say: (config.tts.engine != Voice::None).then(|| voice(config)),
    };
    let stop = CancellationToken::new();
    let token = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = std::thread::Builder::new()
        .name("gateway".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                gateway::serve(listener, parts, token).await;
                Ok(())
            })
        })?;
    Ok(Running { thread, stop })
}

/// Finds the backend that the settings name, or the one that answers.
fn look(config: &Config, gate: &Arc<Gate>) -> Look {
    let settings = Arc::new(parts::llm_settings(&config.llm));
    let (chosen, slots, gate) = (config.llm.backend, config.gateway.slots, Arc::clone(gate));
    Arc::new(move || {
        let (settings, gate) = (Arc::clone(&settings), Arc::clone(&gate));
        Box::pin(async move {
            let name = match chosen {
                Backend::None => return None,
                Backend::Auto => backends::detect(&settings).await?.info().name,
                Backend::Mlx => "mlx",
                Backend::Ollama => "ollama",
                Backend::Openai => "openai",
            };
            let found = Upstream::open(name, &settings)
                .inspect_err(
                    |error| tracing::error!(%error, "the gateway's backend cannot be set up"),
                )
                .ok()?;
            gate.set_slots(self::slots(slots, name));
            tracing::info!(
                backend = name,
                url = found.info().url,
                "the gateway's backend"
            );
            Some(Arc::new(found))
        })
    })
}

/// Requests at a time at the backend of that name.
fn slots(set: Option<usize>, name: &str) -> usize {
    set.unwrap_or(if name == "openai" { OTHER_SERVERS } else { 1 })
}

/// Requests at a time for servers that batch.
const OTHER_SERVERS: usize = 4;

/// How long the gateway's own copy of the speech model stays in memory after its last use.
const EAR_STAYS: Duration = Duration::from_secs(300);

/// The gateway's copy of the speech model: the conversation's own must never wait behind a recording.
#[derive(Default)]
struct Model {
    whisper: Option<Whisper>,
    uses: u64,
}

fn ear(config: &Config, places: &Places) -> Hear {
    let model = Arc::new(Mutex::new(Model::default()));
    let (config, places) = (Arc::new(config.clone()), Arc::new(places.clone()));
    Arc::new(move |recording| {
        let (model, config, places) =
            (Arc::clone(&model), Arc::clone(&config), Arc::clone(&places));
        Box::pin(async move {
            let abort = Abort::default();
            // Dropping this future is how the gateway aborts.
            let _aborted = AbortOnDrop(abort.clone());
            let used = Arc::clone(&model);
            let work = tokio::task::spawn_blocking(move || {
                let mut model = used.lock().unwrap_or_else(PoisonError::into_inner);
                model.uses += 1;
                let words = hear(&mut model, &config, &places, recording, &abort);
                (words, model.uses)
            });
            let (words, uses) = work
                .await
                .map_err(|_| SoundError::Failed("the transcription failed".to_owned()))?;
            tokio::spawn(async move {
                tokio::time::sleep(EAR_STAYS).await;
                let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
                if model.uses == uses {
                    model.whisper = None;
                }
            });
            words
        })
    })
}

struct AbortOnDrop(Abort);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.request();
    }
}

fn hear(
    model: &mut Model,
    config: &Config,
    places: &Places,
    recording: Recording,
    abort: &Abort,
) -> Result<Words, SoundError> {
    let sound = decode_mono(
        Input::Bytes(&recording.name, recording.bytes.to_vec()),
        &mut |_| {},
    )
    .map_err(|error| match error {
        // The name is the client's own, and so is the advice how to convert it.
        error @ (DecodeError::NotAudio { .. } | DecodeError::Empty { .. }) => {
            SoundError::Request(error.to_string())
        }
        DecodeError::Unreadable { .. } => {
            SoundError::Request("the recording cannot be read".to_owned())
        }
    })?;
    let whisper = match &mut model.whisper {
        Some(whisper) => whisper,
        none => none.insert(load(config, places)?),
    };
    let options = TranscribeOptions {
        language: recording
            .language
            .unwrap_or_else(|| config.stt.language.clone()),
        timestamps: recording.timestamps,
    };
    whisper
        .check_language(&options.language)
        .map_err(|error| SoundError::Request(error.to_string()))?;
    let heard = whisper
        .transcribe_long(&sound.samples, &options, abort, &mut |_| {})
        .map_err(|error| match error {
            TranscribeError::Language { .. } => SoundError::Request(error.to_string()),
            _ => SoundError::Failed(error.to_string()),
        })?;
    let segment = |segment: &crate::transcribe::Segment| Spoken {
        start: segment.start.as_secs_f64(),
        end: segment.end.as_secs_f64(),
        text: segment.text.clone(),
        confidence: segment.confidence,
    };
    Ok(Words {
        language: heard.language.clone(),
        seconds: samples_to_duration(sound.samples.len() as u64).as_secs_f64(),
        subtitles: (
            Private::new(subtitles::srt(&heard.segments)),
            Private::new(subtitles::vtt(&heard.segments)),
        ),
        segments: heard.segments.iter().map(segment).collect(),
        text: heard.text,
    })
}

fn load(config: &Config, places: &Places) -> Result<Whisper, SoundError> {
    let (name, path) = parts::speech_model(config, places)
        .map_err(|error| SoundError::Unavailable(error.to_string()))?;
    Whisper::load(&name, &path, WhisperSettings::default())
        .map_err(|error| SoundError::Failed(error.to_string()))
}

/// Synthesizers that stay: on macOS making and dropping one for each text has brought programs down.
const MOST_VOICES: usize = 4;

type Voices = Vec<((Option<String>, Option<u32>), Box<dyn Synthesizer>)>;

fn voice(config: &Config) -> Say {
    let voices: Arc<Mutex<Voices>> = Arc::default();
    let config = Arc::new(config.clone());
    Arc::new(move |saying| {
        let (voices, config) = (Arc::clone(&voices), Arc::clone(&config));
        Box::pin(async move {
            let work = tokio::task::spawn_blocking(move || {
                let mut voices = voices.lock().unwrap_or_else(PoisonError::into_inner);
                say(&mut voices, &config, &saying)
            });
            work.await
                .unwrap_or_else(|_| Err(SoundError::Failed("the voice failed".to_owned())))
        })
    })
}

fn say(voices: &mut Voices, config: &Config, saying: &Saying) -> Result<Sound, SoundError> {
    // A rate of a hundredth more or less is the same voice.
    let rate = saying.rate.map(|rate| (rate * 100.0).round() as u32);
    let key = (saying.voice.clone(), rate);
    let at = match voices.iter().position(|(known, _)| *known == key) {
        Some(at) => at,
        None => {
            let mut config = config.clone();
            config.tts.voice = saying.voice.clone().or(config.tts.voice);
            config.tts.rate = saying.rate.or(config.tts.rate);
            let made = parts::voice(&config).map_err(said)?;
            if voices.len() >= MOST_VOICES {
                voices.remove(0);
            }
            voices.push((key, made));
            voices.len() - 1
        }
    };
    let mut recorder = Recorder::default();
    voices[at]
        .1
        .synthesize(&spoken(saying.text.as_str()), &mut |piece| {
            recorder.take(piece.rate, piece.samples)
        })
        .map_err(said)?;
    recorder.finish()
}

fn said(error: SpeakError) -> SoundError {
    let words = error.to_string();
    match error {
        SpeakError::NoVoice { .. } => SoundError::Request(words),
        SpeakError::Unavailable { .. } => SoundError::Unavailable(words),
        SpeakError::Failed { .. } => SoundError::Failed(words),
    }
}

/// Joins pieces, at the rate of the first.
#[derive(Default)]
struct Recorder {
    sound: Option<Sound>,
    failed: bool,
}

impl Recorder {
    fn take(&mut self, rate: u32, samples: &[f32]) -> ControlFlow<()> {
        let sound = self.sound.get_or_insert_with(|| Sound {
            rate,
            samples: Vec::new(),
        });
        if sound.rate == rate {
            sound.samples.extend_from_slice(samples);
            return ControlFlow::Continue(());
        }
        match Resampler::new(Format { rate, channels: 1 }, sound.rate) {
            Ok(mut resampler) => {
                resampler.push(samples, &mut sound.samples);
                resampler.finish(&mut sound.samples);
                ControlFlow::Continue(())
            }
            Err(_) => {
                self.failed = true;
                ControlFlow::Break(())
            }
        }
    }

    fn finish(self) -> Result<Sound, SoundError> {
        match self.sound {
            Some(sound) if !self.failed && !sound.samples.is_empty() => Ok(sound),
            _ => Err(SoundError::Failed("the voice made no sound".to_owned())),
        }
    }
}
