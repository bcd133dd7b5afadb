//! The listening loop with the real model: a source in, utterances out.

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

use crate::clips::{RATE, clip, noise, questions_at, render};

const MONO: Format = Format {
    rate: RATE,
    channels: 1,
};

type Heard = Vec<(EarEvent, Anchor)>;

fn never() -> listen::Reopen {
    Box::new(|| Err(CaptureError::NoDevice { name: None }))
}

fn source(samples: Vec<f32>, format: Format) -> Box<dyn AudioSource> {
    Box::new(WavSource::new("test", samples, format, WavSourceSettings::default()).unwrap())
}

/// Listens to the end on this thread.
fn hear_source(source: Box<dyn AudioSource>, settings: ListenSettings) -> Heard {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&heard);
    let tell: listen::Tell = Box::new(move |event, anchor| {
        sink.lock().unwrap().push((event, anchor));
        ControlFlow::Continue(())
    });
    let vad = Box::new(SileroVad::new().unwrap());
    Listener::new(
        vad,
        settings,
        Clock::start(),
        ListenControl::default(),
        never(),
        tell,
    )
    .run(source);
    std::mem::take(&mut *heard.lock().unwrap())
}

fn hear(samples: Vec<f32>, format: Format) -> Heard {
    hear_source(source(samples, format), ListenSettings::default())
}

fn utterances(heard: &Heard) -> Vec<Utterance> {
    heard
        .iter()
        .filter_map(|(event, _)| match event {
            EarEvent::Utterance(utterance) => Some(utterance.clone()),
            _ => None,
        })
        .collect()
}

/// Each utterance lies where its question was spoken, to within the model's own inertia.
fn expect_questions(heard: &Heard, shift: f64) {
    let found = utterances(heard);
    let spoken = questions_at();
    assert_eq!(
        found.len(),
        spoken.len(),
        "{:?}",
        found.iter().map(|u| u.span).collect::<Vec<_>>()
    );
    for (utterance, (start, end)) in found.iter().zip(spoken) {
        let speech = (
            utterance.speech.start.seconds() - shift,
            utterance.speech.end.seconds() - shift,
        );
        assert!(
            (speech.0 - start).abs() < 0.15,
            "begins at {speech:?}, was spoken at {start:.2}"
        );
        assert!(
            (speech.1 - end).abs() < 0.25,
            "ends at {speech:?}, was spoken until {end:.2}"
        );
        assert!(
            utterance.span.start.seconds() - shift <= start.max(0.0) + 0.01,
            "the first sound is inside"
        );
        assert_eq!(utterance.samples.len() as u64, utterance.span.samples());
    }
}

#[test]
fn three_questions_separated_by_silence_are_three_utterances_in_their_places() {
    let heard = hear(clip("questions3.wav"), MONO);
    expect_questions(&heard, 0.0);
    assert!(
        utterances(&heard)
            .iter()
            .all(|utterance| utterance.lost == 0)
    );
    assert!(matches!(
        heard.first(),
        Some((EarEvent::Ready { format: MONO }, _))
    ));
    assert!(matches!(heard.last(), Some((EarEvent::Ended, _))));
}

#[test]
fn every_rate_and_channel_count_of_a_device_gives_the_same_utterances() {
    let mono = clip("questions3.wav");
    for (rate, channels) in [
        (8_000, 1),
        (22_050, 1),
        (44_100, 2),
        (48_000, 1),
        (48_000, 6),
        (96_000, 2),
    ] {
        let format = Format { rate, channels };
        expect_questions(&hear(render(&mono, format), format), 0.0);
    }
}

#[test]
fn speech_that_starts_with_the_first_sample_is_whole() {
    let question = clip("question.wav");
    let begin = question
        .iter()
        .position(|sample| sample.abs() > 0.02)
        .unwrap();
    let question = question[begin..].to_vec();
    let found = utterances(&hear(question.clone(), MONO));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].span.start.0, 0);
    let all = question.len().min(found[0].samples.len());
    assert!(
        found[0].samples[..all] == question[..all],
        "not a sample of it was changed"
    );
}

#[test]
fn the_samples_of_an_utterance_are_those_of_the_source() {
    let clip = clip("questions3.wav");
    for utterance in utterances(&hear(clip.clone(), MONO)) {
        let start = utterance.span.start.0 as usize;
        let end = (utterance.span.end.0 as usize).min(clip.len());
        assert!(utterance.samples[..end - start] == clip[start..end]);
    }
}

