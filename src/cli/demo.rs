//! `hark demo`: one whole turn with what this machine has, stage by stage, with the receipt.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Setting;
use super::failure::Failure;
use super::receipt;
use super::waiting::Waiting;
use crate::daemon::conductor::{Summary, Until};
use crate::daemon::events::{Line, News, Sink};
use crate::daemon::parts;
use crate::daemon::{Input, Output, Pace, Plan, Wake};

/// Arguments of `hark demo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark demo\n  hark demo --wav question.wav --out answer.wav --json"
)]
pub struct DemoArgs {
    /// Asks with this recording instead of the microphone (any usual sound file)
    #[arg(long, value_name = "FILE")]
    wav: Option<PathBuf>,
    /// Writes the answer to this WAV file instead of playing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Prints one JSON document instead of the stages
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// A file, device or model cannot be used (1), or nothing was understood (1).
pub fn run(args: &DemoArgs, setting: &Setting) -> anyhow::Result<()> {
    let stage = |text: &str| {
        if !args.json {
            // A closed terminal must not end the demonstration.
            writeln!(std::io::stdout(), "{text}").ok();
        }
    };
    let (output, written) = output(args, setting);
    stage(&match &written {
        Some(path) => format!(
            "speaking into {}{}",
            path.display(),
            if args.out.is_some() {
                ""
            } else {
                " (this machine has no loudspeaker)"
            }
        ),
        None => "speaking on the loudspeaker".to_owned(),
    });
    let turn = |input: Input| {
        let plan = Plan {
            config: setting.config.clone(),
            places: setting.places.clone(),
            input,
            output: output.clone(),
            wake: Wake::EveryUtterance,
            until: Until::OneTurn,
            keep_records: true,
        };
        super::runtime()?.block_on(one_turn(plan, args.json))
    };
    let summary = match &args.wav {
        Some(path) => {
            stage(&format!("asking with {}", path.display()));
            turn(Input::File {
                path: path.clone(),
                pace: Pace::Fast,
            })?
        }
        None if parts::has_microphone(&setting.config) => {
            stage("ask something now, for example: what time is it?");
            let summary = turn(Input::Device(setting.config.audio.input.clone()))?;
            if summary.turns.is_empty() {
                stage(&format!("nothing was said for {} s", PATIENCE.as_secs()));
                turn(bundled(&stage)?)?
            } else {
                summary
            }
        }
        None => {
            stage("this machine has no microphone");
            turn(bundled(&stage)?)?
        }
    };
    report(args, setting, &summary, written.as_deref())
}

/// Runs one turn; gives up when nothing is heard for [`PATIENCE`].
async fn one_turn(plan: Plan, quiet: bool) -> anyhow::Result<Summary> {
    let heard = Arc::new(AtomicBool::new(false));
    let hears = Arc::clone(&heard);
    let mut waiting = Waiting::begin("loading the models and opening the devices");
    let sink: Sink = Box::new(move |line| {
        waiting.over();
        if matches!(line.news, News::SpeechStart) {
            hears.store(true, Ordering::Relaxed);
        }
        if !quiet {
            show(line);
        }
    });
    let stop = CancellationToken::new();
    let run = crate::daemon::run_until(plan, sink, stop.clone());
    tokio::pin!(run);
    tokio::select! {
        summary = &mut run => return summary,
        () = tokio::time::sleep(PATIENCE) => {}
        _ = tokio::signal::ctrl_c() => stop.cancel(),
    }
    if !heard.load(Ordering::Relaxed) {
        stop.cancel();
    }
    run.await
}

/// How long a microphone is listened to before the recording is used.
const PATIENCE: Duration = Duration::from_secs(10);

fn bundled(stage: &dyn Fn(&str)) -> anyhow::Result<Input> {
    stage("asking with the bundled recording");
    let sound = parts::decode_bytes(parts::QUESTION)?;
    Ok(Input::Samples {
        name: "the bundled question".to_owned(),
        samples: sound.samples,
        format: sound.format,
    })
}

fn output(args: &DemoArgs, setting: &Setting) -> (Output, Option<PathBuf>) {
    let file = |path: PathBuf| {
        (
            Output::File {
                path: path.clone(),
                pace: Pace::Fast,
            },
            Some(path),
        )
    };
    match &args.out {
        Some(path) => file(path.clone()),
        None if parts::has_loudspeaker(&setting.config) => {
            (Output::Device(setting.config.audio.output.clone()), None)
        }
        None => file(std::env::temp_dir().join("hark-answer.wav")),
    }
}

fn show(line: &Line) {
    let text = match &line.news {
        News::Ready {
            stt_model, backend, ..
        } => {
            let backend = backend
                .as_deref()
                .unwrap_or("none answers: local intents only");
            format!("speech model: {stt_model}; language model: {backend}")
        }
        News::SpeechStart => "hearing ...".to_owned(),
        News::Transcript {
            text, confidence, ..
        } => format!("heard:    {} (confidence {confidence:.2})", text.as_str()),
        News::Reply { text } => format!("answered: {}", text.as_str()),
        News::Error { message, .. } => format!("trouble:  {message}"),
        _ => return,
    };
    writeln!(std::io::stdout(), "{text}").ok();
}

fn report(
    args: &DemoArgs,
    setting: &Setting,
    summary: &Summary,
    written: Option<&Path>,
) -> anyhow::Result<()> {
    let Some(turn) = summary.turns.first() else {
        return Err(Failure::failed(
            "nothing was understood",
            "speak right after the prompt, or give a recording: hark demo --wav FILE",
        )
        .into());
    };
    let mut out = std::io::stdout();
    if args.json {
        let document = json!({
            "heard": turn.asked.as_str(),
            "confidence": turn.confidence,
            "answered": turn.replied.as_str(),
            "outcome": turn.outcome,
            "receipt": turn.receipt,
            "out": written.map(|path| path.display().to_string()),
        });
        writeln!(out, "{document}")?;
    } else {
        write!(
            out,
            "\nreceipt, from the end of the question:\n{}",
            receipt::render(&turn.receipt)
        )?;
        if parts::is_starter(&setting.config, &setting.places) {
            writeln!(out, "\n{}", receipt::STARTER_ADVICE)?;
        }
    }
    match summary.trouble.as_slice() {
        [] => Ok(()),
        trouble => {
            Err(Failure::failed(trouble.join("; "), "choose another file with --out").into())
        }
    }
}
