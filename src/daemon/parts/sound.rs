//! The ear and the voice: microphone or file, loudspeaker or file, and the threads over them.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::super::conductor::Report;
use super::super::{Input, Output, Pace};
use super::Hold;
use crate::audio::cancelled::Cancelled;
use crate::audio::capture::Microphone;
use crate::audio::decode::{self, Decoded};
use crate::audio::devices::Wanted;
use crate::audio::file::{self, WavSink, WavSource, WavSourceSettings};
use crate::audio::playback::Loudspeaker;
use crate::audio::reference::Tap;
use crate::audio::resample::Resampler;
use crate::audio::{AudioSink, AudioSource, CaptureError, Format, PlaybackError, devices};
use crate::config::Config;
use crate::config::resolved::Voice;
use crate::hearing::listen::{self, Ear, EarEvent, ListenSettings, Reopen, Tell};
use crate::hearing::segment::SegmentSettings;
use crate::hearing::vad::SileroVad;
use crate::hearing::{Detectors, WakeDetector};
use crate::platform::clock::Clock;
use crate::platform::quiet::quietly;
use crate::speak::thread::{SpeakCommand, Speaking, SpeakingParts};
use crate::speak::{
    self, SpeakError, SpeechPiece, Synthesizer, VoiceSettings, espeak, say, system,
};
use crate::time::duration_to_samples;

/// An open source, how to open it again, and what it is called.
pub struct Source {
    /// The source.
    pub source: Box<dyn AudioSource>,
    /// Its name.
    pub name: String,
    reopen: Reopen,
    /// Files may hold digital silence for good reasons; a microphone does not.
    watch_zeros: bool,
}

/// Opens the input. With a `tap`, what the loudspeaker at its other end plays is removed from a microphone.
///
/// # Errors
/// The device or file cannot be used.
pub fn source(
    input: &Input,
    config: &Config,
    clock: Clock,
    hold: Option<Arc<AtomicBool>>,
    tap: Option<&Tap>,
) -> anyhow::Result<Source> {
    match input {
        Input::Device(name) => microphone(wanted(name, config), tap),
        Input::File { path, pace } => {
            let sound = decode_file(path)?;
            file_source(&path.display().to_string(), sound, *pace, clock, hold)
        }
        Input::Samples {
            name,
            samples,
            format,
        } => {
            let sound = Decoded {
                format: *format,
                samples: samples.clone(),
                damage: None,
            };
            file_source(name, sound, Pace::Fast, clock, hold)
        }
    }
}

/// The devices that the settings want, `input` in the place of the configured one.
#[must_use]
pub fn wanted(input: &str, config: &Config) -> Wanted {
    Wanted {
        input: input.to_owned(),
        prefer: config.audio.prefer.clone(),
        output: config.audio.output.clone(),
        spare_headset: config.audio.spare_headset,
    }
}

fn microphone(wanted: Wanted, tap: Option<&Tap>) -> anyhow::Result<Source> {
    let source = quietly(|| Microphone::open_wanted(wanted.clone()))?;
    let name = source.name().to_owned();
    let source = without_echo(source, tap)?;
    let tap = tap.cloned();
    let reopen = move || {
        without_echo(
            quietly(|| Microphone::open_wanted(wanted.clone()))?,
            tap.as_ref(),
        )
    };
    Ok(Source {
        source,
        name,
        reopen: Box::new(reopen),
        watch_zeros: true,
    })
}

fn without_echo(
    microphone: Microphone,
    tap: Option<&Tap>,
) -> Result<Box<dyn AudioSource>, CaptureError> {
    let Some(tap) = tap else {
        return Ok(Box::new(microphone));
    };
    let name = microphone.name().to_owned();
    match Cancelled::new(Box::new(microphone), tap.clone()) {
        Ok(cancelled) => Ok(Box::new(cancelled)),
        Err(error) => Err(CaptureError::Unusable {
            name,
            reason: error.to_string(),
        }),
    }
}

