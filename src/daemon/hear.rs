//! Hearing without answering: utterances from a microphone or a file, transcribed one after another.

use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;

use super::events::{Line, News};
use super::partials::Partials;
use super::{Input, Pace, parts};
use crate::config::{Config, Places};
use crate::flow::Utterance;
use crate::hearing::listen::{EarEvent, ListenControl};
use crate::platform::clock::Clock;
use crate::private::Private;
use crate::transcribe::{Abort, TranscribeOptions, Transcriber, Transcription};

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
    // A file that is read as fast as it can be is read once.
    let live = !matches!(
        hearing.input,
        Input::File {
            pace: Pace::Fast,
            ..
        }
    );
    let source = parts::source(&hearing.input, hearing.config, clock, None, None)?;
    let input = source.name.clone();
    let transcriber = parts::transcriber(hearing.config, hearing.places)?;
    let model = transcriber.model().to_owned();
    let (told, events) = sync_channel(WAITING);
    let ear = parts::ear_with(
        source,
        hearing.config,
        hearing.config.turn.end_silence,
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
    let mut listener = Listener {
        transcriber,
        options: TranscribeOptions {
            language: hearing.config.stt.language.clone(),
            timestamps: false,
        },
        abort: Abort::default(),
        partials: Partials::new(live && hearing.config.stt.partials),
        speaking: false,
        control: ear.control.clone(),
        clock,
    };
    for (event, anchor) in events {
        match event {
            EarEvent::Ready { .. } => tell(HearEvent::Ready {
                input: &input,
                model: &model,
            })?,
            EarEvent::Failed(error) => return Err(error.into()),
            EarEvent::Ended => break,
            event => {
                if let Some(news) = listener.take(event)? {
                    tell(HearEvent::Line(&Line {
                        news,
                        at: anchor.at.seconds(),
                        turn: None,
                        private: false,
                    }))?;
                }
            }
        }
    }
    ear.stop()
        .map_err(|panic| anyhow::anyhow!("the listening thread failed: {panic}"))
}

/// Turns what the ear tells into news.
struct Listener {
    transcriber: Box<dyn Transcriber>,
    options: TranscribeOptions,
    abort: Abort,
    partials: Partials,
    speaking: bool,
    control: ListenControl,
    clock: Clock,
}

impl Listener {
    fn take(&mut self, event: EarEvent) -> anyhow::Result<Option<News>> {
        let news = match event {
            EarEvent::SpeechStarted { .. } => {
                self.speaking = true;
                return Ok(None);
            }
            EarEvent::Dropped { .. } => {
                self.speaking = false;
                self.partials.over();
                return Ok(None);
            }
            EarEvent::Progress { .. } => {
                if self.speaking && self.partials.wants(self.clock.now()) {
                    self.control.request_snapshot();
                }
                return Ok(None);
            }
            EarEvent::Snapshot(so_far) => return self.partial(so_far),
            EarEvent::Utterance(utterance) => {
                self.speaking = false;
                self.partials.over();
                let text = self.read(&utterance)?;
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
            _ => return Ok(None),
        };
        Ok(Some(news))
    }

    /// Words of somebody who still speaks.
    fn partial(&mut self, so_far: Option<Utterance>) -> anyhow::Result<Option<News>> {
        let Some(so_far) = self.partials.snapshot(self.clock.now(), so_far) else {
            return Ok(None);
        };
        let text = self.read(&so_far)?;
        let (now, of) = (self.clock.now(), so_far.speech.start);
        let words = self
            .partials
            .read(now, of, text.text.as_str(), text.elapsed);
        Ok(words.map(|words| News::Partial {
            text: Private::new(words),
        }))
    }

    fn read(&mut self, utterance: &Utterance) -> anyhow::Result<Transcription> {
        let samples = &utterance.samples;
        Ok(self
            .transcriber
            .transcribe(samples, &self.options, &self.abort)?)
    }
}
