//! The listening loop with the real model: a source in, utterances out.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hark::audio::file::{WavSource, WavSourceSettings};
use hark::audio::{AudioSource, CaptureError, Captured, Format};
use hark::flow::Utterance;
use hark::hearing::listen::{self, EarEvent, ListenControl, ListenSettings, Listener};
use hark::hearing::vad::SileroVad;
use hark::platform::clock::Clock;
use hark::time::Anchor;

use crate::clips::{RATE, clip, noise, questions_at, render};

pub const MONO: Format = Format {
    rate: RATE,
    channels: 1,
};

pub type Heard = Vec<(EarEvent, Anchor)>;

pub fn never() -> listen::Reopen {
    Box::new(|| Err(CaptureError::NoDevice { name: None }))
}

pub fn source(samples: Vec<f32>, format: Format) -> Box<dyn AudioSource> {
    Box::new(WavSource::new("test", samples, format, WavSourceSettings::default()).unwrap())
}

/// Listens to the end on this thread.
pub fn hear_source(source: Box<dyn AudioSource>, settings: ListenSettings) -> Heard {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&heard);
    let tell: listen::Tell = Box::new(move |event, anchor| {
        sink.lock().unwrap().push((event, anchor));
        ControlFlow::Continue(())
    });
    let vad = Box::new(SileroVad::new().unwrap());
    Listener::new(
        vad,
        settings,
        Clock::start(),
        ListenControl::default(),
        never(),
        tell,
    )
    .run(source);
    std::mem::take(&mut *heard.lock().unwrap())
}

pub fn hear(samples: Vec<f32>, format: Format) -> Heard {
    hear_source(source(samples, format), ListenSettings::default())
}

pub fn utterances(heard: &Heard) -> Vec<Utterance> {
    heard
        .iter()
        .filter_map(|(event, _)| match event {
            EarEvent::Utterance(utterance) => Some(utterance.clone()),
            _ => None,
        })
        .collect()
}

/// Each utterance lies where its question was spoken, to within the model's own inertia.
fn expect_questions(heard: &Heard, shift: f64) {
    let found = utterances(heard);
    let spoken = questions_at();
    assert_eq!(
        found.len(),
        spoken.len(),
        "{:?}",
        found.iter().map(|u| u.span).collect::<Vec<_>>()
    );
    for (utterance, (start, end)) in found.iter().zip(spoken) {
        let speech = (
            utterance.speech.start.seconds() - shift,
            utterance.speech.end.seconds() - shift,
        );
        assert!(
            (speech.0 - start).abs() < 0.15,
            "begins at {speech:?}, was spoken at {start:.2}"
        );
        assert!(
            (speech.1 - end).abs() < 0.25,
            "ends at {speech:?}, was spoken until {end:.2}"
        );
        assert!(
            utterance.span.start.seconds() - shift <= start.max(0.0) + 0.01,
            "the first sound is inside"
        );
        assert_eq!(utterance.samples.len() as u64, utterance.span.samples());
    }
}

#[test]
fn three_questions_separated_by_silence_are_three_utterances_in_their_places() {
    let heard = hear(clip("questions3.wav"), MONO);
    expect_questions(&heard, 0.0);
    assert!(
        utterances(&heard)
            .iter()
            .all(|utterance| utterance.lost == 0)
    );
    assert!(matches!(
        heard.first(),
        Some((EarEvent::Ready { format: MONO }, _))
    ));
    assert!(matches!(heard.last(), Some((EarEvent::Ended, _))));
}

#[test]
fn every_rate_and_channel_count_of_a_device_gives_the_same_utterances() {
    let mono = clip("questions3.wav");
    for (rate, channels) in [
        (8_000, 1),
        (22_050, 1),
        (44_100, 2),
        (48_000, 1),
        (48_000, 6),
        (96_000, 2),
    ] {
        let format = Format { rate, channels };
        expect_questions(&hear(render(&mono, format), format), 0.0);
    }
}

#[test]
fn speech_that_starts_with_the_first_sample_is_whole() {
    let question = clip("question.wav");
    let begin = question
        .iter()
        .position(|sample| sample.abs() > 0.02)
        .unwrap();
    let question = question[begin..].to_vec();
    let found = utterances(&hear(question.clone(), MONO));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].span.start.0, 0);
    let all = question.len().min(found[0].samples.len());
    assert!(
        found[0].samples[..all] == question[..all],
        "not a sample of it was changed"
    );
}

#[test]
fn the_samples_of_an_utterance_are_those_of_the_source() {
    let clip = clip("questions3.wav");
    for utterance in utterances(&hear(clip.clone(), MONO)) {
        let start = utterance.span.start.0 as usize;
        let end = (utterance.span.end.0 as usize).min(clip.len());
        assert!(utterance.samples[..end - start] == clip[start..end]);
    }
}

