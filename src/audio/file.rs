//! Files that behave like devices: a WAV as microphone, a WAV as loudspeaker.
//!
//! [`WavSource`] gives samples that were decoded before (any format), in real time or as fast as they are read.
//! [`WavSink`] writes 16-bit mono, in real time (with the silence between the clauses, so that the file sounds as the
//! loudspeaker would have) or at once. Both run on the thread of whoever reads or writes; time comes from the clock that
//! they are given.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hound::{SampleFormat, WavSpec, WavWriter};

use super::playback::HOLE_MS;
use super::{AudioSink, AudioSource, CaptureError, Captured, Format, PlaybackError};
use crate::platform::clock::Clock;
use crate::time::Mono;

/// How fast a file passes.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As a device would.
    RealTime(Clock),
    /// As fast as it is read or written.
    Fast,
}

/// How a file plays the microphone.
#[derive(Debug, Clone)]
pub struct WavSourceSettings {
    /// How fast.
    pub pace: Pace,
    /// Silence after the last sample, so that the last utterance ends as it would in a room.
    pub trailing_silence: Duration,
    /// While set, a fast file gives nothing: the driver holds it until the turn is over, because a file that ran on would
    /// talk into the answer. A file in real time does not stop, as a person would not.
    pub hold: Option<Arc<AtomicBool>>,
}

impl Default for WavSourceSettings {
    fn default() -> Self {
        Self {
            pace: Pace::Fast,
            trailing_silence: Duration::from_millis(1_500),
            hold: None,
        }
    }
}

/// A file as microphone.
pub struct WavSource {
    /// Interleaved.
    samples: Vec<f32>,
    format: Format,
    settings: WavSourceSettings,
    /// Frames given so far, and frames in all with the trailing silence.
    given: u64,
    total: u64,
    /// When the first read began.
    started: Option<Mono>,
}

impl WavSource {
    /// Plays interleaved samples of any layout.
    ///
    /// # Errors
    /// [`CaptureError::Unusable`] when there is no sound in it at all; `name` is for that message.
    pub fn new(
        name: &str,
        samples: Vec<f32>,
        format: Format,
        settings: WavSourceSettings,
    ) -> Result<Self, CaptureError> {
        let unusable = |reason: &str| CaptureError::Unusable {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        if format.rate == 0 || format.channels == 0 {
            return Err(unusable("it has no sample rate or no channels"));
        }
        let frames = (samples.len() / usize::from(format.channels)) as u64;
        if frames == 0 {
            return Err(unusable("it holds no audio"));
        }
        let trailing = settings.trailing_silence.as_secs_f64() * f64::from(format.rate);
        Ok(Self {
            samples,
            format,
            total: frames + trailing as u64,
            settings,
            given: 0,
            started: None,
        })
    }

    /// Reads a WAV file whole (8, 16, 24, 32 bits or float).
    ///
    /// # Errors
    /// [`CaptureError::Unusable`] when it cannot be read, is no WAV or is empty.
    pub fn open(path: &Path, settings: WavSourceSettings) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let (samples, format) = read_wav(path).map_err(|error| CaptureError::Unusable {
            name: name.clone(),
            reason: error.to_string(),
        })?;
        Self::new(&name, samples, format, settings)
    }

    /// Frames that may be given now, and how long to wait when there are none.
    fn due(&mut self) -> (u64, Duration) {
        let Pace::RealTime(clock) = self.settings.pace else {
            let held = self
                .settings
                .hold
                .as_ref()
                .is_some_and(|hold| hold.load(Ordering::Acquire));
            return if held {
                (0, Duration::MAX)
            } else {
                (
                    u64::from(self.format.rate) * FAST_BLOCK_MS / 1_000,
                    Duration::ZERO,
                )
            };
        };
        let now = clock.now();
        let elapsed = now.since(*self.started.get_or_insert(now));
        let passed = (elapsed.as_secs_f64() * f64::from(self.format.rate)) as u64;
        (
            passed.saturating_sub(self.given),
            Duration::from_millis(REAL_BLOCK_MS),
        )
    }
}

