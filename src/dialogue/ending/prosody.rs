//! How pitch and loudness end at a pause.
//!
//! Pure, computed once a pause from the last 1.2 s of speech: pitch by normalised autocorrelation at 8 kHz every 16 ms,
//! loudness in frames of the same grid. A statement ends low and fading; a hesitation holds its last sound at level pitch
//! and loudness; a clause that goes on ends higher or louder. Speakers and microphones cancel out: everything is relative to
//! the same second.

use crate::time::SAMPLE_RATE;

/// What the end of the speech sounds like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prosody {
    /// Pitch of the last 100 ms that have one, against the median of the stretch, in semitones; `None` where too little of
    /// it has a pitch.
    pub final_pitch: Option<f32>,
    /// Change of pitch within the last 250 ms that have one, semitones.
    pub final_slope: Option<f32>,
    /// Loudness of the last 200 ms against the loudest of the stretch, in decibels; negative when it fades.
    pub fade_db: f32,
    /// Length of the last unbroken stretch with a pitch, milliseconds: long when a vowel is held.
    pub held_ms: f32,
    /// How much pitch moves within that stretch, semitones from lowest to highest.
    pub held_range: f32,
}

impl Prosody {
    /// Looks at the end of `speech`, mono 16 kHz, which ends with the last voiced sample. `None` for less than 200 ms or
    /// silence.
    #[must_use]
    pub fn of(speech: &[f32]) -> Option<Self> {
        let from = speech.len().saturating_sub(STRETCH);
        let low = halved(&speech[from..]);
        if low.len() < WINDOW * 4 {
            return None;
        }
        let grid: Vec<Point> = (0..=(low.len() - WINDOW) / HOP)
            .map(|index| Point::of(&low[index * HOP..index * HOP + WINDOW]))
            .collect();
        let loudest = grid.iter().map(|point| point.db).fold(f32::MIN, f32::max);
        if loudest < SILENT_DB {
            return None;
        }
        let grid: Vec<Point> = without_outliers(&grid, loudest);
        let end = &grid[grid.len().saturating_sub(frames(200))..];
        let fade_db = end.iter().map(|point| point.db).sum::<f32>() / end.len() as f32 - loudest;
        let pitched: Vec<f32> = grid.iter().filter_map(|point| point.pitch).collect();
        let (final_pitch, final_slope) = if pitched.len() >= frames(250) {
            let last = &pitched[pitched.len() - frames(100)..];
            let slope = &pitched[pitched.len() - frames(250)..];
            let half = slope.len() / 2;
            (
                Some(median(last) - median(&pitched)),
                Some(median(&slope[half..]) - median(&slope[..half])),
            )
        } else {
            (None, None)
        };
        let held: Vec<f32> = grid
            .iter()
            .rev()
            .skip_while(|point| point.pitch.is_none())
            .map_while(|point| point.pitch)
            .collect();
        let range = held.iter().copied().fold(f32::MIN, f32::max)
            - held.iter().copied().fold(f32::MAX, f32::min);
        Some(Self {
            final_pitch,
            final_slope,
            fade_db,
            held_ms: (held.len() * HOP) as f32 * 1_000.0 / RATE as f32,
            held_range: if held.is_empty() { 0.0 } else { range },
        })
    }

    /// Log-odds that the turn is over; between −1.5 and 1.5, so that the sound alone decides nothing.
    #[must_use]
    pub fn score(&self) -> f32 {
        let mut score = 0.0;
        if let Some(pitch) = self.final_pitch {
            score += (-pitch * 0.2).clamp(-0.6, 0.8);
        }
        score += ((-self.fade_db - 12.0) * 0.06).clamp(-0.5, 0.5);
        // A vowel held without any melody: "um", "the-e-e", a name that is being searched for.
        if self.held_ms > 350.0 && self.held_range < 2.0 && self.fade_db > -14.0 {
            score -= 1.2;
        }
        score.clamp(-1.5, 1.5)
    }
}

/// One place of the grid.
#[derive(Debug, Clone, Copy)]
struct Point {
    /// In semitones above 1 Hz, where there is a pitch.
    pitch: Option<f32>,
    db: f32,
}

impl Point {
    fn of(window: &[f32]) -> Self {
        let energy = window.iter().map(|sample| sample * sample).sum::<f32>();
        Self {
            pitch: pitch(window),
            db: 10.0 * (energy / window.len() as f32 + 1e-12).log10(),
        }
    }
}

