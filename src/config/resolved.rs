//! The settings as the program uses them: valid, and nothing optional that has a default.
//!
//! Core. Made once by [`Config::resolve`] from a [`Raw`]; an `Option` here means a choice of the user ("none", "by the
//! plan"), never "not written". All problems are reported at once.

use core::net::SocketAddr;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::Places;
use super::raw::{Problems, Raw};
use super::tools::{self, Mcp, Tools};
use super::validate::Check;

/// All settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Devices.
    pub audio: Audio,
    /// The wake phrase.
    pub wake: Wake,
    /// The global push-to-talk key; `None` is off.
    pub push_to_talk: Option<String>,
    /// Where turns begin and end.
    pub turn: Turns,
    /// Speech to text.
    pub stt: Stt,
    /// Language models.
    pub llm: Llm,
    /// What answers.
    pub agent: Engine,
    /// Who the assistant is to the user.
    pub persona: Persona,
    /// Sounds that are no speech.
    pub sounds: Sounds,
    /// What the model can do.
    pub tools: Tools,
    /// Servers that bring more tools.
    pub mcp: Mcp,
    /// Text to speech.
    pub tts: Tts,
    /// The local inference gateway.
    pub gateway: Gateway,
    /// Memory that is not for models.
    pub memory: Memory,
    /// The transcript log.
    pub transcripts: Transcripts,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How long the log files get.
    pub log_files: LogFiles,
}

/// The rest of `log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFiles {
    /// Bytes after which a new file is begun.
    pub max_bytes: u64,
    /// How many old ones are kept.
    pub keep: u32,
}

/// `audio`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    /// Name, unique part of one, or `default`.
    pub input: String,
    /// Name, unique part of one, or `default`.
    pub output: String,
    /// Inputs in order of preference.
    pub prefer: Vec<String>,
    /// Whether our own voice is removed from what is heard.
    pub echo_cancellation: EchoCancellation,
    /// Whether a Bluetooth headset that plays keeps its microphone closed.
    pub spare_headset: bool,
    /// Whether nothing is woken or said unasked while another program listens.
    pub yield_to_calls: bool,
}

/// `audio.echo_cancellation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EchoCancellation {
    /// Where both sides are devices; where it does not work only the wake phrase interrupts.
    Auto,
    /// As `Auto`, and any speech interrupts, however it works.
    On,
    /// Never: the ear is closed while we speak.
    Off,
}

/// `wake`.
#[derive(Debug, Clone, PartialEq)]
pub struct Wake {
    /// Whether it is listened for.
    pub enabled: bool,
    /// The phrase.
    pub phrase: String,
    /// Score 0..1 from which it counts; `None` takes the model's measured one.
    pub threshold: Option<f64>,
}

/// `turn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns {
    /// Silence that ends what is clearly whole; not longer than `end_silence`.
    pub quick_silence: Duration,
    /// Silence that ends what may be whole.
    pub end_silence: Duration,
    /// Silence that is the end; not shorter than `end_silence`.
    pub max_silence: Duration,
    /// Whether a reply is begun in a pause.
    pub speculate: bool,
    /// How long after an answer no wake phrase is needed; zero is off.
    pub follow_up: Duration,
    /// Shorter speech is noise.
    pub min_speech: Duration,
    /// Sound kept from before the speech.
    pub pre_roll: Duration,
    /// Longest utterance.
    pub max_utterance: Duration,
}

/// `stt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stt {
    /// Name from the manifest or path; `None` takes the best that fits.
    pub model: Option<String>,
    /// ISO 639-1 code or `auto`.
    pub language: String,
    /// Words of the user.
    pub hints: Vec<String>,
    /// Whether words are read while the user speaks.
    pub partials: bool,
}

/// `llm`.
#[derive(Debug, Clone, PartialEq)]
pub struct Llm {
    /// Which server.
    pub backend: Backend,
    /// Whether Hark may start and stop servers.
    pub manage: Manage,
    /// Longest reply in tokens.
    pub max_tokens: u32,
    /// Sampling temperature.
    pub temperature: f32,
    /// No sign of life for so long: the turn is given up.
    pub silent: Duration,
    /// The MLX server.
    pub mlx: Server,
    /// Ollama.
    pub ollama: Ollama,
    /// Another compatible server; `None` where no address is set.
    pub openai: Option<Remote>,
}

/// A local server of the OpenAI dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Without a trailing slash, with `/v1`.
    pub url: String,
    /// The model, or whatever the server has.
    pub model: Option<String>,
    /// The program that starts it.
    pub command: String,
}

