//! The listening loop and its driver: loss and return of the source, pauses, commands, time, a file that is held.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use hark::audio::file::{Pace, WavSource, WavSourceSettings};
use hark::audio::{AudioSource, CaptureError, Captured, Format};
use hark::flow::Utterance;
use hark::hearing::listen::{
    self, Ear, EarEvent, ListenControl, ListenSettings, Listener, PauseReason,
};
use hark::hearing::vad::SileroVad;
use hark::platform::clock::Clock;
use hark::time::{Anchor, Mono};

use crate::clips::{RATE, clip, render};
use crate::listening::{MONO, hear, hear_source, never, source, utterances};
/// Plays other sources one after the other; each one but the last is lost at its end.
struct Dying(Box<dyn AudioSource>);

impl AudioSource for Dying {
    fn format(&self) -> Format {
        self.0.format()
    }

    fn read(&mut self, into: &mut Vec<f32>, wait: Duration) -> Result<Captured, CaptureError> {
        match self.0.read(into, wait)? {
            Captured::Ended => Err(CaptureError::Lost {
                reason: "unplugged".to_owned(),
            }),
            captured => Ok(captured),
        }
    }
}

/// Starts the real thread; events come through a channel as bounded as the driver's.
fn start(
    source: Box<dyn AudioSource>,
    settings: ListenSettings,
    reopen: listen::Reopen,
) -> (Ear, mpsc::Receiver<(EarEvent, Anchor)>) {
    let (tx, rx) = mpsc::sync_channel(256);
    let tell: listen::Tell = Box::new(move |event, anchor| match tx.send((event, anchor)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    });
    let vad = Box::new(SileroVad::new().unwrap());
    let ear = listen::spawn(source, vad, settings, Clock::start(), reopen, tell).unwrap();
    (ear, rx)
}

fn next(events: &mpsc::Receiver<(EarEvent, Anchor)>) -> EarEvent {
    events
        .recv_timeout(Duration::from_secs(20))
        .expect("an event within 20 s")
        .0
}

fn next_but_progress(events: &mpsc::Receiver<(EarEvent, Anchor)>) -> EarEvent {
    loop {
        match next(events) {
            EarEvent::Progress { .. } => {}
            event => return event,
        }
    }
}

#[test]
fn a_lost_source_gives_what_was_said_and_is_reopened_with_growing_pauses() {
    // The first source dies in the middle of a question, the second cannot be had twice, the third has another layout.
    let question = clip("question.wav");
    let settings = WavSourceSettings {
        trailing_silence: Duration::ZERO,
        ..WavSourceSettings::default()
    };
    let half = question[..question.len() * 2 / 3].to_vec();
    let first = Box::new(Dying(Box::new(
        WavSource::new("one", half, MONO, settings).unwrap(),
    )));
    let other = Format {
        rate: 48_000,
        channels: 2,
    };
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let clock = Clock::start();
    let log = Arc::clone(&attempts);
    let reopen: listen::Reopen = Box::new(move || {
        let mut log = log.lock().unwrap();
        log.push(clock.now());
        if log.len() < 3 {
            return Err(CaptureError::NoDevice {
                name: Some("mic".to_owned()),
            });
        }
        Ok(source(render(&clip("question.wav"), other), other))
    });
    let retry = (Duration::from_millis(40), Duration::from_millis(70));
    let (ear, events) = start(
        first,
        ListenSettings {
            retry,
            ..ListenSettings::default()
        },
        reopen,
    );

    let mut story = String::new();
    loop {
        match next_but_progress(&events) {
            EarEvent::Ready { format } => story.push_str(&format!("ready {} ", format.rate)),
            EarEvent::Utterance(_) => story.push_str("utterance "),
            EarEvent::Lost { reason } => story.push_str(&format!("lost({reason}) ")),
            EarEvent::StillLost { .. } => story.push_str("still-lost "),
            EarEvent::Ended => break,
            _ => {}
        }
    }
    ear.join().unwrap();
    assert_eq!(
        story,
        "ready 16000 utterance lost(unplugged) still-lost ready 48000 utterance "
    );
    let at = attempts.lock().unwrap();
    let pause = |index: usize| at[index].since(at[index - 1]);
    assert_eq!(at.len(), 3);
    assert!(
        pause(1) >= Duration::from_millis(70) && pause(2) >= Duration::from_millis(70),
        "{at:?}"
    );
}

#[test]
fn a_source_that_may_not_be_used_ends_the_ear_with_the_reason() {
    let first = Box::new(Dying(source(clip("question.wav"), MONO)));
    let retry = (Duration::from_millis(1), Duration::from_millis(1));
    let settings = ListenSettings {
        retry,
        ..ListenSettings::default()
    };
    let (ear, events) = start(first, settings, Box::new(|| Err(CaptureError::Denied)));
    loop {
        match next(&events) {
            EarEvent::Failed(CaptureError::Denied) => break,
            EarEvent::Failed(other) => panic!("{other}"),
            _ => {}
        }
    }
    ear.join().unwrap();
}

