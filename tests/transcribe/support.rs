//! Model, clips and synthetic sound for these tests.

use std::path::{Path, PathBuf};

use hark::audio::decode::{Input, decode_mono};
use hark::transcribe::whisper::{Whisper, WhisperSettings};

/// The model that the tests run on: `$HARK_TEST_MODEL`, the starter in `models/`, or the prototype among the shared
/// assets. Without any of them the tests cannot mean anything, so they fail.
pub fn model() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let assets =
        std::env::var_os("HARK_TEST_ASSETS").map_or_else(|| root.join("../shared"), PathBuf::from);
    let places = [
        std::env::var_os("HARK_TEST_MODEL").map(PathBuf::from),
        Some(root.join("models/starter.en.bin")),
        Some(assets.join("models/starter/prototype-q8_0.bin")),
    ];
    let places: Vec<PathBuf> = places.into_iter().flatten().collect();
    places
        .iter()
        .find(|place| place.is_file())
        .unwrap_or_else(|| {
            panic!(
                "no speech model for the tests: set HARK_TEST_MODEL or provide one of {places:?}"
            )
        })
        .clone()
}

/// One thread, so that results and times are the same on every machine.
pub fn settings() -> WhisperSettings {
    WhisperSettings {
        threads: 1,
        gpu: false,
        flash_attention: false,
        ..WhisperSettings::default()
    }
}

pub fn whisper(settings: WhisperSettings) -> Whisper {
    Whisper::load("test", &model(), settings).expect("the test model loads")
}

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

pub fn clip(name: &str) -> Vec<f32> {
    decode_mono(Input::File(&data(name)), &mut |_| {})
        .expect("a clip of the repository decodes")
        .samples
}

/// What the clips say.
pub const SAID: &str = "set a timer for five minutes";

/// Lower case and words only, as word error rates are counted.
pub fn plain(text: &str) -> String {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Even noise with peaks at `amplitude`.
pub fn noise(seconds: f32, amplitude: f32, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    (0..(seconds * 16_000.0) as usize)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state as f32 / u32::MAX as f32 * 2.0 - 1.0) * amplitude
        })
        .collect()
}
