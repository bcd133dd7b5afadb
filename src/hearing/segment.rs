//! Turns frames into utterances.
//!
//! Owned by the listening thread (tests and commands call it directly). Counts samples and never reads a clock, so a WAV
//! file and a microphone give the same cuts. It promises that consecutive utterances never overlap, that the samples of an
//! utterance are exactly those of its span, and that a gap in capture lengthens `lost` and does not end the utterance.
//! Whether the user has really finished is not decided here: the dialogue tells at each pause how long
//! its silence must last. A voice that is no louder than what sounded in the room before is not the user's, see
//! [`super::level`].
//!
//! ```text
//!        voiced              voiced for min_speech            silent for pause
//! Idle ─────────▶ Onset ─────────────────────────▶ Speaking ◀────────────────▶ Paused
//!   ▲               │ silent for give_up              │ max_utterance: cut,      │ silent for end_silence
//!   └── Dropped ────┘                                 │ goes on                  ▼
//!                                                     └──────────────────▶ Utterance, Idle
//! ```
//!
//! While the push-to-talk key is held ([`Segmenter::hold`]) everything from the pre-roll on is one utterance, whatever the
//! silences in it; the release closes it and yields exactly one [`SegmentEvent::Held`].

use std::sync::Arc;

use super::level::{Room, decibels};
use crate::flow::{Frame, Utterance, WakeScore};
use crate::time::{FRAME_SAMPLES, SAMPLE_RATE, SamplePos, Span};

/// When speech begins and ends; all lengths in samples, applied in whole frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SegmentSettings {
    /// Probability at and above which a frame is speech.
    pub on: f32,
    /// Probability below which a frame is silence; between the two, a frame is what the one before it was.
    pub off: f32,
    /// Audio kept before the first voiced frame, so that the first consonant survives.
    pub pre_roll: u64,
    /// Voiced audio without which a sound is no speech.
    pub min_speech: u64,
    /// Silence after which a sound that has not become speech is dropped.
    pub give_up: u64,
    /// Silence after which speech counts as paused: the earliest moment at which the turn may turn out to be over.
    pub pause: u64,
    /// Silence after which the utterance is over, unless [`Segmenter::end_after`] says otherwise for this pause.
    pub end_silence: u64,
    /// Length at which an utterance is cut in any case.
    pub max_utterance: u64,
    /// Audio that still belongs to a held utterance after its release was noticed: what was said before the release but
    /// still lay in the device's buffer, in the ring and in the frame that was being filled.
    pub release_tail: u64,
}

impl Default for SegmentSettings {
    /// 0.5, and 0.15 below it for the way back, are the Silero authors' own defaults. 120 ms let short commands pass: of
    /// "yes", "no", "stop", "go" and "off" spoken by espeak-ng, "go" was the shortest with 288 ms of voice. 29.4 s leave a
    /// margin below the 30 s that Whisper sees at once.
    fn default() -> Self {
        Self {
            on: 0.5,
            off: 0.35,
            pre_roll: millis(320),
            min_speech: millis(120),
            give_up: millis(200),
            // Reading the words and beginning a reply take some 300 ms: all of that must fit before the turn is over.
            pause: millis(128),
            end_silence: millis(600),
            max_utterance: millis(29_400),
            // A device block of 20 ms, a read every 8 ms, a frame of 32 ms; and people let go within their last sound.
            release_tail: millis(96),
        }
    }
}

/// What a frame brought about.
#[derive(Debug, Clone)]
pub enum SegmentEvent {
    /// Something that may become speech began at `at`.
    Onset {
        /// First voiced sample.
        at: SamplePos,
    },
    /// It ended before it was speech: a click, a cough.
    Dropped {
        /// From its first to its last voiced sample.
        sound: Span,
    },
    /// It lasts: speech that began at `at`. Each utterance has exactly one such event before it.
    SpeechStarted {
        /// First voiced sample.
        at: SamplePos,
    },
    /// The speaker has paused; [`Segmenter::snapshot`] now holds what may be the whole utterance.
    SpeechPaused {
        /// From the first to the last voiced sample so far.
        speech: Span,
    },
    /// The speaker goes on within the same utterance.
    SpeechResumed {
        /// First voiced sample after the pause.
        at: SamplePos,
    },
    /// It is over.
    Utterance(Utterance),
    /// A held utterance is over; `None` where there was no voice in it. `SpeechStarted` precedes one that has voice.
    Held(Option<Utterance>),
}

