//! `hark bench wake`: what a wake model misses and what it takes for the phrase, at every threshold, on any recordings.
//!
//! The model hears each recording frame by frame, as the daemon does: behind the voice detector, so what is taken for no
//! speech at all makes neither a hit nor a false accept. A recording with the phrase is missed at a threshold that its best
//! score does not reach. In the others every rise to the threshold is a false accept; those that follow within a second of
//! one are the same. The cost is the processor time of features and model; the voice detector runs with or without them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde::Serialize;

use super::recordings::{self, Recording};
use super::words::normal;
use crate::cli::Setting;
use crate::cli::failure::Failure;
use crate::daemon::parts;
use crate::hearing::Vad as _;
use crate::hearing::WakeDetector as _;
use crate::hearing::vad::SileroVad;
use crate::hearing::wake::WakeModel;
use crate::models::wake::{WakeEntry, wake_at};
use crate::platform::clock::processor_time;
use crate::time::{FRAME_SAMPLES, SAMPLE_RATE};

/// Misses and false accepts of a wake model at every threshold.
///
/// Folders hold sound files. Where a manifest.csv lists them (columns file, text), recordings whose text has the phrase count
/// as positives only, and all others as negatives only, so both may be the same folder.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  hark bench wake \"hey hark\" --positives said/ --negatives a-day-of-radio/"
)]
pub struct WakeArgs {
    /// A phrase that there is a model for, or the path of a model (wake-….onnx)
    #[arg(value_name = "PHRASE|MODEL")]
    model: String,
    /// Recordings in which the phrase is said, once each
    #[arg(long, required = true, value_name = "DIR")]
    positives: Vec<PathBuf>,
    /// Recordings in which it is not said: speech, noise, music
    #[arg(long, required = true, value_name = "DIR")]
    negatives: Vec<PathBuf>,
    /// Prints one JSON document with the whole curve
    #[arg(long)]
    json: bool,
}

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Point {
    threshold: f32,
    /// Share of the recordings with the phrase whose best score lies below.
    miss_rate: f64,
    misses: usize,
    false_accepts: usize,
    false_accepts_per_hour: f64,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    phrase: String,
    model: PathBuf,
    model_bytes: u64,
    positives: usize,
    negatives: usize,
    negative_hours: f64,
    /// Processor time of features and model, in per cent of one core while listening.
    core_percent: f64,
    /// At the model's own two values.
    propose: Point,
    threshold: Point,
    /// At the least threshold with at most 0.5 false accepts an hour.
    at_half_an_hour: Point,
    /// Sets with false accepts at the least threshold with 0.5 an hour, or with misses there.
    sets: Vec<Set>,
    curve: Vec<Point>,
}

/// How one set of recordings fares at 0.5 false accepts an hour.
#[derive(Debug, Clone, Serialize)]
struct Set {
    set: String,
    positives: usize,
    misses: usize,
    negative_hours: f64,
    false_accepts: usize,
}

/// Scores of one recording.
struct Scored {
    set: String,
    /// One a frame.
    scores: Vec<f32>,
}

impl Scored {
    fn best(&self) -> f32 {
        self.scores.iter().copied().fold(0.0, f32::max)
    }

    /// Rises to `threshold` that are a second apart.
    fn accepts(&self, threshold: f32) -> usize {
        let mut count = 0;
        let mut deaf = 0;
        for score in &self.scores {
            if *score >= threshold {
                count += usize::from(deaf == 0);
                deaf = SECOND;
            } else {
                deaf = deaf.saturating_sub(1);
            }
        }
        count
    }

    fn hours(&self) -> f64 {
        self.scores.len() as f64 * FRAME_SAMPLES as f64 / f64::from(SAMPLE_RATE) / 3_600.0
    }
}

/// Frames of a second.
const SECOND: u32 = SAMPLE_RATE / FRAME_SAMPLES as u32;

/// Silence before and after each recording with the phrase: 0.3 s and 0.6 s, what the daemon hears around an utterance.
const LEAD: usize = 4_800;
const TAIL: usize = 9_600;

