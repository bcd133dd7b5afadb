//! Speaking into an answer that comes out of a loudspeaker which the microphone hears.
//!
//! The whole daemon runs in this process over the rig's devices; a [`Room`] carries its voice back into its microphone. The
//! matrix of rooms and the ten minutes of its own speech take long and run with `HARK_LONG_TESTS=1`.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hark::audio::playback::Loudspeaker;
use hark::audio::{AudioSink, Level};
use hark::config::{self, Places, Request};
use hark::daemon::conductor::{Summary, Until};
use hark::daemon::{Input, Output, Plan, Wake, run_until};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::rig::Rig;
use crate::room::{Acoustics, Room};
use crate::server::{Server, Talk};
use crate::tone;

/// What the conductor does to the level of its voice, as it logs it.
static NOTES: Mutex<Vec<(Instant, String)>> = Mutex::new(Vec::new());

fn notes() -> MutexGuard<'static, Vec<(Instant, String)>> {
    NOTES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn noted(what: &str) -> usize {
    notes().iter().filter(|(_, note)| note == what).count()
}

struct Notebook;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Notebook {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        if event.metadata().target() == "hark::daemon::conductor" {
            let mut message = Message(String::new());
            event.record(&mut message);
            notes().push((Instant::now(), message.0));
        }
    }
}

fn open_notebook() {
    static OPEN: Once = Once::new();
    OPEN.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Notebook);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    notes().clear();
}

/// A daemon over the rig's devices.
pub struct Daemon {
    events: Receiver<Value>,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<Summary>>,
    seen: Vec<Value>,
    _home: tempfile::TempDir,
}

impl Daemon {
    pub fn start(server: &Server, settings: &[(&str, &str)]) -> Self {
        open_notebook();
        let home = tempfile::tempdir().unwrap();
        let places = Places {
            config_file: home.path().join("config.toml"),
            state: home.path().to_owned(),
            home: home.path().to_owned(),
        };
        let starter =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter.en.bin");
        let model = std::env::var("HARK_TEST_MODEL").unwrap_or(starter.display().to_string());
        let mut environment = vec![
            ("HARK_STT_MODEL".to_owned(), model),
            // Whoever records the rig's microphone to look into a failure shall not change what happens.
            ("HARK_AUDIO_YIELD_TO_CALLS".to_owned(), "no".to_owned()),
            ("HARK_AUDIO_ECHO_CANCELLATION".to_owned(), "auto".to_owned()),
        ];
        environment.extend(
            server
                .settings()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        environment.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let request = Request {
            flags: Vec::new(),
            environment,
        };
        let plan = Plan {
            config: config::load(&places, &request).unwrap().0,
            places,
            input: Input::Device("default".to_owned()),
            output: Output::Device("default".to_owned()),
            wake: Wake::EveryUtterance,
            until: Until::Stopped,
            keep_records: true,
        };
        let (tell, events) = channel();
        let sink = Box::new(move |line: &hark::daemon::events::Line| {
            tell.send(serde_json::to_value(line).unwrap()).ok();
        });
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap()
                .block_on(run_until(plan, sink, stop))
                .unwrap()
        });
        let mut daemon = Self {
            events,
            shutdown,
            thread: Some(thread),
            seen: Vec::new(),
            _home: home,
        };
        daemon.expect(60, |event| event["event"] == "ready");
        daemon
    }

    /// The next event that is `wanted`, within `seconds`.
    pub fn expect(&mut self, seconds: u64, wanted: impl Fn(&Value) -> bool) -> Value {
        self.find(seconds, wanted)
            .unwrap_or_else(|| panic!("not within {seconds} s: {:#?}", self.seen))
    }

    fn find(&mut self, seconds: u64, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            if let Ok(event) = self.events.recv_timeout(Duration::from_millis(100)) {
                self.seen.push(event.clone());
                if wanted(&event) {
                    return Some(event);
                }
            }
        }
        None
    }

    pub fn count(&self, name: &str) -> usize {
        self.seen
            .iter()
            .filter(|event| event["event"] == name)
            .count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().map(drop).unwrap_or_default();
        }
    }
}

pub fn is(name: &'static str) -> impl Fn(&Value) -> bool {
    move |event| event["event"] == name
}

fn says(part: &'static str) -> impl Fn(&Value) -> bool {
    move |event| {
        event["event"] == "device"
            && event["change"]
                .as_str()
                .is_some_and(|text| text.contains(part))
    }
}

