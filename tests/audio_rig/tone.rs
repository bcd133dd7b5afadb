//! How drop-outs are counted: a continuous sine is played, and the recording is compared with a sine.
//!
//! A sine of constant frequency obeys `x[n+1] = 2·cos(ω)·x[n] − x[n−1]` exactly. Any sample that is missing, repeated,
//! replaced by silence or shifted breaks the rule at that place, so the residual counts every discontinuity, also one that
//! jumps to a similar level; silent gaps are found as runs of near-zero samples longer than half a period has.

/// The tone's frequency: no multiple of it fits into a block of 960 samples, so a lost block is a jump of phase.
pub const HZ: f64 = 443.0;
pub const RATE: f64 = 48_000.0;
const AMPLITUDE: f64 = 0.5;

pub fn sine(seconds: f64) -> Vec<f32> {
    (0..(seconds * RATE) as usize)
        .map(|n| (AMPLITUDE * (std::f64::consts::TAU * HZ * n as f64 / RATE).sin()) as f32)
        .collect()
}

/// The part of a recording that holds the tone, from its first to its last loud sample.
pub fn sounding(recorded: &[f32]) -> &[f32] {
    let loud = |sample: &f32| sample.abs() > 0.05;
    let Some(first) = recorded.iter().position(loud) else {
        return &[];
    };
    let last = recorded.iter().rposition(loud).unwrap_or(first);
    &recorded[first..=last]
}

/// Discontinuities in a stretch of the tone; the ones that lie within 4 samples of each other are one.
pub fn discontinuities(tone: &[f32]) -> usize {
    let turn = 2.0 * (std::f64::consts::TAU * HZ / RATE).cos();
    let mut count = 0;
    let mut last = None;
    for n in 1..tone.len().saturating_sub(1) {
        let expected = turn * f64::from(tone[n]) - f64::from(tone[n - 1]);
        if (f64::from(tone[n + 1]) - expected).abs() > 0.002 {
            if last.is_none_or(|last| n - last > 4) {
                count += 1;
            }
            last = Some(n);
        }
    }
    count
}

/// Runs of silence within a stretch of the tone.
pub fn silent_gaps(tone: &[f32]) -> usize {
    let mut count = 0;
    let mut run = 0;
    for sample in tone {
        run = if sample.abs() < 1e-4 { run + 1 } else { 0 };
        count += usize::from(run == 24);
    }
    count
}

/// What one recording of the tone had.
#[derive(Debug, PartialEq, Eq)]
pub struct DropOuts {
    pub discontinuities: usize,
    pub silent_gaps: usize,
    /// What Hark itself counted: `lost` of the microphone, `starved` of the loudspeaker.
    pub counted: u64,
    /// Samples by which the recording is longer or shorter than what was played.
    pub surplus: usize,
}

impl DropOuts {
    pub fn of(recorded: &[f32], played: usize, counted: u64) -> Self {
        let heard = sounding(recorded);
        Self {
            discontinuities: discontinuities(heard),
            silent_gaps: silent_gaps(heard),
            counted,
            // The first and the last few samples of a sine are too quiet to be found.
            surplus: heard.len().abs_diff(played).saturating_sub(20),
        }
    }

    const fn none(&self) -> bool {
        self.discontinuities == 0 && self.silent_gaps == 0 && self.counted == 0 && self.surplus == 0
    }
}

/// Demands a recording without any drop-out in one of five attempts, and prints each.
///
/// Neither the sound server nor its client has a real-time thread here, and the machine may be busy with anything (at load
/// 11 on 2 cores, 5 of 6 recordings had a gap of some milliseconds; at load 5, none of 5): that is the machine's. What Hark
/// does wrong (a block dropped, repeated, half filled, resampled badly) is in every attempt.
pub fn demand_one_clean(mut attempt: impl FnMut() -> DropOuts) {
    for number in 1..=5 {
        let found = attempt();
        eprintln!("attempt {number}: {found:?}");
        if found.none() {
            return;
        }
    }
    panic!("no attempt was free of drop-outs");
}

/// Where `part` lies in `whole` and how well it fits there: the best normalised correlation, 1 for the same wave.
pub fn find(part: &[f32], whole: &[f32], offsets: std::ops::Range<usize>) -> (usize, f64) {
    let energy = |samples: &[f32]| {
        samples
            .iter()
            .map(|s| f64::from(*s) * f64::from(*s))
            .sum::<f64>()
            .sqrt()
    };
    let own = energy(part);
    offsets
        .filter(|offset| offset + part.len() <= whole.len())
        .map(|offset| {
            let there = &whole[offset..offset + part.len()];
            let dot: f64 = part
                .iter()
                .zip(there)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum();
            (offset, dot / (own * energy(there)).max(1e-9))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((0, 0.0))
}

#[test]
fn the_count_of_discontinuities_sees_one_missing_one_repeated_and_one_silent_stretch() {
    let whole = sine(1.0);
    assert_eq!((discontinuities(&whole), silent_gaps(&whole)), (0, 0));
    let missing = [&whole[..10_000], &whole[10_001..]].concat();
    assert_eq!(discontinuities(&missing), 1);
    let repeated = [&whole[..10_000], &whole[9_040..]].concat();
    assert_eq!(discontinuities(&repeated), 1);
    let mut silent = whole;
    silent[10_000..10_960].fill(0.0);
    assert_eq!((discontinuities(&silent), silent_gaps(&silent)), (2, 1));
}