/// Measures and prints.
///
/// # Errors
/// The model or the recordings cannot be used.
pub fn run(args: &WakeArgs, setting: &Setting) -> anyhow::Result<()> {
    let entry = model(&args.model, setting)?;
    let phrase = &entry.info.phrase;
    let positives = gathered(&args.positives, phrase, true)?;
    let negatives = gathered(&args.negatives, phrase, false)?;
    let mut listener = Listener {
        vad: SileroVad::new().context("the voice-activity model cannot be started")?,
        model: WakeModel::load(&entry.path)?,
        spent: Duration::ZERO,
        frames: 0,
        bar: ProgressBar::new((positives.len() + negatives.len()) as u64),
    };
    let said = listener.all(&positives, (LEAD, TAIL))?;
    let other = listener.all(&negatives, (0, 0))?;
    listener.bar.finish_and_clear();
    let found = found(&entry, &said, &other, listener.core_percent())?;
    super::print("wake", args.json, &found, table)
}

fn model(name: &str, setting: &Setting) -> anyhow::Result<WakeEntry> {
    if Path::new(name).is_file() {
        return Ok(wake_at(Path::new(name))?);
    }
    parts::library(&setting.places).wake(name)?.ok_or_else(|| {
        let message = format!("there is no wake model for \"{name}\"");
        let next =
            format!("train one: make train-wake PHRASE=\"{name}\", or name a file wake-….onnx");
        Failure::usage(message, next).into()
    })
}

/// The recordings of `folders` with or without the phrase.
fn gathered(folders: &[PathBuf], phrase: &str, wanted: bool) -> anyhow::Result<Vec<Recording>> {
    let mut found = Vec::new();
    for folder in folders {
        if folder.join("manifest.csv").is_file() {
            let listed = recordings::with_texts(folder)?;
            let fits = |r: &Recording| has(&r.text, phrase) == wanted && r.path.is_file();
            found.extend(listed.into_iter().filter(fits));
        } else {
            let sounds = recordings::sounds(folder)?;
            found.extend(sounds.into_iter().map(recordings::untitled));
        }
    }
    if found.is_empty() {
        let with = if wanted { "with" } else { "without" };
        let message = format!("there are no recordings {with} \"{phrase}\"");
        return Err(Failure::usage(message, "name other folders").into());
    }
    Ok(found)
}

/// Whether the words of `phrase` stand in `text` one after the other.
fn has(text: &str, phrase: &str) -> bool {
    let (text, phrase) = (normal(text), normal(phrase));
    text.windows(phrase.len().max(1))
        .any(|words| words == phrase)
}

struct Listener {
    vad: SileroVad,
    model: WakeModel,
    spent: Duration,
    frames: u64,
    bar: ProgressBar,
}

impl Listener {
    fn all(&mut self, list: &[Recording], pad: (usize, usize)) -> anyhow::Result<Vec<Scored>> {
        list.iter()
            .map(|recording| self.one(recording, pad))
            .collect()
    }

    fn one(&mut self, recording: &Recording, pad: (usize, usize)) -> anyhow::Result<Scored> {
        self.bar.inc(1);
        let mut samples = vec![0.0; pad.0];
        samples.extend(recording.samples()?);
        samples.resize(samples.len() + pad.1, 0.0);
        self.model.reset();
        self.vad.reset();
        let mut scores = Vec::with_capacity(samples.len() / FRAME_SAMPLES);
        for frame in samples.as_chunks::<FRAME_SAMPLES>().0 {
            let voice = self.vad.probability(frame);
            let before = processor_time();
            let score = self.model.score(frame, voice);
            self.spent += processor_time().saturating_sub(before);
            scores.push(score.unwrap_or(0.0));
        }
        self.frames += scores.len() as u64;
        Ok(Scored {
            set: recording.set.clone(),
            scores,
        })
    }

    fn core_percent(&self) -> f64 {
        let heard = self.frames as f64 * FRAME_SAMPLES as f64 / f64::from(SAMPLE_RATE);
        100.0 * self.spent.as_secs_f64() / heard.max(1e-9)
    }
}

fn found(
    entry: &WakeEntry,
    said: &[Scored],
    other: &[Scored],
    core_percent: f64,
) -> anyhow::Result<Found> {
    let at = |threshold: f32| point(threshold, said, other);
    let curve: Vec<Point> = thresholds().into_iter().map(at).collect();
    let half = curve
        .iter()
        .find(|point| point.false_accepts_per_hour <= 0.5)
        .copied()
        .unwrap_or_else(|| at(1.0));
    Ok(Found {
        phrase: entry.info.phrase.clone(),
        model: entry.path.clone(),
        model_bytes: std::fs::metadata(&entry.path)?.len(),
        positives: said.len(),
        negatives: other.len(),
        negative_hours: other.iter().map(Scored::hours).sum(),
        core_percent,
        propose: at(entry.info.propose),
        threshold: at(entry.info.threshold),
        at_half_an_hour: half,
        sets: sets(said, other, half.threshold),
        curve,
    })
}

