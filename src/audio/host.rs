//! Keeps one cpal stream on a thread of its own, and notices when it ends.
//!
//! A stream may be bound to the thread that made it, dropping it may block on a sound server that hangs, and its error
//! callback may run on the real-time thread, 40,000 times a second (ALSA after its server died). So the stream is made,
//! watched and dropped by an owner thread; callbacks only touch [`Signals`]. Used by `capture` and `playback`, which own
//! the rings. What is lost is told once, as a reason; rebuilding is left to the caller of the source or sink.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cpal::ErrorKind;
use cpal::traits::{DeviceTrait, HostTrait};

use crate::platform::clock;

use super::devices::{self, Direction, Found, Wanted, Why};

/// What the callbacks of a stream tell its owner: atomics only.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Blocks that were delivered or asked for.
    blocks: AtomicU64,
    /// Errors after which the stream may well go on.
    mild: AtomicU64,
    /// The first error after which it cannot.
    fatal: OnceLock<ErrorKind>,
    /// Why the stream is over; set by the owner thread.
    over: OnceLock<String>,
}

impl Signals {
    /// Real time: a block passed.
    pub(super) fn block(&self) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
    }

    /// Called by cpal with each error, from whatever thread: counts, and keeps the first fatal kind.
    pub(super) fn error(&self, error: &cpal::Error) {
        match error.kind() {
            // The stream goes on: a glitch, a missing real-time priority, an output that followed the default by itself.
            ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {}
            ErrorKind::DeviceNotAvailable
            | ErrorKind::HostUnavailable
            | ErrorKind::StreamInvalidated
            | ErrorKind::PermissionDenied => {
                self.fatal.get_or_init(|| error.kind());
            }
            // ALSA through the PulseAudio plugin gives up to 573 of these when a playback starts, and then plays.
            _ => {
                self.mild.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Why the stream is over, once it is.
    pub(super) fn over(&self) -> Option<&str> {
        self.over.get().map(String::as_str)
    }
}

/// What the owner thread keeps.
pub(super) struct Built<T> {
    pub(super) stream: cpal::Stream,
    /// Looks whether the device is still the right one; a reason when it is not. Once a second, may block.
    pub(super) watch: Option<Watch>,
    /// What the caller of [`StreamOwner::start`] gets.
    pub(super) part: T,
}

/// See [`Built::watch`].
pub(super) type Watch = Box<dyn FnMut() -> Option<String>>;

/// The handle of an owner thread; dropping it drops the stream.
#[derive(Debug)]
pub(super) struct StreamOwner {
    signals: Arc<Signals>,
    stop: Option<SyncSender<()>>,
    done: Receiver<()>,
}

impl StreamOwner {
    /// Starts the owner thread and lets it build the stream; `silent` is the answer when that takes longer than 6 s.
    pub(super) fn start<T, E>(
        name: &'static str,
        silent: impl FnOnce(&'static str) -> E,
        build: impl FnOnce(Arc<Signals>) -> Result<Built<T>, E> + Send + 'static,
    ) -> Result<(Self, T), E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let signals = Arc::new(Signals::default());
        let (stop, stopped) = mpsc::sync_channel(1);
        let (finished, done) = mpsc::sync_channel(1);
        let (answer, answered) = mpsc::sync_channel(1);
        let own = Arc::clone(&signals);
        let spawned = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                live(&own, build(Arc::clone(&own)), &answer, &stopped);
                // When the handle is gone, nobody waits for this.
                finished.send(()).unwrap_or_default();
            });
        if spawned.is_err() {
            return Err(silent("the system refused a thread"));
        }
        let part = answered
            .recv_timeout(LONGEST_BUILD)
            .map_err(|_| silent("the sound system does not answer"))??;
        let owner = Self {
            signals,
            stop: Some(stop),
            done,
        };
        Ok((owner, part))
    }

    /// See [`Signals::over`].
    pub(super) fn over(&self) -> Option<&str> {
        self.signals.over()
    }
}

impl Drop for StreamOwner {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Err(RecvTimeoutError::Timeout) = self.done.recv_timeout(LONGEST_DROP) {
            tracing::warn!(
                "a stream could not be closed: the sound system hangs; its thread is left behind"
            );
        }
    }
}

/// The life of an owner thread: answers what came of the building, and keeps the stream until it is over.
fn live<T, E>(
    signals: &Signals,
    built: Result<Built<T>, E>,
    answer: &SyncSender<Result<T, E>>,
    stopped: &Receiver<()>,
) {
    let waited_for = match built {
        Ok(Built {
            stream,
            watch,
            part,
        }) => {
            let waited_for = answer.send(Ok(part)).is_ok();
            if waited_for {
                guard(signals, stopped, watch);
            }
            drop(stream);
            waited_for
        }
        Err(error) => answer.send(Err(error)).is_ok(),
    };
    if !waited_for {
        tracing::debug!("the sound system answered when nobody waited any more");
    }
}

