//! The speech model (present, whole, understands a bundled clip) and the voice (makes samples).

use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::bounded::within;
use super::{Check, Setup, Status, shell, size};
use crate::config::Config;
use crate::config::resolved::Voice;
use crate::daemon::parts;
use crate::models::{self, Library, ModelError, Verified, manifest};
use crate::platform;
use crate::platform::clock::Clock;
use crate::speak::SpeakError;
use crate::transcribe::{Abort, TranscribeError, TranscribeOptions, ggml};

/// All checks of this group. Takes as long as loading the model, about a second.
#[must_use]
pub fn checks(setup: &Setup) -> Vec<Check> {
    let model = speech_model(setup);
    let test = if model.status == Status::Fail {
        Check::skip("speech_self_test", "there is no speech model to test")
    } else {
        self_test(setup)
    };
    vec![
        model,
        test,
        voice(&setup.config),
        super::voices::check(setup),
        super::wake::check(setup),
    ]
}

/// Whether the speech model is here and whole.
#[must_use]
pub fn speech_model(setup: &Setup) -> Check {
    const NAME: &str = "speech_model";
    let library = parts::library(&setup.places);
    let language = setup.config.stt.language.clone();
    let (name, path) = match parts::speech_model(&setup.config, &setup.places) {
        Ok(found) => found,
        Err(error) => return unusable(&error, &library, &language),
    };
    let (work, asked) = (library.clone(), name.clone());
    let file = path.clone();
    let checked = within(READING, move || {
        let verified = work.verify(&asked, &mut |_, _| {})?;
        Ok((verified, structure(&file)))
    });
    match checked {
        Err(stuck) => Check::fail(
            NAME,
            format!("{} cannot be read: {stuck}", path.display()),
            format!("see whether its disk answers: `ls -l {}`", shell(&path)),
        ),
        Ok(Err(error)) => unusable(&error, &library, &language),
        Ok(Ok((_, Err(reason)))) => {
            let error = ModelError::Damaged { name, path, reason };
            unusable(&error, &library, &language)
        }
        Ok(Ok((verified, Ok(())))) => sound(&name, &path, &verified, &language),
    }
}

/// Walks the file's structure: a truncated file of unknown hash shows here.
fn structure(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    ggml::inspect(&mut BufReader::new(file)).map(drop)
}

fn sound(name: &str, path: &Path, verified: &Verified, language: &str) -> Check {
    const NAME: &str = "speech_model";
    let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let proof = match verified {
        Verified::Known => "its SHA-256 is the published one",
        Verified::Pinned => "its SHA-256 is that of its first download",
        Verified::Unknown { .. } => "whole; no hash is known to compare it with",
    };
    let detail = format!("{name}, {} at {}: {proof}", size(bytes), path.display());
    if name == models::STARTER {
        return Check::warn(
            NAME,
            format!(
                "{detail}. This is the bundled starter: it knows what people say to an assistant, from few voices"
            ),
            format!("for real use: `hark models pull {}`", recommended(language)),
        );
    }
    Check::ok(NAME, detail)
}

/// A model that helps most people and runs everywhere.
fn recommended(language: &str) -> &'static str {
    if language == "en" { "base.en" } else { "base" }
}

fn unusable(error: &ModelError, library: &Library, language: &str) -> Check {
    let pull = format!("`hark models pull {}`", recommended(language));
    let remedy = match error {
        ModelError::Unknown { .. } => {
            "correct stt.model; `hark models list` shows the names".to_owned()
        }
        ModelError::NotHere { name } => format!("`hark models pull {name}`"),
        ModelError::StarterMissing { .. } | ModelError::Bundled { .. } => {
            format!("{pull}, or install Hark again")
        }
        ModelError::Damaged { name, path, .. } => damaged(name, path, library, &pull),
        ModelError::Io { path, .. } => {
            format!("see owner and mode with `ls -l {}`", shell(path))
        }
    };
    Check::fail("speech_model", error.to_string(), remedy)
}

fn damaged(name: &str, path: &Path, library: &Library, pull: &str) -> String {
    match manifest::find(name) {
        Some(info) if info.bundled => format!("{pull}, or install Hark again"),
        Some(_) if path.starts_with(library.folder()) => {
            format!("`hark models remove {name} && hark models pull {name}`")
        }
        Some(_) => format!("`rm {} && hark models pull {name}`", shell(path)),
        None => {
            format!("replace the file that stt.model names, or leave stt.model away and {pull}")
        }
    }
}

/// Loads the model as the daemon does and lets it hear the bundled question.
#[must_use]
pub fn self_test(setup: &Setup) -> Check {
    const NAME: &str = "speech_self_test";
    let test = setup.clone();
    let pull = recommended(&setup.config.stt.language);
    match within(TRANSCRIBING, move || understand(&test)) {
        Err(stuck) => Check::fail(
            NAME,
            format!("the speech model does not come to an end: {stuck}"),
            format!("use a smaller model: `hark models pull {pull}`, then set stt.model to it"),
        ),
        Ok(Err(error)) => refused(&error, &setup.config),
        Ok(Ok(test)) => understood(&test, pull),
    }
}

/// What the self-test brought.
#[derive(Debug, Clone, PartialEq)]
pub struct SelfTest {
    /// The words of the bundled clip as the model understood them: nobody's private words.
    pub words: String,
    /// Loading and warming up.
    pub load: Duration,
    /// The transcription alone.
    pub elapsed: Duration,
}