fn point(threshold: f32, said: &[Scored], other: &[Scored]) -> Point {
    let misses = said.iter().filter(|one| one.best() < threshold).count();
    let hours: f64 = other.iter().map(Scored::hours).sum();
    let false_accepts = other.iter().map(|one| one.accepts(threshold)).sum();
    Point {
        threshold,
        miss_rate: misses as f64 / said.len().max(1) as f64,
        misses,
        false_accepts,
        false_accepts_per_hour: false_accepts as f64 / hours.max(1e-9),
    }
}

/// From 0.01 to 0.9999, even in log odds: near both ends small differences matter.
fn thresholds() -> Vec<f32> {
    const STEPS: u16 = 92;
    (0..=STEPS)
        .map(|step| {
            let odds = -4.6 + 13.8 * f32::from(step) / f32::from(STEPS);
            1.0 / (1.0 + (-odds).exp())
        })
        .collect()
}

fn sets(said: &[Scored], other: &[Scored], threshold: f32) -> Vec<Set> {
    let mut sets: Vec<Set> = Vec::new();
    let all = said.iter().map(|one| (one, true));
    for (one, is_said) in all.chain(other.iter().map(|one| (one, false))) {
        let at = sets.iter().position(|set| set.set == one.set);
        let at = at.unwrap_or_else(|| {
            sets.push(Set {
                set: one.set.clone(),
                positives: 0,
                misses: 0,
                negative_hours: 0.0,
                false_accepts: 0,
            });
            sets.len() - 1
        });
        let set = &mut sets[at];
        if is_said {
            set.positives += 1;
            set.misses += usize::from(one.best() < threshold);
        } else {
            set.negative_hours += one.hours();
            set.false_accepts += one.accepts(threshold);
        }
    }
    sets
}

fn table(found: &Found) -> String {
    let mut text = format!(
        "\"{}\" ({}, {:.0} kB): {} recordings with it, {} without ({:.2} h); {:.2} % of one core\n\n",
        found.phrase,
        found.model.display(),
        found.model_bytes as f64 / 1e3,
        found.positives,
        found.negatives,
        found.negative_hours,
        found.core_percent
    );
    text.push_str("threshold   missed            false accepts   an hour\n");
    let marks = [
        (found.propose, "propose: below, nothing is transcribed"),
        (found.threshold, "threshold: counts as said"),
        (found.at_half_an_hour, "at most 0.5 an hour"),
    ];
    let mut rows: Vec<(Point, &str)> = found
        .curve
        .iter()
        .step_by(8)
        .map(|point| (*point, ""))
        .chain(marks)
        .collect();
    rows.sort_by(|a, b| a.0.threshold.total_cmp(&b.0.threshold));
    for (point, mark) in rows {
        writeln!(
            text,
            "{:>9.4}   {:>4} of {:<4} {:>4.1} %   {:>13}   {:>7.2}   {mark}",
            point.threshold,
            point.misses,
            found.positives,
            100.0 * point.miss_rate,
            point.false_accepts,
            point.false_accepts_per_hour
        )
        .expect("a string takes everything");
    }
    text.push_str(
        "\nat the last of these:\nset               missed        false accepts   hours\n",
    );
    for set in &found.sets {
        writeln!(
            text,
            "{:<16}  {:>3} of {:<4}   {:>13}   {:>5.2}",
            set.set, set.misses, set.positives, set.false_accepts, set.negative_hours
        )
        .expect("a string takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(scores: &[f32]) -> Scored {
        Scored {
            set: String::new(),
            scores: scores.to_vec(),
        }
    }

    #[test]
    fn what_follows_within_a_second_is_the_same_false_accept() {
        let mut scores = vec![0.0; 100];
        scores[10] = 0.9;
        scores[30] = 0.9;
        scores[80] = 0.9;
        assert_eq!(scored(&scores).accepts(0.5), 2);
        assert_eq!(scored(&scores).accepts(0.95), 0);
    }

    #[test]
    fn a_phrase_is_found_as_whole_words() {
        assert!(has("Hey, Hark! What time is it?", "hey hark"));
        assert!(!has("hey harker", "hey hark") && !has("computers", "computer"));
    }

    #[test]
    fn thresholds_rise_and_reach_both_ends() {
        let all = thresholds();
        assert!(all.is_sorted() && all[0] <= 0.01 && *all.last().unwrap() > 0.9998);
    }
}
