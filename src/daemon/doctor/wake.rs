//! The wake phrase: its model (there, whole), and whether it hears the phrase when the voice of this machine says it.

use std::ops::ControlFlow;
use std::time::Duration;

use super::bounded::within;
use super::{Check, Setup};
use crate::audio::Format;
use crate::audio::resample::Resampler;
use crate::config::Config;
use crate::config::resolved::Voice;
use crate::daemon::parts;
use crate::dialogue::WakeLevels;
use crate::hearing::WakeDetector;
use crate::time::{FRAME_SAMPLES, SAMPLE_RATE};

/// Whether the phrase is heard.
#[must_use]
pub fn check(setup: &Setup) -> Check {
    let wake = &setup.config.wake;
    if !wake.enabled {
        return Check::skip(NAME, "wake.enabled is false: only the key opens a turn");
    }
    let entry = match parts::library(&setup.places).wake(&wake.phrase) {
        Ok(Some(entry)) => entry,
        Ok(None) if wake.threshold.is_some() => {
            return Check::warn(
                NAME,
                format!(
                    "wake.threshold has no effect: there is no wake model for \"{}\"",
                    wake.phrase
                ),
                format!(
                    "remove wake.threshold from the file that `hark config path` names, or make a model: `make train-wake \
                     PHRASE=\"{}\"`",
                    wake.phrase
                ),
            );
        }
        Ok(None) => {
            return Check::ok(
                NAME,
                format!(
                    "there is no wake model for \"{}\": the phrase is looked for in the words of all speech, which takes more of \
                     the processor",
                    wake.phrase
                ),
            );
        }
        Err(error) => return damaged(&error.to_string(), &wake.phrase),
    };
    let (config, places) = (setup.config.clone(), setup.places.clone());
    let tested = within(TESTING, move || {
        let word = parts::wake_word(&config, &places)?;
        Some((word.levels, hear(word.detector, &config)))
    });
    match tested {
        Err(stuck) => damaged(
            &format!("the wake model does not come to an end: {stuck}"),
            &wake.phrase,
        ),
        Ok(None) => damaged(
            &format!("the wake model {} cannot be loaded", entry.path.display()),
            &wake.phrase,
        ),
        Ok(Some((_, Err(why)))) => Check::ok(
            NAME,
            format!(
                "the model for \"{}\" loads; it was not tested, because {why}",
                wake.phrase
            ),
        ),
        Ok(Some((levels, Ok(scores)))) => judge(&wake.phrase, scores, levels),
    }
}

fn damaged(why: &str, phrase: &str) -> Check {
    Check::warn(
        NAME,
        format!("{why}; until then the phrase is looked for in the words of all speech"),
        format!("install Hark again, or in a checkout `make train-wake PHRASE=\"{phrase}\"`"),
    )
}

/// The highest scores of the self-test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// While the phrase was said.
    pub said: f32,
    /// In two seconds of silence.
    pub silence: f32,
}

/// Lets the voice of this machine say the phrase to the model.
fn hear(mut detector: Box<dyn WakeDetector>, config: &Config) -> Result<Scores, String> {
    if config.tts.engine == Voice::None {
        return Err("tts.engine is \"none\": nobody says the phrase".to_owned());
    }
    let mut silence = vec![0.0; 2 * SAMPLE_RATE as usize];
    let quiet = highest(detector.as_mut(), &silence);
    let phrase = say(config)?;
    detector.reset();
    // The score rises when the phrase ends.
    silence.truncate(SAMPLE_RATE as usize);
    let spoken: Vec<f32> = [silence.as_slice(), &phrase, &silence].concat();
    Ok(Scores {
        said: highest(detector.as_mut(), &spoken),
        silence: quiet,
    })
}

/// What the voice detector would say: the model itself is tested, and it sleeps while nobody speaks.
const SPEECH: f32 = 1.0;

fn highest(detector: &mut dyn WakeDetector, samples: &[f32]) -> f32 {
    samples
        .as_chunks::<FRAME_SAMPLES>()
        .0
        .iter()
        .filter_map(|frame| detector.score(frame, SPEECH))
        .fold(0.0, f32::max)
}

/// The phrase as the voice says it, at 16 kHz.
fn say(config: &Config) -> Result<Vec<f32>, String> {
    let mut voice = parts::voice(config).map_err(|error| error.to_string())?;
    let mut samples = Vec::new();
    let mut rate = 0;
    let said = voice.synthesize(&config.wake.phrase, &mut |piece| {
        rate = piece.rate;
        samples.extend_from_slice(piece.samples);
        ControlFlow::Continue(())
    });
    said.map_err(|error| error.to_string())?;
    let format = Format { rate, channels: 1 };
    let mut resampler = Resampler::new(format, SAMPLE_RATE).map_err(|error| error.to_string())?;
    let mut converted = Vec::new();
    resampler.push(&samples, &mut converted);
    resampler.finish(&mut converted);
    Ok(converted)
}

/// Judges the scores.
#[must_use]
pub fn judge(phrase: &str, scores: Scores, levels: WakeLevels) -> Check {
    let (said, certain) = (scores.said, levels.certain);
    if scores.silence >= levels.propose {
        return Check::warn(
            NAME,
            format!(
                "the wake model scores {:.2} in silence: it would wake for nothing",
                scores.silence
            ),
            format!(
                "make the model again: `make train-wake PHRASE=\"{phrase}\"`; until then set wake.threshold higher"
            ),
        );
    }
    if said < levels.propose {
        return Check::warn(
            NAME,
            format!(
                "the wake model does not hear \"{phrase}\" from the voice of this machine: {said:.2}, and it counts from {certain:.2}"
            ),
            format!(
                "say it yourself and watch `hark events`; lower wake.threshold if it is missed, or make a model of your own: \
                 `make train-wake PHRASE=\"{phrase}\"`"
            ),
        );
    }
    if said < certain {
        return Check::ok(
            NAME,
            format!(
                "the wake model finds \"{phrase}\" likely ({said:.2}, certain from {certain:.2}): its words decide"
            ),
        );
    }
    Check::ok(
        NAME,
        format!(
            "the wake model hears \"{phrase}\" from the voice of this machine ({said:.2}, certain from {certain:.2})"
        ),
    )
}

const NAME: &str = "wake_model";

/// A model of some kilobytes and three seconds of sound.
const TESTING: Duration = Duration::from_secs(20);
