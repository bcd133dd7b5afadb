//! The microphone: a cpal input stream feeding a ring.
//!
//! [`Microphone`] is an [`AudioSource`] for the listening thread. The input callback runs [`CaptureWriter::take`] and
//! nothing else: it converts to f32 and writes into the ring, or drops the block whole and counts it when the ring is full.
//! No allocation, lock, log or system call. A stream that ends, by an error, by silence of the host, by unplugging or by
//! another default, ends in [`CaptureError::Lost`]; building a new one is the caller's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{FromSample, Sample, SampleFormat, SizedSample};
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::devices::{self, ChooseError, Direction, Wanted};
use super::host::{self, Built, Signals, StreamOwner};
use super::{AudioSource, CaptureError, Captured, Format};

/// Makes the two ends of a capture ring that holds `length` of sound.
#[must_use]
pub fn capture_ring(format: Format, length: Duration) -> (CaptureWriter, CaptureReader) {
    let frames = (f64::from(format.rate) * length.as_secs_f64()).ceil() as usize;
    let channels = usize::from(format.channels.max(1));
    let (producer, consumer) = HeapRb::new((frames * channels).max(1)).split();
    let lost = Arc::new(AtomicU64::new(0));
    let writer = CaptureWriter {
        ring: producer,
        channels,
        dropping: false,
        lost: Arc::clone(&lost),
    };
    let reader = CaptureReader {
        ring: consumer,
        lost,
        told: 0,
        owed: 0,
    };
    (writer, reader)
}

/// The end of the ring that belongs to the input callback.
pub struct CaptureWriter {
    ring: HeapProd<f32>,
    channels: usize,
    /// Once the ring was full, blocks are dropped until the reader has emptied half of it: then everything that is in the
    /// ring was captured before the hole, and the reader knows where the hole lies.
    dropping: bool,
    lost: Arc<AtomicU64>,
}

impl CaptureWriter {
    /// Real time. Takes a block of interleaved samples, whole or not at all.
    pub fn take<T>(&mut self, block: &[T])
    where
        T: Copy,
        f32: FromSample<T>,
    {
        let vacant = self.ring.vacant_len();
        if vacant < block.len() || (self.dropping && vacant < self.ring.capacity().get() / 2) {
            self.dropping = true;
            let frames = block.len() / self.channels;
            self.lost.fetch_add(frames as u64, Ordering::Release);
            return;
        }
        self.dropping = false;
        self.ring
            .push_iter(block.iter().map(|sample| f32::from_sample(*sample)));
    }
}

/// The end of the ring that belongs to the listening thread.
pub struct CaptureReader {
    ring: HeapCons<f32>,
    /// Frames dropped since the start.
    lost: Arc<AtomicU64>,
    /// Of those, frames that have been told or are `owed`.
    told: u64,
    /// Frames dropped after what was read last and before what is read next.
    owed: u64,
}

impl CaptureReader {
    /// Appends everything that is there; the frames that are missing before it, or `None` when nothing is there.
    ///
    /// A hole is told with the first block after it. (A hole that opens while this very call runs may be told one block
    /// late; the sum is exact.)
    pub fn read(&mut self, into: &mut Vec<f32>) -> Option<u64> {
        let dropped = self.lost.load(Ordering::Acquire);
        let there = self.ring.occupied_len();
        if there == 0 {
            self.owed += dropped - self.told;
            self.told = dropped;
            return None;
        }
        let before = into.len();
        into.resize(before + there, 0.0);
        let read = self.ring.pop_slice(&mut into[before..]);
        into.truncate(before + read);
        let missing = std::mem::replace(&mut self.owed, dropped - self.told);
        self.told = dropped;
        Some(missing)
    }
}

/// A device as [`AudioSource`]. Dropping it closes the stream.
pub struct Microphone {
    name: String,
    format: Format,
    reader: CaptureReader,
    owner: StreamOwner,
    /// How long nothing has come; the last resort when even the watching thread hangs with the sound server.
    quiet: Duration,
}

impl Microphone {
    /// Opens `wanted` (`default`, a name or a unique part of one) or the first of `prefer` that is present, as
    /// [`devices::choose`] says, and starts capturing. Blocks for 0.1–6 s.
    ///
    /// # Errors
    /// [`CaptureError::NoDevice`], [`CaptureError::Denied`], [`CaptureError::Unusable`] (also when the name fits several
    /// devices); [`CaptureError::Lost`] when the sound system does not answer.
    pub fn open(wanted: &str, prefer: &[String]) -> Result<Self, CaptureError> {
        Self::open_wanted(Wanted::input(wanted, prefer))
    }

    /// As [`Self::open`], by the whole policy of [`devices::choose_input`].
    ///
    /// # Errors
    /// See [`Self::open`].
    pub fn open_wanted(wanted: Wanted) -> Result<Self, CaptureError> {
        let silent = |reason: &str| CaptureError::Lost {
            reason: reason.to_owned(),
        };
        let build = move |signals| build(wanted, &signals);
        let (owner, (name, format, reader)) = StreamOwner::start("microphone", silent, build)?;
        tracing::info!(device = %name, rate = format.rate, channels = format.channels, "microphone open");
        Ok(Self {
            name,
            format,
            reader,
            owner,
            quiet: Duration::ZERO,
        })
    }

    /// The device's name as people see it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl AudioSource for Microphone {
    fn format(&self) -> Format {
        self.format
    }