/// Endless silence in small blocks, as fast as it is read; counts its reads.
struct Endless {
    reads: Arc<std::sync::atomic::AtomicU64>,
    fill: f32,
}

impl AudioSource for Endless {
    fn format(&self) -> Format {
        MONO
    }

    fn read(&mut self, into: &mut Vec<f32>, _: Duration) -> Result<Captured, CaptureError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        into.extend([self.fill; 512]);
        Ok(Captured::Samples { lost: 0 })
    }
}

#[test]
fn two_seconds_of_exact_zeros_are_told_once_and_only_where_they_are_watched() {
    let mut samples = vec![0.0; 5 * RATE as usize];
    samples.extend(vec![0.01; RATE as usize]);
    samples.extend(vec![0.0; 5 * RATE as usize]);
    let count = |watch_zeros| {
        let settings = ListenSettings {
            watch_zeros,
            ..ListenSettings::default()
        };
        let heard = hear_source(source(samples.clone(), MONO), settings);
        let zeros = heard
            .iter()
            .filter(|(event, _)| matches!(event, EarEvent::Zeros { .. }))
            .count();
        let over = heard
            .iter()
            .filter(|(event, _)| matches!(event, EarEvent::ZerosEnded { .. }))
            .count();
        (zeros, over)
    };
    assert_eq!(count(true), (2, 1));
    assert_eq!(count(false), (0, 0));
}

#[test]
fn progress_comes_at_most_ten_times_a_second_and_in_order() {
    let heard = hear(vec![0.0; 10 * RATE as usize], MONO);
    let at: Vec<u64> = heard
        .iter()
        .filter_map(|(event, _)| match event {
            EarEvent::Progress { at, .. } => Some(at.0),
            _ => None,
        })
        .collect();
    assert!((60..=115).contains(&at.len()), "{} in 11.5 s", at.len());
    assert!(at.windows(2).all(|pair| pair[1] >= pair[0] + 1_600));
}

#[test]
fn while_paused_nothing_is_heard_and_what_was_not_is_counted() {
    let reads = Arc::default();
    let (ear, events) = start(
        Box::new(Endless {
            reads: Arc::clone(&reads),
            fill: 0.1,
        }),
        ListenSettings::default(),
        never(),
    );
    assert!(matches!(next(&events), EarEvent::Ready { .. }));
    ear.control.pause(PauseReason::Speaking);
    let before = ear.control.unheard(PauseReason::Speaking);
    while ear.control.unheard(PauseReason::Speaking) < before + u64::from(RATE) {
        next(&events);
    }
    assert_eq!(ear.control.unheard(PauseReason::Muted), 0);
    ear.control.resume(PauseReason::Speaking);
    ear.control.stop();
    while !matches!(next(&events), EarEvent::Ended) {}
    ear.join().unwrap();
}

#[test]
fn pausing_in_the_middle_of_speech_drops_it_and_the_rest_is_not_taken_for_an_utterance() {
    let control = ListenControl::default();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (sink, hand) = (Arc::clone(&heard), control.clone());
    let mut ended_first = false;
    let tell: listen::Tell = Box::new(move |event, _| {
        // The loudspeaker starts as soon as the first question begins, and is silent again at 3 s.
        if matches!(event, EarEvent::SpeechStarted { .. }) && !ended_first {
            hand.pause(PauseReason::Speaking);
        }
        if matches!(event, EarEvent::Progress { at, .. } if at.seconds() >= 3.0) {
            ended_first = true;
            hand.resume(PauseReason::Speaking);
        }
        sink.lock().unwrap().push(event);
        ControlFlow::Continue(())
    });
    let vad = Box::new(SileroVad::new().unwrap());
    let mut listener = Listener::new(
        vad,
        ListenSettings::default(),
        Clock::start(),
        control.clone(),
        never(),
        tell,
    );
    listener.run(source(clip("questions3.wav"), MONO));
    let heard = heard.lock().unwrap();
    let said = heard
        .iter()
        .filter(|event| matches!(event, EarEvent::Utterance(_)))
        .count();
    let dropped = heard
        .iter()
        .filter(|event| matches!(event, EarEvent::Dropped { .. }))
        .count();
    assert_eq!((said, dropped), (2, 1));
    assert!(control.unheard(PauseReason::Speaking) > u64::from(RATE) * 2);
}

