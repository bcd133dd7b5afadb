//! One answer of the resident model, as the dialogue hears of it: clauses that can be said, and the receipt's news.
//!
//! Run as one task a turn. Joins the model's stream ([`super::engine`]) with the clause splitter ([`super::spoken`]) and the
//! watch over silence ([`super::dead_air`]). The channel's fullness is the back-pressure; a receiver that is gone or a
//! cancelled token ends the work, tools included, and frees the backend's slot.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::dead_air::DeadAir;
use super::engine::{self, Ask, FailureKind};
use super::spoken::SpokenReply;
use crate::dialogue::AgentEvent;
use crate::flow::{ReplyChunk, ToolUse};
use crate::ids::{ChunkSeq, TurnId};
use crate::llm::Usage;
use crate::platform::clock;
use crate::private::Private;
use crate::time::Mono;

/// Pieces of the model's stream that may wait for the splitter.
const PIECES: usize = 64;

/// Numbers the clauses of one reply.
#[derive(Debug)]
pub struct Chunks {
    turn: TurnId,
    next: ChunkSeq,
    language: Option<Arc<str>>,
}

impl Chunks {
    /// Starts a reply.
    #[must_use]
    pub fn new(turn: TurnId) -> Self {
        Self {
            turn,
            next: ChunkSeq(0),
            language: None,
        }
    }

    /// The same for a model that answers in `language` (ISO 639-1).
    #[must_use]
    pub fn in_language(turn: TurnId, language: Option<Arc<str>>) -> Self {
        Self {
            language,
            ..Self::new(turn)
        }
    }

    /// The next clause as the dialogue takes it: a sentence of our own.
    pub fn chunk(&mut self, text: impl Into<Private<String>>) -> AgentEvent {
        AgentEvent::Chunk(self.number(text.into()))
    }

    /// The same for words of the model, in the language of the reply.
    pub fn clause(&mut self, text: impl Into<Private<String>>) -> AgentEvent {
        let language = self.language.clone();
        AgentEvent::Chunk(ReplyChunk {
            language,
            ..self.number(text.into())
        })
    }

    /// The same for words that only bridge a silence.
    pub fn filler(&mut self, text: impl Into<Private<String>>) -> AgentEvent {
        AgentEvent::Filler(self.number(text.into()))
    }

    fn number(&mut self, text: Private<String>) -> ReplyChunk {
        let chunk = ReplyChunk {
            turn: self.turn,
            seq: self.next,
            text,
            language: None,
        };
        self.next = chunk.seq.next();
        chunk
    }
}

/// Who hears a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Somebody who hears nothing while nothing is said.
    Ear,
    /// Somebody who sees that work is going on.
    Eye,
}

/// Answers `ask` for `turn`; every event is handed to `out` wrapped by `wrap`. `explain` puts a failure into words that are
/// said in place of (the rest of) the reply. `raw` gets the text as it was written, for a screen.
#[allow(
    clippy::too_many_arguments,
    reason = "the two ends of one pipe, joined once"
)]
pub async fn answer<T: Send + 'static>(
    turn: TurnId,
    ask: Ask,
    cancel: CancellationToken,
    out: mpsc::Sender<T>,
    wrap: impl Fn(TurnId, AgentEvent) -> T,
    explain: impl Fn(FailureKind) -> String,
    raw: Option<mpsc::Sender<Private<String>>>,
) {
    let listener = if raw.is_some() {
        Listener::Eye
    } else {
        Listener::Ear
    };
    let info = ask.backend.info();
    let (pieces, mut stream) = mpsc::channel(PIECES);
    let language = ask.language.clone();
    let engine = tokio::spawn(engine::reply(ask, cancel.clone(), pieces));
    let mut reply = Reply {
        spoken: SpokenReply::in_language(language.as_deref()),
        chunks: Chunks::in_language(turn, language),
        usage: Usage::default(),
        info,
        watch: (listener == Listener::Ear).then(Watch::new),
    };
    loop {
        let silence = reply.silence();
        let events = tokio::select! {
            piece = stream.recv() => {
                let Some(piece) = piece else { break };
                if let (Some(text), Some(raw)) = (written(&piece), &raw)
                    && raw.send(text).await.is_err()
                {
                    cancel.cancel();
                    return;
                }
                reply.take(piece, &explain)
            }
            () = silence => reply.excuse(),
        };
        for event in events {
            if cancel.is_cancelled() || out.send(wrap(turn, event)).await.is_err() {
                cancel.cancel();
                return;
            }
        }
    }
    if let Err(error) = engine.await {
        tracing::error!(%turn, %error, "the model's task ended early");
        let failed = AgentEvent::Failed {
            kind: "agent_task".to_owned(),
        };
        if out.send(wrap(turn, failed)).await.is_err() {
            tracing::debug!(%turn, "nobody waits for the answer any more");
        }
    }
}

