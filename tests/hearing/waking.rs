//! The wake models: features as the recipe computes them, and what every detector promises.

use std::path::Path;

use hark::hearing::WakeDetector as _;
use hark::hearing::wake::{BANDS, FEATURES, Frontend, WakeModel};
use hark::models::wake::{WakeEntry, wake_at};
use hark::time::FRAME_SAMPLES;

/// The sound of `models/train/wake/golden.py`: a gliding tone over noise, nothing at first.
fn golden_sound(frames: usize) -> Vec<f32> {
    let mut state: u32 = 1;
    (0..frames * FRAME_SAMPLES)
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = f64::from(state) / f64::from(1_u32 << 31) - 1.0;
            let t = at as f64 / 16_000.0;
            let tone = (std::f64::consts::TAU * (200.0 * t + 900.0 * t * t)).sin();
            if at < 1_000 {
                0.0
            } else {
                (0.3 * tone + 0.02 * noise) as f32
            }
        })
        .collect()
}

#[test]
fn the_features_are_those_that_the_models_were_trained_on() {
    let golden = include_str!("../data/wake-features.json");
    let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
    let every = golden["every"].as_u64().unwrap() as usize;
    let mut frontend = Frontend::new();
    let mut rows: Vec<[f32; BANDS]> = Vec::new();
    for frame in golden_sound(12).as_chunks::<FRAME_SAMPLES>().0 {
        rows.extend(frontend.push(frame));
    }
    assert_eq!(rows.len(), 12 * FEATURES);
    let expected = golden["features"].as_array().unwrap();
    assert_eq!(expected.len(), rows.len() / every);
    for (at, wanted) in expected.iter().enumerate() {
        for (band, value) in wanted.as_array().unwrap().iter().enumerate() {
            let (value, found) = (value.as_f64().unwrap() as f32, rows[at * every][band]);
            assert!(
                (value - found).abs() < 0.01,
                "feature {at}, band {band}: {found} instead of {value}"
            );
        }
    }
}

#[test]
fn a_reset_front_end_is_a_new_one() {
    let sound = golden_sound(3);
    let frames = sound.as_chunks::<FRAME_SAMPLES>().0;
    let mut frontend = Frontend::new();
    let first = *frontend.push(&frames[2]);
    assert_ne!(*frontend.push(&frames[2]), first);
    frontend.reset();
    assert_eq!(*frontend.push(&frames[2]), first);
}

/// The wake models that are shipped, with their tables.
fn shipped() -> Vec<WakeEntry> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    ["wake-hey-hark.onnx", "wake-computer.onnx"]
        .map(|file| wake_at(&folder.join(file)).unwrap())
        .into()
}

fn clip(name: &str) -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut wav = hound::WavReader::open(path.join(name)).unwrap();
    let samples = wav.samples::<i16>();
    samples.map(|s| f32::from(s.unwrap()) / 32_768.0).collect()
}

/// The best score that the daemon would see, and how often there was one at all.
fn heard(model: &mut WakeModel, samples: &[f32], voice: impl Fn(usize) -> f32) -> (f32, usize) {
    let frames = samples.as_chunks::<FRAME_SAMPLES>().0.iter().enumerate();
    let scores: Vec<f32> = frames
        .filter_map(|(at, frame)| model.score(frame, voice(at)))
        .collect();
    (scores.iter().copied().fold(0.0, f32::max), scores.len())
}

#[test]
fn each_shipped_model_hears_its_own_phrase_and_not_that_of_the_other() {
    for entry in shipped() {
        let mut model = WakeModel::load(&entry.path).unwrap();
        let own = format!("{}.wav", entry.info.phrase.replace(' ', "-"));
        for name in ["hey-hark.wav", "computer.wav", "question.wav"] {
            let best = model.best_score(&clip(name));
            if name == own {
                assert!(best >= entry.info.propose, "{own}: {best}");
            } else {
                assert!(best < entry.info.threshold, "{own} on {name}: {best}");
            }
        }
        assert!(std::fs::metadata(&entry.path).unwrap().len() < 500_000);
    }
}

#[test]
fn while_nobody_speaks_the_network_does_not_run() {
    let mut model = WakeModel::load(&shipped()[0].path).unwrap();
    let (_, runs) = heard(&mut model, &clip("hey-hark.wav"), |_| 0.0);
    assert_eq!(runs, 0);
}

#[test]
fn a_phrase_whose_start_the_voice_detector_missed_is_heard_whole() {
    let entry = &shipped()[0];
    let mut model = WakeModel::load(&entry.path).unwrap();
    let sound: Vec<f32> = [vec![0.0; 32_000], clip("hey-hark.wav"), vec![0.0; 9_600]].concat();
    let (always, runs) = heard(&mut model, &sound, |_| 1.0);
    assert!(runs >= sound.len() / FRAME_SAMPLES / 4);
    model.reset();
    // The clip begins after 62 frames with 9 of silence; the voice is noticed three frames late.
    let (late, fewer) = heard(&mut model, &sound, |at| if at >= 75 { 1.0 } else { 0.0 });
    assert!(fewer < runs);
    assert!(late >= entry.info.propose, "{late} instead of {always}");
}

#[test]
fn after_a_reset_a_wake_model_answers_as_it_did_at_first() {
    let mut model = WakeModel::load(&shipped()[0].path).unwrap();
    let sound = clip("hey-hark.wav");
    let (first, _) = heard(&mut model, &sound, |_| 1.0);
    model.reset();
    let (again, _) = heard(&mut model, &sound, |_| 1.0);
    assert_eq!(first, again);
}

#[test]
fn a_sample_that_is_no_number_does_not_make_it_deaf() {
    let mut model = WakeModel::load(&shipped()[0].path).unwrap();
    let sound = clip("hey-hark.wav");
    let (first, _) = heard(&mut model, &sound, |_| 1.0);
    assert_eq!(model.score(&[f32::NAN; FRAME_SAMPLES], 1.0), None);
    let (again, _) = heard(&mut model, &sound, |_| 1.0);
    assert_eq!(first, again);
}

#[test]
fn what_is_no_wake_model_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wake-nothing.onnx");
    std::fs::write(&path, "nothing").unwrap();
    let told = WakeModel::load(&path).unwrap_err().to_string();
    assert!(told.contains("wake-nothing.onnx"), "{told}");
}