/// `llm.ollama`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ollama {
    /// Without a trailing slash.
    pub url: String,
    /// The model, or the one that is loaded.
    pub model: Option<String>,
    /// Context in tokens.
    pub num_ctx: u32,
    /// How long the model stays loaded; `None` is for ever.
    pub keep_alive: Option<Duration>,
    /// The program that starts it.
    pub command: String,
}

/// `llm.openai`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Without a trailing slash, with `/v1`.
    pub url: String,
    /// The model, or the first listed.
    pub model: Option<String>,
    /// The file with the key.
    pub key_file: Option<PathBuf>,
}

/// `llm.backend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The first that answers.
    Auto,
    /// The MLX server.
    Mlx,
    /// Ollama.
    Ollama,
    /// The server under `llm.openai`.
    Openai,
    /// Local intents only.
    None,
}

/// `llm.manage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manage {
    /// Without asking.
    Yes,
    /// Never.
    No,
    /// After asking.
    Ask,
}

/// `agent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Our own loop.
    Builtin,
    /// An OpenClaw gateway.
    OpenClaw {
        /// Its address.
        url: String,
        /// The file with its token.
        token_file: Option<PathBuf>,
    },
}

/// The rest of `agent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persona {
    /// Its name.
    pub name: String,
    /// How it is to be, in the user's words; `None` is as it is.
    pub character: Option<String>,
    /// How long after the last turn a restarted daemon goes on with the conversation; zero is never.
    pub resume: Duration,
}

/// `sounds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sounds {
    /// Whether a short sound tells that a question was taken.
    pub earcons: bool,
}

/// `tts`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tts {
    /// Which engine.
    pub engine: Voice,
    /// One of its voices; `None` is its default.
    pub voice: Option<String>,
    /// Speed, 1 is normal; `None` is the engine's.
    pub rate: Option<f32>,
}

/// `tts.engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The best of this machine.
    Auto,
    /// macOS, in the process.
    AvSpeech,
    /// macOS `say`.
    Say,
    /// espeak-ng.
    Espeak,
    /// Silence: answers are only written.
    None,
}

/// `gateway`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Where it listens; `None` is off.
    pub listen: Option<SocketAddr>,
    /// The file with its token.
    pub token_file: PathBuf,
    /// Requests that the model serves at a time; `None` is by the backend.
    pub slots: Option<usize>,
}

/// `memory`, in bytes; `None` is by the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// For the system and other programs.
    pub os_reserve: Option<u64>,
    /// For hearing and speaking.
    pub voice_reserve: Option<u64>,
}

/// `transcripts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcripts {
    /// Days kept; `None` is for ever.
    pub keep_days: Option<u32>,
    /// Turns kept; `None` is all.
    pub keep_turns: Option<u32>,
    /// Whether the questions' sound is kept.
    pub keep_audio: bool,
    /// Days that this sound is kept; `None` is as long as its turn.
    pub audio_days: Option<u32>,
    /// Whether secrets are blotted out on write.
    pub redact: bool,
}

/// `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what was survived.
    Warn,
    /// And changes of state.
    Info,
    /// And their causes.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As a filter spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Config {
    /// Checks every setting.
    ///
    /// # Errors
    /// All that is wrong, each with its place, what is allowed and what to do.
    pub fn resolve(raw: &Raw, places: &Places) -> Result<Self, Problems> {
        Self::resolve_and_tell(raw, places).map(|(config, _)| config)
    }

    /// As [`Self::resolve`], and which keys it read: a test compares them with the known ones.
    ///
    /// # Errors
    /// As there.
    pub fn resolve_and_tell(
        raw: &Raw,
        places: &Places,
    ) -> Result<(Self, BTreeSet<&'static str>), Problems> {
        let mut check = Check::new(raw, places);
        let config = Self {
            audio: audio(&mut check),
            wake: wake(&mut check),
            push_to_talk: check.optional("hotkey.push_to_talk", ""),
            turn: turns(&mut check),
            stt: Stt {
                model: check.optional("stt.model", "auto"),
                language: language(&mut check),
                hints: check.list("stt.hints"),
                partials: check.truth("stt.partials"),
            },
            llm: llm(&mut check),
            agent: engine(&mut check),
            persona: persona(&mut check),
            sounds: Sounds {
                earcons: check.truth("sounds.earcons"),
            },
            tools: tools::tools(&mut check),
            mcp: tools::mcp(&mut check),
            tts: tts(&mut check),
            gateway: gateway(&mut check, places),
            memory: Memory {
                os_reserve: check.size_or_auto("memory.os_reserve"),
                voice_reserve: check.size_or_auto("memory.voice_reserve"),
            },
            transcripts: transcripts(&mut check),
            log_level: log_level(&mut check),
            log_files: log_files(&mut check),
        };
        check.finish().map(|read| (config, read))
    }
}