/// What a screen shows of a piece.
fn written(piece: &engine::AgentEvent) -> Option<Private<String>> {
    match piece {
        engine::AgentEvent::Text(text)
        | engine::AgentEvent::Did(text)
        | engine::AgentEvent::Asks(text) => Some(text.clone()),
        _ => None,
    }
}

/// [`DeadAir`] on the runtime's clock.
struct Watch {
    began: Instant,
    air: DeadAir,
}

impl Watch {
    fn new() -> Self {
        Self {
            began: clock::timers(),
            air: DeadAir::new(Mono::ZERO),
        }
    }

    fn now(&self) -> Mono {
        Mono::new(clock::timers().duration_since(self.began))
    }
}

struct Reply {
    chunks: Chunks,
    spoken: SpokenReply,
    usage: Usage,
    info: crate::llm::BackendInfo,
    /// Nobody watches over the silence of a screen.
    watch: Option<Watch>,
}

impl Reply {
    /// Ends when something must be said.
    fn silence(&self) -> impl Future<Output = ()> + use<> {
        let deadline = self
            .watch
            .as_ref()
            .map(|watch| watch.began + watch.air.deadline().since_start());
        async move {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        }
    }

    /// What is said into a silence.
    fn excuse(&mut self) -> Vec<AgentEvent> {
        let words = self
            .watch
            .as_mut()
            .and_then(|watch| watch.air.due(watch.now()));
        words
            .map(|words| self.chunks.filler(words))
            .into_iter()
            .collect()
    }

    fn take(
        &mut self,
        piece: engine::AgentEvent,
        explain: &impl Fn(FailureKind) -> String,
    ) -> Vec<AgentEvent> {
        match piece {
            engine::AgentEvent::Requested(info) => {
                self.info = info;
                vec![AgentEvent::Requested {
                    backend: self.info.name.to_owned(),
                    model: self.info.model.clone(),
                }]
            }
            engine::AgentEvent::Waiting(waiting) => {
                tracing::info!(?waiting, "the model keeps us waiting");
                Vec::new()
            }
            engine::AgentEvent::FirstToken => vec![AgentEvent::FirstToken],
            engine::AgentEvent::Text(text) => {
                let clauses = self.spoken.push(text.as_str());
                self.say(clauses)
            }
            engine::AgentEvent::Usage(usage) => {
                self.usage = usage;
                Vec::new()
            }
            engine::AgentEvent::ToolBegun { name, filler } => self.tool_begun(name, &filler),
            engine::AgentEvent::ToolEnded { name, outcome } => {
                vec![AgentEvent::Tool(ToolUse {
                    name,
                    outcome: outcome.to_owned(),
                })]
            }
            engine::AgentEvent::Did(text) => self.finish_with(text.into_inner()),
            engine::AgentEvent::Asks(question) => {
                let mut events = self.finish_with(question.into_inner());
                events.push(AgentEvent::AskedBack);
                events
            }
            engine::AgentEvent::Done { .. } => {
                let rest = self.spoken.finish();
                let mut events = self.say(rest);
                events.push(AgentEvent::Done {
                    backend: self.info.name.to_owned(),
                    model: self.info.model.clone(),
                    prompt_tokens: self.usage.prompt_tokens,
                    cached_tokens: self.usage.cached_tokens,
                });
                events
            }
            engine::AgentEvent::Failed { kind, .. } => {
                let mut events = self.finish_with(explain(kind));
                events.push(AgentEvent::Failed {
                    kind: kind.as_str().to_owned(),
                });
                events
            }
        }
    }

    /// What was written before a call is said now: nothing follows it until the tool is done.
    fn tool_begun(&mut self, name: String, filler: &Private<String>) -> Vec<AgentEvent> {
        let rest = self.spoken.finish();
        let mut events = self.say(rest);
        if let Some(watch) = &mut self.watch {
            let now = watch.now();
            watch.air.tool(now, filler.as_str());
        }
        events.push(AgentEvent::ToolBegun { name });
        events
    }

    /// What the model has written so far, then a sentence of our own.
    fn finish_with(&mut self, ours: String) -> Vec<AgentEvent> {
        let rest = self.spoken.finish();
        let mut events = self.say(rest);
        self.hear_of(&ours);
        events.push(self.chunks.chunk(ours));
        events
    }

    fn say(&mut self, clauses: Vec<String>) -> Vec<AgentEvent> {
        for clause in &clauses {
            self.hear_of(clause);
        }
        clauses
            .into_iter()
            .map(|clause| self.chunks.clause(clause))
            .collect()
    }

    fn hear_of(&mut self, clause: &str) {
        if let Some(watch) = &mut self.watch {
            let now = watch.now();
            watch.air.said(now, clause);
        }
    }
}
