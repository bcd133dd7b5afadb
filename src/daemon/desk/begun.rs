//! What is begun for a question that may go on: an answer that nobody may hear, and a model made ready for it.
//!
//! Nothing here has an effect outside this process before [`Desk::adopt`]: local intents are decided and not carried out, the
//! model may write and waits before it calls a tool, and while a question of consent is open nothing is begun at all. What is
//! sent to the model ahead of the turn is put together by the same function as what is sent in it.

use futures_util::future::BoxFuture;

use super::{Answering, Desk, Prepared, Understood, limits_for, lock, said};
use crate::agent::decision::Decision;
use crate::agent::engine::{FailureKind, opening};
use crate::agent::intents::{Action, Intent};
use crate::agent::journal::Journal;
use crate::agent::prompt;
use crate::daemon::resident;
use crate::ids::TurnId;
use crate::llm::Message;
use crate::platform::clock;
use crate::private::Private;

/// An answer that may never be heard.
pub(super) struct Begun {
    turn: TurnId,
    draft: Draft,
}

enum Draft {
    /// Nothing was begun: these words may be the yes to a question of consent, which counts only when they are final.
    Nothing(Private<String>),
    /// A local answer, decided and not carried out.
    Intent(Message, Intent),
    /// The model works on it.
    Model(Box<Prepared>),
}

impl Desk {
    /// Begins to answer a question that may go on. A local intent is decided; only where it does nothing but speak its words
    /// are given now. The model may write its reply, and waits before it calls a tool. Nothing of the desk changes.
    pub fn speculate(&mut self, turn: TurnId, question: &Private<String>) -> Answering {
        let nothing = || Answering::Now {
            events: Vec::new(),
            text: Private::default(),
        };
        if self.awaits_consent() {
            let draft = Draft::Nothing(question.clone());
            self.begun = Some(Begun { turn, draft });
            return nothing();
        }
        let note = self.follow_speaker(turn);
        let Understood { intent, message } = self.understand(question, note.as_deref());
        let (draft, answering) = match intent {
            Some(intent) if only_speaks(&intent) => {
                let answering = Answering::Now {
                    events: said(turn, intent.kind, &intent.say),
                    text: Private::new(intent.say.clone()),
                };
                (Draft::Intent(message, intent), answering)
            }
            Some(intent) => (Draft::Intent(message, intent), nothing()),
            None => {
                let prepared = Prepared {
                    decided: Decision::open(),
                    ..self.prepare(message)
                };
                let work = self.work(turn, prepared.clone());
                (Draft::Model(Box::new(prepared)), Answering::Later(work))
            }
        };
        self.begun = Some(Begun { turn, draft });
        answering
    }

    /// The answer that was begun for `turn` counts: what it does is done now. Returns what is still to be answered, if
    /// anything is.
    pub fn adopt(&mut self, turn: TurnId) -> Option<Answering> {
        let begun = self.begun.take().filter(|begun| begun.turn == turn)?;
        match begun.draft {
            Draft::Nothing(question) => Some(self.answer(turn, &question)),
            Draft::Intent(message, intent) => {
                self.asked = Some((turn, message, Journal::default()));
                if only_speaks(&intent) {
                    self.asked_back = None;
                    return None;
                }
                Some(self.act(turn, intent))
            }
            Draft::Model(prepared) => {
                let asked = (turn, prepared.question.clone(), prepared.journal.clone());
                self.asked = Some(asked);
                self.asked_back = None;
                self.sent(&prepared);
                prepared.decided.make();
                None
            }
        }
    }

    /// Makes the model ready for a question that begins with `words`: it evaluates the prompt as far as that is known, so
    /// that the question itself finds it in the cache. Work for a task; `None` where there is no local model (a remote one
    /// takes money for each token, and its cache is its own affair), and while words may be a yes, which no model gets.
    pub fn prefill(&mut self, words: &str) -> Option<BoxFuture<'static, ()>> {
        let kept = self.keeper.as_ref().and_then(resident::Handle::ready);
        let backend = kept.or_else(|| lock(&self.backend).clone())?;
        let name = backend.info().name;
        if self.awaits_consent() || !matches!(name, "mlx" | "ollama") {
            return None;
        }
        let question = prompt::question(words, Some(&prompt::moment(&clock::wall())));
        let mut ask = self.prepare(question).ask(backend.clone());
        ask.limits = limits_for(name, ask.limits);
        let request = opening(&mut ask);
        let (seats, running) = (
            self.seats.clone(),
            self.keeper.as_ref().map(resident::Handle::running),
        );
        Some(Box::pin(async move {
            // As for the question itself: other programs' requests give way.
            let _place = match &seats {
                Some(seats) => seats.voice().await,
                None => None,
            };
            let _running = running;
            match backend.warm(request).await {
                Ok(usage) => tracing::debug!(?usage, "the model is ready for the words so far"),
                // Its message may quote the words.
                Err(error) => {
                    let kind = FailureKind::from(&error).as_str();
                    tracing::debug!(kind, "the model could not be made ready");
                }
            }
        }))
    }
}

/// Whether carrying it out is nothing but saying its words.
const fn only_speaks(intent: &Intent) -> bool {
    matches!(intent.action, Action::None | Action::Repeat)
}
