//! Push-to-talk keeps the first sound: clips whose first sample is speech, said right after the key went down, have the
//! transcript of the whole clip.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hark::audio::CaptureError;
use hark::audio::Format;
use hark::audio::decode::{Input as Encoded, decode_mono};
use hark::audio::file::{WavSource, WavSourceSettings};
use hark::flow::Utterance;
use hark::hearing::listen::{EarEvent, ListenControl, ListenSettings, Listener};
use hark::hearing::vad::SileroVad;
use hark::platform::clock::Clock;

use crate::support::{Home, plain, transcripts_of};

const SENTENCES: [&str; 10] = [
    "what time is it",
    "set a timer for five minutes",
    "turn on the lights in the kitchen",
    "what is twelve plus thirty",
    "stop",
    "play some music",
    "pick up milk and bread",
    "tell me a joke",
    "call my mother",
    "how is the weather today",
];

/// The samples from the first one that is not silent.
fn from_the_first_sound(path: &Path) -> Vec<f32> {
    let samples = decode_mono(Encoded::File(path), &mut |_| {})
        .unwrap()
        .samples;
    let first = samples
        .iter()
        .position(|sample| sample.abs() > 0.004)
        .unwrap();
    samples[first..].to_vec()
}

/// What a listener with the key down from the start hands out at the end.
fn held(samples: &[f32]) -> Utterance {
    let control = ListenControl::default();
    control.hold();
    let found = Arc::new(Mutex::new(None));
    let sink = Arc::clone(&found);
    let tell = Box::new(move |event, _| {
        if let EarEvent::Held(Some(utterance)) = event {
            *sink.lock().unwrap() = Some(utterance);
        }
        ControlFlow::Continue(())
    });
    let format = Format {
        rate: 16_000,
        channels: 1,
    };
    let source = WavSource::new(
        "clip",
        samples.to_vec(),
        format,
        WavSourceSettings::default(),
    )
    .unwrap();
    let reopen = Box::new(|| Err(CaptureError::NoDevice { name: None }));
    let vad = Box::new(SileroVad::new().unwrap());
    Listener::new(
        vad,
        ListenSettings::default(),
        Clock::start(),
        control,
        reopen,
        tell,
    )
    .run(Box::new(source));
    let utterance = found.lock().unwrap().take();
    utterance.expect("there is voice in it")
}

fn check(clips: &[(PathBuf, String)]) {
    let whole: Vec<Vec<f32>> = clips
        .iter()
        .map(|(path, _)| from_the_first_sound(path))
        .collect();
    let utterances: Vec<Utterance> = whole.iter().map(|samples| held(samples)).collect();
    for ((utterance, samples), (_, name)) in utterances.iter().zip(&whole).zip(clips) {
        assert_eq!(utterance.span.start.0, 0, "{name}");
        assert!(
            utterance.samples[..samples.len()] == samples[..],
            "not one sample of {name} is lost"
        );
    }
    // A margin of silence, as a release leaves it, must change nothing that is understood.
    let padded: Vec<Vec<f32>> = whole
        .iter()
        .zip(&utterances)
        .map(|(samples, utterance)| {
            let mut samples = samples.clone();
            samples.resize(utterance.samples.len(), 0.0);
            samples
        })
        .collect();
    let of_held: Vec<&[f32]> = utterances
        .iter()
        .map(|utterance| &utterance.samples[..])
        .collect();
    let of_whole: Vec<&[f32]> = padded.iter().map(Vec::as_slice).collect();
    let (heard, meant) = (transcripts_of(&of_held), transcripts_of(&of_whole));
    assert_eq!(heard, meant);
    let understood = heard.iter().filter(|text| !plain(text).is_empty()).count();
    assert_eq!(understood, clips.len(), "{heard:?}");
}

#[test]
fn commands_that_begin_with_the_press_are_understood_whole() {
    let home = Home::new();
    let clips: Vec<(PathBuf, String)> = SENTENCES
        .iter()
        .map(|sentence| {
            let clip = home.spoken(&[sentence], std::time::Duration::ZERO);
            let kept = home.path(&format!("{}.wav", sentence.replace(' ', "-")));
            std::fs::rename(clip, &kept).unwrap();
            (kept, (*sentence).to_owned())
        })
        .collect();
    check(&clips);
    // The first word is the one that would be lost.
    let first: Vec<String> = clips
        .iter()
        .map(|(path, _)| {
            let utterance = held(&from_the_first_sound(path));
            let heard = transcripts_of(&[&utterance.samples[..]]).remove(0);
            plain(&heard)
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    let meant: Vec<&str> = SENTENCES
        .iter()
        .map(|sentence| sentence.split(' ').next().unwrap())
        .collect();
    let right = first
        .iter()
        .zip(&meant)
        .filter(|(heard, meant)| heard.as_str() == **meant)
        .count();
    println!(
        "first words: {right} of {} understood: {first:?}",
        meant.len()
    );
    assert!(right >= 8, "{first:?}");
}

#[test]
fn recordings_of_people_that_begin_with_the_press_lose_nothing_of_their_voice() {
    let assets = std::env::var_os("HARK_TEST_ASSETS")
        .map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let folder = assets.join("speech/command");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: there is no {}", folder.display());
        return;
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().take(8) {
        let samples = from_the_first_sound(path);
        let utterance = held(&samples);
        let place = path.display();
        // What lies further before the voice than the pre-roll is no speech, and is left away.
        let (start, speech) = (utterance.span.start.0, utterance.speech.start.0);
        assert!(
            start == 0 || speech - start >= 5_120,
            "{place}: {start} {speech}"
        );
        let whole = &samples[start as usize..];
        let length = whole.len().min(utterance.samples.len());
        assert!(utterance.samples[..length] == whole[..length], "{place}");
    }
}