/// A model that tells stories without an end: `sentences` of them.
pub fn storyteller(sentences: usize) -> Server {
    const STORY: [&str; 8] = [
        "Once upon a time there was a lighthouse on a small island in the north. ",
        "Its keeper lit the lamp every evening and wrote down every ship that passed. ",
        "In the winter of that year no ship came for eleven weeks. ",
        "So the keeper built a boat out of the old furniture and a red curtain. ",
        "The sea was calm on the morning when the boat left the harbour. ",
        "Gulls followed it as far as the sandbank, and then they turned back. ",
        "By noon the coast was only a thin grey line behind the waves. ",
        "Nobody in the village believed a word of it when the keeper came home. ",
    ];
    Server::start(move |_, mut talk: Talk| {
        for n in 0..sentences {
            if !talk.say(STORY[n % STORY.len()]) {
                return;
            }
        }
        talk.done();
    })
}

/// What espeak-ng makes of `text` in another voice than the assistant's, at 48 kHz.
fn voice(rig: &Rig, text: &str) -> Vec<f32> {
    let clip = rig.clip(text);
    let mut reader = hound::WavReader::open(&clip).unwrap();
    let format = hark::audio::Format {
        rate: reader.spec().sample_rate,
        channels: 1,
    };
    let samples: Vec<f32> = reader
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_768.0)
        .collect();
    let mut resampler = hark::audio::resample::Resampler::new(format, 48_000).unwrap();
    let mut out = Vec::new();
    resampler.push(&samples, &mut out);
    resampler.finish(&mut out);
    out
}

/// What happened in one room.
#[derive(Debug)]
struct Figures {
    /// Until cancellation was trusted, of our own speech.
    #[allow(dead_code, reason = "printed")]
    learnt_ms: usize,
    /// From the user's first sound to the last one of ours, rig included.
    silent_ms: Vec<usize>,
    /// From the user's first sound to the duck's command.
    ducked_ms: Vec<u128>,
    /// Times that the daemon fell silent, or ended, for its own voice.
    held_for_itself: usize,
}

/// One room: the daemon tells a story, learns the room, and is interrupted `times` times.
fn converse(acoustics: Acoustics, times: usize) -> Option<Figures> {
    let rig = Rig::up();
    let server = storyteller(60);
    let question = voice(&rig, "tell me a story");
    let interruption = voice(&rig, "stop, tell me another story");
    let room = Room::new(acoustics);
    let mut daemon = Daemon::start(&server, &[]);
    room.wait_for(200);
    room.say(&question);
    daemon.expect(60, is("speaking"));
    let begun = room.now();
    // A machine that is too busy to keep the rig's pipes flowing changes the echo's delay all the time: no cancellation copes
    // with that, and the daemon then keeps to the wake phrase.
    daemon.find(40, says("speak into an answer"))?;
    let mut figures = Figures {
        learnt_ms: (room.now() - begun) * 10,
        silent_ms: Vec::new(),
        ducked_ms: Vec::new(),
        held_for_itself: 0,
    };
    for _ in 0..times {
        room.wait_for(300);
        figures.held_for_itself += noted("held");
        notes().clear();
        let onset = room.say(&interruption);
        let first = interruption
            .iter()
            .position(|s| s.abs() > 0.02)
            .unwrap_or(0);
        let spoken = Instant::now() + Duration::from_millis(first as u64 / 48);
        daemon.expect(40, is("barge_in"));
        room.wait_for(60);
        let silent = room.silent_after(onset).expect("it falls silent");
        figures.silent_ms.push((silent - onset) * 10);
        let ducked = notes()
            .iter()
            .find(|(_, note)| note == "ducked")
            .map(|(at, _)| *at);
        figures
            .ducked_ms
            .extend(ducked.map(|at| at.saturating_duration_since(spoken).as_millis()));
        daemon.expect(60, is("speaking"));
        notes().clear();
    }
    Some(figures)
}

/// The rooms of the matrix: a quiet loudspeaker, a usual one, a loud one, and a usual one in noise.
const ROOMS: [(&str, Acoustics); 4] = [
    ("gain 0.1", room(0.1, 0.000_3)),
    ("gain 0.3", room(0.3, 0.000_3)),
    ("gain 0.8", room(0.8, 0.000_3)),
    ("gain 0.3, noise 0.01", room(0.3, 0.01)),
];

const fn room(gain: f32, noise: f32) -> Acoustics {
    Acoustics {
        gain,
        delay_ms: 20,
        noise,
        linear_to: 1.0,
    }
}

fn long_tests() -> bool {
    let wanted = std::env::var_os("HARK_LONG_TESTS").is_some();
    if !wanted {
        eprintln!("skipped: takes minutes; HARK_LONG_TESTS=1 runs it");
    }
    wanted
}

