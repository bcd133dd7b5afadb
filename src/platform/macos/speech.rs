//! `AVSpeechSynthesizer`, writing buffers instead of playing them.
//!
//! One long-lived synthesizer exists, on the main thread: making and dropping one an utterance crashes in its teardown,
//! and its callbacks arrive on the main queue in any case. The speaking thread sends it work through that queue and
//! receives samples through a bounded channel. The format is read from each buffer, because some voices give `Int16`
//! where most give `Float32`; a buffer without frames is the end.

use std::cell::OnceCell;
use std::ptr::NonNull;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use block2::RcBlock;
use dispatch2::DispatchQueue;
use objc2::rc::Retained;
use objc2_avf_audio::{
    AVAudioBuffer, AVAudioCommonFormat, AVAudioPCMBuffer, AVSpeechBoundary, AVSpeechSynthesisVoice,
    AVSpeechSynthesizer, AVSpeechUtterance, AVSpeechUtteranceDefaultSpeechRate,
    AVSpeechUtteranceMaximumSpeechRate, AVSpeechUtteranceMinimumSpeechRate,
};
use objc2_foundation::NSString;

use crate::platform::speech::{InstalledVoice, OnSamples, SystemVoiceError, Utterance};

thread_local! {
    /// Filled on the main thread only: every access is inside work of the main queue.
    static SYNTHESIZER: OnceCell<Retained<AVSpeechSynthesizer>> = const { OnceCell::new() };
}

/// What the main thread sends back.
enum Reply {
    Samples { rate: u32, samples: Vec<f32> },
    End,
    Failed(SystemVoiceError),
}

/// The handle of the speaking thread.
#[derive(Debug)]
pub(in crate::platform) struct Voice(());

impl Voice {
    pub(in crate::platform) fn open() -> Option<Self> {
        // The first utterance loads the voice; a stop alone makes no sound and moves that wait to the start.
        start(".".to_owned(), None, 1.0);
        Some(Self(()))
    }

    pub(in crate::platform) fn installed(&self) -> Vec<InstalledVoice> {
        let (found, voices) = sync_channel(1);
        DispatchQueue::main().exec_async(move || {
            if found.try_send(installed()).is_err() {
                tracing::debug!("the list of voices came too late");
            }
        });
        voices.recv_timeout(LIST_LIMIT).unwrap_or_default()
    }

