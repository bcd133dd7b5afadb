//! The wake models: features as the recipe computes them, and what every detector promises.

use hark::hearing::wake::{BANDS, FEATURES, Frontend};
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