#[test]
fn a_user_interrupts_an_answer_from_the_loudspeaker_and_our_own_voice_does_not() {
    // Experimental and off by default: it does not converge on every machine under load.
    if !long_tests() {
        return;
    }
    let figures = (0..3)
        .find_map(|_| converse(ROOMS[1].1, 1))
        .expect("cancellation converges in one of three attempts");
    eprintln!("{}: {figures:?}", ROOMS[1].0);
    assert_eq!(figures.silent_ms.len(), 1);
    // The machine may be slow; the figures belong into the README.
    assert!(figures.silent_ms[0] < 2_000, "{figures:?}");
    assert_eq!(figures.held_for_itself, 0, "{figures:?}");
}

#[test]
fn a_user_interrupts_at_three_gains_and_in_noise() {
    if !long_tests() {
        return;
    }
    for (name, acoustics) in ROOMS {
        let figures = (0..3)
            .find_map(|_| converse(acoustics, 4))
            .expect("cancellation converges in one of three attempts");
        eprintln!("{name}: {figures:?}");
        assert_eq!(figures.silent_ms.len(), 4, "{name}");
        assert_eq!(figures.held_for_itself, 0, "{name}");
    }
}

#[test]
fn ten_minutes_of_its_own_voice_do_not_interrupt_it() {
    if !long_tests() {
        return;
    }
    let minutes: usize = std::env::var("HARK_OWN_VOICE_MINUTES")
        .ok()
        .and_then(|minutes| minutes.parse().ok())
        .unwrap_or(10);
    let rig = Rig::up();
    let server = storyteller(160);
    let question = voice(&rig, "tell me a story");
    let room = Room::new(ROOMS[1].1);
    // Ten minutes of words are more than an answer may have by default.
    let mut daemon = Daemon::start(&server, &[("HARK_LLM_MAX_TOKENS", "4000")]);
    room.wait_for(200);
    room.say(&question);
    daemon.expect(60, is("speaking"));
    let began = Instant::now();
    let length = Duration::from_secs(60 * minutes as u64);
    while began.elapsed() < length {
        daemon.find(10, |_| false);
        assert_eq!(
            daemon.count("turn"),
            0,
            "it ended early: {:?}",
            daemon.seen.last()
        );
    }
    eprintln!(
        "{minutes} minutes of its own voice: {} interruptions, {} times held, {} times ducked, {} transcripts",
        daemon.count("barge_in"),
        noted("held"),
        noted("ducked"),
        daemon.count("transcript") - 1,
    );
    assert_eq!((daemon.count("barge_in"), noted("held")), (0, 0));
}

#[test]
fn a_distorting_loudspeaker_leaves_the_wake_phrase_and_says_so() {
    if !long_tests() {
        return;
    }
    let rig = Rig::up();
    let server = storyteller(60);
    let question = voice(&rig, "tell me a story");
    let room = Room::new(Acoustics {
        gain: 12.0,
        linear_to: 0.02,
        ..ROOMS[1].1
    });
    let mut daemon = Daemon::start(&server, &[]);
    room.wait_for(200);
    room.say(&question);
    daemon.expect(60, is("speaking"));
    let told = daemon.expect(60, says("echo cancellation"));
    eprintln!("a distorting loudspeaker: {}", told["change"]);
    daemon.find(10, |_| false);
    eprintln!(
        "and in 10 s after that: {} times held, {} interruptions",
        noted("held"),
        daemon.count("barge_in")
    );
    assert_eq!(daemon.count("barge_in"), 0);
}

/// From the call to the sound in the room: the block that is being played, the device's buffer, the ramp, the rig's pipe.
#[test]
fn ducking_and_holding_are_heard_at_once() {
    let _rig = Rig::up();
    let room = Room::new(room(0.0, 0.0));
    let mut speaker = Loudspeaker::open("default").unwrap();
    let sound = tone::sine(8.0);
    let mut written = 0;
    let mut feed = |speaker: &mut Loudspeaker, pieces: usize| {
        let until = room.now() + pieces;
        while room.now() < until {
            let end = sound.len().min(written + 4_800);
            written += speaker
                .write(&sound[written..end], Duration::from_millis(5))
                .unwrap();
        }
    };
    feed(&mut speaker, 60);
    let mut figures = Vec::new();
    for (level, reached) in [(Level::Ducked, 0.11_f32), (Level::Held, 0.001)] {
        speaker.set_level(Level::Full);
        feed(&mut speaker, 60);
        let asked = room.now();
        speaker.set_level(level);
        feed(&mut speaker, 60);
        let played = room.played_since(asked);
        let first = played.iter().position(|peak| *peak <= reached);
        let first = first.unwrap_or_else(|| panic!("{level:?} is not heard: {played:?}"));
        assert!(first < 60, "{level:?} after {first} pieces");
        figures.push((level, first * 10));
    }
    eprintln!("from the command to the sound in the room, ms: {figures:?}");
    speaker.flush().unwrap();
}