    pub(in crate::platform) fn say(
        &mut self,
        utterance: Utterance<'_>,
        on_samples: OnSamples<'_>,
    ) -> Result<(), SystemVoiceError> {
        let replies = start(
            utterance.text.to_owned(),
            utterance.voice.map(str::to_owned),
            utterance.rate,
        );
        loop {
            match replies.recv_timeout(SILENCE_LIMIT) {
                Ok(Reply::Samples { rate, samples }) => {
                    if on_samples(rate, &samples).is_break() {
                        stop();
                        return Ok(());
                    }
                }
                Ok(Reply::End) => return Ok(()),
                Ok(Reply::Failed(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    stop();
                    return Err(SystemVoiceError::Silent);
                }
            }
        }
    }
}

/// Lets the main thread begin; dropping the receiver makes it forget the rest.
fn start(text: String, voice: Option<String>, rate: f32) -> Receiver<Reply> {
    let (replies, receiver) = sync_channel(PENDING_BUFFERS);
    DispatchQueue::main().exec_async(move || {
        if let Err(error) = write(&text, voice.as_deref(), rate, &replies) {
            forward(&replies, Reply::Failed(error));
        }
    });
    receiver
}

fn stop() {
    DispatchQueue::main().exec_async(|| {
        with_synthesizer(|synthesizer| {
            // SAFETY: called on the main thread, where the synthesizer lives.
            unsafe { synthesizer.stopSpeakingAtBoundary(AVSpeechBoundary::Immediate) };
        });
    });
}

fn with_synthesizer(work: impl FnOnce(&AVSpeechSynthesizer)) {
    SYNTHESIZER.with(|cell| {
        // SAFETY: a plain initialiser, called on the main thread.
        work(cell.get_or_init(|| unsafe { AVSpeechSynthesizer::new() }));
    });
}

/// Runs on the main thread.
fn write(
    text: &str,
    voice: Option<&str>,
    rate: f32,
    replies: &SyncSender<Reply>,
) -> Result<(), SystemVoiceError> {
    // SAFETY: a class method that copies the string.
    let utterance =
        unsafe { AVSpeechUtterance::speechUtteranceWithString(&NSString::from_str(text)) };
    if let Some(name) = voice {
        let voice = find_voice(name).ok_or(SystemVoiceError::NoVoice)?;
        // SAFETY: setting a property of an utterance that nobody else has.
        unsafe { utterance.setVoice(Some(&voice)) };
    }
    // SAFETY: as above; the three statics are constants of AVFAudio, which is linked.
    unsafe {
        let wanted = AVSpeechUtteranceDefaultSpeechRate * rate;
        utterance.setRate(wanted.clamp(
            AVSpeechUtteranceMinimumSpeechRate,
            AVSpeechUtteranceMaximumSpeechRate,
        ));
    }
    let replies = replies.clone();
    let on_buffer = RcBlock::new(move |buffer: NonNull<AVAudioBuffer>| {
        // SAFETY: the callback's argument is a valid buffer for the time of the callback.
        let reply = match read(unsafe { buffer.as_ref() }) {
            Ok(Some((rate, samples))) => Reply::Samples { rate, samples },
            Ok(None) => Reply::End,
            Err(error) => Reply::Failed(error),
        };
        forward(&replies, reply);
    });
    with_synthesizer(|synthesizer| {
        // SAFETY: the synthesizer copies the block; the block owns everything that it uses.
        unsafe {
            synthesizer.writeUtterance_toBufferCallback(&utterance, RcBlock::as_ptr(&on_buffer));
        }
    });
    Ok(())
}

/// The main thread must not wait: a full channel means that the speaking thread is far behind, and it will find the
/// channel closed; a closed one means that it does not want the rest.
fn forward(replies: &SyncSender<Reply>, reply: Reply) {
    if replies.try_send(reply).is_err() {
        tracing::trace!("speech buffer dropped: the utterance was given up");
    }
}

/// Runs on the main thread.
fn installed() -> Vec<InstalledVoice> {
    // SAFETY: a class method and properties of the installed voices, read on the main thread.
    unsafe {
        AVSpeechSynthesisVoice::speechVoices()
            .iter()
            .map(|voice| InstalledVoice {
                name: voice.name().to_string(),
                identifier: voice.identifier().to_string(),
                language: voice.language().to_string(),
            })
            .collect()
    }
}

/// By identifier, then by name, then by language.
fn find_voice(name: &str) -> Option<Retained<AVSpeechSynthesisVoice>> {
    let wanted = NSString::from_str(name);
    // SAFETY: class methods and properties of the installed voices, read on the main thread.
    unsafe {
        AVSpeechSynthesisVoice::voiceWithIdentifier(&wanted)
            .or_else(|| {
                AVSpeechSynthesisVoice::speechVoices()
                    .iter()
                    .find(|voice| voice.name().to_string().eq_ignore_ascii_case(name))
            })
            .or_else(|| AVSpeechSynthesisVoice::voiceWithLanguage(Some(&wanted)))
    }
}

/// The first channel as floats; `None` for the end marker.
fn read(buffer: &AVAudioBuffer) -> Result<Option<(u32, Vec<f32>)>, SystemVoiceError> {
    let Some(pcm) = buffer.downcast_ref::<AVAudioPCMBuffer>() else {
        return Err(SystemVoiceError::Format);
    };
    // SAFETY: properties of a valid buffer.
    let (frames, stride, format) = unsafe { (pcm.frameLength(), pcm.stride(), pcm.format()) };
    let frames = usize::try_from(frames).map_err(|_| SystemVoiceError::Format)?;
    if frames == 0 {
        return Ok(None);
    }
    // SAFETY: properties of a valid format.
    let (kind, rate) = unsafe { (format.commonFormat(), format.sampleRate()) };
    let samples = match kind {
        AVAudioCommonFormat::PCMFormatFloat32 => {
            // SAFETY: for this format the pointer is null or leads to one pointer a channel.
            let channels = NonNull::new(unsafe { pcm.floatChannelData() });
            let channels = channels.ok_or(SystemVoiceError::Format)?;
            // SAFETY: the first channel has `frames` samples, `stride` apart.
            unsafe { collect(channels.read(), frames, stride, |sample: f32| sample) }
        }
        AVAudioCommonFormat::PCMFormatInt16 => {
            // SAFETY: for this format the pointer is null or leads to one pointer a channel.
            let channels = NonNull::new(unsafe { pcm.int16ChannelData() });
            let channels = channels.ok_or(SystemVoiceError::Format)?;
            // SAFETY: the first channel has `frames` samples, `stride` apart.
            unsafe {
                collect(channels.read(), frames, stride, |sample: i16| {
                    f32::from(sample) / 32_768.0
                })
            }
        }
        _ => return Err(SystemVoiceError::Format),
    };
    Ok(Some((rate as u32, samples)))
}

/// # Safety
/// `first` must lead to `frames` samples that lie `stride` apart.
unsafe fn collect<T: Copy>(
    first: NonNull<T>,
    frames: usize,
    stride: usize,
    convert: impl Fn(T) -> f32,
) -> Vec<f32> {
    (0..frames)
        // SAFETY: the caller vouches for every index below `frames`.
        .map(|frame| convert(unsafe { first.add(frame * stride).read() }))
        .collect()
}

/// Buffers that may wait for the speaking thread: minutes of speech, at 20 to 200 ms each.
const PENDING_BUFFERS: usize = 4096;

/// How long the list of voices may take: the main thread is idle but for speech.
const LIST_LIMIT: Duration = Duration::from_secs(3);

/// Without a sample for this long the main loop is taken for dead. Loading a large voice takes a few seconds.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);