#[test]
fn silence_and_noise_are_no_speech() {
    assert!(utterances(&hear(vec![0.0; 10 * RATE as usize], MONO)).is_empty());
    assert!(utterances(&hear(noise(10 * RATE as usize, 0.01, 7), MONO)).is_empty());
    assert!(utterances(&hear(noise(10 * RATE as usize, 0.3, 7), MONO)).is_empty());
    let hum =
        (0..10 * RATE).map(|n| 0.2 * (std::f32::consts::TAU * 50.0 * n as f32 / RATE as f32).sin());
    assert!(utterances(&hear(hum.collect(), MONO)).is_empty());
}

#[test]
fn clipped_speech_and_speech_in_noise_are_still_found() {
    let loud = clip("questions3.wav")
        .iter()
        .map(|sample| (sample * 20.0).clamp(-1.0, 1.0))
        .collect();
    assert_eq!(utterances(&hear(loud, MONO)).len(), 3);
    let clean = clip("questions3.wav");
    let hiss = noise(clean.len(), 0.02, 3);
    let noisy = clean
        .iter()
        .zip(hiss)
        .map(|(speech, hiss)| speech + hiss)
        .collect();
    expect_questions(&hear(noisy, MONO), 0.0);
}

#[test]
fn speech_without_a_breath_is_cut_at_the_maximum_and_nothing_is_lost() {
    let question = clip("question.wav");
    let voiced: Vec<f32> = question
        .iter()
        .copied()
        .filter(|sample| sample.abs() > 1e-4)
        .collect();
    let mut endless = Vec::new();
    while endless.len() < 70 * RATE as usize {
        endless.extend_from_slice(&voiced);
    }
    let found = utterances(&hear(endless.clone(), MONO));
    assert!(found.len() >= 3, "{} utterances in 70 s", found.len());
    let mut joined = Vec::new();
    for utterance in &found {
        assert!(utterance.span.duration() <= Duration::from_secs(30));
        assert_eq!(
            utterance.span.start.0 as usize,
            joined.len(),
            "no hole, no overlap"
        );
        joined.extend_from_slice(&utterance.samples);
    }
    assert!(joined[..endless.len()] == endless);
}

/// A source that tells of a hole where some samples are missing, as a device with an overrun does.
struct Holed {
    samples: Vec<f32>,
    /// Samples (before the hole) after which it comes, and its length.
    hole: (usize, usize),
    given: usize,
}

impl AudioSource for Holed {
    fn format(&self) -> Format {
        MONO
    }

    fn read(&mut self, into: &mut Vec<f32>, _: Duration) -> Result<Captured, CaptureError> {
        let (at, length) = self.hole;
        let mut lost = 0;
        if self.given == at {
            self.given += length;
            lost = length as u64;
        }
        let end = if self.given < at {
            (self.given + 320).min(at)
        } else {
            self.given + 320
        };
        let end = end.min(self.samples.len());
        if self.given >= end {
            return Ok(Captured::Ended);
        }
        into.extend_from_slice(&self.samples[self.given..end]);
        self.given = end;
        Ok(Captured::Samples { lost })
    }
}

#[test]
fn a_hole_within_speech_is_counted_and_does_not_end_the_utterance() {
    let mut samples = vec![0.0; RATE as usize];
    samples.extend(clip("question.wav"));
    samples.extend(vec![0.0; 2 * RATE as usize]);
    // 700 ms are missing out of the middle of the question: longer than the silence that ends an utterance.
    let hole = (RATE as usize + 6_400, 11_200);
    let heard = hear_source(
        Box::new(Holed {
            samples,
            hole,
            given: 0,
        }),
        ListenSettings::default(),
    );
    let found = utterances(&heard);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].lost, 11_200);
    assert_eq!(found[0].samples.len() as u64, found[0].span.samples());
}

/// Says `text` with espeak-ng.
fn spoken(text: &str) -> (Vec<f32>, Format) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("said.wav");
    let status = std::process::Command::new("espeak-ng")
        .args(["-v", "en-us", "-w"])
        .arg(&path)
        .arg(text)
        .status()
        .expect("espeak-ng is installed by: apt-get install -y espeak-ng (make test does it)");
    assert!(status.success());
    let mut reader = hound::WavReader::open(&path).unwrap();
    let format = Format {
        rate: reader.spec().sample_rate,
        channels: 1,
    };
    let samples = reader
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_768.0);
    (samples.collect(), format)
}

#[test]
fn the_shortest_commands_are_long_enough_to_be_speech() {
    for word in ["yes", "no", "stop", "go", "off"] {
        let (samples, format) = spoken(word);
        let found = utterances(&hear(samples, format));
        assert_eq!(found.len(), 1, "{word}");
        eprintln!("{word}: {:?} of voice", found[0].speech.duration());
    }
}
