//! The daemon in real time on some clips, against the scripted language model.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::report::line;
use super::server::{self, Script};
use crate::cli::Setting;
use crate::cli::bench::recordings::Recording;
use crate::daemon::conductor::Until;
use crate::daemon::events::{News, Sink};
use crate::daemon::{Input, Output, Pace, Plan, Wake};
use crate::flow::{Receipt, Speculation};
use crate::time::SAMPLE_RATE;

/// What the receipts say.
#[derive(Debug, Serialize)]
pub struct Live {
    /// Clips that were played.
    clips: usize,
    first_token_ms: u64,
    tokens_a_second: f64,
    /// Turns that came of them: more than clips where turns were cut off, fewer where nothing was understood.
    turns: usize,
    hits: usize,
    misses: usize,
    /// Medians of all turns, milliseconds from the end of the speech.
    endpoint_ms: Option<i64>,
    transcript_ms: Option<i64>,
    first_token_median_ms: Option<i64>,
    first_clause_ms: Option<i64>,
    voice_to_voice_ms: Option<i64>,
    /// Median of voice-to-voice less the end-pointing delay, where speculation hit, and where it did not.
    beyond_endpoint_hit_ms: Option<i64>,
    beyond_endpoint_other_ms: Option<i64>,
    receipts: Vec<Receipt>,
}

/// Plays the clips, one after the other with time for each answer.
///
/// # Errors
/// The daemon cannot run.
pub fn measure(clips: &[&Recording], setting: &Setting, script: Script) -> anyhow::Result<Live> {
    let folder = std::env::temp_dir().join(format!("hark-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let input = folder.join("clips.wav");
    write_clips(clips, &input)?;
    let url = server::start(script)?;
    let config = setting.with_flags(&[
        ("--backend", "llm.backend", Some(&"openai".to_owned())),
        ("--url", "llm.openai.url", Some(&url)),
    ])?;
    let plan = Plan {
        config,
        places: setting.places.clone(),
        input: Input::File {
            path: input,
            pace: Pace::RealTime,
        },
        output: Output::File {
            path: folder.join("answers.wav"),
            pace: Pace::RealTime,
        },
        wake: Wake::EveryUtterance,
        until: Until::InputEnds,
        keep_records: false,
    };
    let receipts: Arc<Mutex<Vec<Receipt>>> = Arc::default();
    let seen = Arc::clone(&receipts);
    let sink: Sink = Box::new(move |line| {
        if let News::Turn { receipt, .. } = &line.news {
            seen.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(receipt.clone());
        }
    });
    let runtime = crate::cli::runtime()?;
    let ended = runtime.block_on(crate::daemon::run(plan, sink));
    std::fs::remove_dir_all(&folder)?;
    ended?;
    let receipts = std::mem::take(&mut *receipts.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(summed(clips.len(), script, receipts))
}

fn summed(clips: usize, script: Script, receipts: Vec<Receipt>) -> Live {
    let median_of = |value: &dyn Fn(&Receipt) -> Option<i64>| {
        let mut values: Vec<i64> = receipts.iter().filter_map(value).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied()
    };
    let beyond = |receipt: &Receipt| Some(receipt.first_audio_ms? - receipt.endpoint_ms?);
    let of = |hit: bool| {
        median_of(&|receipt| {
            beyond(receipt).filter(|_| (receipt.speculation == Speculation::Hit) == hit)
        })
    };
    let count = |wanted| {
        receipts
            .iter()
            .filter(|receipt| receipt.speculation == wanted)
            .count()
    };
    Live {
        clips,
        first_token_ms: u64::try_from(script.first_token.as_millis()).unwrap_or(u64::MAX),
        tokens_a_second: script.rate,
        turns: receipts.len(),
        hits: count(Speculation::Hit),
        misses: count(Speculation::Miss),
        endpoint_ms: median_of(&|receipt| receipt.endpoint_ms),
        transcript_ms: median_of(&|receipt| receipt.transcript_ms),
        first_token_median_ms: median_of(&|receipt| receipt.first_token_ms),
        first_clause_ms: median_of(&|receipt| receipt.first_clause_ms),
        voice_to_voice_ms: median_of(&|receipt| receipt.first_audio_ms),
        beyond_endpoint_hit_ms: of(true),
        beyond_endpoint_other_ms: of(false),
        receipts,
    }
}

impl Live {
    /// The figures for people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "\nlive: {} clips in real time, first token after {} ms, {} tokens a second\n",
            self.clips, self.first_token_ms, self.tokens_a_second
        );
        line(
            &mut text,
            format_args!(
                "  turns {}, speculation hit {}, missed {}",
                self.turns, self.hits, self.misses
            ),
        );
        let rows = [
            ("end of turn", self.endpoint_ms),
            ("transcript", self.transcript_ms),
            ("first token", self.first_token_median_ms),
            ("first clause", self.first_clause_ms),
            ("voice to voice", self.voice_to_voice_ms),
            ("beyond the end of turn, hit", self.beyond_endpoint_hit_ms),
            (
                "beyond the end of turn, else",
                self.beyond_endpoint_other_ms,
            ),
        ];
        for (name, value) in rows {
            let value = value.map_or("-".to_owned(), |ms| format!("{ms} ms"));
            line(&mut text, format_args!("  {name:<30} {value:>9}"));
        }
        text
    }
}

/// One file of all clips, 16 kHz, with faint noise between them.
fn write_clips(clips: &[&Recording], path: &std::path::Path) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    let mut noise = Noise(1);
    for clip in clips {
        for _ in 0..GAP.as_secs() * u64::from(SAMPLE_RATE) {
            writer.write_sample(noise.next())?;
        }
        for sample in clip.samples()? {
            writer.write_sample((sample.clamp(-1.0, 1.0) * 32_000.0) as i16)?;
        }
    }
    for _ in 0..GAP.as_secs() * u64::from(SAMPLE_RATE) {
        writer.write_sample(noise.next())?;
    }
    Ok(writer.finalize()?)
}

/// Noise of a quiet room, −66 dBFS.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> i16 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((self.0 >> 16) % 50) as i16 - 25
    }
}

/// Longer than any answer of the script, so that each clip is a question of its own.
const GAP: Duration = Duration::from_secs(5);