#[test]
fn the_driver_can_end_an_utterance_ask_for_it_so_far_and_say_how_long_a_pause_may_last() {
    let control = ListenControl::default();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (sink, hand) = (Arc::clone(&heard), control.clone());
    let tell: listen::Tell = Box::new(move |event, _| {
        match event {
            EarEvent::SpeechStarted { at } if at.seconds() < 1.0 => hand.request_snapshot(),
            // Released in the middle of the first question.
            EarEvent::Snapshot(Some(_)) => hand.end_utterance(),
            // The silence between the questions lasts 2.5 s: the second and the third become one.
            EarEvent::SpeechPaused { ref so_far } if so_far.speech.end.seconds() > 1.0 => {
                hand.end_after(so_far.speech.end, Duration::from_secs(3));
            }
            _ => {}
        }
        sink.lock().unwrap().push(event);
        ControlFlow::Continue(())
    });
    let vad = Box::new(SileroVad::new().unwrap());
    let clip = clip("questions3.wav");
    // Without the rest of the first question.
    let cut = RATE as usize * 3 / 2;
    let mut samples = clip[..RATE as usize * 7 / 10].to_vec();
    samples.extend(&clip[cut..]);
    Listener::new(
        vad,
        ListenSettings::default(),
        Clock::start(),
        control,
        never(),
        tell,
    )
    .run(source(samples, MONO));
    let heard = heard.lock().unwrap();
    let spans: Vec<f64> = heard
        .iter()
        .filter_map(|event| match event {
            EarEvent::Utterance(utterance) => Some(utterance.speech.duration().as_secs_f64()),
            _ => None,
        })
        .collect();
    assert!(spans.first().is_some_and(|first| *first < 0.7), "{spans:?}");
    assert!(spans.last().is_some_and(|last| *last > 5.0), "{spans:?}");
}

#[test]
fn each_pause_carries_what_was_said_so_far() {
    let heard = hear(clip("questions3.wav"), MONO);
    let mut so_far: Option<Utterance> = None;
    let mut compared = 0;
    for (event, _) in &heard {
        match event {
            EarEvent::SpeechPaused { so_far: utterance } => so_far = Some(utterance.clone()),
            EarEvent::Utterance(utterance) => {
                let before = so_far.take().expect("a pause comes before the end");
                assert_eq!(
                    before.speech, utterance.speech,
                    "what was speculated on is what was said"
                );
                assert!(before.samples[..] == utterance.samples[..before.samples.len()]);
                compared += 1;
            }
            _ => {}
        }
    }
    assert_eq!(compared, 3);
}

#[test]
fn in_real_time_the_anchor_tells_when_a_sample_was_captured() {
    let clock = Clock::start();
    let settings = WavSourceSettings {
        pace: Pace::RealTime(clock),
        ..WavSourceSettings::default()
    };
    let source = WavSource::new("clip", clip("question.wav"), MONO, settings).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&heard);
    let tell: listen::Tell = Box::new(move |event, anchor| {
        sink.lock().unwrap().push((event, anchor));
        ControlFlow::Continue(())
    });
    let vad = Box::new(SileroVad::new().unwrap());
    let begun = clock.now();
    Listener::new(
        vad,
        ListenSettings::default(),
        clock,
        ListenControl::default(),
        never(),
        tell,
    )
    .run(Box::new(source));
    let heard = heard.lock().unwrap();
    // Every anchor puts sample 0 at the same instant: the start of the reading, give or take a loaded machine.
    for (_, anchor) in heard.iter() {
        let zero: Mono = anchor.mono(hark::time::SamplePos(0));
        assert!(
            zero.millis_from(begun).abs() < 250,
            "sample 0 at {zero}, begun at {begun}"
        );
    }
    assert_eq!(utterances(&heard).len(), 1);
}

#[test]
fn a_held_fast_file_waits_until_the_turn_is_over() {
    let hold = Arc::new(AtomicBool::new(false));
    let settings = WavSourceSettings {
        hold: Some(Arc::clone(&hold)),
        ..WavSourceSettings::default()
    };
    let file = WavSource::new("clip", clip("questions3.wav"), MONO, settings).unwrap();
    let (tx, events) = mpsc::sync_channel(256);
    let gate = Arc::clone(&hold);
    let tell: listen::Tell = Box::new(move |event, anchor| {
        // Set on the listening thread, before the event is passed on: not a sample slips through.
        if matches!(event, EarEvent::Utterance(_)) {
            gate.store(true, Ordering::Release);
        }
        match tx.send((event, anchor)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let vad = Box::new(SileroVad::new().unwrap());
    let ear = listen::spawn(
        Box::new(file),
        vad,
        ListenSettings::default(),
        Clock::start(),
        never(),
        tell,
    )
    .unwrap();
    let mut turns = 0;
    loop {
        let (event, told) = events.recv_timeout(Duration::from_secs(20)).unwrap();
        match event {
            EarEvent::Utterance(_) => {
                turns += 1;
                // The rest of the block that ended the utterance may still be told; nothing after it is read.
                while let Ok((event, anchor)) = events.recv_timeout(Duration::from_millis(60)) {
                    assert!(
                        matches!(event, EarEvent::Progress { .. }),
                        "held, but heard {event:?}"
                    );
                    assert_eq!(anchor.at, told.at, "held, but read on");
                }
                hold.store(false, Ordering::Release);
            }
            EarEvent::Ended => break,
            _ => {}
        }
    }
    assert_eq!(turns, 3);
    ear.join().unwrap();
}

#[test]
fn a_driver_that_goes_away_ends_the_ear() {
    let (ear, events) = start(
        Box::new(Endless {
            reads: Arc::default(),
            fill: 0.0,
        }),
        ListenSettings::default(),
        never(),
    );
    next(&events);
    drop(events);
    ear.join().unwrap();
}
