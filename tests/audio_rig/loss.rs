//! Devices that go away: unplugged, replaced as the default, or their server killed.

use std::time::Duration;

use hark::audio::AudioSink;
use hark::audio::capture::Microphone;
use hark::audio::devices;
use hark::audio::playback::Loudspeaker;
use hark::audio::{CaptureError, PlaybackError};
use hark::hearing::listen::EarEvent;
use hark::platform::clock::Clock;

use crate::capture::{await_event, await_ready, listen_to};
use crate::rig::{Rig, cpu_time};
use crate::tone;

fn lost(event: &EarEvent) -> Option<String> {
    match event {
        EarEvent::Lost { reason } => Some(reason.clone()),
        _ => None,
    }
}

fn utterance(event: &EarEvent) -> Option<u32> {
    match event {
        EarEvent::Utterance(utterance) => Some(utterance.lost),
        _ => None,
    }
}

#[test]
fn an_unplugged_microphone_is_lost_and_found_again_when_it_is_back() {
    let rig = Rig::up();
    let (ear, events) = listen_to("RigMicrophone");
    await_ready(&events);
    rig.unplug_microphone();
    let (reason, _) = await_event(&events, 5, lost);
    assert!(reason.contains("unplugged"), "{reason}");
    let still = |event: &EarEvent| {
        matches!(
            event,
            EarEvent::StillLost {
                error: CaptureError::NoDevice { .. }
            }
        )
        .then_some(())
    };
    await_event(&events, 5, still);

    // While it is gone nothing spins: attempts are 2 s apart in the end.
    let before = cpu_time();
    std::thread::sleep(Duration::from_secs(2));
    let used = cpu_time() - before;
    assert!(
        used < Duration::from_millis(400),
        "{used:?} of CPU in 2 s of waiting"
    );

    rig.plug_microphone();
    await_ready(&events);
    let clip = rig.clip("what time is it?");
    rig.speak(&clip, "mic_in");
    await_event(&events, 10, utterance);
    ear.stop().unwrap();
}

/// When the last microphone is gone, PulseAudio moves the stream to the monitor of the loudspeaker and makes that the
/// default: the ear must not follow, or it would hear the assistant speak.
#[test]
fn what_the_loudspeaker_plays_does_not_replace_an_unplugged_microphone() {
    let rig = Rig::up();
    let (ear, events) = listen_to("default");
    await_ready(&events);
    rig.unplug_microphone();
    await_event(&events, 5, lost);
    let nothing = |event: &EarEvent| match event {
        EarEvent::StillLost { error } => Some(error.to_string()),
        EarEvent::Ready { .. } => panic!("it listens to the loudspeaker"),
        _ => None,
    };
    let (error, _) = await_event(&events, 5, nothing);
    assert_eq!(error, "no input device");
    rig.plug_microphone();
    assert_eq!(await_ready(&events).channels, 1);
    ear.stop().unwrap();
}

#[test]
fn another_default_microphone_is_followed() {
    let rig = Rig::up();
    rig.plug_second_microphone();
    let (ear, events) = listen_to("default");
    assert_eq!(await_ready(&events).rate, 48_000);
    std::process::Command::new("pactl")
        .args(["set-default-source", "mic2"])
        .status()
        .unwrap();
    let (reason, _) = await_event(&events, 5, lost);
    assert!(reason.contains("no longer the default"), "{reason}");
    assert_eq!(await_ready(&events).rate, 16_000);
    let clip = rig.clip("what time is it?");
    rig.speak(&clip, "mic2_in");
    await_event(&events, 10, utterance);
    ear.stop().unwrap();
}

#[test]
fn a_killed_server_loses_the_microphone_without_a_spinning_core_and_a_new_one_brings_it_back() {
    let mut rig = Rig::up();
    let (ear, events) = listen_to("default");
    await_ready(&events);
    let clock = Clock::start();
    rig.kill_server();
    await_event(&events, 5, lost);
    let noticed = clock.now().since_start();
    assert!(
        noticed < Duration::from_secs(3),
        "noticed after {noticed:?}"
    );

    let before = cpu_time();
    std::thread::sleep(Duration::from_secs(3));
    let used = cpu_time() - before;
    eprintln!("killed server: noticed after {noticed:?}, {used:?} of CPU in 3 s without it");
    assert!(used < Duration::from_millis(600), "{used:?} of CPU in 3 s");

    rig.start_server();
    await_ready(&events);
    let clip = rig.clip("what time is it?");
    rig.speak(&clip, "mic_in");
    await_event(&events, 10, utterance);
    ear.stop().unwrap();
}

#[test]
fn a_server_that_hangs_is_lost_although_it_says_nothing() {
    let rig = Rig::up();
    let (ear, events) = listen_to("default");
    await_ready(&events);
    rig.freeze_server();
    let (reason, _) = await_event(&events, 8, lost);
    eprintln!("frozen server: {reason}");
    rig.thaw_server();
    await_ready(&events);
    ear.stop().unwrap();
}

/// Writes until the loudspeaker says that it is lost.
fn write_until_lost(speaker: &mut Loudspeaker) -> String {
    let clock = Clock::start();
    while clock.now().since_start() < Duration::from_secs(10) {
        match speaker.write(&tone::sine(0.1), Duration::from_millis(50)) {
            Ok(_) => {}
            Err(PlaybackError::Lost { reason }) => return reason,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("not lost within 10 s");
}

#[test]
fn an_unplugged_loudspeaker_is_lost_and_can_be_opened_again() {
    let rig = Rig::up();
    let mut speaker = Loudspeaker::open("default").unwrap();
    assert!(
        speaker
            .write(&tone::sine(0.1), Duration::from_millis(50))
            .unwrap()
            > 0
    );
    rig.unplug_speaker();
    let reason = write_until_lost(&mut speaker);
    eprintln!("unplugged loudspeaker: {reason}");
    assert!(matches!(speaker.flush(), Err(PlaybackError::Lost { .. })));
    drop(speaker);
    rig.plug_speaker();
    let mut speaker = Loudspeaker::open("default").unwrap();
    assert_eq!(speaker.name(), "RigSpeaker");
    assert!(
        speaker
            .write(&tone::sine(0.1), Duration::from_millis(50))
            .unwrap()
            > 0
    );
    speaker.close().unwrap();
}

#[test]
fn a_killed_server_loses_the_loudspeaker() {
    let mut rig = Rig::up();
    let mut speaker = Loudspeaker::open("default").unwrap();
    rig.kill_server();
    write_until_lost(&mut speaker);
    drop(speaker);
    match Loudspeaker::open("default") {
        Err(PlaybackError::NoDevice { .. }) => {}
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn a_server_that_hangs_loses_the_loudspeaker() {
    let rig = Rig::up();
    let mut speaker = Loudspeaker::open("default").unwrap();
    rig.freeze_server();
    write_until_lost(&mut speaker);
    assert!(matches!(speaker.close(), Err(PlaybackError::Lost { .. })));
    drop(speaker);
    rig.thaw_server();
    Loudspeaker::open("default").unwrap().close().unwrap();
}

#[test]
fn a_machine_without_sound_says_so_at_once_and_lists_nothing() {
    let mut rig = Rig::up();
    rig.kill_server();
    let clock = Clock::start();
    match Microphone::open("default", &[]) {
        Err(CaptureError::NoDevice { name: None }) => {}
        other => panic!("{:?}", other.err()),
    }
    assert!(clock.now().since_start() < Duration::from_secs(3));
    let list = devices::list();
    assert!(
        list.inputs
            .iter()
            .chain(&list.outputs)
            .all(|device| !device.default),
        "{list:?}"
    );
}