impl AudioSource for WavSource {
    fn format(&self) -> Format {
        self.format
    }

    fn read(&mut self, into: &mut Vec<f32>, wait: Duration) -> Result<Captured, CaptureError> {
        if self.given >= self.total {
            return Ok(Captured::Ended);
        }
        let (mut due, nap) = self.due();
        if due == 0 {
            std::thread::sleep(wait.min(nap));
            due = self.due().0;
        }
        let frames = due.min(self.total - self.given);
        if frames == 0 {
            return Ok(Captured::Nothing);
        }
        let channels = u64::from(self.format.channels);
        let most = self.samples.len() as u64;
        let start = (self.given * channels).min(most) as usize;
        let end = ((self.given + frames) * channels).min(most) as usize;
        let silence = (frames * channels) as usize - (end - start);
        into.extend_from_slice(&self.samples[start..end]);
        into.resize(into.len() + silence, 0.0);
        self.given += frames;
        Ok(Captured::Samples { lost: 0 })
    }
}

fn read_wav(path: &Path) -> Result<(Vec<f32>, Format), hound::Error> {
    let mut reader = hound::WavReader::open(path)?;
    let spec = reader.spec();
    let format = Format {
        rate: spec.sample_rate,
        channels: spec.channels,
    };
    let samples = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().collect::<Result<Vec<_>, _>>()?,
        SampleFormat::Int => {
            let full = (1_i64 << (spec.bits_per_sample.max(1) - 1)) as f32;
            let scaled = reader
                .samples::<i32>()
                .map(|sample| sample.map(|value| value as f32 / full));
            scaled.collect::<Result<Vec<_>, _>>()?
        }
    };
    Ok((samples, format))
}

/// A file as loudspeaker.
pub struct WavSink {
    path: PathBuf,
    rate: u32,
    pace: Pace,
    writer: Option<WavWriter<BufWriter<File>>>,
    /// Speech that has been taken and whose time has not come; only in real time.
    queue: VecDeque<f32>,
    written: u64,
    /// Speech samples that have gone into the file or were flushed.
    left: u64,
    starved: u64,
    /// When the first sample was written: the file's own time starts there.
    started: Option<Mono>,
    /// Samples (speech and silence) that the file's time has passed since then.
    passed: u64,
    /// Silence that has passed and is written only when speech follows it.
    silence: u64,
    /// Samples in the file since the header was last brought up to date.
    unsaved: u32,
}

impl WavSink {
    /// Makes the file (or replaces it), mono, 16 bits.
    ///
    /// # Errors
    /// [`PlaybackError::Write`] when it cannot be written.
    pub fn create(path: &Path, rate: u32, pace: Pace) -> Result<Self, PlaybackError> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let fault = |error: hound::Error| PlaybackError::Write {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let mut writer = WavWriter::create(path, spec).map_err(fault)?;
        // The header leaves the buffer now, so that an unwritable file shows before anybody speaks.
        writer.flush().map_err(fault)?;
        Ok(Self {
            path: path.to_owned(),
            rate,
            pace,
            writer: Some(writer),
            queue: VecDeque::new(),
            written: 0,
            left: 0,
            starved: 0,
            started: None,
            passed: 0,
            silence: 0,
            unsaved: 0,
        })
    }

    /// Samples that the file's time has advanced beyond `passed`.
    fn due(&self) -> u64 {
        match (self.pace, self.started) {
            (Pace::RealTime(clock), Some(started)) => {
                let elapsed = clock.now().since(started).as_secs_f64();
                ((elapsed * f64::from(self.rate)) as u64).saturating_sub(self.passed)
            }
            (Pace::RealTime(_), None) => 0,
            (Pace::Fast, _) => self.queue.len() as u64,
        }
    }

