//! The loudspeaker: a ring feeding a cpal output stream, flushed by epoch.
//!
//! [`Loudspeaker`] is an [`AudioSink`] for the speaking thread. The output callback runs [`PlaybackReader::fill`] and
//! nothing else: no allocation, lock, log or system call. The stream runs all the time and plays silence when there is
//! nothing to say. Barge-in: the sink bumps an epoch, the callback fades what it plays within 5 ms, empties the ring in that
//! same block and acknowledges; new samples are written only after that, so nothing of the old reply is heard behind it.
//! Before that it may be ducked or held by a [`Level`], each a ramp. What is really played, gain included, goes to the echo
//! canceller by [`super::reference`]. A stream that ends makes every call give [`PlaybackError::Lost`]; building a new one is
//! the caller's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{FromSample, Sample, SampleFormat, SizedSample};
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::devices::{self, ChooseError, Direction, Wanted};
use super::host::{self, Built, Signals, StreamOwner};
use super::reference::{ReferenceWriter, Tap};
use super::{AudioSink, Level, PlaybackError};

/// What both ends of a playback ring know.
#[derive(Debug, Default)]
struct Shared {
    /// Bumped by the writer to have the ring emptied, and followed by the reader.
    wanted_epoch: AtomicU64,
    epoch: AtomicU64,
    /// Samples that have left the loudspeaker or were flushed.
    played: AtomicU64,
    starved: AtomicU64,
    /// A [`Level`], as [`level_code`] writes it.
    level: AtomicU8,
}

const fn level_code(level: Level) -> u8 {
    match level {
        Level::Full => 0,
        Level::Ducked => 1,
        Level::Held => 2,
    }
}

/// Makes the two ends of a playback ring that holds `length` of mono sound at `rate`, for a device with `channels`.
#[must_use]
pub fn playback_ring(
    rate: u32,
    channels: u16,
    length: Duration,
) -> (PlaybackWriter, PlaybackReader) {
    let samples = (f64::from(rate) * length.as_secs_f64()).ceil() as usize;
    let (producer, consumer) = HeapRb::new(samples.max(1)).split();
    let shared = Arc::new(Shared::default());
    let writer = PlaybackWriter {
        ring: producer,
        shared: Arc::clone(&shared),
        written: 0,
    };
    let reader = PlaybackReader {
        ring: consumer,
        shared,
        channels: usize::from(channels.max(1)),
        longest_hole: u64::from(rate) * HOLE_MS / 1_000,
        epoch: 0,
        left: 0,
        silent: 0,
        hole: None,
        gain: 1.0,
        ramps: Ramps::at(rate),
        reference: None,
    };
    (writer, reader)
}

/// The end of the ring that belongs to the speaking thread.
pub struct PlaybackWriter {
    ring: HeapProd<f32>,
    shared: Arc<Shared>,
    written: u64,
}

impl PlaybackWriter {
    /// Queues what fits, without waiting; how many samples were taken.
    pub fn try_write(&mut self, samples: &[f32]) -> usize {
        let taken = self.ring.push_slice(samples);
        self.written += taken as u64;
        taken
    }

    /// Asks for the ring to be emptied; [`Self::flushed`] tells when it is. Nothing may be written in between.
    pub fn request_flush(&self) {
        self.shared.wanted_epoch.fetch_add(1, Ordering::Release);
    }

    /// Whether the callback has emptied the ring since the last request.
    #[must_use]
    pub fn flushed(&self) -> bool {
        self.shared.epoch.load(Ordering::Acquire)
            == self.shared.wanted_epoch.load(Ordering::Acquire)
    }

    /// How loud the callback plays from its next block on.
    pub fn set_level(&self, level: Level) {
        self.shared
            .level
            .store(level_code(level), Ordering::Release);
    }

    /// Samples taken since the start.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Samples that have left the loudspeaker, or were flushed, since the start.
    #[must_use]
    pub fn played(&self) -> u64 {
        self.shared.played.load(Ordering::Acquire)
    }

    /// See [`AudioSink::starved`].
    #[must_use]
    pub fn starved(&self) -> u64 {
        self.shared.starved.load(Ordering::Relaxed)
    }
}

