//! Clips for these tests: the project's own spoken questions, and sounds made of them.

use std::path::PathBuf;

use hark::audio::Format;

pub const RATE: u32 = 16_000;

/// Reads one of the project's clips: mono, 16 kHz.
pub fn clip(name: &str) -> Vec<f32> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    let mut reader = hound::WavReader::open(&path).unwrap();
    assert_eq!(
        (reader.spec().sample_rate, reader.spec().channels),
        (RATE, 1)
    );
    reader
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_768.0)
        .collect()
}

/// Where the project's clip of three questions is not silent: made with 2.5 s of digital silence between them.
pub fn questions_at() -> Vec<(f64, f64)> {
    let samples = clip("questions3.wav");
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        if sample.abs() > 0.01 {
            match spans.last_mut() {
                Some((_, end)) if index - *end < RATE as usize => *end = index,
                _ => spans.push((index, index)),
            }
        }
    }
    let seconds = |index: usize| index as f64 / f64::from(RATE);
    spans
        .into_iter()
        .map(|(start, end)| (seconds(start), seconds(end)))
        .collect()
}

/// Renders mono 16 kHz in another layout. The straight line between samples is a poor filter and good enough for a test
/// of the ear: what it adds lies above the band of the voice.
pub fn render(mono: &[f32], format: Format) -> Vec<f32> {
    let frames = mono.len() as u64 * u64::from(format.rate) / u64::from(RATE);
    (0..frames)
        .flat_map(|frame| {
            let place = frame as f64 * f64::from(RATE) / f64::from(format.rate);
            let (index, share) = (place as usize, (place.fract()) as f32);
            let next = mono.get(index + 1).copied().unwrap_or(0.0);
            let sample = mono[index] * (1.0 - share) + next * share;
            std::iter::repeat_n(sample, usize::from(format.channels))
        })
        .collect()
}

/// White noise of this peak amplitude; the same for the same seed.
pub fn noise(samples: usize, peak: f32, mut seed: u64) -> Vec<f32> {
    (0..samples)
        .map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            ((seed >> 40) as f32 / 8_388_608.0 - 1.0) * peak
        })
        .collect()
}