fn file_source(
    name: &str,
    sound: Decoded,
    pace: Pace,
    clock: Clock,
    hold: Option<Arc<AtomicBool>>,
) -> anyhow::Result<Source> {
    if let Some(damage) = &sound.damage {
        tracing::warn!(file = name, %damage, "only what precedes the damage is heard");
    }
    let settings = WavSourceSettings {
        pace: file_pace(pace, clock),
        hold,
        ..WavSourceSettings::default()
    };
    let source = WavSource::new(name, sound.samples, sound.format, settings)?;
    let unusable = CaptureError::Unusable {
        name: name.to_owned(),
        reason: "a file is not opened twice".to_owned(),
    };
    let mut once = Some(unusable);
    let reopen = move || -> Result<Box<dyn AudioSource>, CaptureError> {
        Err(once.take().unwrap_or(CaptureError::NoDevice { name: None }))
    };
    Ok(Source {
        source: Box::new(source),
        name: name.to_owned(),
        reopen: Box::new(reopen),
        watch_zeros: false,
    })
}

fn file_pace(pace: Pace, clock: Clock) -> file::Pace {
    match pace {
        Pace::RealTime => file::Pace::RealTime(clock),
        Pace::Fast => file::Pace::Fast,
    }
}

fn decode_file(path: &Path) -> anyhow::Result<Decoded> {
    Ok(decode::decode_native(
        decode::Input::File(path),
        &mut |_| {},
    )?)
}

/// Decodes a bundled clip.
///
/// # Errors
/// It is damaged: a bug.
pub fn decode_bytes(bytes: &'static [u8]) -> anyhow::Result<Decoded> {
    Ok(decode::decode_native(
        decode::Input::Bytes("the bundled clip", bytes.to_vec()),
        &mut |_| {},
    )?)
}

/// Starts the listening thread; what it notices goes into the inbox. A fast file is held from the end of an utterance on,
/// on the listening thread itself, so that not one more block is read before the turn is over.
///
/// # Errors
/// The voice-activity model or the thread cannot be had.
pub fn ear(
    source: Source,
    config: &Config,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    hold: Option<Arc<Hold>>,
    wake: Option<Box<dyn WakeDetector>>,
) -> anyhow::Result<Ear> {
    let tell: Tell = Box::new(move |event, anchor| {
        let pause = matches!(event, EarEvent::SpeechPaused { .. });
        if let (EarEvent::Utterance(_) | EarEvent::Held(Some(_)), Some(hold)) = (&event, &hold) {
            hold.utterance_closed();
        }
        if reports.blocking_send(Report::Ear(event, anchor)).is_err() {
            return ControlFlow::Break(());
        }
        match &hold {
            Some(hold) if pause => hold.wait_for_the_decision(&reports),
            _ => ControlFlow::Continue(()),
        }
    });
    // The dialogue tells at each pause how long it may last; without an answer the longest silence ends the turn.
    ear_with(source, config, config.turn.max_silence, clock, wake, tell)
}

/// Starts the listening thread; what it notices goes to `tell`.
///
/// # Errors
/// The voice-activity model or the thread cannot be had.
pub fn ear_with(
    source: Source,
    config: &Config,
    end_silence: Duration,
    clock: Clock,
    wake: Option<Box<dyn WakeDetector>>,
    tell: Tell,
) -> anyhow::Result<Ear> {
    let vad = SileroVad::new().context("the voice-activity model cannot be started")?;
    let segment = SegmentSettings::default();
    let settings = ListenSettings {
        segment: segment_settings(segment, config, end_silence),
        watch_zeros: source.watch_zeros,
        ..ListenSettings::default()
    };
    listen::spawn(
        source.source,
        Detectors::from(Box::new(vad)).with_wake(wake),
        settings,
        clock,
        source.reopen,
        tell,
    )
    .context("no thread to listen on")
}

/// Whether the configured microphone can be had, without opening it.
#[must_use]
pub fn has_microphone(config: &Config) -> bool {
    let list = quietly(devices::list);
    devices::choose_input(&list, &wanted(&config.audio.input, config))
        .is_ok_and(|choice| choice.device.rate.is_some())
}

/// Whether the configured loudspeaker can be had, without opening it.
#[must_use]
pub fn has_loudspeaker(config: &Config) -> bool {
    let list = quietly(devices::list);
    devices::choose(&list.outputs, &config.audio.output, &[])
        .is_ok_and(|choice| choice.device.rate.is_some())
}

