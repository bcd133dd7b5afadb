//! The whisper thread: newest wins, failures are answers. A scripted transcriber stands in where timing must be exact; the
//! last test runs the real model.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use hark::ids::{Revision, TurnId};
use hark::time::SamplePos;
use hark::transcribe::thread::{Answer, Exchange, Request, Spare, Submitted, WhisperThread};
use hark::transcribe::{Abort, TranscribeError, TranscribeOptions, Transcriber, Transcription};

use crate::support::{SAID, clip, plain, settings, whisper};

const PATIENCE: Duration = Duration::from_secs(30);

/// Says how many samples it got, when the test lets it; 13 samples make it panic, 14 fail, 15 ignore the abort.
struct Scripted {
    started: Sender<usize>,
    go: Receiver<()>,
}

impl Transcriber for Scripted {
    fn model(&self) -> &str {
        "scripted"
    }

    fn transcribe(
        &mut self,
        samples: &[f32],
        _: &TranscribeOptions,
        abort: &Abort,
    ) -> Result<Transcription, TranscribeError> {
        self.started.send(samples.len()).expect("the test listens");
        while self.go.recv_timeout(Duration::from_millis(1)).is_err() {
            if abort.requested() && samples.len() != 15 {
                return Err(TranscribeError::Aborted);
            }
        }
        match samples.len() {
            13 => panic!("a scripted panic"),
            14 => Err(TranscribeError::Inference("scripted".to_owned())),
            length => Ok(Transcription {
                text: length.to_string().into(),
                segments: Vec::new(),
                language: "en".to_owned(),
                confidence: 1.0,
                elapsed: Duration::ZERO,
            }),
        }
    }
}

struct Rig {
    thread: WhisperThread,
    started: Receiver<usize>,
    go: Sender<()>,
    answers: Receiver<Answer>,
}

fn rig() -> Rig {
    let (started_in, started) = channel();
    let (go, go_out) = channel();
    let (answers_in, answers) = channel();
    let scripted = Box::new(Scripted {
        started: started_in,
        go: go_out,
    });
    let thread = WhisperThread::spawn(scripted, move |answer| {
        answers_in.send(answer).expect("the test listens")
    });
    Rig {
        thread: thread.expect("a thread"),
        started,
        go,
        answers,
    }
}

impl Rig {
    fn submit(&self, turn: u64, revision: u32, samples: usize) -> Submitted {
        self.thread
            .submit(request(turn, revision, vec![0.0; samples]))
    }

    fn expect_start(&self, samples: usize) {
        assert_eq!(self.started.recv_timeout(PATIENCE), Ok(samples));
    }

    fn expect_text(&self, turn: u64, revision: u32, text: &str) {
        match self.answers.recv_timeout(PATIENCE).expect("an answer") {
            Answer::Transcript(transcript) => {
                assert_eq!(
                    (transcript.turn, transcript.revision),
                    (TurnId(turn), Revision(revision))
                );
                assert_eq!(transcript.text.as_str(), text);
            }
            Answer::Failed { error, .. } => panic!("failed: {error}"),
            Answer::Partial { .. } => panic!("only spare time was spent"),
        }
    }

    fn spare(&self, samples: usize) -> bool {
        self.thread.try_spare(Spare {
            of: SamplePos(7),
            samples: Arc::from(vec![0.0; samples]),
            options: TranscribeOptions::default(),
        })
    }
}

fn request(turn: u64, revision: u32, samples: Vec<f32>) -> Request {
    Request {
        turn: TurnId(turn),
        revision: Revision(revision),
        samples: Arc::from(samples),
        options: TranscribeOptions::default(),
    }
}

