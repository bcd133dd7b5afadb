//! A home in a temporary folder, spoken questions made at test time, a daemon on its own thread, and readers of sound.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hark::audio::decode::{Input as Encoded, decode_mono};
use hark::config::{self, Config, Places, Request};
use hark::daemon::conductor::{Summary, Until};
use hark::daemon::events::{Line, Sink};
use hark::daemon::{Input, Output, Pace, Plan, Wake, run_until};
use hark::transcribe::whisper::{Whisper, WhisperSettings};
use hark::transcribe::{Abort, TranscribeOptions, Transcriber};
use hark::transcripts::{ListRequest, Reader, StoredTurn};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The longest that anything here may take: a busy machine with two cores needs a tenth of it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The model that the tests run on: `$HARK_TEST_MODEL`, or the starter in `models/`.
pub fn model() -> PathBuf {
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter.en.bin");
    let named = std::env::var_os("HARK_TEST_MODEL").map(PathBuf::from);
    let model = named.unwrap_or(starter);
    assert!(
        model.is_file(),
        "no speech model at {}: set HARK_TEST_MODEL to one",
        model.display()
    );
    model
}

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// A home of its own for one daemon, gone with the value.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn places(&self) -> Places {
        Places {
            config_file: self.path("config.toml"),
            state: self.folder.path().to_owned(),
            home: self.folder.path().to_owned(),
        }
    }

    /// The settings as a user's environment would make them: the test model, no language model, then `settings`.
    pub fn config(&self, settings: &[(&str, &str)]) -> Config {
        let model = model().display().to_string();
        let own = [
            ("HARK_STT_MODEL", model.as_str()),
            ("HARK_LLM_BACKEND", "none"),
        ];
        let environment = own
            .iter()
            .chain(settings)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let request = Request {
            flags: Vec::new(),
            environment,
        };
        config::load(&self.places(), &request).unwrap().0
    }

    /// A fast run over `input` until it ends, answers in `answer.wav`.
    pub fn plan(&self, config: Config, input: &Path) -> Plan {
        Plan {
            config,
            places: self.places(),
            input: Input::File {
                path: input.to_owned(),
                pace: Pace::Fast,
            },
            output: Output::File {
                path: self.answer(),
                pace: Pace::Fast,
            },
            wake: Wake::EveryUtterance,
            until: Until::InputEnds,
            keep_records: true,
        }
    }

    pub fn answer(&self) -> PathBuf {
        self.path("answer.wav")
    }

    /// What is in the log, oldest first.
    pub fn records(&self) -> Vec<StoredTurn> {
        let log = Reader::open(&self.places().transcripts()).expect("there is a log");
        let everything = ListRequest {
            limit: usize::MAX,
            ..ListRequest::default()
        };
        let mut turns = log.list(&everything).expect("the log is read");
        turns.reverse();
        turns
    }

    /// The sentences spoken one after another, `gap` between them, as a file.
    pub fn spoken(&self, sentences: &[&str], gap: Duration) -> PathBuf {
        let mut samples = Vec::new();
        let mut spec = None;
        for (number, sentence) in sentences.iter().enumerate() {
            let clip = self.path(&format!("clip{number}.wav"));
            speak(sentence, &clip);
            let mut reader = hound::WavReader::open(&clip).unwrap();
            let rate = reader.spec().sample_rate;
            spec = Some(reader.spec());
            if number > 0 {
                let silence = (gap.as_secs_f64() * f64::from(rate)) as usize;
                samples.resize(samples.len() + silence, 0_i16);
            }
            samples.extend(reader.samples::<i16>().map(Result::unwrap));
        }
        let path = self.path("questions.wav");
        let mut writer =
            hound::WavWriter::create(&path, spec.expect("there are sentences")).unwrap();
        for sample in samples {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        path
    }
}

fn speak(sentence: &str, path: &Path) {
    let status = Command::new("espeak-ng")
        .args(["-v", "en-us", "-s", "150", "-w"])
        .arg(path)
        .arg(sentence)
        .status()
        .expect("these tests speak with espeak-ng: install it");
    assert!(status.success(), "espeak-ng says {sentence:?}: {status}");
}

/// An event, as scripts get it, and when it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub when: Instant,
    pub json: Value,
}

impl Seen {
    pub fn name(&self) -> &str {
        self.json["event"].as_str().expect("every event has a name")
    }

    pub fn text(&self) -> &str {
        self.json["text"].as_str().unwrap_or_default()
    }
}

#[derive(Default)]
struct Events {
    seen: Mutex<Vec<Seen>>,
    more: Condvar,
}

/// A daemon that runs on a thread of its own.
pub struct Running {
    events: Arc<Events>,
    stop: CancellationToken,
    thread: JoinHandle<anyhow::Result<Summary>>,
}

/// How a daemon ended.
pub struct Ended {
    pub summary: Summary,
    pub events: Vec<Seen>,
}

impl Running {
    pub fn start(plan: Plan) -> Self {
        Self::start_with(move |sink, stop| async move { run_until(plan, sink, stop).await })
    }

