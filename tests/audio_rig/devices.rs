//! Devices that come and go while Hark listens or speaks: what is said goes on, what is preferred comes back.

use std::time::Duration;

use hark::audio::AudioSource;
use hark::audio::capture::Microphone;
use hark::audio::devices::Wanted;
use hark::hearing::listen::EarEvent;

use crate::barge_in::{Daemon, is, storyteller};
use crate::capture::{await_event, await_ready, listen_by};
use crate::rig::Rig;

fn lost(event: &EarEvent) -> Option<String> {
    match event {
        EarEvent::Lost { reason } => Some(reason.clone()),
        _ => None,
    }
}

/// Loudness of what the loudspeaker plays in the next second.
fn loudness(rig: &Rig) -> f32 {
    let recorded = rig.record().end_after(1_000);
    recorded.iter().fold(0.0, |peak, s| peak.max(s.abs()))
}

#[test]
fn a_preferred_microphone_is_used_again_when_it_is_back() {
    let rig = Rig::up();
    rig.plug_second_microphone();
    let wanted = Wanted {
        prefer: vec!["Jabra".to_owned(), "SecondMicrophone".to_owned()],
        ..Wanted::input("default", &[])
    };
    let open = move || {
        Microphone::open_wanted(wanted.clone()).map(|mic| Box::new(mic) as Box<dyn AudioSource>)
    };
    let (ear, events) = listen_by(open);
    assert_eq!(await_ready(&events).rate, 16_000, "the preferred one");
    rig.unplug_second_microphone();
    let (reason, _) = await_event(&events, 8, lost);
    eprintln!("the preferred microphone goes: {reason}");
    assert_eq!(await_ready(&events).rate, 48_000, "the default meanwhile");
    rig.plug_second_microphone();
    let (reason, _) = await_event(&events, 8, lost);
    assert!(reason.contains("number 2 of audio.prefer"), "{reason}");
    assert_eq!(await_ready(&events).rate, 16_000, "the preferred one again");
    ear.stop().unwrap();
}

#[test]
fn an_answer_survives_the_loss_of_loudspeaker_and_microphone_and_a_change_of_the_default() {
    let rig = Rig::up();
    let server = storyteller(60);
    let mut daemon = Daemon::start(&server, &[]);
    let question = rig.clip("tell me a story");
    rig.speak(&question, "mic_in");
    daemon.expect(60, is("speaking"));

    // The loudspeaker is pulled out and put back: the answer goes on through it.
    rig.unplug_speaker();
    daemon.expect(10, |event| {
        event["change"]
            .as_str()
            .is_some_and(|change| change.contains("loudspeaker was lost"))
    });
    std::thread::sleep(Duration::from_millis(500));
    rig.plug_speaker();
    let mut heard = 0.0;
    for _ in 0..10 {
        heard = loudness(&rig);
        if heard > 0.01 {
            break;
        }
    }
    assert!(heard > 0.01, "the answer is not heard after the replug");
    assert_eq!(daemon.count("turn"), 0, "it was not given up");

    // The microphone likewise, while we speak.
    rig.unplug_microphone();
    daemon.expect(10, |event| {
        event["change"]
            .as_str()
            .is_some_and(|change| change.contains("input was lost"))
    });
    rig.plug_microphone();
    daemon.expect(15, is("ready"));
    assert_eq!(daemon.count("turn"), 0);
    assert!(loudness(&rig) > 0.01);
}