    fn read(&mut self, into: &mut Vec<f32>, wait: Duration) -> Result<Captured, CaptureError> {
        if let Some(lost) = self.reader.read(into) {
            self.quiet = Duration::ZERO;
            return Ok(Captured::Samples { lost });
        }
        let lost = |reason: &str| {
            Err(CaptureError::Lost {
                reason: reason.to_owned(),
            })
        };
        if let Some(reason) = self.owner.over() {
            return lost(reason);
        }
        if self.quiet >= LONGEST_QUIET {
            return lost("nothing has come from the device for 3 s");
        }
        std::thread::sleep(wait);
        match self.reader.read(into) {
            Some(lost) => {
                self.quiet = Duration::ZERO;
                Ok(Captured::Samples { lost })
            }
            None => {
                self.quiet += wait;
                Ok(Captured::Nothing)
            }
        }
    }
}

type Part = (String, Format, CaptureReader);

/// On the owner thread: finds the device, builds the stream and starts it.
fn build(wanted: Wanted, signals: &Arc<Signals>) -> Result<Built<Part>, CaptureError> {
    let found = devices::find(Direction::Input, &wanted).map_err(not_chosen)?;
    let name = found.name.clone();
    let asked = (!found.by_default()).then_some(name.as_str());
    let fault = |error: cpal::Error| not_opened(&name, asked, &error);
    let supported = found.device.default_input_config().map_err(fault)?;
    let format = Format {
        rate: supported.sample_rate(),
        channels: supported.channels(),
    };
    let config = cpal::StreamConfig {
        buffer_size: host::buffer_size(&found.host, Direction::Input, &supported),
        ..supported.config()
    };
    let (writer, reader) = capture_ring(format, RING);
    let stream = stream(
        &found.device,
        config,
        supported.sample_format(),
        writer,
        signals,
    )
    .map_err(fault)?;
    stream.play().map_err(fault)?;
    let watch = host::watch_device(found, Direction::Input, wanted);
    Ok(Built {
        stream,
        watch,
        part: (name, format, reader),
    })
}

/// Builds the stream for whatever sample format the device has.
fn stream(
    device: &cpal::Device,
    config: cpal::StreamConfig,
    sample: SampleFormat,
    writer: CaptureWriter,
    signals: &Arc<Signals>,
) -> Result<cpal::Stream, cpal::Error> {
    match sample {
        SampleFormat::I8 => typed::<i8>(device, config, writer, signals),
        SampleFormat::I16 => typed::<i16>(device, config, writer, signals),
        SampleFormat::I24 => typed::<cpal::I24>(device, config, writer, signals),
        SampleFormat::I32 => typed::<i32>(device, config, writer, signals),
        SampleFormat::I64 => typed::<i64>(device, config, writer, signals),
        SampleFormat::U8 => typed::<u8>(device, config, writer, signals),
        SampleFormat::U16 => typed::<u16>(device, config, writer, signals),
        SampleFormat::U24 => typed::<cpal::U24>(device, config, writer, signals),
        SampleFormat::U32 => typed::<u32>(device, config, writer, signals),
        SampleFormat::U64 => typed::<u64>(device, config, writer, signals),
        SampleFormat::F32 => typed::<f32>(device, config, writer, signals),
        SampleFormat::F64 => typed::<f64>(device, config, writer, signals),
        _ => Err(cpal::Error::new(cpal::ErrorKind::UnsupportedConfig)),
    }
}

fn typed<T>(
    device: &cpal::Device,
    config: cpal::StreamConfig,
    mut writer: CaptureWriter,
    signals: &Arc<Signals>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let (blocks, errors) = (Arc::clone(signals), Arc::clone(signals));
    device.build_input_stream(
        config,
        move |block: &[T], _: &cpal::InputCallbackInfo| {
            writer.take(block);
            blocks.block();
        },
        move |error| errors.error(&error),
        Some(host::STREAM_TIMEOUT),
    )
}

fn not_chosen(error: ChooseError) -> CaptureError {
    match error {
        ChooseError::NoDefault { .. } => CaptureError::NoDevice { name: None },
        ChooseError::NoSuch { wanted, .. } => CaptureError::NoDevice { name: Some(wanted) },
        ChooseError::Ambiguous { ref wanted, .. } => CaptureError::Unusable {
            name: wanted.clone(),
            reason: error.to_string(),
        },
    }
}

/// `asked` is the name that the user gave, `name` the device's own.
fn not_opened(name: &str, asked: Option<&str>, error: &cpal::Error) -> CaptureError {
    match error.kind() {
        cpal::ErrorKind::PermissionDenied => CaptureError::Denied,
        cpal::ErrorKind::DeviceNotAvailable | cpal::ErrorKind::HostUnavailable => {
            CaptureError::NoDevice {
                name: asked.map(str::to_owned),
            }
        }
        cpal::ErrorKind::StreamInvalidated => CaptureError::Lost {
            reason: error.to_string(),
        },
        _ => CaptureError::Unusable {
            name: name.to_owned(),
            reason: error.to_string(),
        },
    }
}

/// What the ring holds: as long as the driver may block the listening thread before sound is lost.
const RING: Duration = Duration::from_secs(2);

/// One second more than the owner thread grants.
const LONGEST_QUIET: Duration = Duration::from_secs(3);
