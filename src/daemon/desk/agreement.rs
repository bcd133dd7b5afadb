//! The question whether a call may be made: its answer, and what everybody is told of it.

use super::{Answering, Desk, Work, told};
use crate::agent::consent::{Hearing, Held, Said, Verdict};
use crate::agent::journal::Journal;
use crate::agent::prompt;
use crate::dialogue::AgentEvent;
use crate::flow::{Outcome, ToolUse, Turn};
use crate::ids::TurnId;
use crate::platform::clock;
use crate::private::Private;
use crate::time::Anchor;

/// How an answer names this as what answered.
const CONSENT: &str = "consent";

impl Desk {
    /// Opens the question that `turn` has ended with.
    pub(super) fn open_question(&mut self, turn: &Turn, held: Held, now: Anchor) {
        let whole = turn.outcome == Outcome::Completed
            && turn.heard == turn.replied
            && turn.heard.as_str().ends_with(held.question());
        let hearing = if whole {
            Hearing::Whole(now.when)
        } else {
            Hearing::Cut
        };
        self.asked_at = now;
        // One that was open before was asked by an older turn, whose answer can no longer come.
        drop(self.consent.ask(turn.id, held, hearing));
    }

    /// Whether the next words may be the answer to a question of consent: they must not be acted on before they are final.
    #[must_use]
    pub const fn awaits_consent(&self) -> bool {
        self.consent.is_open()
    }

    /// Judges the words after such a question. `Err`: they are a question of their own; with it comes what the model must know then.
    pub(super) fn hear_answer(
        &mut self,
        turn: TurnId,
        words: &Private<String>,
    ) -> Result<Answering, Option<String>> {
        let manner = self.manner.take().filter(|manner| manner.turn == turn);
        let began = manner
            .as_ref()
            .map(|manner| self.asked_at.mono(manner.began));
        let verdict = self.consent.judge(Said {
            turn,
            words: words.as_str(),
            language: manner.as_ref().map_or("en", |manner| &manner.language),
            began,
        });
        match verdict {
            Verdict::NotAsked => Err(None),
            Verdict::Unanswered(held) => Err(Some(refused(&held))),
            Verdict::Granted(held) => Ok(Answering::Later(self.carry_out(turn, words, held))),
            Verdict::Declined(held) => Ok(self.decline(turn, words, &held)),
            Verdict::AskAgain(held) => Ok(self.ask_again(turn, words, held)),
        }
    }

    /// Makes the call that the user has agreed to with `words`.
    fn carry_out(&mut self, turn: TurnId, words: &Private<String>, held: Held) -> Work {
        let moment = prompt::moment(&clock::wall());
        let message = prompt::question(words.as_str(), Some(&moment));
        let journal = Journal::default();
        self.asked = Some((turn, message.clone(), journal.clone()));
        self.ask_model(turn, message, journal, Some(held))
    }

    /// The call that waits for a yes, where nobody says it but a terminal is asked: `turn` makes it.
    pub fn agreed_by_key(&mut self, turn: TurnId) -> Option<Work> {
        let held = self.consent.withdraw()?;
        Some(self.carry_out(turn, &Private::from("yes"), held))
    }

    /// The question that waits for an answer.
    #[must_use]
    pub fn question(&self) -> Option<&str> {
        self.consent.question()
    }

    fn decline(&mut self, turn: TurnId, words: &Private<String>, held: &Held) -> Answering {
        let moment = with_note(prompt::moment(&clock::wall()), Some(&refused(held)));
        let message = prompt::question(words.as_str(), Some(&moment));
        self.asked = Some((turn, message, Journal::default()));
        let declined = AgentEvent::Tool(ToolUse {
            name: held.tool().to_owned(),
            outcome: "declined".to_owned(),
        });
        Answering::Now {
            events: told(turn, CONSENT, [DECLINED.to_owned()], [declined]),
            text: Private::from(DECLINED),
        }
    }

    fn ask_again(&mut self, turn: TurnId, words: &Private<String>, held: Held) -> Answering {
        let message = prompt::question(words.as_str(), Some(&prompt::moment(&clock::wall())));
        let question = format!("{AGAIN} {}", held.question());
        let clauses = [AGAIN.to_owned(), held.question().to_owned()];
        let journal = Journal::default();
        journal.hold(held);
        self.asked = Some((turn, message, journal));
        Answering::Now {
            events: told(turn, CONSENT, clauses, [AgentEvent::AskedBack]),
            text: Private::new(question),
        }
    }
}

/// What the model is told of a call that was not agreed to.
fn refused(held: &Held) -> String {
    format!("The user did not agree to {}: it was not done", held.tool())
}

/// The bracketed line before a question, with what else there is to tell.
pub(super) fn with_note(moment: String, note: Option<&str>) -> String {
    match note {
        Some(note) => format!("{moment}. {note}."),
        None => moment,
    }
}

/// Said when a call was not agreed to.
pub const DECLINED: &str = "Okay, I won't.";

/// Said where a yes came before it could count, or was too weak.
const AGAIN: &str = "I need a clear yes after the question.";
