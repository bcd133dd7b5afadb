//! The microphone: a spoken question through cpal and the listening thread.

use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::Duration;

use hark::audio::capture::Microphone;
use hark::audio::devices;
use hark::audio::{AudioSource, CaptureError, Captured, Format};
use hark::hearing::listen::{self, Ear, EarEvent, ListenSettings};
use hark::hearing::vad::SileroVad;
use hark::platform::clock::Clock;
use hark::time::Anchor;

use crate::rig::Rig;
use crate::tone;

/// The ear over the default microphone, with a channel as bounded as the driver's.
pub fn listen_to(wanted: &'static str) -> (Ear, mpsc::Receiver<(EarEvent, Anchor)>) {
    listen_by(move || {
        Microphone::open(wanted, &[]).map(|mic| Box::new(mic) as Box<dyn AudioSource>)
    })
}

/// The ear over what `open` opens.
pub fn listen_by(
    mut open: impl FnMut() -> Result<Box<dyn AudioSource>, CaptureError> + Send + 'static,
) -> (Ear, mpsc::Receiver<(EarEvent, Anchor)>) {
    let (tx, rx) = mpsc::sync_channel(256);
    let tell: listen::Tell = Box::new(move |event, anchor| match tx.send((event, anchor)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    });
    let vad = Box::new(SileroVad::new().unwrap());
    let settings = ListenSettings {
        watch_zeros: false,
        ..ListenSettings::default()
    };
    let ear = listen::spawn(
        open().unwrap(),
        vad,
        settings,
        Clock::start(),
        Box::new(open),
        tell,
    )
    .unwrap();
    (ear, rx)
}

/// The next event for which `wanted` gives something, within `seconds`.
pub fn await_event<T>(
    events: &mpsc::Receiver<(EarEvent, Anchor)>,
    seconds: u64,
    mut wanted: impl FnMut(&EarEvent) -> Option<T>,
) -> (T, Anchor) {
    let clock = Clock::start();
    while clock.now().since_start() < Duration::from_secs(seconds) {
        if let Ok((event, anchor)) = events.recv_timeout(Duration::from_millis(200))
            && let Some(found) = wanted(&event)
        {
            return (found, anchor);
        }
    }
    panic!("not within {seconds} s");
}

pub fn await_ready(events: &mpsc::Receiver<(EarEvent, Anchor)>) -> Format {
    let ready = |event: &EarEvent| match event {
        EarEvent::Ready { format } => Some(*format),
        _ => None,
    };
    await_event(events, 10, ready).0
}

#[test]
fn a_question_spoken_into_the_microphone_is_one_utterance_in_its_place() {
    let rig = Rig::up();
    let clip = rig.clip("what time is it?");
    let spoken = f64::from(hound::WavReader::open(&clip).unwrap().duration()) / 22_050.0;
    let (ear, events) = listen_to("default");
    assert_eq!(
        await_ready(&events),
        Format {
            rate: 48_000,
            channels: 1
        }
    );
    rig.speak(&clip, "mic_in");
    let utterance = |event: &EarEvent| match event {
        EarEvent::Utterance(utterance) => Some(utterance.clone()),
        _ => None,
    };
    let (found, _) = await_event(&events, 10, utterance);
    assert_eq!(found.lost, 0, "nothing was lost on the way");
    let length = found.speech.duration().as_secs_f64();
    assert!(
        (spoken - 0.8..spoken + 0.3).contains(&length),
        "{length:.2} s of speech, {spoken:.2} s spoken"
    );
    assert_eq!(found.samples.len() as u64, found.span.samples());
    let peak = found
        .samples
        .iter()
        .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    assert!(peak > 0.1, "peak {peak}");
    ear.stop().unwrap();
    let more = events
        .try_iter()
        .filter(|(event, _)| matches!(event, EarEvent::Utterance(_)))
        .count();
    assert_eq!(more, 0, "one question, one utterance");
}

#[test]
fn a_tone_is_captured_without_a_single_discontinuity() {
    let rig = Rig::up();
    let wav = std::env::temp_dir().join(format!("hark-rig-tone-{}.wav", std::process::id()));
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(&wav, spec).unwrap();
    for sample in tone::sine(4.0) {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
    tone::demand_one_clean(|| {
        let mut mic = Microphone::open("default", &[]).unwrap();
        let (mut recorded, mut lost) = (Vec::new(), 0);
        std::thread::scope(|scope| {
            let player = scope.spawn(|| rig.speak(&wav, "mic_in"));
            while !player.is_finished() {
                if let Captured::Samples { lost: more } =
                    mic.read(&mut recorded, Duration::from_millis(8)).unwrap()
                {
                    lost += more;
                }
            }
        });
        tone::DropOuts::of(&recorded, 4 * 48_000, lost)
    });
    std::fs::remove_file(wav).unwrap();
}

#[test]
fn a_device_is_opened_by_a_part_of_its_name_and_in_its_own_format() {
    let rig = Rig::up();
    rig.plug_second_microphone();
    let mic = Microphone::open("secondmic", &[]).unwrap();
    assert_eq!(
        (mic.name(), mic.format()),
        (
            "SecondMicrophone",
            Format {
                rate: 16_000,
                channels: 1
            }
        )
    );
    drop(mic);
    let preferred = Microphone::open(
        "default",
        &["Jabra".to_owned(), "SecondMicrophone".to_owned()],
    )
    .unwrap();
    assert_eq!(preferred.name(), "SecondMicrophone");
    drop(preferred);
    match Microphone::open("Jabra", &[]) {
        Err(CaptureError::NoDevice { name: Some(name) }) => assert_eq!(name, "Jabra"),
        other => panic!("{:?}", other.err()),
    }
    match Microphone::open("Feed", &[]) {
        Err(error @ CaptureError::Unusable { .. }) => {
            assert!(error.to_string().contains("SecondFeed"), "{error}");
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn the_devices_are_listed_with_the_default_ones() {
    let _rig = Rig::up();
    let list = devices::list();
    assert_eq!(list.host, "PulseAudio");
    let default = |devices: &[devices::DeviceInfo]| {
        devices
            .iter()
            .find(|device| device.default)
            .map(|device| (device.name.clone(), device.rate))
    };
    assert_eq!(
        default(&list.inputs),
        Some(("RigMicrophone".to_owned(), Some(48_000)))
    );
    assert_eq!(
        default(&list.outputs),
        Some(("RigSpeaker".to_owned(), Some(48_000)))
    );
}