/// The end of the ring that belongs to the output callback.
pub struct PlaybackReader {
    ring: HeapCons<f32>,
    shared: Arc<Shared>,
    channels: usize,
    /// Samples of silence up to which a hole between two samples counts as one within speech.
    longest_hole: u64,
    epoch: u64,
    /// Samples that were taken from the ring, played or flushed.
    left: u64,
    /// Samples of silence given to the device since the last one of speech.
    silent: u64,
    /// Silence since the ring ran dry, while it may still turn out to be a hole in the speech.
    hole: Option<u64>,
    /// What the last sample was multiplied by.
    gain: f32,
    ramps: Ramps,
    /// Where the echo canceller learns what is played.
    reference: Option<ReferenceWriter>,
}

/// By how much the gain changes from sample to sample.
#[derive(Debug, Clone, Copy)]
struct Ramps {
    duck: f32,
    hold: f32,
    rise: f32,
    /// Samples of the fade at a flush.
    flush: usize,
}

impl Ramps {
    fn at(rate: u32) -> Self {
        let over = |ms: f32| 1_000.0 / (ms * rate.max(1) as f32);
        Self {
            duck: over(DUCK_MS),
            hold: over(HOLD_MS),
            rise: over(RISE_MS),
            flush: (rate as f32 * FLUSH_MS / 1_000.0) as usize,
        }
    }
}

impl PlaybackReader {
    /// Real time. Fills a block, each sample on all channels; `delay` is the number of samples between this block's first
    /// one and the ear (what the device has taken and not played yet).
    pub fn fill<T>(&mut self, block: &mut [T], delay: u64)
    where
        T: Sample + FromSample<f32>,
    {
        // What had been given to the device before this block and is not inside it any more was heard.
        let inside = delay.saturating_sub(self.silent).min(self.left);
        self.shared
            .played
            .fetch_max(self.left - inside, Ordering::Release);
        // The level first: when a flush and a new level were set in this order, the new level is never applied to the old
        // reply.
        let level = self.shared.level.load(Ordering::Acquire);
        let mut frames = block.chunks_exact_mut(self.channels);
        let wanted = frames.len();
        if self.flush_wanted() {
            let faded = self.fade_out(&mut frames);
            self.empty();
            self.fill_silence(frames, wanted - faded);
            self.silent = (wanted - faded) as u64;
            return;
        }

        let mut scratch = [0.0_f32; SCRATCH];
        let mut speech = 0;
        while speech < wanted {
            let most = SCRATCH.min(wanted - speech).min(self.until_held(level));
            if most == 0 {
                break;
            }
            let got = self.ring.pop_slice(&mut scratch[..most]);
            self.apply_gain(level, &mut scratch[..got]);
            self.give(&scratch[..got], &mut frames);
            speech += got;
            if got < most {
                break;
            }
        }
        self.fill_silence(frames, wanted - speech);
        if self.ring.is_empty() {
            // Nothing is heard of a gain that changes in silence.
            self.gain = if level == HELD { 0.0 } else { goal(level) };
        }
        self.account(speech as u64, (wanted - speech) as u64);
        if level == HELD {
            // A silence that was asked for is no hole in the speech.
            self.hole = None;
        }
    }

    /// Sends everything that is played to the echo canceller, too.
    pub fn refer_to(&mut self, reference: ReferenceWriter) {
        self.reference = Some(reference);
    }

