//! The listening thread: reads the source, makes frames, asks the voice-activity model, segments, and tells.
//!
//! [`spawn`] starts the thread `listen`; it alone owns the source, the resampler, the model and the segmenter. The driver
//! holds a [`ListenControl`] (atomics only, so nothing there can fill up) and receives every [`EarEvent`] through a callback
//! on the listening thread. The callback may block: while it does, the ring of the source (2 s) absorbs what is captured,
//! and what overflows is counted as lost. The thread waits at most 8 ms at a time and, once its buffers have grown,
//! allocates only for what it hands out. A source that is lost is reopened with growing pauses; what was being said is
//! handed out first. Nothing here decides whether a turn is over.

use std::io;
use std::ops::ControlFlow;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Detectors;
use super::control::KeyWish;
pub use super::control::{ListenControl, PauseReason};
use super::framer::Framer;
use super::segment::{SegmentEvent, SegmentSettings, Segmenter};
use super::silence::ZeroWatch;
use crate::audio::echo::meter::EchoReport;
use crate::audio::{AudioSource, CaptureError, Captured, Format};
use crate::flow::{Frame, Utterance};
use crate::platform::clock::Clock;
use crate::time::{Anchor, FRAME_SAMPLES, SAMPLE_RATE, SamplePos, Span};

/// What the ear noticed. Positions become instants by the [`Anchor`] that comes with each event.
#[derive(Debug)]
pub enum EarEvent {
    /// The first samples of a source have come: from here on speech is not missed. Comes again after every `Lost`.
    Ready {
        /// The layout of the source.
        format: Format,
    },
    /// A sound began that may become speech: the moment to duck a reply.
    Onset {
        /// First voiced sample.
        at: SamplePos,
    },
    /// It was no speech, or hearing was paused in the middle of it.
    Dropped {
        /// From its first to its last voiced sample.
        sound: Span,
    },
    /// It is speech.
    SpeechStarted {
        /// First voiced sample.
        at: SamplePos,
    },
    /// The speaker pauses: this may be all.
    SpeechPaused {
        /// The utterance up to now, for speculation.
        so_far: Utterance,
    },
    /// The speaker goes on; what was made of `so_far` is out of date.
    SpeechResumed {
        /// First voiced sample after the pause.
        at: SamplePos,
    },
    /// The utterance is over.
    Utterance(Utterance),
    /// The utterance that was held by [`ListenControl::hold`] is over; `None` where there was no voice in it.
    Held(Option<Utterance>),
    /// Answers [`ListenControl::request_snapshot`]; `None` when nobody is speaking.
    Snapshot(Option<Utterance>),
    /// Input time passes: told ten times a second of audio.
    Progress {
        /// One past the last sample that was looked at.
        at: SamplePos,
        /// The largest amplitude since the last progress, 0..1.
        peak: f32,
    },
    /// Nothing but exact zeros for 2 s: a microphone that the system has not allowed, or a hardware mute.
    Zeros {
        /// Where they began.
        since: SamplePos,
    },
    /// There is sound again after [`EarEvent::Zeros`].
    ZerosEnded {
        /// Where.
        at: SamplePos,
    },
    /// A minute passed in which the loudest sample was below −70 dB of full scale, and not zero: no room is that quiet.
    Faint {
        /// The loudest amplitude.
        peak: f32,
    },
    /// The source goes on in another format; positions go on.
    Reformatted {
        /// The new layout.
        format: Format,
    },
    /// How the cancellation of our own echo fares, told when it changes.
    Echo(EchoReport),
    /// The source was lost; the ear tries to get it back. The utterance that was open has been handed out.
    Lost {
        /// What the host said.
        reason: String,
    },
    /// An attempt to get it back failed for a new reason; attempts go on.
    StillLost {
        /// Why.
        error: CaptureError,
    },
    /// The source has come to its end (a file), or the driver asked to stop. The thread ends after it.
    Ended,
    /// It cannot be used and trying again cannot help. The thread ends after it.
    Failed(CaptureError),
}

/// How the ear listens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListenSettings {
    /// When speech begins and ends.
    pub segment: SegmentSettings,
    /// Whether exact zeros are worth an event: a file may hold digital silence for good reasons, a microphone does not.
    pub watch_zeros: bool,
    /// The shortest and the longest pause between attempts to reopen a lost source.
    pub retry: (Duration, Duration),
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            segment: SegmentSettings::default(),
            watch_zeros: true,
            retry: (Duration::from_millis(200), Duration::from_secs(2)),
        }
    }
}

/// Where events go: called on the listening thread; `Break` says that nobody listens any more and ends the thread.
pub type Tell = Box<dyn FnMut(EarEvent, Anchor) -> ControlFlow<()> + Send>;