/// Opens the output; with it comes what it is called.
///
/// # Errors
/// The device or file cannot be used.
pub fn sink(
    output: &Output,
    clock: Clock,
    tap: Option<&Tap>,
) -> Result<(Box<dyn AudioSink>, String), PlaybackError> {
    match output {
        Output::Device(wanted) => {
            let speaker = quietly(|| Loudspeaker::open_heard(wanted, tap))?;
            let name = speaker.name().to_owned();
            Ok((Box::new(speaker), name))
        }
        Output::File { path, pace } => {
            let sink = WavSink::create(path, FILE_RATE, file_pace(*pace, clock))?;
            Ok((Box::new(sink), path.display().to_string()))
        }
    }
}

/// Rate of the files that we write: espeak-ng's own, and that of most macOS voices.
const FILE_RATE: u32 = 22_050;

fn segment_settings(
    base: SegmentSettings,
    config: &Config,
    end_silence: Duration,
) -> SegmentSettings {
    SegmentSettings {
        pre_roll: duration_to_samples(config.turn.pre_roll),
        min_speech: duration_to_samples(config.turn.min_speech),
        end_silence: duration_to_samples(end_silence),
        // The model sees 30 s at once; its own margin below that is kept.
        max_utterance: duration_to_samples(config.turn.max_utterance).min(base.max_utterance),
        ..base
    }
}

/// A running voice and what it speaks through.
pub struct Speaker {
    /// The hand on its thread.
    pub thread: SpeakerHandle,
    /// The loudspeaker or file.
    pub name: String,
    /// Languages that the voice can be switched to.
    pub languages: Vec<String>,
}

/// Opens voice and output and starts the speaking thread; what it tells goes into the inbox.
///
/// # Errors
/// The engine, the voice, the device or the file cannot be used.
pub fn speaker(
    config: &Config,
    output: &Output,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    tap: Option<Tap>,
) -> anyhow::Result<Speaker> {
    let (sink, name) = sink(output, clock, tap.as_ref())?;
    let synthesizer = voice(config)?;
    let languages = synthesizer.languages();
    let on_event = Box::new(move |event| {
        // After the conductor's end nobody wants to know.
        reports.blocking_send(Report::Speaker(event)).ok();
    });
    let parts = SpeakingParts {
        synthesizer,
        sink,
        grace: match output {
            Output::Device(_) => GRACE,
            Output::File { .. } => Duration::ZERO,
        },
        clock,
        on_event,
    };
    let speaking = Arc::new(Speaking::start(parts).context("no thread to speak on")?);
    let device = match output {
        Output::Device(wanted) => Some(wanted.clone()),
        Output::File { .. } => None,
    };
    Ok(Speaker {
        thread: SpeakerHandle {
            speaking,
            device,
            tap,
            mending: Arc::default(),
        },
        name,
        languages,
    })
}

/// Opens the configured voice.
///
/// # Errors
/// The engine is not here, or has no such voice.
pub fn voice(config: &Config) -> Result<Box<dyn Synthesizer>, SpeakError> {
    let engine = match config.tts.engine {
        Voice::Auto => "auto",
        Voice::AvSpeech => system::ENGINE,
        Voice::Say => say::ENGINE,
        Voice::Espeak => espeak::ENGINE,
        Voice::None => return Ok(Box::new(Mute)),
    };
    speak::open(
        engine,
        &VoiceSettings {
            voice: config.tts.voice.clone(),
            rate: config.tts.rate,
        },
    )
}

/// `tts.engine = "none"`: answers are only written.
struct Mute;

impl Synthesizer for Mute {
    fn engine(&self) -> &'static str {
        "none"
    }

    fn synthesize(
        &mut self,
        _: &str,
        _: &mut dyn FnMut(SpeechPiece<'_>) -> ControlFlow<()>,
    ) -> Result<(), SpeakError> {
        Ok(())
    }
}

/// The hand on the speaking thread.
pub struct SpeakerHandle {
    speaking: Arc<Speaking>,
    /// The device to open again when it is lost; a file is not opened twice.
    device: Option<String>,
    /// Where it tells what it plays.
    tap: Option<Tap>,
    /// Set while a thread looks for the loudspeaker.
    mending: Arc<AtomicBool>,
}