/// Cuts a stream of frames into utterances.
#[derive(Debug)]
pub struct Segmenter {
    settings: SegmentSettings,
    /// The audio that may still be needed, in whole frames: the pre-roll while nothing is open, the utterance otherwise.
    audio: Vec<f32>,
    /// One entry for each frame of `audio`.
    marks: Vec<Mark>,
    /// Position of the sample after the last one of `audio`.
    next: SamplePos,
    /// Whether the last frame was speech, for the hysteresis.
    voiced: bool,
    open: Option<Open>,
    /// The wake score of the frame that comes next.
    wake: Option<f32>,
    /// Set while the push-to-talk key is held, and until its utterance is closed.
    held: Option<Held>,
    /// Tells the speaker from the room by loudness.
    room: Room,
}

/// How long a held utterance goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Until the release.
    Down,
    /// For so many samples more.
    Closing(u64),
}

/// What is known of one frame.
#[derive(Debug, Clone, Copy)]
struct Mark {
    probability: f32,
    voiced: bool,
    /// Samples of it that were never captured.
    filled: u32,
    wake: Option<f32>,
    /// Its loudness.
    db: f32,
}

impl Mark {
    /// A frame that consists mostly of filler says nothing about the speaker.
    const fn is_gap(self) -> bool {
        self.filled as usize * 2 > FRAME_SAMPLES
    }
}

/// A sound that has begun and is not over.
#[derive(Debug)]
struct Open {
    /// From the first to the last voiced sample.
    speech: Span,
    /// Voiced samples so far.
    voiced: u64,
    /// Samples of silence since the last voiced one.
    silence: u64,
    /// How long this pause may last, where the driver has said so.
    window: Option<u64>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Onset,
    Speaking,
    Paused,
}

impl Segmenter {
    /// Starts with nothing heard. A `max_utterance` that does not even hold pre-roll and minimum speech is raised to what
    /// holds them twice.
    #[must_use]
    pub fn new(settings: SegmentSettings) -> Self {
        let least = 2 * (settings.pre_roll + settings.min_speech) + 4 * FRAME;
        let settings = SegmentSettings {
            max_utterance: settings.max_utterance.max(least),
            ..settings
        };
        // Reserved once, so that a frame never allocates.
        let most_frames = usize::try_from(settings.max_utterance / FRAME + 2).unwrap_or(0);
        Self {
            settings,
            audio: Vec::with_capacity(most_frames * FRAME_SAMPLES),
            marks: Vec::with_capacity(most_frames),
            next: SamplePos(0),
            voiced: false,
            open: None,
            held: None,
            wake: None,
            room: Room::default(),
        }
    }

    /// The settings in force.
    #[must_use]
    pub const fn settings(&self) -> &SegmentSettings {
        &self.settings
    }

    /// The position of the pause that is running: one past the last voiced sample.
    #[must_use]
    pub fn pause(&self) -> Option<SamplePos> {
        let open = self.open.as_ref()?;
        (open.stage == Stage::Paused).then_some(open.speech.end)
    }

    /// A silence of `samples` ends the pause that is running; the next one is as configured again.
    pub fn end_after(&mut self, samples: u64) {
        if let Some(open) = &mut self.open {
            open.window = Some(samples);
        }
    }

    /// How much the frame that is pushed next sounds like the end of the wake phrase, where a wake model listens.
    pub const fn hear_wake(&mut self, score: f32) {
        self.wake = Some(score);
    }