/// Makes a new source after the old one was lost; called on the listening thread, may block for seconds.
pub type Reopen = Box<dyn FnMut() -> Result<Box<dyn AudioSource>, CaptureError> + Send>;

/// A running ear.
#[derive(Debug)]
pub struct Ear {
    /// The hand on it.
    pub control: ListenControl,
    thread: JoinHandle<()>,
}

impl Ear {
    /// Whether the thread has ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops it and waits until the thread has ended.
    ///
    /// # Errors
    /// The message of a panic of the thread.
    pub fn stop(self) -> Result<(), String> {
        self.control.stop();
        self.join()
    }

    /// Waits until the thread ends by itself (the end of a file).
    ///
    /// # Errors
    /// The message of a panic of the thread.
    pub fn join(self) -> Result<(), String> {
        self.thread.join().map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            text.or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "the listening thread panicked".to_owned())
        })
    }
}

/// Starts the thread `listen` over a source that is open already.
///
/// # Errors
/// The operating system refused a thread.
pub fn spawn(
    source: Box<dyn AudioSource>,
    detectors: impl Into<Detectors>,
    settings: ListenSettings,
    clock: Clock,
    reopen: Reopen,
    tell: Tell,
) -> io::Result<Ear> {
    let control = ListenControl::default();
    let mut listener = Listener::new(detectors, settings, clock, control.clone(), reopen, tell);
    let thread = std::thread::Builder::new()
        .name("listen".to_owned())
        .spawn(move || {
            crate::platform::priority::raise_this_thread("listen");
            listener.run(source)
        })?;
    Ok(Ear { control, thread })
}

/// The loop of the listening thread, without the thread: commands that transcribe a file call [`Listener::run`] themselves.
pub struct Listener {
    settings: ListenSettings,
    clock: Clock,
    control: ListenControl,
    reopen: Reopen,
    ears: Ears,
}

/// What handles one frame; apart from the source, so that a frame can be handled while the framer is borrowed.
struct Ears {
    detectors: Detectors,
    /// What the canceller makes of the samples that were read last.
    echo: EchoReport,
    segmenter: Segmenter,
    control: ListenControl,
    tell: Tell,
    /// Where the newest captured sample lies in both clocks.
    anchor: Anchor,
    /// Set when the driver is gone.
    deaf: bool,
    paused: bool,
    peak: f32,
    /// Position at which the next progress is due.
    progress_at: SamplePos,
    events: Vec<SegmentEvent>,
}

impl Listener {
    /// Puts the parts together; see [`spawn`].
    #[must_use]
    pub fn new(
        detectors: impl Into<Detectors>,
        settings: ListenSettings,
        clock: Clock,
        control: ListenControl,
        reopen: Reopen,
        tell: Tell,
    ) -> Self {
        let anchor = Anchor {
            at: SamplePos(0),
            when: clock.now(),
        };
        let ears = Ears {
            detectors: detectors.into(),
            echo: EchoReport::default(),
            segmenter: Segmenter::new(settings.segment),
            control: control.clone(),
            tell,
            anchor,
            deaf: false,
            paused: false,
            peak: 0.0,
            progress_at: SamplePos(PROGRESS_SAMPLES),
            events: Vec::with_capacity(8),
        };
        Self {
            settings,
            clock,
            control,
            reopen,
            ears,
        }
    }

    /// Listens until the source ends, fails for good, or the driver stops it or goes away.
    pub fn run(&mut self, source: Box<dyn AudioSource>) {
        let mut framer = match Framer::new(source.format()) {
            Ok(framer) => framer,
            Err(error) => return self.ears.say(EarEvent::Failed(unusable(&error))),
        };
        let mut source = Some(source);
        let mut retry_after = self.settings.retry.0;
        while let Some(current) = source.take() {
            let begun = framer.captured_to();
            let lost = self.hear(current, &mut framer);
            framer.finish(|frame, filled| self.ears.take(frame, filled));
            self.ears.finish();
            let Some(reason) = lost else {
                return;
            };
            // A source that lived long starts the pauses anew; one that dies at once must not make us spin.
            if framer.captured_to().since(begun) > STEADY_SAMPLES {
                retry_after = self.settings.retry.0;
            }
            self.ears.say(EarEvent::Lost { reason });
            source = self.recover(&mut framer, &mut retry_after);
        }
    }

