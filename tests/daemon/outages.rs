//! Parts that fail under a running daemon: the turn is lost at most, never the conversation.

use std::sync::Arc;

use hark::config::Config;
use hark::daemon::conductor::{self, Conductor, INBOX, Until};
use hark::daemon::desk::{Desk, Stay};
use hark::daemon::effectors::Effectors;
use hark::daemon::events::Sink;
use hark::daemon::partials::Partials;
use hark::daemon::{Plan, parts};
use hark::dialogue::{Policy, Start};
use hark::flow::Outcome;
use hark::platform::clock::Clock;
use hark::transcribe::{Abort, TranscribeError, TranscribeOptions, Transcriber, Transcription};
use tokio_util::sync::CancellationToken;

use crate::support::{Home, Running, data, plain};

/// The real transcriber, but for the second utterance: neither in its pause nor at its end.
struct Breaking {
    inner: Box<dyn Transcriber>,
    calls: usize,
    breaks: fn() -> TranscribeError,
}

impl Transcriber for Breaking {
    fn model(&self) -> &str {
        self.inner.model()
    }

    fn transcribe(
        &mut self,
        samples: &[f32],
        options: &TranscribeOptions,
        abort: &Abort,
    ) -> Result<Transcription, TranscribeError> {
        self.calls += 1;
        if (2..=3).contains(&self.calls) {
            return Err((self.breaks)());
        }
        self.inner.transcribe(samples, options, abort)
    }
}

/// The daemon of `plan` as the program puts it together, with another transcriber.
async fn run_with(
    plan: Plan,
    wrap: impl FnOnce(Box<dyn Transcriber>) -> Box<dyn Transcriber>,
    sink: Sink,
    stop: CancellationToken,
) -> anyhow::Result<conductor::Summary> {
    let config: &Config = &plan.config;
    let clock = Clock::start_with_lead();
    let (reports, inbox) = tokio::sync::mpsc::channel(INBOX);
    let hold = Arc::new(parts::Hold::default());
    let over = Some(Arc::clone(&hold.turn));
    let hold = Some(hold);
    let source = parts::source(&plan.input, config, clock, over, None)?;
    let transcriber = wrap(parts::transcriber(config, &plan.places)?);
    let speaker = parts::speaker(config, &plan.output, clock, reports.clone(), None)?;
    let names = parts::Names {
        input: source.name.clone(),
        output: speaker.name.clone(),
        model: transcriber.model().to_owned(),
        phrase: config.wake.phrase.clone(),
    };
    let store = parts::store(config, &plan.places, &names, None, clock, reports.clone())?;
    let whisper = parts::whisper(transcriber, reports.clone())?;
    let ear = parts::ear(source, config, clock, reports.clone(), hold.clone(), None)?;
    let effectors = Effectors::new(
        names,
        config.stt.language.clone(),
        reports.clone(),
        whisper,
        speaker.thread,
        ear,
        Some(store),
    );
    let policy = Policy {
        start: Start::Every,
        ..Policy::default()
    };
    let notebook = Arc::new(parts::notebook(&plan.places)?);
    let desk = Desk::new(config, None, notebook, Stay::Daemon);
    drop(reports);
    let all = conductor::Parts {
        clock,
        inbox,
        effectors,
        desk,
        sink,
        until: Until::InputEnds,
        hold,
        partials: Partials::new(false),
    };
    Ok(Conductor::new(policy, all).run(stop).await)
}

fn broken_second_utterance(breaks: fn() -> TranscribeError) {
    let home = Home::new();
    let plan = home.plan(home.config(&[]), &data("questions3.wav"));
    let wrap = move |inner: Box<dyn Transcriber>| -> Box<dyn Transcriber> {
        Box::new(Breaking {
            inner,
            calls: 0,
            breaks,
        })
    };
    let ended = Running::start_with(move |sink, stop| run_with(plan, wrap, sink, stop)).ended();
    let heard: Vec<String> = ended.texts("transcript").into_iter().map(plain).collect();
    assert_eq!(heard, ["what time is it", "what day is it today"]);
    let errors = ended.named("error");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].json["kind"], "transcription");
    let completed = home
        .records()
        .iter()
        .filter(|record| record.turn.outcome == Outcome::Completed)
        .count();
    assert_eq!(completed, 2, "the others are answered and recorded");
    assert!(ended.summary.trouble.is_empty());
}

#[test]
fn an_utterance_on_which_the_transcriber_panics_costs_only_itself() {
    broken_second_utterance(|| panic!("a bug, made by this test"));
}

#[test]
fn an_utterance_that_cannot_be_transcribed_costs_only_itself() {
    broken_second_utterance(|| TranscribeError::Inference("made by this test".to_owned()));
}

#[test]
fn turns_go_on_where_the_log_cannot_be_written_and_say_that_they_are_not_recorded() {
    let home = Home::new();
    // A file where the folder should be: not even root can write the log.
    std::fs::write(home.path("transcripts"), "in the way").unwrap();
    let plan = home.plan(home.config(&[]), &data("questions3.wav"));
    let ended = Running::start(plan).ended();
    let turns = ended.named("turn");
    assert_eq!(turns.len(), 3);
    assert!(
        turns
            .iter()
            .all(|turn| turn.json["outcome"] == "completed" && turn.json["recorded"] == false)
    );
    let errors = ended.named("error");
    assert_eq!(errors.len(), 1, "told once");
    assert_eq!(errors[0].json["kind"], "transcript_log");
    let told = errors[0].json["message"].as_str().unwrap();
    assert!(
        ended.texts("heard").contains(&told),
        "and aloud: {told:?} in {:?}",
        ended.texts("heard")
    );
    let trouble = ended.summary.trouble.join("; ");
    assert!(
        trouble.contains("3 turns could not be written"),
        "{trouble}"
    );
    assert_eq!(
        std::fs::read_to_string(home.path("transcripts")).unwrap(),
        "in the way"
    );
}

#[test]
fn what_cannot_be_opened_is_an_error_before_anything_is_recorded() {
    let home = Home::new();
    let missing = home.path("missing.wav");
    let (outcome, events) = Running::start(home.plan(home.config(&[]), &missing)).outcome();
    let message = format!("{:#}", outcome.unwrap_err());
    assert!(message.contains("missing.wav"), "{message}");
    let mut plan = home.plan(home.config(&[]), &data("question.wav"));
    plan.output = hark::daemon::Output::File {
        path: home.path("no-such-folder").join("answer.wav"),
        pace: hark::daemon::Pace::Fast,
    };
    let (outcome, more) = Running::start(plan).outcome();
    let message = format!("{:#}", outcome.unwrap_err());
    assert!(message.contains("no-such-folder"), "{message}");
    assert!(events.is_empty() && more.is_empty());
    assert!(!home.places().transcripts().exists());
}