    /// Takes the next frame with its probability of speech. `filled` of its samples were never captured: they stand where
    /// a gap was. Frames follow each other without a hole in their positions; a jump ends what is open.
    pub fn push(
        &mut self,
        frame: &Frame,
        probability: f32,
        filled: u32,
        out: &mut Vec<SegmentEvent>,
    ) {
        if frame.at != self.next {
            self.finish(out);
            self.next = frame.at;
        }
        self.audio.extend_from_slice(&frame.samples);
        self.next = frame.at.plus(FRAME);
        let db = decibels(&frame.samples);
        let redrawn = self.room.push(db);
        let mark = self.mark(probability, filled, db);
        self.marks.push(mark);
        if redrawn {
            self.leave_the_room_out();
        }

        if !mark.is_gap() {
            if mark.voiced {
                self.hear_voice(frame.at, out);
            } else {
                self.hear_silence(out);
            }
        }
        let full = self.audio.len() as u64 + FRAME > self.settings.max_utterance;
        match (&mut self.held, &self.open) {
            (Some(Held::Closing(left)), _) if *left > FRAME && !full => *left -= FRAME,
            (Some(Held::Closing(_)), _) => self.close_held(out),
            (Some(Held::Down), _) if full => self.close_held(out),
            (Some(Held::Down), _) => {}
            (None, None) => self.keep_pre_roll(),
            (None, Some(_)) if full => self.cut(out),
            (None, Some(_)) => {}
        }
    }

    /// The key is down: everything from the pre-roll on is one utterance until [`Self::release`]. What is open already is
    /// taken into it if it has only just begun: the user spoke while reaching for the key. Older speech is somebody else's;
    /// of it only the pre-roll stays.
    pub fn hold(&mut self, out: &mut Vec<SegmentEvent>) {
        // Pressed again while the last one still closes: that one is answered first.
        if matches!(self.held, Some(Held::Closing(_))) {
            self.close_held(out);
        }
        self.held = Some(Held::Down);
        let Some(open) = &self.open else {
            return;
        };
        let sound = open.speech;
        let reach = self.next.minus(2 * self.settings.pre_roll);
        if sound.start >= reach {
            return;
        }
        self.open = None;
        self.keep_pre_roll();
        out.push(SegmentEvent::Dropped { sound });
        self.reopen(out);
    }

    /// The key is up: the held utterance ends after [`SegmentSettings::release_tail`], without any silence. Where nothing is
    /// held (the utterance has grown to its limit, hearing was paused) an empty one is told, so that nobody waits for it.
    pub fn release(&mut self, out: &mut Vec<SegmentEvent>) {
        match self.held {
            Some(_) => self.held = Some(Held::Closing(self.settings.release_tail)),
            None => out.push(SegmentEvent::Held(None)),
        }
    }

    /// The key was only tapped: what was begun goes on, and silence ends it like any other.
    pub const fn let_go(&mut self) {
        // One that is being closed is waited for.
        if matches!(self.held, Some(Held::Down)) {
            self.held = None;
        }
    }

    fn close_held(&mut self, out: &mut Vec<SegmentEvent>) {
        self.held = None;
        let Some(open) = self.open.take() else {
            out.push(SegmentEvent::Held(None));
            return self.keep_pre_roll();
        };
        if open.stage == Stage::Onset {
            out.push(SegmentEvent::SpeechStarted {
                at: open.speech.start,
            });
        }
        // People press, think, speak, and let go late: the silence around what they said is of no use to the transcriber,
        // and small models understand nothing after seconds of it.
        let before = open.speech.start.since(self.start()) / FRAME;
        let spare = before.saturating_sub(self.settings.pre_roll.div_ceil(FRAME));
        self.drop_front(usize::try_from(spare).unwrap_or(0));
        let said = open.speech.end.since(self.start()) / FRAME;
        let kept = said + self.settings.end_silence.div_ceil(FRAME);
        let kept = usize::try_from(kept)
            .unwrap_or(usize::MAX)
            .min(self.marks.len());
        let utterance = self.take(kept, open.speech);
        out.push(SegmentEvent::Held(Some(utterance)));
        self.keep_pre_roll();
    }

    /// Ends what is open now, without waiting for silence: the source ended, or the user released the key.
    pub fn finish(&mut self, out: &mut Vec<SegmentEvent>) {
        if self.held.is_some() {
            self.close_held(out);
        }
        if let Some(open) = self.open.take() {
            out.push(if open.stage == Stage::Onset {
                SegmentEvent::Dropped { sound: open.speech }
            } else {
                SegmentEvent::Utterance(self.take(self.marks.len(), open.speech))
            });
        }
        self.forget();
    }

    /// Throws away what is open and the pre-roll; tells what speech was thrown away. Used when hearing is switched off.
    pub fn abandon(&mut self) -> Option<Span> {
        let speech = self.open.take().map(|open| open.speech);
        self.held = None;
        self.forget();
        speech
    }