fn understand(setup: &Setup) -> anyhow::Result<SelfTest> {
    let clock = Clock::start();
    let began = clock.now();
    let mut transcriber = parts::transcriber(&setup.config, &setup.places)?;
    let load = clock.now().since(began);
    let samples = parts::question_for_transcriber()?;
    // The clip is English whatever the user speaks, and every model knows English.
    let options = TranscribeOptions::default();
    let heard = transcriber.transcribe(&samples, &options, &Abort::default())?;
    Ok(SelfTest {
        words: heard.text.into_inner(),
        load,
        elapsed: heard.elapsed,
    })
}

/// Compares what was understood with what was said.
#[must_use]
pub fn understood(test: &SelfTest, pull: &str) -> Check {
    const NAME: &str = "speech_self_test";
    let (said, heard) = (normalized(parts::QUESTION_WORDS), normalized(&test.words));
    let right = said.iter().filter(|word| heard.contains(word)).count();
    let took = format!(
        "loaded in {:.1} s, heard in {:.2} s",
        test.load.as_secs_f64(),
        test.elapsed.as_secs_f64()
    );
    let told = format!(
        "of the bundled clip \"{}\" it understood \"{}\" ({took})",
        parts::QUESTION_WORDS,
        heard.join(" ")
    );
    let better = format!("`hark models pull {pull}`, then run `hark doctor` again");
    if right * 2 < said.len() {
        return Check::fail(NAME, told, better);
    }
    if said != heard {
        return Check::warn(NAME, told, better);
    }
    if test.elapsed >= SLOW {
        return Check::warn(
            NAME,
            format!("it understands, but slowly: {told}"),
            "use a smaller model (`hark models list`, then set stt.model), or end what keeps the processor busy (`top`)",
        );
    }
    Check::ok(
        NAME,
        format!("understood every word of the bundled clip ({took})"),
    )
}

fn normalized(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn refused(error: &anyhow::Error, config: &Config) -> Check {
    let pull = recommended(&config.stt.language);
    let remedy = match error.downcast_ref::<TranscribeError>() {
        Some(TranscribeError::Language { .. }) => {
            format!("`hark models pull {pull}`, or correct stt.language")
        }
        _ => format!(
            "`hark models verify`, then `hark models pull {pull}` if the file is not what it should be"
        ),
    };
    Check::fail("speech_self_test", format!("{error:#}"), remedy)
}

/// Whether the voice opens and makes sound.
#[must_use]
pub fn voice(config: &Config) -> Check {
    const NAME: &str = "voice";
    if config.tts.engine == Voice::None {
        return Check::ok(
            NAME,
            "tts.engine is \"none\": answers are only written, as it is set",
        );
    }
    let settings = config.clone();
    match within(SPEAKING, move || speak(&settings)) {
        Err(stuck) => Check::fail(
            NAME,
            format!("the voice does not answer: {stuck}"),
            "choose another tts.engine in the file that `hark config path` names",
        ),
        Ok(Err(error)) => mute(&error),
        Ok(Ok(said)) if said.seconds < SHORTEST_WORD => Check::fail(
            NAME,
            format!("{} opens but makes no sound", said.engine),
            install_voice(),
        ),
        Ok(Ok(said)) => Check::ok(
            NAME,
            format!(
                "{} says a word of {:.1} s; its first sound came after {} ms, all after {} ms",
                said.engine,
                said.seconds,
                said.first.as_millis(),
                said.all.as_millis()
            ),
        ),
    }
}

struct Said {
    engine: &'static str,
    seconds: f64,
    first: Duration,
    all: Duration,
}

fn speak(config: &Config) -> Result<Said, SpeakError> {
    let mut voice = parts::voice(config)?;
    let clock = Clock::start();
    let began = clock.now();
    let mut seconds = 0.0;
    let mut first = None;
    voice.synthesize("hello", &mut |piece| {
        // A voice that gives zeros is mute.
        if piece.samples.iter().any(|sample| *sample != 0.0) {
            first.get_or_insert_with(|| clock.now().since(began));
            seconds += piece.samples.len() as f64 / f64::from(piece.rate.max(1));
        }
        ControlFlow::Continue(())
    })?;
    let all = clock.now().since(began);
    Ok(Said {
        engine: voice.engine(),
        seconds,
        first: first.unwrap_or(all),
        all,
    })
}

fn mute(error: &SpeakError) -> Check {
    let remedy = match error {
        SpeakError::NoVoice { .. } => {
            "name a voice that the engine has (`espeak-ng --voices`, on macOS `say -v '?'`) in tts.voice, or leave it away"
                .to_owned()
        }
        SpeakError::Unavailable { .. } | SpeakError::Failed { .. } => install_voice(),
    };
    Check::fail("voice", error.to_string(), remedy)
}

fn install_voice() -> String {
    format!(
        "`{}`, or choose another tts.engine",
        platform::install_command("espeak-ng")
    )
}

/// Hashing 1.6 GB takes 4 s from a solid disk; a disk that needs longer than this hangs.
const READING: Duration = Duration::from_secs(60);
/// Loading the largest model takes some seconds, longer when the GPU's code is compiled at the first start.
const TRANSCRIBING: Duration = Duration::from_secs(90);
/// One word; a large system voice is loaded first.
const SPEAKING: Duration = Duration::from_secs(15);
/// Transcribing the clip should take no longer: from here on every answer feels late.
const SLOW: Duration = Duration::from_secs(2);
/// "hello" lasts about half a second.
const SHORTEST_WORD: f64 = 0.1;