fn audio(check: &mut Check<'_>) -> Audio {
    Audio {
        input: check.name("audio.input"),
        output: check.name("audio.output"),
        prefer: check.list("audio.prefer"),
        echo_cancellation: check.choice(
            "audio.echo_cancellation",
            &[
                ("auto", EchoCancellation::Auto),
                ("on", EchoCancellation::On),
                ("off", EchoCancellation::Off),
                // What `true` and `false` are read as.
                ("yes", EchoCancellation::On),
                ("no", EchoCancellation::Off),
            ],
        ),
        spare_headset: check.truth("audio.spare_headset"),
        yield_to_calls: check.truth("audio.yield_to_calls"),
    }
}

fn wake(check: &mut Check<'_>) -> Wake {
    Wake {
        enabled: check.truth("wake.enabled"),
        phrase: check.name("wake.phrase"),
        threshold: check.number_or_auto("wake.threshold", 0.0..=1.0),
    }
}

fn turns(check: &mut Check<'_>) -> Turns {
    let mut turns = Turns {
        quick_silence: check.millis("turn.quick_silence_ms", 100..=10_000),
        end_silence: check.millis("turn.end_silence_ms", 100..=10_000),
        max_silence: check.millis("turn.max_silence_ms", 100..=30_000),
        speculate: check.truth("turn.speculate"),
        follow_up: check.seconds("turn.follow_up_s", 0..=600),
        min_speech: check.millis("turn.min_speech_ms", 32..=5_000),
        pre_roll: check.millis("turn.pre_roll_ms", 0..=2_000),
        // Two minutes are four of Whisper's windows; more is dictation and not a turn.
        max_utterance: check.seconds("turn.max_utterance_s", 1..=120),
    };
    if turns.max_silence < turns.end_silence {
        let least = turns.end_silence.as_millis();
        check.reject(
            "turn.max_silence_ms",
            &format!("at least turn.end_silence_ms, which is {least}"),
        );
    }
    // Who shortens the usual silence has not asked for a longer one after a whole question.
    turns.quick_silence = turns.quick_silence.min(turns.end_silence);
    if turns.max_utterance <= turns.min_speech {
        check.reject("turn.max_utterance_s", "longer than turn.min_speech_ms");
    }
    turns
}

fn language(check: &mut Check<'_>) -> String {
    let language = check.text("stt.language").to_lowercase();
    let code = language.len() == 2 && language.bytes().all(|byte| byte.is_ascii_lowercase());
    if !code && language != "auto" {
        check.reject(
            "stt.language",
            "a code of two letters like \"en\", or \"auto\"",
        );
    }
    language
}

fn llm(check: &mut Check<'_>) -> Llm {
    let backend = check.choice(
        "llm.backend",
        &[
            ("auto", Backend::Auto),
            ("mlx", Backend::Mlx),
            ("ollama", Backend::Ollama),
            ("openai", Backend::Openai),
            ("none", Backend::None),
        ],
    );
    let openai = openai(check);
    if backend == Backend::Openai && openai.is_none() {
        check.reject("llm.openai.url", "set when llm.backend is \"openai\"");
    }
    Llm {
        backend,
        manage: manage(check),
        max_tokens: whole(check.integer("llm.max_tokens", 1..=131_072)),
        temperature: check.number("llm.temperature", 0.0..=2.0) as f32,
        silent: check.seconds("llm.silent_s", 1..=3_600),
        mlx: Server {
            url: required_url(check, "llm.mlx.url"),
            model: check.optional("llm.mlx.model", ""),
            command: check.name("llm.mlx.command"),
        },
        ollama: Ollama {
            url: required_url(check, "llm.ollama.url"),
            model: check.optional("llm.ollama.model", ""),
            num_ctx: whole(check.integer("llm.ollama.num_ctx", 512..=1_048_576)),
            keep_alive: check.duration_or_forever("llm.ollama.keep_alive"),
            command: check.name("llm.ollama.command"),
        },
        openai,
    }
}

