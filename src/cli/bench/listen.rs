//! `hark bench listen`: what it costs to listen.
//!
//! The daemon runs in real time on a file instead of a microphone, waiting for its wake phrase, and the processor time of the
//! whole process is taken: in a silent room, with people talking nearby who do not say the phrase, and with the same talk as
//! questions. Shares are of one core. The time before the ear hears (loading the model) does not count.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::recordings;
use crate::audio::decode::{Input as Encoded, decode_mono};
use crate::cli::Setting;
use crate::daemon::conductor::Until;
use crate::daemon::events::{News, Sink};
use crate::daemon::{Input, Output, Pace, Plan, Wake, parts};
use crate::platform::clock::Clock;
use crate::platform::cpu;
use crate::time::SAMPLE_RATE;

/// What listening costs: processor time in a silent room, with talk nearby, and for each second of questions.
///
/// DIR holds recordings of people who talk (any sound files); without it the bundled question stands in for them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark bench listen\n  hark bench listen talk/ --seconds 60 --json"
)]
pub struct ListenArgs {
    /// Recordings of talk
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Length of each of the three measurements
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    seconds: u64,
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    seconds: u64,
    model: String,
    rows: Vec<Row>,
}

/// One measurement.
#[derive(Debug, Serialize)]
struct Row {
    /// `silence`, `nearby`, `questions`.
    what: &'static str,
    /// Processor time of the process.
    cpu_ms: u64,
    wall_ms: u64,
    /// Of one core.
    share: f64,
    /// Voiced stretches that were told of.
    utterances: usize,
    /// Texts that were read and told of.
    transcripts: usize,
}

/// Measures and prints.
///
/// # Errors
/// The recordings or the speech model cannot be used.
pub fn run(args: &ListenArgs, setting: &Setting) -> anyhow::Result<()> {
    let samples = usize::try_from(args.seconds).unwrap_or(30) * SAMPLE_RATE as usize;
    let folder = std::env::temp_dir().join(format!("hark-bench-listen-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let talk = talk(args.folder.as_deref(), samples)?;
    let (quiet, nearby) = (folder.join("silence.wav"), folder.join("talk.wav"));
    write(&quiet, &noise(samples))?;
    write(&nearby, &talk)?;
    let measured = [
        ("silence", &quiet, Wake::Phrase),
        ("nearby", &nearby, Wake::Phrase),
        ("questions", &nearby, Wake::EveryUtterance),
    ]
    .into_iter()
    .map(|(what, file, wake)| measure(what, file, wake, &folder, setting))
    .collect::<anyhow::Result<Vec<Row>>>();
    std::fs::remove_dir_all(&folder)?;
    let found = Found {
        seconds: args.seconds,
        model: parts::speech_model(&setting.config, &setting.places)?.0,
        rows: measured?,
    };
    super::print("listen", args.json, &found, table)
}

/// What the event stream told.
#[derive(Default)]
struct Seen {
    /// When the ear began to hear, and what the process had used by then.
    began: Option<(Duration, Duration)>,
    utterances: usize,
    transcripts: usize,
}

fn measure(
    what: &'static str,
    file: &Path,
    wake: Wake,
    folder: &Path,
    setting: &Setting,
) -> anyhow::Result<Row> {
    // Nobody answers: what is measured is the ear.
    let config = setting.with_flags(&[("--backend", "llm.backend", Some(&"none".to_owned()))])?;
    let plan = Plan {
        config,
        places: setting.places.clone(),
        input: Input::File {
            path: file.to_owned(),
            pace: Pace::RealTime,
        },
        output: Output::File {
            path: folder.join("answers.wav"),
            pace: Pace::Fast,
        },
        wake,
        until: Until::InputEnds,
        keep_records: false,
    };
    let clock = Clock::start();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let told = Arc::clone(&seen);
    let sink: Sink = Box::new(move |line| {
        let mut seen = told.lock().unwrap_or_else(PoisonError::into_inner);
        match &line.news {
            News::Ready { .. } => {
                seen.began = Some((clock.now().since_start(), cpu::process_time()));
            }
            News::SpeechStart => seen.utterances += 1,
            News::Transcript { .. } => seen.transcripts += 1,
            _ => {}
        }
    });
    crate::cli::runtime()?.block_on(crate::daemon::run(plan, sink))?;
    let (now, used) = (clock.now().since_start(), cpu::process_time());
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((began, before)) = seen.began else {
        anyhow::bail!("the ear never heard anything of {}", file.display());
    };
    let (cpu, wall) = (used.saturating_sub(before), now.saturating_sub(began));
    Ok(Row {
        what,
        cpu_ms: millis(cpu),
        wall_ms: millis(wall),
        share: cpu.as_secs_f64() / wall.as_secs_f64().max(1e-9),
        utterances: seen.utterances,
        transcripts: seen.transcripts,
    })
}

fn table(found: &Found) -> String {
    let mut text = format!(
        "{} s each, speech model {}\n\n{:<12} {:>14} {:>12} {:>11} {:>12}\n",
        found.seconds,
        found.model,
        "hearing",
        "of one core",
        "ms per s",
        "utterances",
        "texts read"
    );
    for row in &found.rows {
        super::turn::line(
            &mut text,
            format_args!(
                "{:<12} {:>12.2} % {:>12.1} {:>11} {:>12}",
                row.what,
                row.share * 100.0,
                row.share * 1_000.0,
                row.utterances,
                row.transcripts
            ),
        );
    }
    text
}

/// Talk of that length: the recordings one after the other, again from the first when they end, half a second apart.
fn talk(folder: Option<&Path>, samples: usize) -> anyhow::Result<Vec<f32>> {
    let mut clips = Vec::new();
    match folder {
        Some(folder) => {
            let mut length = 0;
            for path in recordings::sounds(folder)? {
                let clip = decode_mono(Encoded::File(&path), &mut |_| {})?.samples;
                length += clip.len();
                clips.push(clip);
                if length >= samples {
                    break;
                }
            }
        }
        None => clips.push(parts::question_for_transcriber()?),
    }
    let gap = noise(SAMPLE_RATE as usize / 2);
    let mut talk = Vec::with_capacity(samples);
    for clip in clips.iter().cycle() {
        if talk.len() >= samples {
            break;
        }
        talk.extend_from_slice(clip);
        talk.extend_from_slice(&gap);
    }
    talk.truncate(samples);
    Ok(talk)
}

/// A quiet room: noise at −66 dBFS.
fn noise(samples: usize) -> Vec<f32> {
    let mut state = 1_u32;
    (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as f32 / 65_536.0 - 0.5) * 0.0017
        })
        .collect()
}

fn write(path: &Path, samples: &[f32]) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for sample in samples {
        writer.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0) as i16)?;
    }
    Ok(writer.finalize()?)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
