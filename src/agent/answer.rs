//! One answer of the resident model, as the dialogue hears of it: clauses that can be said, and the receipt's news.
//!
//! Run as one task a turn. Joins the model's stream ([`super::engine`]) with the clause splitter ([`super::spoken`]). The
//! channel's fullness is the back-pressure; a receiver that is gone or a cancelled token ends the work and frees the
//! backend's slot.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::{self, Ask, FailureKind};
use super::spoken::SpokenReply;
use crate::dialogue::AgentEvent;
use crate::flow::ReplyChunk;
use crate::ids::{ChunkSeq, TurnId};
use crate::llm::Usage;
use crate::private::Private;

/// Pieces of the model's stream that may wait for the splitter.
const PIECES: usize = 64;

/// Numbers the clauses of one reply.
#[derive(Debug)]
pub struct Chunks {
    turn: TurnId,
    next: ChunkSeq,
}

impl Chunks {
    /// Starts a reply.
    #[must_use]
    pub fn new(turn: TurnId) -> Self {
        Self {
            turn,
            next: ChunkSeq(0),
        }
    }

    /// The next clause as the dialogue takes it.
    pub fn chunk(&mut self, text: impl Into<Private<String>>) -> AgentEvent {
        let chunk = ReplyChunk {
            turn: self.turn,
            seq: self.next,
            text: text.into(),
        };
        self.next = chunk.seq.next();
        AgentEvent::Chunk(chunk)
    }
}

/// Answers `ask` for `turn`; every event is handed to `out` wrapped by `wrap`. `explain` puts a failure into words that are
/// said in place of (the rest of) the reply. `raw` gets the model's text as it wrote it, for a screen.
pub async fn answer<T: Send + 'static>(
    turn: TurnId,
    ask: Ask,
    cancel: CancellationToken,
    out: mpsc::Sender<T>,
    wrap: impl Fn(TurnId, AgentEvent) -> T,
    explain: impl Fn(FailureKind) -> String,
    raw: Option<mpsc::Sender<Private<String>>>,
) {
    let info = ask.backend.info();
    let (pieces, mut stream) = mpsc::channel(PIECES);
    let engine = tokio::spawn(engine::reply(ask, cancel.clone(), pieces));
    let mut reply = Reply {
        chunks: Chunks::new(turn),
        spoken: SpokenReply::new(),
        usage: Usage::default(),
        info,
    };
    while let Some(piece) = stream.recv().await {
        if let (engine::AgentEvent::Text(text), Some(raw)) = (&piece, &raw)
            && raw.send(text.clone()).await.is_err()
        {
            cancel.cancel();
            return;
        }
        for event in reply.take(piece, &explain) {
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

struct Reply {
    chunks: Chunks,
    spoken: SpokenReply,
    usage: Usage,
    info: crate::llm::BackendInfo,
}

impl Reply {
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
                let mut rest = self.spoken.finish();
                rest.push(explain(kind));
                let mut events = self.say(rest);
                events.push(AgentEvent::Failed {
                    kind: kind.as_str().to_owned(),
                });
                events
            }
        }
    }

    fn say(&mut self, clauses: Vec<String>) -> Vec<AgentEvent> {
        clauses
            .into_iter()
            .map(|clause| self.chunks.chunk(clause))
            .collect()
    }
}
