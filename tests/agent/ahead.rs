//! What is done ahead of the turn: the model is sent what the turn itself will send, and nothing has effects before it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hark::agent::consent::Permissions;
use hark::agent::notebook::Notebook;
use hark::config::{self, Places, Request};
use hark::daemon::conductor::Report;
use hark::daemon::desk::{Answering, Desk, Stay, Work};
use hark::dialogue::AgentEvent;
use hark::ids::TurnId;
use hark::llm::{BackendInfo, ChatRequest, DeltaStream, LlmBackend, LlmError, Usage};
use hark::private::Private;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::conversation::{Conversation, calls, says};
use crate::scripted::{Answer, Scripted};
use crate::tools::{Log, usual};

/// The scripted model as one that runs on this machine; a warm-up counts as a request.
struct Local(Arc<Scripted>);

impl LlmBackend for Local {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            name: "mlx",
            ..self.0.info()
        }
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'_, Result<DeltaStream, LlmError>> {
        self.0.chat(request)
    }

    fn reachable(&self) -> BoxFuture<'_, bool> {
        self.0.reachable()
    }

    fn warm(&self, request: ChatRequest) -> BoxFuture<'_, Result<Usage, LlmError>> {
        self.0.requests.lock().unwrap().push(request);
        Box::pin(async { Ok(Usage::default()) })
    }
}

struct Rig {
    desk: Desk,
    notebook: Arc<Notebook>,
    model: Arc<Scripted>,
    log: Arc<Log>,
}

impl Rig {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let places = Places {
            config_file: home.path().join("config.toml"),
            state: home.path().to_owned(),
            home: home.path().to_owned(),
        };
        let request = Request {
            flags: Vec::new(),
            environment: vec![("HARK_LLM_BACKEND".to_owned(), "none".to_owned())],
        };
        let (config, _) = config::load(&places, &request).unwrap();
        let (model, log) = (Scripted::new(answers), Arc::<Log>::default());
        let notebook = Arc::new(Notebook::in_memory().unwrap());
        let backend: Box<dyn LlmBackend> = Box::new(Local(Arc::clone(&model)));
        let mut desk = Desk::new(&config, Some(backend), Arc::clone(&notebook), Stay::Daemon);
        desk.equip(&usual(&log), Permissions::default());
        Self {
            desk,
            notebook,
            model,
            log,
        }
    }

    fn requests(&self) -> Vec<ChatRequest> {
        self.model.requests.lock().unwrap().clone()
    }
}

fn later(answering: Answering) -> Work {
    match answering {
        Answering::Later(work) => work,
        Answering::Now { .. } => panic!("the model was to be asked"),
    }
}

/// What the work brings until it ends or waits for ever.
async fn events(reports: &mut mpsc::Receiver<Report>) -> Vec<AgentEvent> {
    let mut events = Vec::new();
    let patience = std::time::Duration::from_secs(5);
    while let Ok(Some(Report::Agent(_, event))) =
        tokio::time::timeout(patience, reports.recv()).await
    {
        events.push(event);
    }
    events
}

async fn whole(work: Work) -> Vec<AgentEvent> {
    let (out, mut reports) = mpsc::channel(32);
    let task = tokio::spawn(work(CancellationToken::new(), out, None));
    let events = events(&mut reports).await;
    task.await.unwrap();
    events
}

/// The words of a user's message, without the time before them.
fn words(request: &ChatRequest) -> &str {
    let message = request.messages.last().unwrap();
    message.content.split_once('\n').unwrap().1
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_ahead_of_a_turn_is_the_beginning_of_what_is_sent_in_it() {
    let mut rig = Rig::new([says("It is a guess."), says("It is in France.")]);
    let now = jiff::Timestamp::UNIX_EPOCH;
    rig.notebook.remember("I live in Ulm", now).unwrap();
    rig.desk
        .prefill("what is the tallest")
        .expect("a local model is made ready")
        .await;
    let question = Private::from("what is the tallest mountain");
    let guess = rig.desk.speculate(TurnId(7), &question);
    whole(later(guess)).await;
    let question = Private::from("what is the tallest mountain in europe");
    let answer = rig.desk.answer(TurnId(8), &question);
    whole(later(answer)).await;

    let requests = rig.requests();
    let [ready, guess, asked] = &requests[..] else {
        panic!("three requests, not {}", requests.len())
    };
    assert!(asked.messages[0].content.contains("I live in Ulm"));
    assert!(!asked.tools.is_empty());
    for before in [ready, guess] {
        assert_eq!(before.tools, asked.tools);
        let last = asked.messages.len() - 1;
        assert_eq!(before.messages.len(), last + 1);
        assert_eq!(before.messages[..last], asked.messages[..last]);
        assert!(words(asked).starts_with(words(before)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_was_begun_calls_no_tool_before_it_counts() {
    let wanted = [("set", json!({"what": "the table"}))];
    let mut rig = Rig::new([calls("Let me see.", &wanted), says("It is set.")]);
    let question = Private::from("lay the table");
    let work = later(rig.desk.speculate(TurnId(3), &question));
    let (out, mut reports) = mpsc::channel(32);
    let task = tokio::spawn(work(CancellationToken::new(), out, None));
    let before = events(&mut reports).await;
    assert!(
        before.iter().all(|event| !matches!(
            event,
            AgentEvent::ToolBegun { .. } | AgentEvent::Tool(_) | AgentEvent::Done { .. }
        )),
        "{before:?}"
    );
    assert!(rig.log.done().is_empty());
    assert!(rig.desk.adopt(TurnId(3)).is_none(), "work is under way");
    let after = events(&mut reports).await;
    task.await.unwrap();
    assert!(matches!(after.last(), Some(AgentEvent::Done { .. })));
    assert_eq!(rig.log.done().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_local_answer_that_does_something_is_given_only_when_it_counts() {
    let mut rig = Rig::new([]);
    for words in ["set a timer for five minutes", "remember that I like tea"] {
        let guess = rig.desk.speculate(TurnId(1), &Private::from(words));
        assert!(matches!(guess, Answering::Now { events, .. } if events.is_empty()));
    }
    assert!(rig.notebook.facts().is_empty());
    assert!(
        rig.desk.adopt(TurnId(9)).is_none(),
        "another turn adopts nothing"
    );
    let words = Private::from("remember that I like tea");
    drop(rig.desk.speculate(TurnId(2), &words));
    let adopted = rig.desk.adopt(TurnId(2)).expect("it is yet to be done");
    whole(later(adopted)).await;
    assert_eq!(rig.notebook.facts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_a_question_of_consent_is_open_nothing_is_begun_and_the_final_yes_counts() {
    let log: Arc<Log> = Arc::default();
    let wanted = [("delete", json!({"what": "the note milk"}))];
    let answers = [calls("", &wanted), says("It is gone.")];
    let mut talk = Conversation::new(&usual(&log), answers);
    assert!(talk.say("delete the note milk").await.asked_back);
    let begun = talk.desk.speculate(TurnId(2), &Private::from("yes"));
    assert!(matches!(begun, Answering::Now { events, .. } if events.is_empty()));
    assert_eq!(talk.backend.requests.lock().unwrap().len(), 1);
    assert!(log.done().is_empty());
    let reply = talk.wait(1_000).say("Yes, please.").await;
    assert_eq!(reply.words(), "It is gone.");
    assert_eq!(log.done().len(), 1);
}