fn manage(check: &mut Check<'_>) -> Manage {
    check.choice(
        "llm.manage",
        &[
            ("ask", Manage::Ask),
            ("yes", Manage::Yes),
            ("no", Manage::No),
        ],
    )
}

fn openai(check: &mut Check<'_>) -> Option<Remote> {
    let url = check.url("llm.openai.url");
    let model = check.optional("llm.openai.model", "");
    let key_file = check.path("llm.openai.key_file");
    url.map(|url| Remote {
        url,
        model,
        key_file,
    })
}

fn required_url(check: &mut Check<'_>, key: &'static str) -> String {
    if check.text(key).is_empty() {
        check.reject(key, "an address; remove the line for the default");
    }
    check.url(key).unwrap_or_default()
}

fn engine(check: &mut Check<'_>) -> Engine {
    let chosen = check.choice("agent.engine", &[("builtin", false), ("openclaw", true)]);
    let url = check.url("agent.openclaw.url");
    let token_file = check.path("agent.openclaw.token_file");
    match (chosen, url) {
        (false, _) => Engine::Builtin,
        (true, Some(url)) => Engine::OpenClaw { url, token_file },
        (true, None) => {
            check.reject(
                "agent.openclaw.url",
                "set when agent.engine is \"openclaw\"",
            );
            Engine::Builtin
        }
    }
}

fn persona(check: &mut Check<'_>) -> Persona {
    let character = check.optional("agent.persona", "");
    // It is a part of every prompt: 600 letters are about 150 tokens.
    if character
        .as_ref()
        .is_some_and(|text| text.chars().count() > 600)
    {
        check.reject("agent.persona", "at most 600 characters long");
    }
    Persona {
        name: check.name("agent.name"),
        character,
        resume: 60 * check.seconds("agent.resume_min", 0..=1_440),
    }
}

fn tts(check: &mut Check<'_>) -> Tts {
    Tts {
        engine: check.choice(
            "tts.engine",
            &[
                ("auto", Voice::Auto),
                ("avspeech", Voice::AvSpeech),
                ("say", Voice::Say),
                ("espeak", Voice::Espeak),
                ("none", Voice::None),
            ],
        ),
        voice: check.optional("tts.voice", "auto"),
        rate: check
            .number_or_auto("tts.rate", 0.5..=3.0)
            .map(|rate| rate as f32),
    }
}

fn gateway(check: &mut Check<'_>, places: &Places) -> Gateway {
    let listen = check.optional("gateway.listen", "").and_then(|text| {
        let address = text.parse().ok();
        if address.is_none() {
            check.reject(
                "gateway.listen",
                "an address and port like \"127.0.0.1:7177\", or \"\"",
            );
        }
        address
    });
    let expose = check.truth("gateway.expose");
    if !expose && listen.is_some_and(|address: SocketAddr| !address.ip().is_loopback()) {
        check.reject(
            "gateway.listen",
            "an address of this machine only, like \"127.0.0.1:7177\", unless gateway.expose is true",
        );
    }
    Gateway {
        listen,
        slots: check
            .integer_or_auto("gateway.slots", 1..=1_024)
            .map(|slots| whole(slots) as usize),
        token_file: check
            .path("gateway.token_file")
            .unwrap_or_else(|| places.state.join("gateway.token")),
    }
}

fn transcripts(check: &mut Check<'_>) -> Transcripts {
    let count = i64::from(u32::MAX);
    let days = whole(check.integer("transcripts.keep_days", 0..=36_500));
    let turns = whole(check.integer("transcripts.keep_turns", 0..=count));
    let sound_days = whole(check.integer("transcripts.audio_days", 0..=36_500));
    Transcripts {
        keep_days: (days > 0).then_some(days),
        keep_turns: (turns > 0).then_some(turns),
        keep_audio: check.truth("transcripts.keep_audio"),
        audio_days: (sound_days > 0).then_some(sound_days),
        redact: check.truth("transcripts.redact"),
    }
}

fn log_level(check: &mut Check<'_>) -> LogLevel {
    check.choice(
        "log.level",
        &[
            ("info", LogLevel::Info),
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ],
    )
}

fn log_files(check: &mut Check<'_>) -> LogFiles {
    let max_bytes = check.size("log.max_size", 64 << 10..=1 << 30);
    LogFiles {
        max_bytes,
        keep: whole(check.integer("log.keep", 0..=100)),
    }
}

/// A checked count as the type that its users have.
fn whole(number: i64) -> u32 {
    u32::try_from(number).expect("the range of the check lies within 32 bits")
}