    /// Runs what `daemon` makes of a sink for events and a token that stops it.
    pub fn start_with<F>(daemon: impl FnOnce(Sink, CancellationToken) -> F + Send + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<Summary>>,
    {
        let events = Arc::new(Events::default());
        let stop = CancellationToken::new();
        let (tell, token) = (Arc::clone(&events), stop.clone());
        let sink: Sink = Box::new(move |line: &Line| {
            let json = serde_json::to_value(line).expect("an event is JSON");
            let when = Instant::now();
            tell.seen.lock().unwrap().push(Seen { when, json });
            tell.more.notify_all();
        });
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?
                .block_on(daemon(sink, token))
        });
        Self {
            events,
            stop,
            thread,
        }
    }

    /// Waits for the first event that `matches`.
    pub fn wait_for(&self, what: &str, matches: impl Fn(&Seen) -> bool) -> Seen {
        let by = Instant::now() + PATIENCE;
        let mut seen = self.events.seen.lock().unwrap();
        loop {
            if let Some(found) = seen.iter().find(|seen| matches(seen)) {
                return found.clone();
            }
            let left = by.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !self.thread.is_finished(),
                "{what} did not come; what came: {seen:#?}"
            );
            let nap = left.min(Duration::from_millis(200));
            seen = self.events.more.wait_timeout(seen, nap).unwrap().0;
        }
    }

    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for its end, which must be a good one.
    pub fn ended(self) -> Ended {
        let (summary, events) = self.outcome();
        Ended {
            summary: summary.expect("the daemon runs"),
            events,
        }
    }

    /// Waits for its end.
    pub fn outcome(self) -> (anyhow::Result<Summary>, Vec<Seen>) {
        let by = Instant::now() + PATIENCE;
        while !self.thread.is_finished() {
            assert!(
                Instant::now() < by,
                "the daemon did not end; what came: {:#?}",
                self.events.seen.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let outcome = self.thread.join().expect("the daemon does not panic");
        (
            outcome,
            std::mem::take(&mut self.events.seen.lock().unwrap()),
        )
    }
}

impl Ended {
    /// The events of that name, in order.
    pub fn named(&self, name: &str) -> Vec<&Seen> {
        self.events
            .iter()
            .filter(|seen| seen.name() == name)
            .collect()
    }

    /// The texts of the events of that name, in order.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.named(name).iter().map(|seen| seen.text()).collect()
    }
}

/// 16-bit samples of a WAV file.
pub fn samples(path: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(path).expect("a WAV file");
    reader.samples::<i16>().map(Result::unwrap).collect()
}

/// Root of the mean square of samples in −1..1.
pub fn rms(samples: &[i16]) -> f64 {
    let sum: f64 = samples
        .iter()
        .map(|sample| (f64::from(*sample) / 32_768.0).powi(2))
        .sum();
    (sum / samples.len().max(1) as f64).sqrt()
}

/// What the test model understands of a sound file, lower case and words only.
pub fn understood(path: &Path) -> String {
    let sound = decode_mono(Encoded::File(path), &mut |_| {}).expect("it decodes");
    plain(&transcripts_of(&[&sound.samples]).remove(0))
}

/// What the test model understands of each of these sounds (16 kHz, mono).
pub fn transcripts_of(sounds: &[&[f32]]) -> Vec<String> {
    let settings = WhisperSettings {
        threads: 1,
        gpu: false,
        flash_attention: false,
        ..WhisperSettings::default()
    };
    let mut whisper = Whisper::load("test", &model(), settings).expect("the test model loads");
    let options = TranscribeOptions {
        language: "en".to_owned(),
        timestamps: false,
    };
    let mut heard = |samples: &&[f32]| {
        whisper
            .transcribe(samples, &options, &Abort::default())
            .expect("it is transcribed")
            .text
            .as_str()
            .to_owned()
    };
    sounds.iter().map(&mut heard).collect()
}

pub fn plain(text: &str) -> String {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The times of a receipt that happened, in the order of the stages.
pub fn times(receipt: &Value) -> Vec<(&'static str, i64)> {
    [
        "endpoint_ms",
        "transcript_ms",
        "llm_request_ms",
        "first_token_ms",
        "first_clause_ms",
        "first_sample_ms",
        "first_audio_ms",
    ]
    .into_iter()
    .filter_map(|stage| Some((stage, receipt[stage].as_i64()?)))
    .collect()
}

/// Asserts that no stage is before the one that it follows. What is begun in a pause of the user may be done before the turn
/// is decided; only its sound may not.
pub fn assert_in_order(receipt: &Value) {
    let times = times(receipt);
    let (ended, rest): (Vec<_>, Vec<_>) = times
        .iter()
        .copied()
        .partition(|(stage, _)| *stage == "endpoint_ms");
    assert!(rest.windows(2).all(|two| two[0].1 <= two[1].1), "{times:?}");
    let audio = rest.iter().find(|(stage, _)| *stage == "first_audio_ms");
    if let ([(_, ended)], Some((_, audio))) = (&ended[..], audio) {
        assert!(ended <= audio, "heard before it was decided: {times:?}");
    }
}