    /// Reads one source to its end; the reason when it was lost and shall be reopened, `None` when all is over.
    fn hear(&mut self, mut source: Box<dyn AudioSource>, framer: &mut Framer) -> Option<String> {
        let mut block = Vec::with_capacity(BLOCK_SAMPLES);
        let mut zeros = ZeroWatch::default();
        let mut ready = false;
        let begun = framer.captured_to();
        while !self.ears.deaf {
            if self.control.stopped() {
                return self.over(framer, EarEvent::Ended);
            }
            self.ears.obey();
            block.clear();
            match source.read(&mut block, WAIT) {
                Ok(Captured::Samples { lost }) => {
                    self.ears.hear_echo(source.echo());
                    if !ready && self.is_real(framer, &block, begun) {
                        ready = true;
                        self.ears.say(EarEvent::Ready {
                            format: source.device_format(),
                        });
                    }
                    self.take_block(framer, &block, lost, &mut zeros);
                }
                Ok(Captured::Nothing) => {}
                Ok(Captured::Reformatted) => {
                    let format = source.format();
                    if let Err(error) =
                        framer.restart(format, |frame, filled| self.ears.take(frame, filled))
                    {
                        return self.over(framer, EarEvent::Failed(unusable(&error)));
                    }
                    self.ears.forget();
                    let format = source.device_format();
                    self.ears.say(EarEvent::Reformatted { format });
                }
                Ok(Captured::Ended) => return self.over(framer, EarEvent::Ended),
                Err(CaptureError::Lost { reason }) => return Some(reason),
                Err(error) => return self.over(framer, EarEvent::Failed(error)),
            }
        }
        None
    }

    /// Whether a source gives sound and not only samples: a headset begins with a second of exact zeros while its link is
    /// set up. One that stays silent is ready after [`SILENT_START`] all the same; [`EarEvent::Zeros`] says the rest.
    fn is_real(&self, framer: &Framer, block: &[f32], begun: SamplePos) -> bool {
        !self.settings.watch_zeros
            || block.iter().any(|sample| *sample != 0.0)
            || framer.captured_to().since(begun) >= SILENT_START
    }

    /// Hands out what is open, then says the last word.
    fn over(&mut self, framer: &mut Framer, last: EarEvent) -> Option<String> {
        framer.finish(|frame, filled| self.ears.take(frame, filled));
        self.ears.finish();
        self.ears.say(last);
        None
    }

    fn take_block(&mut self, framer: &mut Framer, block: &[f32], lost: u64, zeros: &mut ZeroWatch) {
        let now = self.clock.now();
        if lost > 0 {
            tracing::warn!(frames = lost, "captured audio was lost");
            self.ears.detectors.reset();
        }
        let start = framer.captured_to();
        // The newest sample was captured just now, give or take the device's block; tying the clocks to it at each block
        // keeps drift and gaps from adding up. It is tied first, so that events of this block already use it.
        let frames = lost + (block.len() / usize::from(framer.format().channels.max(1))) as u64;
        let worth = frames * u64::from(SAMPLE_RATE) / u64::from(framer.format().rate.max(1));
        self.ears.anchor = Anchor {
            at: start.plus(worth),
            when: now,
        };
        if self.settings.watch_zeros
            && let Some(event) = zeros.look(block, start, self.ears.anchor.at)
        {
            self.ears.say(event);
        }
        framer.push(block, lost, |frame, filled| self.ears.take(frame, filled));
    }

    /// Tries to open a new source until it works, it can never work, or the driver stops it.
    fn recover(
        &mut self,
        framer: &mut Framer,
        after: &mut Duration,
    ) -> Option<Box<dyn AudioSource>> {
        let mut told = String::new();
        loop {
            if !self.rest(*after) {
                self.ears.say(EarEvent::Ended);
                return None;
            }
            *after = (*after * 2).min(self.settings.retry.1);
            match (self.reopen)() {
                Ok(source) => {
                    if let Err(error) = framer.restart(source.format(), |_, _| {}) {
                        self.ears.say(EarEvent::Failed(unusable(&error)));
                        return None;
                    }
                    self.ears.forget();
                    return Some(source);
                }
                Err(error @ CaptureError::Denied) => {
                    self.ears.say(EarEvent::Failed(error));
                    return None;
                }
                Err(error) => {
                    let text = error.to_string();
                    if text != told {
                        told = text;
                        self.ears.say(EarEvent::StillLost { error });
                    }
                }
            }
        }
    }

    /// Sleeps in short pieces; false when the driver stopped the ear or went away meanwhile.
    fn rest(&self, mut left: Duration) -> bool {
        while !left.is_zero() && !self.control.stopped() && !self.ears.deaf {
            let now = left.min(REST_PIECE);
            std::thread::sleep(now);
            left -= now;
        }
        !self.control.stopped() && !self.ears.deaf
    }
}

impl Ears {
    fn say(&mut self, event: EarEvent) {
        if !self.deaf && (self.tell)(event, self.anchor).is_break() {
            self.deaf = true;
        }
    }

    /// The source or the room has changed: what the model remembers is of the old one.
    fn forget(&mut self) {
        self.detectors.reset();
    }

    /// Takes over the canceller's verdict; a change of its state is told.
    fn hear_echo(&mut self, echo: EchoReport) {
        let changed = echo.state != self.echo.state;
        self.echo = echo;
        if changed {
            self.say(EarEvent::Echo(echo));
        }
    }

