//! Sound in and out: devices through cpal, and files that behave like devices.
//!
//! A source gives device samples as they are (rate, channels); the listening thread makes 16 kHz mono of them. A sink
//! takes mono samples at its own rate and tells how many have left the loudspeaker. Real-time callbacks touch rings and
//! atomics only: no allocation, lock, log or system call.

pub mod cancelled;
pub mod capture;
pub mod decode;
pub mod devices;
pub mod echo;
pub mod file;
pub mod floor;
mod host;
pub mod playback;
pub mod reference;
pub mod resample;

use std::time::Duration;

use echo::meter::EchoReport;

/// How the samples of a source are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Frames a second.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: u16,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// Samples were appended; `lost` frames before them were dropped by the device or by a full ring.
    Samples {
        /// Frames (not samples) that are missing before this block.
        lost: u64,
    },
    /// Nothing came within the wait.
    Nothing,
    /// The source goes on in another format (device or rate changed): read [`AudioSource::format`] again.
    Reformatted,
    /// The end of a file.
    Ended,
}

/// Why nothing can be captured; by what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The OS refused. Retrying cannot help; tell the user where the switch is.
    #[error("microphone access denied")]
    Denied,
    /// There is no such input. Plug one in or name another.
    #[error("no input device{}", .name.as_deref().map(|n| format!(" named {n}")).unwrap_or_default())]
    NoDevice {
        /// The name that was asked for; `None` for the default device.
        name: Option<String>,
    },
    /// The device went away or changed under the stream. Build a new stream.
    #[error("the input device was lost: {reason}")]
    Lost {
        /// What the host said.
        reason: String,
    },
    /// The device or file cannot be used as it is. Choose another.
    #[error("the input {name} cannot be used: {reason}")]
    Unusable {
        /// Device or file.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Where sound comes from. Owned by the listening thread.
pub trait AudioSource: Send {
    /// The layout of what the next [`Self::read`] appends.
    fn format(&self) -> Format;

    /// Waits at most `wait` for audio and appends what there is, interleaved f32 in −1..1.
    ///
    /// # Errors
    /// [`CaptureError::Lost`] when the stream must be rebuilt by the caller.
    fn read(&mut self, into: &mut Vec<f32>, wait: Duration) -> Result<Captured, CaptureError>;

    /// The layout of the device at the bottom, for people; differs from [`Self::format`] where something converts.
    fn device_format(&self) -> Format {
        self.format()
    }

    /// Whether our own voice may be in what was read last, and whose it is.
    fn echo(&self) -> EchoReport {
        EchoReport::default()
    }
}

/// Why nothing can be played; by what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// There is no such output. Plug one in or name another.
    #[error("no output device{}", .name.as_deref().map(|n| format!(" named {n}")).unwrap_or_default())]
    NoDevice {
        /// The name that was asked for; `None` for the default device.
        name: Option<String>,
    },
    /// The device went away. Build a new stream.
    #[error("the output device was lost: {reason}")]
    Lost {
        /// What the host said.
        reason: String,
    },
    /// The device or file cannot be used as it is. Choose another.
    #[error("the output {name} cannot be used: {reason}")]
    Unusable {
        /// Device or file.
        name: String,
        /// Why.
        reason: String,
    },
    /// The file cannot be written (disk full, permission). What was written before is whole and playable.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
}

/// How loud a sink plays. Every change is a ramp of some milliseconds, so that nothing clicks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// As it was made.
    #[default]
    Full,
    /// Softly: somebody may be speaking.
    Ducked,
    /// Not at all, and what is queued waits: somebody speaks.
    Held,
}

/// Where sound goes. Owned by the speaking thread.
pub trait AudioSink: Send {
    /// Samples a second that [`Self::write`] takes.
    fn rate(&self) -> u32;

    /// Queues mono samples, waiting at most `wait` for room; returns how many were taken.
    ///
    /// # Errors
    /// See [`PlaybackError`].
    fn write(&mut self, samples: &[f32], wait: Duration) -> Result<usize, PlaybackError>;

    /// Samples that have been taken since the sink was made, flushed ones included.
    fn written(&self) -> u64;

    /// Of those, samples that have left (played or flushed) since the sink was made. Equal to `written` when all is said.
    fn played(&self) -> u64;

    /// Discards what is queued; returns once the device has acknowledged it (within one buffer).
    ///
    /// # Errors
    /// [`PlaybackError::Lost`] when the device does not answer.
    fn flush(&mut self) -> Result<(), PlaybackError>;

    /// Whether it still plays; asked while nothing is said, so that a loss is noticed before the next word.
    ///
    /// # Errors
    /// [`PlaybackError::Lost`] when it does not.
    fn check(&mut self) -> Result<(), PlaybackError> {
        Ok(())
    }

    /// How loud what follows is played, from the device's next block on. A file has nobody to hear it: it ignores this.
    fn set_level(&mut self, _level: Level) {}

    /// Samples of silence that the device inserted because the queue ran dry within speech.
    fn starved(&self) -> u64;

    /// Ends the sink: a file is finalised, a device drained.
    ///
    /// # Errors
    /// [`PlaybackError::Write`] when a file cannot be finalised.
    fn close(&mut self) -> Result<(), PlaybackError>;
}
