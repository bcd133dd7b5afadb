//! The loudspeaker: a ring feeding a cpal output stream, flushed by epoch.
//!
//! [`Loudspeaker`] is an [`AudioSink`] for the speaking thread. The output callback runs [`PlaybackReader::fill`] and
//! nothing else: no allocation, lock, log or system call. The stream runs all the time and plays silence when there is
//! nothing to say. Barge-in: the sink bumps an epoch, the callback empties the ring in its next block and acknowledges; new
//! samples are written only after that, so nothing of the old reply is heard behind it. A stream that ends makes every call
//! give [`PlaybackError::Lost`]; building a new one is the caller's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{FromSample, Sample, SampleFormat, SizedSample};
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::devices::{self, ChooseError, Direction};
use super::host::{self, Built, Signals, StreamOwner};
use super::{AudioSink, PlaybackError};

/// What both ends of a playback ring know.
#[derive(Debug, Default)]
struct Shared {
    /// Bumped by the writer to have the ring emptied, and followed by the reader.
    wanted_epoch: AtomicU64,
    epoch: AtomicU64,
    /// Samples that have left the loudspeaker or were flushed.
    played: AtomicU64,
    starved: AtomicU64,
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
        self.follow_epoch();

        let mut scratch = [0.0_f32; SCRATCH];
        let mut speech = 0;
        let mut frames = block.chunks_exact_mut(self.channels);
        let wanted = frames.len();
        while speech < wanted {
            let most = SCRATCH.min(wanted - speech);
            let got = self.ring.pop_slice(&mut scratch[..most]);
            // The samples lead: a zip led by the frames would take one frame too many and leave it unfilled.
            for (sample, frame) in scratch[..got].iter().zip(frames.by_ref()) {
                frame.fill(T::from_sample(sample.clamp(-1.0, 1.0)));
            }
            speech += got;
            if got < most {
                break;
            }
        }
        for frame in frames {
            frame.fill(T::EQUILIBRIUM);
        }
        self.account(speech as u64, (wanted - speech) as u64);
    }

    /// Empties the ring when the writer asked for it since the last block, and acknowledges.
    fn follow_epoch(&mut self) {
        let wanted = self.shared.wanted_epoch.load(Ordering::Acquire);
        if wanted == self.epoch {
            return;
        }
        self.epoch = wanted;
        self.left += self.ring.clear() as u64;
        self.hole = None;
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
        let wanted = wanted.to_owned();
        let silent = |reason: &str| PlaybackError::Lost {
            reason: reason.to_owned(),
        };
        let build = move |signals| build(&wanted, &signals);
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

    fn check(&self) -> Result<(), PlaybackError> {
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
            self.check()?;
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
        self.check()?;
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
fn build(wanted: &str, signals: &Arc<Signals>) -> Result<Built<Part>, PlaybackError> {
    let found = devices::find(Direction::Output, wanted, &[]).map_err(not_chosen)?;
    let name = found.name;
    let asked = (!found.by_default).then_some(name.as_str());
    let fault = |error: cpal::Error| not_opened(&name, asked, &error);
    let supported = found.device.default_output_config().map_err(fault)?;
    let rate = supported.sample_rate();
    let config = cpal::StreamConfig {
        buffer_size: host::buffer_size(&found.host, Direction::Output, &supported),
        ..supported.config()
    };
    let (writer, reader) = playback_ring(rate, supported.channels(), RING);
    let stream = stream(
        &found.device,
        config,
        supported.sample_format(),
        reader,
        signals,
    )
    .map_err(fault)?;
    stream.play().map_err(fault)?;
    let watch = host::watch_device(
        found.host,
        &found.device,
        Direction::Output,
        found.by_default,
    );
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