    /// Writes mono samples to all channels, and to the reference. The samples lead: a zip led by the frames would take one
    /// frame too many and leave it unfilled.
    fn give<T>(&mut self, samples: &[f32], frames: &mut std::slice::ChunksExactMut<'_, T>)
    where
        T: Sample + FromSample<f32>,
    {
        for (sample, frame) in samples.iter().zip(frames.by_ref()) {
            frame.fill(T::from_sample(*sample));
        }
        if let Some(reference) = &mut self.reference {
            reference.push(samples);
        }
    }

    fn fill_silence<T>(&mut self, frames: std::slice::ChunksExactMut<'_, T>, count: usize)
    where
        T: Sample + FromSample<f32>,
    {
        for frame in frames {
            frame.fill(T::EQUILIBRIUM);
        }
        if let Some(reference) = &mut self.reference {
            reference.push_silence(count);
        }
    }

    /// Samples that may still be played before the sound is held: what the ramp to silence takes.
    fn until_held(&self, level: u8) -> usize {
        if level == HELD {
            (self.gain / self.ramps.hold).ceil() as usize
        } else {
            usize::MAX
        }
    }

    fn apply_gain(&mut self, level: u8, samples: &mut [f32]) {
        let goal = goal(level);
        for sample in samples {
            if self.gain > goal {
                let step = if level == HELD {
                    self.ramps.hold
                } else {
                    self.ramps.duck
                };
                self.gain = (self.gain - step).max(goal);
            } else if self.gain < goal {
                self.gain = (self.gain + self.ramps.rise).min(goal);
            }
            *sample = (*sample * self.gain).clamp(-1.0, 1.0);
        }
    }

    fn flush_wanted(&self) -> bool {
        self.shared.wanted_epoch.load(Ordering::Acquire) != self.epoch
    }

    /// The last milliseconds before a flush, softer and softer: a cut would click. Gives the number of frames filled.
    fn fade_out<T>(&mut self, frames: &mut std::slice::ChunksExactMut<'_, T>) -> usize
    where
        T: Sample + FromSample<f32>,
    {
        let mut scratch = [0.0_f32; SCRATCH];
        let most = self.ramps.flush.min(SCRATCH).min(frames.len());
        if self.gain <= 0.0 || most == 0 {
            return 0;
        }
        let got = self.ring.pop_slice(&mut scratch[..most]);
        for (n, sample) in scratch[..got].iter_mut().enumerate() {
            let left = 1.0 - (n + 1) as f32 / got as f32;
            *sample = (*sample * self.gain * left).clamp(-1.0, 1.0);
        }
        self.give(&scratch[..got], frames);
        self.left += got as u64;
        got
    }

    /// Empties the ring because the writer asked for it since the last block, and acknowledges.
    fn empty(&mut self) {
        let wanted = self.shared.wanted_epoch.load(Ordering::Acquire);
        self.epoch = wanted;
        self.left += self.ring.clear() as u64;
        self.hole = None;
        self.gain = 1.0;
        // The rest inside the device is a matter of milliseconds; for the writer all of it is over now.
        self.shared.played.fetch_max(self.left, Ordering::Release);
        self.shared.epoch.store(wanted, Ordering::Release);
    }

    /// Counts a block of `speech` samples and then `silence` samples.
    ///
    /// A hole is known to be one only when speech goes on behind it: silence shorter than 250 ms between two samples counts
    /// as starvation, a longer one as a pause between clauses, which the user hears as a pause and not as a drop-out.
    fn account(&mut self, speech: u64, silence: u64) {
        if speech > 0 {
            if let Some(hole) = self.hole {
                self.shared.starved.fetch_add(hole, Ordering::Relaxed);
            }
            self.left += speech;
            self.silent = 0;
            self.hole = Some(0);
        }
        self.silent = self.silent.saturating_add(silence);
        self.hole = self
            .hole
            .map(|hole| hole + silence)
            .filter(|hole| *hole <= self.longest_hole);
    }
}

/// A device as [`AudioSink`]. Dropping it closes the stream at once; [`AudioSink::close`] lets it finish.
pub struct Loudspeaker {
    name: String,
    rate: u32,
    writer: PlaybackWriter,
    owner: StreamOwner,
}

impl Loudspeaker {
    /// Opens `wanted` (`default`, a name or a unique part of one), as [`devices::choose`] says, and starts playing silence.
    /// Blocks for 0.1–6 s.
    ///
    /// # Errors
    /// [`PlaybackError::NoDevice`], [`PlaybackError::Unusable`] (also when the name fits several devices);
    /// [`PlaybackError::Lost`] when the sound system does not answer.
    pub fn open(wanted: &str) -> Result<Self, PlaybackError> {
        Self::open_heard(wanted, None)
    }

    /// As [`Self::open`]; what it plays goes to the echo canceller at the other end of `tap`.
    ///
    /// # Errors
    /// See [`Self::open`].
    pub fn open_heard(wanted: &str, tap: Option<&Tap>) -> Result<Self, PlaybackError> {
        let (wanted, tap) = (wanted.to_owned(), tap.cloned());
        let silent = |reason: &str| PlaybackError::Lost {
            reason: reason.to_owned(),
        };
        let build = move |signals| build(&wanted, tap.as_ref(), &signals);
        let (owner, (name, rate, writer)) = StreamOwner::start("loudspeaker", silent, build)?;
        tracing::info!(device = %name, rate, "loudspeaker open");
        Ok(Self {
            name,
            rate,
            writer,
            owner,
        })
    }

    /// The device's name as people see it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn lost(&self) -> Result<(), PlaybackError> {
        match self.owner.over() {
            Some(reason) => Err(PlaybackError::Lost {
                reason: reason.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Looks every 2 ms whether `done`, for at most `most`.
    fn wait_until(
        &self,
        most: Duration,
        done: impl Fn(&PlaybackWriter) -> bool,
    ) -> Result<bool, PlaybackError> {
        let mut left = most;
        loop {
            if done(&self.writer) {
                return Ok(true);
            }
            self.lost()?;
            if left.is_zero() {
                return Ok(false);
            }
            let now = left.min(POLL);
            std::thread::sleep(now);
            left -= now;
        }
    }
}

impl AudioSink for Loudspeaker {
    fn rate(&self) -> u32 {
        self.rate
    }

    fn write(&mut self, samples: &[f32], wait: Duration) -> Result<usize, PlaybackError> {
        self.lost()?;
        let taken = self.writer.try_write(samples);
        if taken > 0 || samples.is_empty() {
            return Ok(taken);
        }
        self.wait_until(wait, |writer| writer.ring.vacant_len() > 0)?;
        Ok(self.writer.try_write(samples))
    }

    fn written(&self) -> u64 {
        self.writer.written()
    }

    fn played(&self) -> u64 {
        self.writer.played()
    }

    fn flush(&mut self) -> Result<(), PlaybackError> {
        self.writer.request_flush();
        if self.wait_until(LONGEST_FLUSH, PlaybackWriter::flushed)? {
            return Ok(());
        }
        Err(PlaybackError::Lost {
            reason: "the device does not ask for sound any more".to_owned(),
        })
    }

    fn check(&mut self) -> Result<(), PlaybackError> {
        self.lost()
    }

    fn set_level(&mut self, level: Level) {
        self.writer.set_level(level);
    }

    fn starved(&self) -> u64 {
        self.writer.starved()
    }

    fn close(&mut self) -> Result<(), PlaybackError> {
        // The ring and the device's own buffer; what has not left by then never will.
        let most = RING + Duration::from_secs(1);
        if !self.wait_until(most, |writer| writer.played() == writer.written())? {
            tracing::warn!("the loudspeaker was closed before everything had been played");
        }
        Ok(())
    }
}

type Part = (String, u32, PlaybackWriter);

/// On the owner thread: finds the device, builds the stream and starts it.
fn build(
    wanted: &str,
    tap: Option<&Tap>,
    signals: &Arc<Signals>,
) -> Result<Built<Part>, PlaybackError> {
    let wanted = Wanted {
        output: wanted.to_owned(),
        ..Wanted::input("default", &[])
    };
    let found = devices::find(Direction::Output, &wanted).map_err(not_chosen)?;
    let name = found.name.clone();
    let asked = (!found.by_default()).then_some(name.as_str());
    let fault = |error: cpal::Error| not_opened(&name, asked, &error);
    let supported = found.device.default_output_config().map_err(fault)?;
    let rate = supported.sample_rate();
    let config = cpal::StreamConfig {
        buffer_size: host::buffer_size(&found.host, Direction::Output, &supported),
        ..supported.config()
    };
    let (writer, mut reader) = playback_ring(rate, supported.channels(), RING);
    if let Some(tap) = tap {
        reader.refer_to(tap.attach(rate));
    }
    let stream = stream(
        &found.device,
        config,
        supported.sample_format(),
        reader,
        signals,
    )
    .map_err(fault)?;
    stream.play().map_err(fault)?;
    let watch = host::watch_device(found, Direction::Output, wanted);
    Ok(Built {
        stream,
        watch,
        part: (name, rate, writer),
    })
}

/// Builds the stream for whatever sample format the device has.
fn stream(
    device: &cpal::Device,
    config: cpal::StreamConfig,
    sample: SampleFormat,
    reader: PlaybackReader,
    signals: &Arc<Signals>,
) -> Result<cpal::Stream, cpal::Error> {
    match sample {
        SampleFormat::I8 => typed::<i8>(device, config, reader, signals),
        SampleFormat::I16 => typed::<i16>(device, config, reader, signals),
        SampleFormat::I24 => typed::<cpal::I24>(device, config, reader, signals),
        SampleFormat::I32 => typed::<i32>(device, config, reader, signals),
        SampleFormat::I64 => typed::<i64>(device, config, reader, signals),
        SampleFormat::U8 => typed::<u8>(device, config, reader, signals),
        SampleFormat::U16 => typed::<u16>(device, config, reader, signals),
        SampleFormat::U24 => typed::<cpal::U24>(device, config, reader, signals),
        SampleFormat::U32 => typed::<u32>(device, config, reader, signals),
        SampleFormat::U64 => typed::<u64>(device, config, reader, signals),
        SampleFormat::F32 => typed::<f32>(device, config, reader, signals),
        SampleFormat::F64 => typed::<f64>(device, config, reader, signals),
        _ => Err(cpal::Error::new(cpal::ErrorKind::UnsupportedConfig)),
    }
}

fn typed<T>(
    device: &cpal::Device,
    config: cpal::StreamConfig,
    mut reader: PlaybackReader,
    signals: &Arc<Signals>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let (blocks, errors) = (Arc::clone(signals), Arc::clone(signals));
    let rate = config.sample_rate;
    device.build_output_stream(
        config,
        move |block: &mut [T], info: &cpal::OutputCallbackInfo| {
            reader.fill(block, delay(info, rate));
            blocks.block();
        },
        move |error| errors.error(&error),
        Some(host::STREAM_TIMEOUT),
    )
}

/// Real time. How many samples lie between the block that is being filled and the ear; a host that says more than a second
/// is not believed.
fn delay(info: &cpal::OutputCallbackInfo, rate: u32) -> u64 {
    let stamp = info.timestamp();
    let ahead = stamp.playback.saturating_duration_since(stamp.callback);
    (ahead.min(Duration::from_secs(1)).as_secs_f64() * f64::from(rate)) as u64
}

fn not_chosen(error: ChooseError) -> PlaybackError {
    match error {
        ChooseError::NoDefault { .. } => PlaybackError::NoDevice { name: None },
        ChooseError::NoSuch { wanted, .. } => PlaybackError::NoDevice { name: Some(wanted) },
        ChooseError::Ambiguous { ref wanted, .. } => PlaybackError::Unusable {
            name: wanted.clone(),
            reason: error.to_string(),
        },
    }
}

/// `asked` is the name that the user gave, `name` the device's own.
fn not_opened(name: &str, asked: Option<&str>, error: &cpal::Error) -> PlaybackError {
    match error.kind() {
        cpal::ErrorKind::DeviceNotAvailable | cpal::ErrorKind::HostUnavailable => {
            PlaybackError::NoDevice {
                name: asked.map(str::to_owned),
            }
        }
        cpal::ErrorKind::StreamInvalidated => PlaybackError::Lost {
            reason: error.to_string(),
        },
        _ => PlaybackError::Unusable {
            name: name.to_owned(),
            reason: error.to_string(),
        },
    }
}

const HELD: u8 = level_code(Level::Held);

/// What a level's gain ends at.
const fn goal(level: u8) -> f32 {
    if level == HELD {
        0.0
    } else if level == level_code(Level::Ducked) {
        DUCKED
    } else {
        1.0
    }
}

/// Gain while ducked: −14 dB, soft enough to hear that one is heard, loud enough to go on after a cough.
const DUCKED: f32 = 0.2;

/// Milliseconds from full to nothing at the slope with which the sound is ducked, held, and comes back; the fade of a flush.
const DUCK_MS: f32 = 40.0;
const HOLD_MS: f32 = 8.0;
const RISE_MS: f32 = 80.0;
const FLUSH_MS: f32 = 5.0;

/// What the ring holds. Barge-in does not wait for it, so it may be long enough to bridge a stall of the speaking thread.
const RING: Duration = Duration::from_secs(2);

/// Silence between two samples up to which it is a hole in the speech.
pub(super) const HOLE_MS: u64 = 250;

/// Mono samples that the callback moves at a time, on its stack.
const SCRATCH: usize = 512;

/// How often a waiting writer looks.
const POLL: Duration = Duration::from_millis(2);

/// A device that has not taken a block for this long does not answer; a block lasts 10–20 ms.
const LONGEST_FLUSH: Duration = Duration::from_millis(500);