    /// Does what the driver asked for since the last block.
    fn obey(&mut self) {
        if self.control.take_end_utterance() {
            self.finish();
        }
        match self.control.take_key() {
            Some(KeyWish::Hold) => self.segmenter.hold(&mut self.events),
            Some(KeyWish::Release) => self.segmenter.release(&mut self.events),
            Some(KeyWish::LetGo) => self.segmenter.let_go(),
            None => {}
        }
        self.report();
        if self.control.take_snapshot() {
            let snapshot = self.segmenter.snapshot();
            self.say(EarEvent::Snapshot(snapshot));
        }
    }

    fn take(&mut self, frame: &Frame, filled: u32) {
        let loudest = |peak: f32, sample: &f32| peak.max(sample.abs());
        self.peak = frame.samples.iter().fold(self.peak, loudest);
        if self.control.skips(FRAME_SAMPLES as u64) {
            self.skip();
        } else {
            if std::mem::take(&mut self.paused) {
                self.forget();
            }
            // The model is not asked about filler: it would take it for the end of the speech.
            let is_filler = filled as usize == FRAME_SAMPLES;
            let probability = if is_filler {
                0.0
            } else {
                let heard = self.detectors.vad.probability(&frame.samples);
                // What is left of our own voice is no speech to us, however much it sounds like it.
                let voice = if self.echo.ours && !self.echo.near {
                    0.0
                } else {
                    heard
                };
                let wake = self.detectors.wake.as_mut();
                if let Some(score) = wake.and_then(|wake| wake.score(&frame.samples, voice)) {
                    self.segmenter.hear_wake(score);
                }
                voice
            };
            self.obey_window();
            self.segmenter
                .push(frame, probability, filled, &mut self.events);
            self.report();
        }
        let at = frame.at.plus(FRAME_SAMPLES as u64);
        if at >= self.progress_at {
            self.progress_at = at.plus(PROGRESS_SAMPLES);
            let peak = std::mem::take(&mut self.peak);
            self.say(EarEvent::Progress { at, peak });
        }
    }

    /// How long the silence that is running must last, as the driver has decided meanwhile.
    fn obey_window(&mut self) {
        if let Some(pause) = self.segmenter.pause()
            && let Some(samples) = self.control.window(pause)
        {
            self.segmenter.end_after(samples);
        }
    }

    /// The first frame that is not listened to throws away what was open: it would be half an utterance.
    fn skip(&mut self) {
        if !std::mem::replace(&mut self.paused, true)
            && let Some(sound) = self.segmenter.abandon()
        {
            self.say(EarEvent::Dropped { sound });
        }
    }

    fn finish(&mut self) {
        self.segmenter.finish(&mut self.events);
        self.report();
    }

    /// Passes on what the segmenter said.
    fn report(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            let event = match event {
                SegmentEvent::Onset { at } => EarEvent::Onset { at },
                SegmentEvent::Dropped { sound } => EarEvent::Dropped { sound },
                SegmentEvent::SpeechStarted { at } => EarEvent::SpeechStarted { at },
                SegmentEvent::SpeechResumed { at } => EarEvent::SpeechResumed { at },
                SegmentEvent::Utterance(utterance) => EarEvent::Utterance(utterance),
                SegmentEvent::Held(utterance) => EarEvent::Held(utterance),
                SegmentEvent::SpeechPaused { .. } => match self.segmenter.snapshot() {
                    Some(so_far) => EarEvent::SpeechPaused { so_far },
                    // The same frame has ended the utterance, which follows and says more.
                    None => continue,
                },
            };
            self.say(event);
        }
        self.events = events;
    }
}

fn unusable(error: &crate::audio::resample::ResampleError) -> CaptureError {
    CaptureError::Unusable {
        name: "source".to_owned(),
        reason: error.to_string(),
    }
}

/// The longest wait for samples: a quarter of a frame, so that a decision is at most that late.
const WAIT: Duration = Duration::from_millis(8);

/// How long the thread sleeps at a time while the source is lost and there is nothing to be late for.
const REST_PIECE: Duration = Duration::from_millis(50);

/// Room for a block of 20 ms at 96 kHz with 6 channels, so that usual devices never make the buffer grow.
const BLOCK_SAMPLES: usize = 96 * 20 * 6;

/// Progress is told after this much audio: 100 ms.
const PROGRESS_SAMPLES: u64 = SAMPLE_RATE as u64 / 10;

/// Zeros at the start of a source that are waited for: 1.5 s, as long as a Bluetooth link takes.
const SILENT_START: u64 = 3 * SAMPLE_RATE as u64 / 2;

/// A source that gave more than 5 s counts as having worked.
const STEADY_SAMPLES: u64 = 5 * SAMPLE_RATE as u64;