/// The pitch of 40 ms by normalised autocorrelation: the shortest lag whose peak comes near the highest.
fn pitch(window: &[f32]) -> Option<f32> {
    let mean = window.iter().sum::<f32>() / window.len() as f32;
    let centred: Vec<f32> = window.iter().map(|sample| sample - mean).collect();
    let span = window.len() - LONGEST_LAG - 1;
    let head = &centred[..span];
    let energy = dot(head, head);
    if energy < 1e-7 * span as f32 {
        return None;
    }
    let strength: Vec<f32> = (SHORTEST_LAG - 1..=LONGEST_LAG + 1)
        .map(|lag| {
            let tail = &centred[lag..lag + span];
            dot(head, tail) / (energy * dot(tail, tail)).sqrt().max(1e-9)
        })
        .collect();
    let peaks = (1..strength.len() - 1)
        .filter(|at| strength[*at] >= strength[at - 1] && strength[*at] > strength[at + 1]);
    let peaks: Vec<usize> = peaks.collect();
    let highest = peaks.iter().map(|at| strength[*at]).fold(0.0, f32::max);
    if highest < VOICED {
        return None;
    }
    let at = *peaks.iter().find(|at| strength[**at] >= highest * 0.9)?;
    let (before, here, after) = (strength[at - 1], strength[at], strength[at + 1]);
    let curve = before - 2.0 * here + after;
    let shift = if curve.abs() > 1e-6 {
        0.5 * (before - after) / curve
    } else {
        0.0
    };
    let lag = (SHORTEST_LAG - 1 + at) as f32 + shift.clamp(-0.5, 0.5);
    Some(12.0 * (RATE as f32 / lag).log2())
}

/// Takes the pitch from places that lie an octave off their neighbours or are far too quiet to have one.
fn without_outliers(grid: &[Point], loudest: f32) -> Vec<Point> {
    let all: Vec<f32> = grid.iter().filter_map(|point| point.pitch).collect();
    let middle = median(&all);
    let plausible =
        |point: &Point, pitch: &f32| (pitch - middle).abs() < 9.0 && point.db > loudest - 35.0;
    grid.iter()
        .map(|point| Point {
            pitch: point.pitch.filter(|pitch| plausible(point, pitch)),
            db: point.db,
        })
        .collect()
}

/// Half the rate: each pair becomes its mean, which is filter enough for a pitch below 400 Hz.
fn halved(samples: &[f32]) -> Vec<f32> {
    samples
        .chunks_exact(2)
        .map(|pair| (pair[0] + pair[1]) * 0.5)
        .collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn median(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// Places of the grid in that time.
const fn frames(ms: usize) -> usize {
    ms * RATE / (1_000 * HOP)
}

const RATE: usize = SAMPLE_RATE as usize / 2;
/// 1.2 s at the full rate.
const STRETCH: usize = SAMPLE_RATE as usize * 12 / 10;
const WINDOW: usize = RATE / 25;
const HOP: usize = RATE * 16 / 1_000;
/// 400 Hz.
const SHORTEST_LAG: usize = RATE / 400;
/// 62 Hz.
const LONGEST_LAG: usize = RATE / 62;
/// Correlation from which a window has a pitch.
const VOICED: f32 = 0.6;
const SILENT_DB: f32 = -65.0;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// A buzz of `seconds` whose pitch and loudness go from the first to the second value.
    fn voice(seconds: f32, hertz: (f32, f32), amplitude: (f32, f32)) -> Vec<f32> {
        let samples = (seconds * SAMPLE_RATE as f32) as usize;
        let mut phase = 0.0_f32;
        (0..samples)
            .map(|n| {
                let t = n as f32 / samples as f32;
                phase += (hertz.0 + (hertz.1 - hertz.0) * t) / SAMPLE_RATE as f32;
                let wave: f32 = (1..6)
                    .map(|k| (std::f32::consts::TAU * phase * k as f32).sin() / k as f32)
                    .sum();
                wave * (amplitude.0 + (amplitude.1 - amplitude.0) * t)
            })
            .collect()
    }

    #[test]
    fn a_falling_fading_end_is_an_end_and_a_held_vowel_is_none() {
        let fall = [
            voice(0.8, (140.0, 120.0), (0.3, 0.3)),
            voice(0.4, (115.0, 85.0), (0.2, 0.02)),
        ]
        .concat();
        let held = [
            voice(0.6, (120.0, 110.0), (0.3, 0.3)),
            voice(0.6, (110.0, 110.0), (0.25, 0.25)),
        ]
        .concat();
        let (fall, held) = (Prosody::of(&fall).unwrap(), Prosody::of(&held).unwrap());
        assert!(fall.final_pitch.unwrap() < -3.0, "{fall:?}");
        assert!(fall.score() > 0.5, "{fall:?} {}", fall.score());
        assert!(held.score() < -0.8, "{held:?} {}", held.score());
    }

    #[test]
    fn pitch_is_measured_in_semitones() {
        let rise = voice(1.2, (100.0, 150.0), (0.3, 0.3));
        let seen = Prosody::of(&rise).unwrap();
        assert!((1.0..5.0).contains(&seen.final_pitch.unwrap()), "{seen:?}");
        assert!(seen.final_slope.unwrap() > 0.3, "{seen:?}");
    }

    #[test]
    fn silence_and_scraps_have_none() {
        assert_eq!(Prosody::of(&[]), None);
        assert_eq!(Prosody::of(&[0.1; 1_000]), None);
        assert_eq!(Prosody::of(&vec![0.0; 16_000]), None);
        let mut state = 1_u32;
        let noise: Vec<f32> = (0..16_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 16_777_216.0 - 0.5
            })
            .collect();
        let seen = Prosody::of(&noise).unwrap();
        assert_eq!(seen.final_pitch, None);
    }
}
