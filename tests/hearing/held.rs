//! Push-to-talk on real speech with the real model: nothing of the first word is lost, and the release waits for nothing.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use hark::flow::Utterance;
use hark::hearing::listen::{self, EarEvent, ListenControl, ListenSettings, Listener, PauseReason};
use hark::hearing::vad::SileroVad;
use hark::platform::clock::Clock;

use crate::clips::{RATE, clip};
use crate::listening::{MONO, never, source};

/// The clip from its first sample that is not silent.
fn from_the_first_sound(name: &str) -> Vec<f32> {
    let samples = clip(name);
    let first = samples
        .iter()
        .position(|sample| sample.abs() > 0.005)
        .unwrap();
    samples[first..].to_vec()
}

/// Listens to the samples; `at` gets each tenth of a second and the hand on the ear.
fn listen_with(
    samples: Vec<f32>,
    control: ListenControl,
    mut at: impl FnMut(f64, &ListenControl) + Send + 'static,
) -> Vec<EarEvent> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (sink, hand) = (Arc::clone(&heard), control.clone());
    let tell: listen::Tell = Box::new(move |event, _| {
        if let EarEvent::Progress { at: position, .. } = &event {
            at(position.seconds(), &hand);
        }
        sink.lock().unwrap().push(event);
        ControlFlow::Continue(())
    });
    let vad = Box::new(SileroVad::new().unwrap());
    let settings = ListenSettings::default();
    Listener::new(vad, settings, Clock::start(), control, never(), tell).run(source(samples, MONO));
    std::mem::take(&mut heard.lock().unwrap())
}

fn held(events: &[EarEvent]) -> Vec<Option<Utterance>> {
    let held = events.iter().filter_map(|event| match event {
        EarEvent::Held(utterance) => Some(utterance.clone()),
        _ => None,
    });
    held.collect()
}

#[test]
fn a_clip_that_starts_at_sample_0_after_the_press_is_whole() {
    for name in ["question.wav", "clip.wav"] {
        let samples = from_the_first_sound(name);
        let control = ListenControl::default();
        control.hold();
        let events = listen_with(samples.clone(), control, |_, _| {});
        let [Some(utterance)] = &held(&events)[..] else {
            panic!("{name}: one held utterance, {events:?}")
        };
        assert_eq!(utterance.span.start.0, 0, "{name}");
        assert!(utterance.samples[..samples.len()] == samples[..], "{name}");
    }
}

#[test]
fn a_release_ends_it_within_the_tail_and_the_next_sentence_is_another_one() {
    // Three questions with 2.5 s between them: held over the first two, released within the silence before the third.
    let control = ListenControl::default();
    control.hold();
    let events = listen_with(clip("questions3.wav"), control, |second, control| {
        if (6.95..7.05).contains(&second) {
            control.release();
        }
    });
    let [Some(utterance)] = &held(&events)[..] else {
        panic!("one held utterance")
    };
    let (said, kept) = (utterance.speech.end.seconds(), utterance.span.end.seconds());
    assert!(kept <= 7.25 && kept - said < 0.7, "{said} {kept}");
    assert!(
        utterance.speech.duration().as_secs_f64() > 4.0,
        "two sentences and the pause"
    );
    let after = events
        .iter()
        .filter(|event| matches!(event, EarEvent::Utterance(_)))
        .count();
    assert_eq!(after, 1);
}

#[test]
fn hearing_that_is_switched_off_while_the_key_is_held_still_answers_the_release() {
    let control = ListenControl::default();
    control.hold();
    let events = listen_with(clip("questions3.wav"), control, |second, control| {
        if (0.75..0.85).contains(&second) {
            control.pause(PauseReason::Muted);
        }
        if (1.95..2.05).contains(&second) {
            control.release();
        }
    });
    assert!(matches!(held(&events)[..], [None]), "{:?}", held(&events));
    let said = events
        .iter()
        .filter(|event| matches!(event, EarEvent::Utterance(_)))
        .count();
    assert_eq!(said, 0, "muted to the end");
}

#[test]
fn a_key_that_is_held_while_nobody_speaks_gives_nothing() {
    let control = ListenControl::default();
    control.hold();
    let silence = vec![0.0; RATE as usize * 2];
    let events = listen_with(silence, control, |_, _| {});
    assert!(matches!(held(&events)[..], [None]));
}
