//! From pauses to figures: which turns a choice of windows cuts off, and how long the others wait.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::live::Live;
use super::pauses::{Clip, Pause};
use crate::dialogue::ending::EndPolicy;

/// What is known about a pause when its window is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Nothing: one length for all.
    Fixed,
    /// Pitch and loudness.
    Sound,
    /// And the words as the speech model read them.
    Heard,
    /// And the words of the text.
    Text,
}

/// What came of one choice of windows on one group of clips.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// What was known.
    pub evidence: Evidence,
    /// The half that it was measured on; `None` is both.
    pub half: Option<u8>,
    /// The set; `None` is all.
    pub set: Option<String>,
    /// The windows, against those of the settings.
    pub scale: f32,
    /// Window after even evidence.
    pub usual_ms: u64,
    /// Turns.
    pub turns: usize,
    /// Of those, cut off at one of their pauses.
    pub cut_turns: usize,
    /// Their share.
    pub cut_share: f64,
    /// Inner pauses.
    pub pauses: usize,
    /// Of those, taken for the end.
    pub cut_pauses: usize,
    /// From the end of the speech to the decision.
    pub median_ms: u64,
    /// The same for nine of ten.
    pub p90_ms: u64,
}

/// Everything.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The windows of the settings.
    quick_ms: u64,
    usual_ms: u64,
    longest_ms: u64,
    points: Vec<Point>,
    live: Option<Live>,
    clips: Vec<Clip>,
}

impl Found {
    pub fn new(clips: Vec<Clip>, policy: EndPolicy, live: Option<Live>) -> Self {
        let mut points = Vec::new();
        let heard = clips
            .iter()
            .flat_map(|clip| &clip.pauses)
            .any(|pause| pause.heard.is_some());
        let all = [
            Evidence::Fixed,
            Evidence::Sound,
            Evidence::Heard,
            Evidence::Text,
        ];
        for evidence in all
            .into_iter()
            .filter(|evidence| heard || *evidence != Evidence::Heard)
        {
            for half in [None, Some(0), Some(1)] {
                for scale in SCALES {
                    points.push(point(&clips, policy, evidence, half, None, scale));
                }
            }
            let mut sets: Vec<&str> = clips.iter().map(|clip| clip.set.as_str()).collect();
            sets.sort_unstable();
            sets.dedup();
            for set in sets {
                points.push(point(&clips, policy, evidence, None, Some(set), 1.0));
            }
        }
        Self {
            quick_ms: ms(policy.quick),
            usual_ms: ms(policy.usual),
            longest_ms: ms(policy.longest),
            points,
            live,
            clips,
        }
    }
}

fn point(
    clips: &[Clip],
    policy: EndPolicy,
    evidence: Evidence,
    half: Option<u8>,
    set: Option<&str>,
    scale: f32,
) -> Point {
    let (mut turns, mut cut_turns, mut pauses, mut cut_pauses) = (0, 0, 0, 0);
    let mut delays = Vec::new();
    let chosen = clips.iter().filter(|clip| {
        half.is_none_or(|half| clip.half == half) && set.is_none_or(|set| clip.set == set)
    });
    for clip in chosen.filter(|clip| !clip.pauses.is_empty()) {
        turns += 1;
        let (mut cut, mut longest) = (false, 0);
        for pause in &clip.pauses {
            let window = window(pause, policy, (evidence, scale), longest);
            match pause.length_ms {
                Some(length) => {
                    pauses += 1;
                    if length >= window {
                        cut_pauses += 1;
                        cut = true;
                    }
                    if evidence != Evidence::Fixed {
                        longest = longest.max(length);
                    }
                }
                None => delays.push(window),
            }
        }
        cut_turns += usize::from(cut);
    }
    delays.sort_unstable();
    let at = |share: usize| {
        delays
            .get(delays.len().saturating_sub(1) * share / 100)
            .copied()
            .unwrap_or(0)
    };
    Point {
        evidence,
        half,
        set: set.map(str::to_owned),
        scale,
        usual_ms: (ms(policy.usual) as f32 * scale) as u64,
        turns,
        cut_turns,
        cut_share: cut_turns as f64 / turns.max(1) as f64,
        pauses,
        cut_pauses,
        median_ms: at(50),
        p90_ms: at(90),
    }
}

/// How long the pause may last, in whole frames, as the segmenter counts.
fn window(
    pause: &Pause,
    policy: EndPolicy,
    (evidence, scale): (Evidence, f32),
    longest: u64,
) -> u64 {
    let score = match evidence {
        Evidence::Fixed => 0.0,
        Evidence::Sound => pause.sound,
        Evidence::Text => pause.sound + pause.text_score,
        Evidence::Heard => pause.sound + pause.heard_score.unwrap_or(0.0),
    };
    let scaled = EndPolicy {
        quick: policy.quick.mul_f32(scale),
        usual: policy.usual.mul_f32(scale),
        longest: policy.longest.mul_f32(scale),
    };
    let window = scaled.window_after(score, Duration::from_millis(longest));
    ms(window).div_ceil(FRAME_MS) * FRAME_MS
}

/// The table for people.
pub fn table(found: &Found) -> String {
    let mut text = format!(
        "windows: {} ms after what is clearly whole, {} ms usually, {} ms at most\n\n",
        found.quick_ms, found.usual_ms, found.longest_ms
    );
    line(
        &mut text,
        format_args!(
            "{:<8} {:<22} {:>6} {:>8} {:>6} {:>11} {:>11} {:>9} {:>7}",
            "evidence",
            "clips",
            "scale",
            "usual ms",
            "turns",
            "cut turns",
            "cut pauses",
            "median ms",
            "p90 ms"
        ),
    );
    for point in &found.points {
        let clips = match (&point.set, point.half) {
            (Some(set), _) => set.clone(),
            (None, Some(half)) => format!("half {half}"),
            (None, None) => "all".to_owned(),
        };
        line(
            &mut text,
            format_args!(
                "{:<8} {:<22} {:>6.2} {:>8} {:>6} {:>4} {:>4.1} % {:>4} of {:>4} {:>9} {:>7}",
                format!("{:?}", point.evidence).to_lowercase(),
                clips,
                point.scale,
                point.usual_ms,
                point.turns,
                point.cut_turns,
                point.cut_share * 100.0,
                point.cut_pauses,
                point.pauses,
                point.median_ms,
                point.p90_ms
            ),
        );
    }
    if let Some(live) = &found.live {
        text.push_str(&live.table());
    }
    text
}

/// Adds a line.
pub fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes everything");
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const FRAME_MS: u64 = 32;
const SCALES: [f32; 8] = [0.5, 0.65, 0.8, 0.9, 1.0, 1.25, 1.6, 2.0];