    /// Moves into the file what has been "played" since the last call: speech, then silence.
    fn advance(&mut self) -> Result<(), PlaybackError> {
        let due = self.due();
        self.passed += due;
        let speech = due.min(self.queue.len() as u64);
        if speech > 0 {
            self.put_silence()?;
        }
        for _ in 0..speech {
            let sample = self
                .queue
                .pop_front()
                .expect("no more than the queue holds is due");
            self.left += 1;
            self.put(sample)?;
        }
        self.silence += due - speech;
        Ok(())
    }

    /// Writes the silence that has passed; a short one was a hole in the speech.
    fn put_silence(&mut self) -> Result<(), PlaybackError> {
        if self.silence <= u64::from(self.rate) * HOLE_MS / 1_000 {
            self.starved += self.silence;
        }
        for _ in 0..std::mem::take(&mut self.silence) {
            self.put(0.0)?;
        }
        Ok(())
    }

    fn put(&mut self, sample: f32) -> Result<(), PlaybackError> {
        let value = (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16;
        let result = match &mut self.writer {
            Some(writer) => writer.write_sample(value),
            None => Ok(()),
        };
        result.map_err(|error| self.fault(&error))?;
        self.unsaved += 1;
        if self.unsaved >= self.rate / SAVES_PER_SECOND {
            self.save()?;
        }
        Ok(())
    }

    /// Brings the file and its header up to date: a file that is cut off here is whole and playable.
    fn save(&mut self) -> Result<(), PlaybackError> {
        self.unsaved = 0;
        let result = self.writer.as_mut().map_or(Ok(()), WavWriter::flush);
        result.map_err(|error| self.fault(&error))
    }

    fn fault(&self, error: &hound::Error) -> PlaybackError {
        PlaybackError::Write {
            path: self.path.clone(),
            reason: error.to_string(),
        }
    }

    /// Samples that may be queued ahead of their time.
    fn room(&self) -> usize {
        let most = self.rate as usize * QUEUE_SECONDS;
        most.saturating_sub(self.queue.len())
    }
}

impl AudioSink for WavSink {
    fn rate(&self) -> u32 {
        self.rate
    }

    fn write(&mut self, samples: &[f32], wait: Duration) -> Result<usize, PlaybackError> {
        if let (Pace::RealTime(clock), None) = (self.pace, self.started) {
            self.started = Some(clock.now());
        }
        self.advance()?;
        if self.room() == 0 && !samples.is_empty() {
            std::thread::sleep(wait.min(Duration::from_millis(REAL_BLOCK_MS)));
            self.advance()?;
        }
        let taken = samples.len().min(self.room());
        self.queue.extend(&samples[..taken]);
        self.written += taken as u64;
        if matches!(self.pace, Pace::Fast) {
            self.advance()?;
        }
        Ok(taken)
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn played(&self) -> u64 {
        self.left + self.due().min(self.queue.len() as u64)
    }

    fn flush(&mut self) -> Result<(), PlaybackError> {
        self.advance()?;
        self.left += self.queue.len() as u64;
        self.queue.clear();
        self.save()
    }

    fn starved(&self) -> u64 {
        self.starved
    }

    fn close(&mut self) -> Result<(), PlaybackError> {
        // What is queued would have been heard; the file need not wait for it.
        self.advance()?;
        if !self.queue.is_empty() {
            self.put_silence()?;
        }
        while let Some(sample) = self.queue.pop_front() {
            self.left += 1;
            self.put(sample)?;
        }
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        writer.finalize().map_err(|error| self.fault(&error))
    }
}

/// What one read of a fast file gives: more than a frame, little enough that events keep their order.
const FAST_BLOCK_MS: u64 = 40;

/// The step of a file in real time, as of a device.
const REAL_BLOCK_MS: u64 = 10;

/// How far ahead of its time speech may be queued, as in the loudspeaker's ring.
const QUEUE_SECONDS: usize = 2;

/// How often the header is brought up to date.
const SAVES_PER_SECOND: u32 = 4;