#[test]
fn silence_and_noise_are_no_speech() {
    assert!(utterances(&hear(vec![0.0; 10 * RATE as usize], MONO)).is_empty());
    assert!(utterances(&hear(noise(10 * RATE as usize, 0.01, 7), MONO)).is_empty());
    assert!(utterances(&hear(noise(10 * RATE as usize, 0.3, 7), MONO)).is_empty());
    let hum =
        (0..10 * RATE).map(|n| 0.2 * (std::f32::consts::TAU * 50.0 * n as f32 / RATE as f32).sin());
    assert!(utterances(&hear(hum.collect(), MONO)).is_empty());
}

#[test]
fn clipped_speech_and_speech_in_noise_are_still_found() {
    let loud = clip("questions3.wav")
        .iter()
        .map(|sample| (sample * 20.0).clamp(-1.0, 1.0))
        .collect();
    assert_eq!(utterances(&hear(loud, MONO)).len(), 3);
    let clean = clip("questions3.wav");
    let hiss = noise(clean.len(), 0.02, 3);
    let noisy = clean
        .iter()
        .zip(hiss)
        .map(|(speech, hiss)| speech + hiss)
        .collect();
    expect_questions(&hear(noisy, MONO), 0.0);
}

#[test]
fn speech_without_a_breath_is_cut_at_the_maximum_and_nothing_is_lost() {
    let question = clip("question.wav");
    let voiced: Vec<f32> = question
        .iter()
        .copied()
        .filter(|sample| sample.abs() > 1e-4)
        .collect();
    let mut endless = Vec::new();
    while endless.len() < 70 * RATE as usize {
        endless.extend_from_slice(&voiced);
    }
    let found = utterances(&hear(endless.clone(), MONO));
    assert!(found.len() >= 3, "{} utterances in 70 s", found.len());
    let mut joined = Vec::new();
    for utterance in &found {
        assert!(utterance.span.duration() <= Duration::from_secs(30));
        assert_eq!(
            utterance.span.start.0 as usize,
            joined.len(),
            "no hole, no overlap"
        );
        joined.extend_from_slice(&utterance.samples);
    }
    assert!(joined[..endless.len()] == endless);
}

/// A source that tells of a hole where some samples are missing, as a device with an overrun does.
struct Holed {
    samples: Vec<f32>,
    /// Samples (before the hole) after which it comes, and its length.
    hole: (usize, usize),
    given: usize,
}

impl AudioSource for Holed {
    fn format(&self) -> Format {
        MONO
    }

    fn read(&mut self, into: &mut Vec<f32>, _: Duration) -> Result<Captured, CaptureError> {
        let (at, length) = self.hole;
        let mut lost = 0;
        if self.given == at {
            self.given += length;
            lost = length as u64;
        }
        let end = if self.given < at {
            (self.given + 320).min(at)
        } else {
            self.given + 320
        };
        let end = end.min(self.samples.len());
        if self.given >= end {
            return Ok(Captured::Ended);
        }
        into.extend_from_slice(&self.samples[self.given..end]);
        self.given = end;
        Ok(Captured::Samples { lost })
    }
}

#[test]
fn a_hole_within_speech_is_counted_and_does_not_end_the_utterance() {
    let mut samples = vec![0.0; RATE as usize];
    samples.extend(clip("question.wav"));
    samples.extend(vec![0.0; 2 * RATE as usize]);
    // 700 ms are missing out of the middle of the question: longer than the silence that ends an utterance.
    let hole = (RATE as usize + 6_400, 11_200);
    let heard = hear_source(
        Box::new(Holed {
            samples,
            hole,
            given: 0,
        }),
        ListenSettings::default(),
    );
    let found = utterances(&heard);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].lost, 11_200);
    assert_eq!(found[0].samples.len() as u64, found[0].span.samples());
}

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
fn the_driver_can_end_an_utterance_ask_for_it_so_far_and_change_the_end_silence() {
    let control = ListenControl::default();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (sink, hand) = (Arc::clone(&heard), control.clone());
    let tell: listen::Tell = Box::new(move |event, _| {
        match event {
            EarEvent::SpeechStarted { at } if at.seconds() < 1.0 => hand.request_snapshot(),
            // Released in the middle of the first question.
            EarEvent::Snapshot(Some(_)) => hand.end_utterance(),
            // The silence between the questions lasts 2.5 s: the second and the third become one.
            EarEvent::Utterance(_) => hand.set_end_silence(Duration::from_secs(3)),
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