/// How long an answer waits for another loudspeaker: the attempts of `mend` up to the fourth.
const GRACE: Duration = Duration::from_secs(4);

/// Pauses between attempts to open a lost loudspeaker again: 6 s in all, then at the next failure again.
const REOPEN_MS: [u64; 6] = [100, 400, 900, 1_200, 1_500, 2_000];

impl SpeakerHandle {
    /// Gives a command; `false` when the thread takes none: the turn cannot be said.
    #[must_use]
    pub fn tell(&self, command: SpeakCommand) -> bool {
        self.speaking.try_send(command).is_ok()
    }

    /// Whether it speaks into a file, which does not come back when it is lost.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        self.device.is_none()
    }

    /// Looks for a lost loudspeaker and speaks through it again.
    pub fn mend(&self) {
        let Some(wanted) = self.device.clone() else {
            return;
        };
        if self.mending.swap(true, Ordering::AcqRel) {
            return;
        }
        let (speaking, mending) = (Arc::downgrade(&self.speaking), Arc::clone(&self.mending));
        let tap = self.tap.clone();
        let work = move || {
            for pause in REOPEN_MS {
                std::thread::sleep(Duration::from_millis(pause));
                let Some(speaking) = speaking.upgrade() else {
                    break;
                };
                match quietly(|| Loudspeaker::open_heard(&wanted, tap.as_ref())) {
                    Ok(speaker) => {
                        let told = speaking
                            .try_send(SpeakCommand::Sink(Box::new(speaker)))
                            .is_ok();
                        tracing::info!(told, "the loudspeaker is back");
                        break;
                    }
                    Err(error) => tracing::warn!(%error, "the loudspeaker is still lost"),
                }
            }
            mending.store(false, Ordering::Release);
        };
        if let Err(error) = std::thread::Builder::new()
            .name("mend".to_owned())
            .spawn(work)
        {
            self.mending.store(false, Ordering::Release);
            tracing::error!(%error, "no thread to look for the loudspeaker");
        }
    }

    /// Stops it and closes the output.
    ///
    /// # Errors
    /// The output could not be finished.
    pub fn close(self) -> Result<(), String> {
        match Arc::into_inner(self.speaking) {
            Some(speaking) => speaking.stop().map_err(|error| error.to_string()),
            // Somebody is just handing it a new loudspeaker; the process ends anyway.
            None => Ok(()),
        }
    }
}

/// Speech into a sink, for commands that say one text.
pub struct SpeechWriter {
    rate: u32,
    resampler: Option<(u32, Resampler)>,
    block: Vec<f32>,
}

impl SpeechWriter {
    /// For a sink of this rate.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            rate,
            resampler: None,
            block: Vec::new(),
        }
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// The sink failed, or the rates cannot be converted.
    pub fn feed(&mut self, piece: SpeechPiece<'_>, sink: &mut dyn AudioSink) -> anyhow::Result<()> {
        if self
            .resampler
            .as_ref()
            .is_some_and(|(rate, _)| *rate != piece.rate)
        {
            self.finish(sink)?;
        }
        if self.resampler.is_none() {
            self.resampler = Some((
                piece.rate,
                Resampler::new(
                    Format {
                        rate: piece.rate,
                        channels: 1,
                    },
                    self.rate,
                )?,
            ));
        }
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.push(piece.samples, &mut self.block);
        }
        self.drain(sink)
    }

    /// Writes what the resampler still holds and waits until all is played.
    ///
    /// # Errors
    /// The sink failed.
    pub fn finish(&mut self, sink: &mut dyn AudioSink) -> anyhow::Result<()> {
        if let Some((_, mut resampler)) = self.resampler.take() {
            resampler.finish(&mut self.block);
        }
        self.drain(sink)
    }

    fn drain(&mut self, sink: &mut dyn AudioSink) -> anyhow::Result<()> {
        let mut written = 0;
        while written < self.block.len() {
            written += sink.write(&self.block[written..], Duration::from_millis(50))?;
        }
        self.block.clear();
        Ok(())
    }
}