#[test]
fn spare_time_is_what_is_left_when_nothing_is_asked() {
    let rig = rig();
    assert!(rig.spare(5));
    rig.expect_start(5);
    assert!(!rig.spare(6), "one at a time");
    assert_eq!(rig.submit(1, 0, 7), Submitted::Accepted);
    rig.expect_start(7);
    assert!(!rig.spare(8), "there is something better to do");
    rig.go.send(()).expect("the thread lives");
    rig.expect_text(1, 0, "7");
    // What was given up has no answer, and the next one is taken again.
    while !rig.spare(9) {
        std::thread::yield_now();
    }
    rig.expect_start(9);
    rig.go.send(()).expect("the thread lives");
    match rig.answers.recv_timeout(PATIENCE).expect("an answer") {
        Answer::Partial { of, text, .. } => assert_eq!((of, text.as_str()), (SamplePos(7), "9")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newer_revision_aborts_the_running_one_and_only_it_is_answered() {
    let rig = rig();
    assert_eq!(rig.submit(1, 1, 100), Submitted::Accepted);
    rig.expect_start(100);
    assert_eq!(rig.submit(1, 2, 200), Submitted::Accepted);
    rig.expect_start(200);
    rig.go.send(()).expect("it runs");
    rig.expect_text(1, 2, "200");
    assert!(rig.answers.try_recv().is_err());
}

#[test]
fn of_several_that_wait_only_the_newest_runs() {
    let rig = rig();
    rig.submit(1, 1, 100);
    rig.expect_start(100);
    for revision in 2..=5 {
        rig.submit(1, revision, 100 * revision as usize);
    }
    // The aborted one may give way to any of them, but the last one runs in the end, and only it is answered.
    let mut started = rig.started.recv_timeout(PATIENCE).expect("a start");
    while started != 500 {
        started = rig.started.recv_timeout(PATIENCE).expect("a start");
    }
    rig.go.send(()).expect("it runs");
    rig.expect_text(1, 5, "500");
    assert!(rig.answers.try_recv().is_err());
}

#[test]
fn an_older_request_is_stale_and_does_not_disturb() {
    let rig = rig();
    rig.submit(2, 1, 100);
    rig.expect_start(100);
    assert_eq!(rig.submit(1, 9, 200), Submitted::Stale);
    assert_eq!(rig.submit(2, 0, 200), Submitted::Stale);
    rig.go.send(()).expect("it runs");
    rig.expect_text(2, 1, "100");
}

#[test]
fn a_cancelled_turn_gets_no_answer_and_a_newer_one_is_left_alone() {
    let rig = rig();
    rig.submit(1, 1, 100);
    rig.expect_start(100);
    rig.thread.cancel(TurnId(1));
    rig.submit(2, 1, 200);
    rig.expect_start(200);
    rig.thread.cancel(TurnId(1));
    rig.go.send(()).expect("it runs");
    rig.expect_text(2, 1, "200");
    assert!(rig.answers.try_recv().is_err());
}

#[test]
fn a_result_that_comes_in_spite_of_the_abort_is_dropped() {
    let rig = rig();
    rig.submit(1, 1, 15);
    rig.expect_start(15);
    rig.submit(1, 2, 200);
    rig.go.send(()).expect("it runs");
    rig.expect_start(200);
    rig.go.send(()).expect("it runs");
    rig.expect_text(1, 2, "200");
    assert!(rig.answers.try_recv().is_err());
}

#[test]
fn a_failure_and_a_panic_are_answers_and_the_thread_goes_on() {
    let rig = rig();
    for (turn, samples, expected) in [(1, 14, "scripted"), (2, 13, "a bug in Hark")] {
        rig.submit(turn, 1, samples);
        rig.expect_start(samples);
        rig.go.send(()).expect("it runs");
        match rig.answers.recv_timeout(PATIENCE).expect("an answer") {
            Answer::Failed {
                turn: of, error, ..
            } => {
                assert_eq!(of, TurnId(turn));
                assert!(error.to_string().contains(expected), "{error}");
            }
            Answer::Transcript(_) | Answer::Partial { .. } => panic!("it should fail"),
        }
    }
    rig.submit(3, 1, 300);
    rig.expect_start(300);
    rig.go.send(()).expect("it runs");
    rig.expect_text(3, 1, "300");
}

#[test]
fn closing_aborts_what_runs_and_joins() {
    let rig = rig();
    rig.submit(1, 1, 100);
    rig.expect_start(100);
    rig.thread.close();
    assert!(rig.answers.try_recv().is_err());
    assert!(
        rig.started.recv_timeout(PATIENCE).is_err(),
        "the thread has dropped its transcriber"
    );
}

#[test]
fn when_the_receiver_panics_later_requests_are_told() {
    let (go, go_out) = channel();
    let (started_in, started) = channel();
    let scripted = Box::new(Scripted {
        started: started_in,
        go: go_out,
    });
    let thread = WhisperThread::spawn(scripted, |_| panic!("a scripted panic of the receiver"))
        .expect("a thread");
    thread.submit(request(1, 1, vec![0.0; 5]));
    assert_eq!(started.recv_timeout(PATIENCE), Ok(5));
    go.send(()).expect("it runs");
    assert!(
        started.recv_timeout(PATIENCE).is_err(),
        "the thread has ended"
    );
    // The transcriber is dropped just before the mark is set or just after: wait for the mark.
    let gone = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        thread.submit(request(2, 1, vec![0.0; 5])) == Submitted::ThreadGone
    });
    assert!(gone);
}

#[test]
fn the_real_model_answers_on_the_thread() {
    let (answers_in, answers) = channel();
    let thread = WhisperThread::spawn(Box::new(whisper(settings())), move |answer| {
        let name = std::thread::current().name().map(str::to_owned);
        answers_in.send((name, answer)).expect("the test listens");
    })
    .expect("a thread");
    thread.submit(request(7, 3, clip("clip.wav")));
    let (name, answer) = answers.recv_timeout(PATIENCE).expect("an answer");
    assert_eq!(name.as_deref(), Some("whisper"));
    match answer {
        Answer::Transcript(transcript) => {
            assert_eq!(
                (transcript.turn, transcript.revision),
                (TurnId(7), Revision(3))
            );
            assert_eq!(plain(transcript.text.as_str()), SAID);
        }
        Answer::Failed { error, .. } => panic!("{error}"),
        Answer::Partial { .. } => panic!("nothing was read in spare time"),
    }
}

/// Loads through the thread, and tells how that ended.
fn load(
    exchange: &Exchange,
    loaded: Result<Box<dyn Transcriber>, TranscribeError>,
) -> Result<(), TranscribeError> {
    let (told, ended) = channel();
    exchange.load(Box::new(move || loaded), move |loaded| {
        told.send(loaded).expect("the test listens")
    });
    ended.recv_timeout(PATIENCE).expect("the thread loads")
}

#[test]
fn another_model_takes_over_between_two_requests_and_one_that_does_not_load_leaves_the_old_one() {
    let rig = rig();
    let exchange = rig.thread.exchange();
    let failed = load(&exchange, Err(TranscribeError::Inference("no".to_owned())));
    assert!(failed.is_err());
    rig.thread.submit(request(1, 0, vec![0.0; 10]));
    assert_eq!(
        rig.started.recv_timeout(PATIENCE).unwrap(),
        10,
        "the old one hears"
    );
    rig.go.send(()).unwrap();
    rig.answers.recv_timeout(PATIENCE).unwrap();
    let (started, begun) = channel();
    let (go, gate) = channel();
    load(&exchange, Ok(Box::new(Scripted { started, go: gate }))).unwrap();
    rig.thread.submit(request(2, 0, vec![0.0; 11]));
    assert_eq!(
        begun.recv_timeout(PATIENCE).unwrap(),
        11,
        "the new one hears"
    );
    go.send(()).unwrap();
    rig.answers.recv_timeout(PATIENCE).unwrap();
}