    /// Whether a sound is being followed that may be or is speech.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The utterance so far: what was said up to now, once it counts as speech.
    #[must_use]
    pub fn snapshot(&self) -> Option<Utterance> {
        let open = self
            .open
            .as_ref()
            .filter(|open| open.stage != Stage::Onset)?;
        Some(self.utterance(self.marks.len(), open.speech))
    }

    fn mark(&mut self, probability: f32, filled: u32, db: f32) -> Mark {
        let mut mark = Mark {
            probability,
            voiced: false,
            filled,
            wake: self.wake.take(),
            db,
        };
        if !mark.is_gap() {
            mark.voiced = probability >= self.settings.on
                || (self.voiced && probability >= self.settings.off);
            self.voiced = mark.voiced;
            mark.voiced &= self.room.line().is_none_or(|line| db >= line);
        }
        mark
    }

    /// Once somebody stands out against a voice that was there before (a television), the utterance begins with them: what
    /// lies before, pre-roll excepted, is the room's.
    fn leave_the_room_out(&mut self) {
        let Some(line) = self.room.line() else { return };
        let start = self.start();
        let Some(open) = self.open.as_mut().filter(|open| open.stage != Stage::Onset) else {
            return;
        };
        let is_ours = |mark: &Mark| mark.voiced && mark.db >= line;
        let Some(first) = self.marks.iter().position(is_ours) else {
            return;
        };
        let begins = start.plus(first as u64 * FRAME);
        if begins.since(open.speech.start) < ROOM_BEFORE {
            return;
        }
        open.speech.start = begins;
        open.voiced = self.marks.iter().filter(|mark| is_ours(mark)).count() as u64 * FRAME;
        for mark in &mut self.marks[..first] {
            mark.voiced = false;
        }
        let kept = usize::try_from(self.settings.pre_roll.div_ceil(FRAME)).unwrap_or(usize::MAX);
        self.drop_front(first.saturating_sub(kept));
    }

    fn hear_voice(&mut self, at: SamplePos, out: &mut Vec<SegmentEvent>) {
        let open = self.open.get_or_insert_with(|| {
            out.push(SegmentEvent::Onset { at });
            Open {
                speech: Span { start: at, end: at },
                voiced: 0,
                silence: 0,
                window: None,
                stage: Stage::Onset,
            }
        });
        open.speech.end = at.plus(FRAME);
        open.voiced += FRAME;
        open.silence = 0;
        open.window = None;
        match open.stage {
            Stage::Onset if open.voiced >= self.settings.min_speech => {
                open.stage = Stage::Speaking;
                out.push(SegmentEvent::SpeechStarted {
                    at: open.speech.start,
                });
            }
            Stage::Paused => {
                open.stage = Stage::Speaking;
                out.push(SegmentEvent::SpeechResumed { at });
            }
            Stage::Onset | Stage::Speaking => {}
        }
    }

    fn hear_silence(&mut self, out: &mut Vec<SegmentEvent>) {
        let Some(open) = &mut self.open else {
            return;
        };
        open.silence += FRAME;
        let (speech, silence) = (open.speech, open.silence);
        if open.stage == Stage::Onset {
            if silence >= self.settings.give_up && self.held.is_none() {
                self.open = None;
                out.push(SegmentEvent::Dropped { sound: speech });
            }
            return;
        }
        if open.stage == Stage::Speaking && silence >= self.settings.pause {
            open.stage = Stage::Paused;
            out.push(SegmentEvent::SpeechPaused { speech });
        }
        let window = open.window.unwrap_or(self.settings.end_silence);
        if silence >= window && self.held.is_none() {
            self.open = None;
            out.push(SegmentEvent::Utterance(self.take(self.marks.len(), speech)));
        }
    }

