//! The sound that tells that a question was taken: two soft rising tones, made here and not recorded.
//!
//! Computes samples; the speaking thread plays them. Short enough to be over before a model has found its first word, quiet
//! enough not to startle (about −26 dB at its peak, some 20 dB below speech), without the harmonics by which a voice-activity
//! model knows a voice, and shorter than the shortest speech that the segmenter takes for some.

use std::f32::consts::TAU;

/// How long it sounds, in seconds.
pub const SECONDS: f32 = 0.09;

/// Peak amplitude: −26 dB.
const PEAK: f32 = 0.05;

/// The two tones, in hertz, and when they begin, in seconds: a fifth upwards.
const TONES: [(f32, f32); 2] = [(587.33, 0.0), (880.0, 0.035)];

/// Seconds until a tone has its full strength: without it the beginning is a click.
const ATTACK: f32 = 0.004;

/// Seconds in which a tone falls to a third.
const DECAY: f32 = 0.018;

/// Its samples at `rate` a second, beginning and ending in silence.
#[must_use]
pub fn taken(rate: u32) -> Vec<f32> {
    let count = (SECONDS * rate as f32) as usize;
    (0..count)
        .map(|at| {
            let now = at as f32 / rate as f32;
            let sum: f32 = TONES.iter().map(|tone| strength(*tone, now)).sum();
            // Linear to zero over the last fifth: what the decay leaves would end in a click.
            sum * PEAK * ((SECONDS - now) / (SECONDS / 5.0)).min(1.0)
        })
        .collect()
}

/// One tone at `now`.
fn strength((hertz, begins): (f32, f32), now: f32) -> f32 {
    let age = now - begins;
    if age < 0.0 {
        return 0.0;
    }
    let rise = (age / ATTACK).min(1.0);
    (TAU * hertz * age).sin() * rise * (-age / DECAY).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_short_quiet_and_ends_without_a_click() {
        for rate in [16_000, 22_050, 48_000] {
            let samples = taken(rate);
            let peak = samples.iter().fold(0.0_f32, |most, s| most.max(s.abs()));
            assert!((0.01..=0.06).contains(&peak), "{peak} at {rate}");
            assert!(samples.len() <= rate as usize / 10);
            assert!(samples[0].abs() < 0.001 && samples[samples.len() - 1].abs() < 0.001);
            let jump = samples
                .windows(2)
                .fold(0.0_f32, |most, two| most.max((two[1] - two[0]).abs()));
            assert!(jump < 0.02, "{jump} at {rate}");
        }
    }
}