/// Watches over the stream until the handle is dropped or the stream is over.
fn guard(signals: &Signals, stopped: &Receiver<()>, mut watch: Option<Watch>) {
    let mut seen = 0;
    let mut quiet = Duration::ZERO;
    let mut mild_before = 0;
    let mut since_watch = Duration::ZERO;
    let mut wall = clock::wall().timestamp();
    let reason = loop {
        if !matches!(stopped.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
            return;
        }
        if let Some(kind) = signals.fatal.get() {
            break kind.to_string();
        }
        // Streams that were open while the machine slept may be dead without an error, or run on another format.
        let now = clock::wall().timestamp();
        let jump = now.duration_since(wall).as_secs();
        wall = now;
        if jump > ASLEEP_S {
            break format!("the machine slept for {jump} s");
        }
        let blocks = signals.blocks.load(Ordering::Relaxed);
        let mild = signals.mild.load(Ordering::Relaxed);
        if blocks == seen {
            quiet += TICK;
        } else {
            quiet = Duration::ZERO;
            mild_before = mild;
        }
        seen = blocks;
        if quiet >= LONGEST_QUIET {
            break "the device has fallen silent without an error".to_owned();
        }
        if quiet >= ERRORS_ONLY && mild - mild_before > MOST_MILD {
            break "the device gives nothing but errors".to_owned();
        }
        // Asked only while blocks pass: a server that hangs would keep us here for ever.
        since_watch += TICK;
        if since_watch >= WATCH_EVERY && quiet.is_zero() {
            since_watch = Duration::ZERO;
            if let Some(reason) = watch.as_mut().and_then(|watch| watch()) {
                break reason;
            }
        }
    };
    tracing::info!(%reason, "audio stream over");
    signals.over.get_or_init(|| reason);
}

/// A watch that tells when the device is gone, or when the reason for which it was chosen now leads to another one: another
/// default, a preferred device that is back, a headset that has begun or ceased to play.
///
/// `None` where the host tells by itself or where asking does harm: ALSA opens devices (and prints) to list them, and an
/// output on CoreAudio follows the default without our help.
pub(super) fn watch_device(found: Found, direction: Direction, wanted: Wanted) -> Option<Watch> {
    let id = found.device.id().ok()?;
    let by_default = found.by_default();
    let Found { host, why, .. } = found;
    let follows_by_itself =
        host.id().name() == "CoreAudio" && direction == Direction::Output && by_default;
    if host.id().name() == "ALSA" || follows_by_itself {
        return None;
    }
    // Where the system's default is all that counts it is enough to ask for that; a list takes longer.
    let policy = direction == Direction::Input
        && (!wanted.prefer.is_empty() || wanted.spare_headset)
        && why != Why::Named;
    let mut looks = 0_u32;
    Some(Box::new(move || {
        looks += 1;
        if policy
            && looks.is_multiple_of(POLICY_EVERY)
            && let Ok((now, reason)) = devices::choose_again(&host, direction, &wanted)
            && now != id.id()
        {
            return Some(match reason {
                Why::Default => format!("{} is no longer the default, {now} is", id.id()),
                reason => format!("{now} is to be used now: {reason}"),
            });
        }
        if matches!(why, Why::Preferred { .. } | Why::SparesHeadset) {
            return host
                .device_by_id(&id)
                .is_none()
                .then(|| format!("{} was unplugged", id.id()));
        }
        if by_default {
            let now = match direction {
                Direction::Input => host.default_input_device(),
                Direction::Output => host.default_output_device(),
            };
            let now = now.and_then(|device| device.id().ok());
            return (now.as_ref() != Some(&id)).then(|| match now {
                Some(other) => format!("{} is no longer the default, {} is", id.id(), other.id()),
                None => "there is no default device any more".to_owned(),
            });
        }
        host.device_by_id(&id)
            .is_none()
            .then(|| format!("{} was unplugged", id.id()))
    }))
}

/// Frames in a block. The PulseAudio host would take 2 s by default; measured through its null sinks on 2 busy cores:
/// capture in 10 ms blocks broke 3 times in 20 s at load 6, in 20 ms blocks never. Playback holds two blocks, of which one
/// bridges a late callback: 20 ms blocks had gaps now and then at load 5, so they last 40 ms; an underrun inside the server
/// is not told to anybody. Elsewhere (CoreAudio, ALSA) the callback has a real-time thread, and 10 ms do.
pub(super) fn buffer_size(
    host: &cpal::Host,
    direction: Direction,
    config: &cpal::SupportedStreamConfig,
) -> cpal::BufferSize {
    let block_ms = match (host.id().name(), direction) {
        ("PulseAudio", Direction::Input) => 20,
        ("PulseAudio", Direction::Output) => 40,
        _ => 10,
    };
    let frames = config.sample_rate() * block_ms / 1_000;
    match config.buffer_size() {
        cpal::SupportedBufferSize::Range { min, max } => {
            cpal::BufferSize::Fixed(frames.clamp(*min, (*max).max(*min)))
        }
        cpal::SupportedBufferSize::Unknown => cpal::BufferSize::Fixed(frames),
    }
}

/// How long cpal may take to make a stream.
pub(super) const STREAM_TIMEOUT: Duration = Duration::from_secs(3);

/// Wall time that passes between two looks of this thread when nothing sleeps: 50 ms, and what a loaded machine adds.
const ASLEEP_S: i64 = 15;

/// How often the owner looks.
const TICK: Duration = Duration::from_millis(50);

/// Without a block for this long a running stream is lost, whatever the host says.
const LONGEST_QUIET: Duration = Duration::from_secs(2);

/// Errors but no block for this long: lost. Half of the silence that is granted without errors.
const ERRORS_ONLY: Duration = Duration::from_secs(1);

/// Errors without a block that a stream may give while it starts; see [`Signals::error`].
const MOST_MILD: u64 = 1_000;

/// Every how many looks the whole policy is asked, which lists devices.
const POLICY_EVERY: u32 = 2;

/// How often the device is compared with what it should be.
const WATCH_EVERY: Duration = Duration::from_secs(1);

const LONGEST_BUILD: Duration = Duration::from_secs(6);
const LONGEST_DROP: Duration = Duration::from_secs(2);