    /// The utterance has grown to its limit: ends it where it was quietest within its last quarter, so that a word is
    /// split only when the speaker never breathed, and goes on with the rest.
    fn cut(&mut self, out: &mut Vec<SegmentEvent>) {
        let Some(open) = self.open.take() else {
            return;
        };
        if open.stage == Stage::Onset {
            out.push(SegmentEvent::Dropped { sound: open.speech });
            self.keep_pre_roll();
            return;
        }
        let earliest = self.marks.len() * 3 / 4;
        let quietest = (earliest..self.marks.len())
            .min_by(|a, b| {
                self.marks[*a]
                    .probability
                    .total_cmp(&self.marks[*b].probability)
            })
            .unwrap_or(self.marks.len() - 1);
        let kept = quietest + 1;
        let Some(speech) = self.voiced_span(0, kept) else {
            // A key was held in silence before: all that is said lies behind the cut.
            self.drop_front(kept);
            self.open = Some(open);
            return;
        };
        out.push(SegmentEvent::Utterance(self.take(kept, speech)));
        self.reopen(out);
    }

    /// Goes on after a cut: what is left in the buffer is speech as long as there is any voice in it.
    fn reopen(&mut self, out: &mut Vec<SegmentEvent>) {
        let Some(speech) = self.voiced_span(0, self.marks.len()) else {
            self.keep_pre_roll();
            return;
        };
        let voiced = self.marks.iter().filter(|mark| mark.voiced).count() as u64 * FRAME;
        let silent = self.marks.iter().rev().take_while(|mark| !mark.voiced);
        let silence = silent.filter(|mark| !mark.is_gap()).count() as u64 * FRAME;
        self.open = Some(Open {
            speech,
            voiced,
            silence,
            window: None,
            stage: Stage::Speaking,
        });
        out.push(SegmentEvent::SpeechStarted { at: speech.start });
    }

    /// From the first to the last voiced frame within `from..to`.
    fn voiced_span(&self, from: usize, to: usize) -> Option<Span> {
        let voiced = |index: &usize| self.marks[*index].voiced;
        let first = (from..to).find(voiced)?;
        let last = (from..to).rev().find(voiced)?;
        Some(Span {
            start: self.start().plus(first as u64 * FRAME),
            end: self.start().plus((last as u64 + 1) * FRAME),
        })
    }

    /// Position of the first sample in the buffer.
    const fn start(&self) -> SamplePos {
        self.next.minus(self.audio.len() as u64)
    }

    /// The first `frames` frames of the buffer as an utterance.
    fn utterance(&self, frames: usize, speech: Span) -> Utterance {
        let start = self.start();
        let samples: Arc<[f32]> = Arc::from(&self.audio[..frames * FRAME_SAMPLES]);
        Utterance {
            span: Span {
                start,
                end: start.plus(samples.len() as u64),
            },
            speech,
            samples,
            lost: self.marks[..frames].iter().map(|mark| mark.filled).sum(),
            wake: self.best_wake(frames),
        }
    }

    /// The best wake score among the first `frames` frames of the buffer.
    fn best_wake(&self, frames: usize) -> Option<WakeScore> {
        let scores = self.marks[..frames].iter().enumerate();
        let (frame, score) = scores
            .filter_map(|(frame, mark)| Some((frame, mark.wake?)))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(WakeScore {
            score,
            at: self.start().plus((frame as u64 + 1) * FRAME),
        })
    }

    /// Makes an utterance of the first `frames` frames and removes them, so that no later one can contain them again.
    fn take(&mut self, frames: usize, speech: Span) -> Utterance {
        let utterance = self.utterance(frames, speech);
        self.drop_front(frames);
        utterance
    }

    fn keep_pre_roll(&mut self) {
        let kept = usize::try_from(self.settings.pre_roll.div_ceil(FRAME)).unwrap_or(usize::MAX);
        self.drop_front(self.marks.len().saturating_sub(kept));
    }

    fn drop_front(&mut self, frames: usize) {
        self.audio.drain(..frames * FRAME_SAMPLES);
        self.marks.drain(..frames);
    }

    fn forget(&mut self) {
        self.audio.clear();
        self.marks.clear();
        self.voiced = false;
        self.wake = None;
    }
}

/// Samples of a frame, in the type of positions.
const FRAME: u64 = FRAME_SAMPLES as u64;

/// A voice of the room must have gone on for this long before the speaker for the utterance to leave it out.
const ROOM_BEFORE: u64 = millis(500);

const fn millis(ms: u64) -> u64 {
    ms * SAMPLE_RATE as u64 / 1_000
}
