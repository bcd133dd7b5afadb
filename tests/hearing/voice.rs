//! The voice-activity model on real sound.

use std::path::{Path, PathBuf};

use hark::hearing::Vad;
use hark::hearing::vad::SileroVad;
use hark::time::FRAME_SAMPLES;

use crate::clips::{RATE, clip, noise, questions_at};

fn probabilities(vad: &mut SileroVad, samples: &[f32]) -> Vec<f32> {
    samples
        .chunks_exact(FRAME_SAMPLES)
        .map(|frame| vad.probability(frame.try_into().unwrap()))
        .collect()
}

#[test]
fn speech_is_likely_where_it_is_and_unlikely_where_it_is_not() {
    let samples = clip("questions3.wav");
    let mut vad = SileroVad::new().unwrap();
    let curve = probabilities(&mut vad, &samples);
    let seconds = |frame: usize| (frame * FRAME_SAMPLES) as f64 / f64::from(RATE);
    let mut right = 0;
    let mut voiced = 0;
    for (frame, probability) in curve.iter().enumerate() {
        let at = seconds(frame);
        if questions_at()
            .iter()
            .any(|(start, end)| *start + 0.1 < at && at < *end - 0.1)
        {
            voiced += 1;
            right += usize::from(*probability >= 0.35);
        } else if questions_at()
            .iter()
            .all(|(start, end)| at < *start - 0.1 || *end + 0.5 < at)
        {
            assert!(
                *probability < 0.35,
                "{probability} in the silence at {at:.2}"
            );
        }
    }
    assert!(
        right * 10 >= voiced * 9,
        "{right} of {voiced} frames of speech were found"
    );
}

#[test]
fn noise_is_not_speech() {
    let mut vad = SileroVad::new().unwrap();
    for peak in [0.001, 0.05, 0.5] {
        let curve = probabilities(&mut vad, &noise(5 * RATE as usize, peak, 11));
        assert!(
            curve.iter().all(|probability| *probability < 0.5),
            "peak {peak}"
        );
    }
}

#[test]
fn after_a_reset_it_answers_as_it_did_at_first() {
    let samples = clip("question.wav");
    let mut vad = SileroVad::new().unwrap();
    let first = probabilities(&mut vad, &samples);
    assert_ne!(
        probabilities(&mut vad, &samples),
        first,
        "its state goes on from frame to frame"
    );
    vad.reset();
    assert_eq!(probabilities(&mut vad, &samples), first);
}

#[test]
fn a_device_that_gives_nonsense_does_not_poison_what_follows() {
    let samples = clip("question.wav");
    let mut vad = SileroVad::new().unwrap();
    let first = probabilities(&mut vad, &samples);
    assert_eq!(vad.probability(&[f32::NAN; FRAME_SAMPLES]), 0.0);
    vad.reset();
    assert_eq!(probabilities(&mut vad, &samples), first);
}

/// Recordings of people, where the machine has them.
pub fn assets() -> Option<PathBuf> {
    let root = std::env::var("HARK_TEST_ASSETS").unwrap_or_else(|_| "../shared".to_owned());
    let folder = Path::new(&root).join("speech");
    folder.is_dir().then_some(folder)
}

pub fn decode(path: &Path) -> Vec<f32> {
    use hark::audio::decode::{Input, decode_mono};
    decode_mono(Input::File(path), &mut |_| {}).unwrap().samples
}

#[test]
fn recordings_of_people_are_speech() {
    let Some(folder) = assets() else {
        eprintln!("skipped: no recordings (HARK_TEST_ASSETS or ../shared with a folder `speech`)");
        return;
    };
    let mut recordings: Vec<PathBuf> = std::fs::read_dir(folder.join("command"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "flac")
        })
        .collect();
    recordings.sort();
    assert!(!recordings.is_empty());
    let mut vad = SileroVad::new().unwrap();
    for path in recordings.iter().take(12) {
        vad.reset();
        let curve = probabilities(&mut vad, &decode(path));
        let best = curve.iter().copied().fold(0.0, f32::max);
        assert!(best > 0.5, "{}: at most {best}", path.display());
    }
}

#[test]
fn the_sound_that_a_question_was_taken_is_not_speech() {
    let mut vad = SileroVad::new().unwrap();
    let earcon = hark::speak::earcon::taken(16_000);
    // As loud as a microphone beside the loudspeaker may hear it, and louder than we play it.
    for gain in [0.3, 1.0, 6.0] {
        let mut sound = noise(RATE as usize, 0.002, 3);
        for _ in 0..3 {
            sound.extend(earcon.iter().map(|sample| sample * gain));
            sound.extend(noise(RATE as usize, 0.002, 5));
        }
        let curve = probabilities(&mut vad, &sound);
        let most = curve.iter().fold(0.0_f32, |most, p| most.max(*p));
        assert!(most < 0.35, "{most} at gain {gain}");
    }
}
