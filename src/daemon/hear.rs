//! Hearing without answering: utterances from a microphone or a file, transcribed one after another.

use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;

use super::events::{Line, News};
use super::{Input, parts};
use crate::config::{Config, Places};
use crate::hearing::listen::EarEvent;
use crate::platform::clock::Clock;
use crate::transcribe::{Abort, TranscribeOptions};

/// What is heard and with what.
#[derive(Debug)]
pub struct Hearing<'a> {
    /// The settings.
    pub config: &'a Config,
    /// Where files lie.
    pub places: &'a Places,
    /// Where sound comes from.
    pub input: Input,
}

/// What happens.
#[derive(Debug)]
pub enum HearEvent<'a> {
    /// The ear hears.
    Ready {
        /// The input's name.
        input: &'a str,
        /// The speech model's name.
        model: &'a str,
    },
    /// A line of the event stream.
    Line(&'a Line),
}

/// Utterances that may wait for the model; when it falls behind further, the ring of the input fills and losses are counted.
const WAITING: usize = 64;

/// Hears until the input ends.
///
/// # Errors
/// The input or the model cannot be used, or `tell` failed.
pub fn hear(
    hearing: Hearing<'_>,
    tell: &mut dyn FnMut(HearEvent<'_>) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let clock = Clock::start();
    let source = parts::source(&hearing.input, hearing.config, clock, None, None)?;
    let input = source.name.clone();
    let mut transcriber = parts::transcriber(hearing.config, hearing.places)?;
    let model = transcriber.model().to_owned();
    let options = TranscribeOptions {
        language: hearing.config.stt.language.clone(),
        timestamps: false,
    };
    let (told, events) = sync_channel(WAITING);
    let ear = parts::ear_with(
        source,
        hearing.config,
        clock,
        None,
        Box::new(move |event, anchor| {
            if told.send((event, anchor)).is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        }),
    )?;
    let abort = Abort::default();
    for (event, anchor) in events {
        let news = match event {
            EarEvent::Ready { .. } => {
                tell(HearEvent::Ready {
                    input: &input,
                    model: &model,
                })?;
                continue;
            }
            EarEvent::Utterance(utterance) => {
                let text = transcriber.transcribe(&utterance.samples, &options, &abort)?;
                News::Transcript {
                    text: text.text,
                    start: utterance.span.start.seconds(),
                    end: utterance.speech.end.seconds(),
                    confidence: text.confidence,
                }
            }
            EarEvent::Zeros { .. } => super::words::microphone_silent(),
            EarEvent::Faint { peak } => {
                super::words::microphone_faint((20.0 * peak.max(1e-6).log10()) as i32)
            }
            EarEvent::Lost { reason } => News::Device {
                change: format!("the input was lost: {reason}"),
            },
            EarEvent::StillLost { error } => super::words::input_error(&error),
            EarEvent::Failed(error) => return Err(error.into()),
            EarEvent::Ended => break,
            _ => continue,
        };
        tell(HearEvent::Line(&Line {
            news,
            at: anchor.at.seconds(),
            turn: None,
            private: false,
        }))?;
    }
    ear.stop()
        .map_err(|panic| anyhow::anyhow!("the listening thread failed: {panic}"))
}
