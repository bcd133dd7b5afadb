//! Speech into our own speech: from the first sound to the decision that it is an interruption, or was nothing.
//!
//! ```text
//!            sound              it is speech, doubt over         lasts, or has words
//! (none) ────────────▶ Ducked ──────────────────────────▶ Held ─────────────────────▶ hush: the turn is over
//!    ▲    dropped, paused │                                │ no words, "mhm", our own words
//!    └──── Resume ────────┴──────────────── Resume ────────┘
//! ```
//! Ducking and holding lose nothing: the reply goes on where it was. Only the hush is final, and it waits for words or for
//! speech that lasts. Where our own voice cannot be told from the user's ([`BargeIn::Wake`]), sounds do nothing and only words
//! count.

use crate::time::Mono;

use super::effect::{Effect, Ignored};
use super::live::Live;
use super::machine::Dialogue;
use super::phase::Phase;
use super::policy::{BargeIn, Start};
use super::wake::{WakeMatch, is_backchannel, match_wake, says_within, takes_back};

/// How far a sound within our own speech has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// We speak softly; if nothing comes of the sound until then, at full level again.
    Ducked {
        /// When.
        until: Mono,
    },
    /// It is speech, and we speak softly; at this instant we stop believing that it is a cough.
    Speech {
        /// First voiced sample.
        since: Mono,
        /// When.
        at: Mono,
    },
    /// We are silent.
    Held {
        /// Since when.
        since: Mono,
        /// Whether the user still speaks.
        voiced: bool,
        /// When speech that goes on is an interruption whatever its words; or when silence without words was nothing.
        until: Mono,
    },
}

impl Doubt {
    pub(super) const fn deadline(self) -> Mono {
        match self {
            Self::Ducked { until } | Self::Held { until, .. } => until,
            Self::Speech { at, .. } => at,
        }
    }
}

impl Dialogue {
    /// A sound began that may become speech.
    pub(super) fn speech_onset(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let until = now + self.policy.duck_limit;
        if let Phase::Speaking {
            live,
            doubt: doubt @ None,
            ..
        } = &mut self.phase
            && self.policy.barge_in == BargeIn::On
        {
            *doubt = Some(Doubt::Ducked { until });
            out.push(Effect::Duck { turn: live.turn });
        }
    }

    /// The sound is speech that began at `when`.
    pub(super) fn speech_into_ours(&mut self, now: Mono, when: Mono, out: &mut Vec<Effect>) {
        if self.policy.barge_in != BargeIn::On {
            return;
        }
        let (doubt_at, lasting) = (
            now.max(when + self.policy.doubt),
            now.max(when + self.policy.interruption),
        );
        let Phase::Speaking { live, doubt, .. } = &mut self.phase else {
            return;
        };
        match doubt {
            None | Some(Doubt::Ducked { .. }) => {
                if doubt.is_none() {
                    out.push(Effect::Duck { turn: live.turn });
                }
                *doubt = Some(Doubt::Speech {
                    since: when,
                    at: doubt_at,
                });
            }
            Some(Doubt::Held { voiced, until, .. }) => {
                *voiced = true;
                *until = lasting;
            }
            Some(Doubt::Speech { .. }) => {}
        }
        self.doubt_due(now, out);
    }

    /// The voice fell silent: a cough or a short word. What it was its words will tell, if it was long enough to be held.
    pub(super) fn speech_paused(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let until = now + self.policy.held_limit;
        match &mut self.phase {
            Phase::Speaking {
                doubt:
                    Some(Doubt::Held {
                        voiced, until: by, ..
                    }),
                ..
            } => {
                *voiced = false;
                *by = until;
            }
            Phase::Speaking { .. } => self.believe_nothing(out),
            _ => {}
        }
    }

    /// The sound came to nothing: at full level again, where we were.
    pub(super) fn believe_nothing(&mut self, out: &mut Vec<Effect>) {
        if let Phase::Speaking { live, doubt, .. } = &mut self.phase
            && doubt.take().is_some()
        {
            out.push(Effect::Resume { turn: live.turn });
        }
    }

    /// Does what the doubt is due for; true when it ends the answer, which the caller then does.
    pub(super) fn doubt_due(&mut self, now: Mono, out: &mut Vec<Effect>) -> bool {
        let lasting = self.policy.interruption;
        let Phase::Speaking {
            live,
            doubt: Some(doubt),
            ..
        } = &mut self.phase
        else {
            return false;
        };
        match *doubt {
            due if due.deadline() > now => false,
            Doubt::Speech { since, .. } => {
                *doubt = Doubt::Held {
                    since: now,
                    voiced: true,
                    until: (since + lasting).max(now + std::time::Duration::from_millis(1)),
                };
                out.push(Effect::Pause { turn: live.turn });
                false
            }
            Doubt::Held { voiced: true, .. } => true,
            Doubt::Ducked { .. } | Doubt::Held { voiced: false, .. } => {
                self.believe_nothing(out);
                false
            }
        }
    }

    /// Why words that were said into our speech do not end it; `None` when they do.
    /// `proved` tells that the speech went on after we had fallen silent, which no echo does.
    pub(super) fn no_interruption(&self, live: &Live, text: &str, proved: bool) -> Option<Ignored> {
        if text.trim().is_empty() {
            return Some(Ignored::Empty);
        }
        if is_backchannel(text) {
            return Some(Ignored::Backchannel);
        }
        let ours = live.words();
        match self.policy.barge_in {
            BargeIn::Off => Some(Ignored::Echo),
            BargeIn::On if proved || takes_back(text) => {
                (!takes_back(text) && resembles(&ours, text)).then_some(Ignored::Echo)
            }
            // Here the words may be a mixture of ours and the user's, so the phrase may stand anywhere in them; but not if
            // we are saying it ourselves.
            BargeIn::On | BargeIn::Wake => {
                let meant = |words: &str| {
                    takes_back(words)
                        || matches!(&self.policy.start, Start::Phrase(phrase)
                            if match_wake(words, phrase) != WakeMatch::Absent
                                || says_within(words, phrase))
                };
                if !meant(text) {
                    Some(if resembles(&ours, text) {
                        Ignored::Echo
                    } else {
                        Ignored::NoWake
                    })
                } else if says_within(&ours, text) || meant_by_us(&self.policy.start, &ours) {
                    Some(Ignored::Echo)
                } else {
                    None
                }
            }
        }
    }
}

impl Dialogue {
    /// Whether speech that ended at `ended` outlasted our own voice.
    pub(super) fn proved(&self, doubt: Option<Doubt>, ended: Mono) -> bool {
        self.policy.proof.is_zero()
            || matches!(doubt, Some(Doubt::Held { since, .. }) if ended >= since + self.policy.proof)
    }
}

fn meant_by_us(start: &Start, ours: &str) -> bool {
    matches!(start, Start::Phrase(phrase) if says_within(ours, phrase))
}

/// Whether `text` sounds like `ours`: three words or more, of which seven in ten stand in ours in the same order. Shorter
/// ones prove nothing: who answers "on Tuesday" into a sentence about Tuesday is no echo.
pub(super) fn resembles(ours: &str, text: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split_whitespace()
            .map(super::wake::plain)
            .filter(|word| !word.is_empty())
            .collect()
    };
    let (ours, heard) = (words(ours), words(text));
    if heard.len() < 3 {
        return false;
    }
    let ours = &ours[ours.len().saturating_sub(MOST_WORDS)..];
    // The longest common subsequence, row by row.
    let mut row = vec![0_usize; ours.len() + 1];
    for word in &heard {
        let mut diagonal = 0;
        for (n, own) in ours.iter().enumerate() {
            let above = row[n + 1];
            row[n + 1] = if own == word {
                diagonal + 1
            } else {
                above.max(row[n])
            };
            diagonal = above;
        }
    }
    row[ours.len()] * 10 >= heard.len() * 7
}

/// Words of ours that are compared: some minutes of speech.
const MOST_WORDS: usize = 600;

#[cfg(test)]
mod tests {
    use super::resembles;

    const OURS: &str =
        "The capital of France is Paris. It lies on the Seine and has two million inhabitants.";

    #[test]
    fn our_own_words_are_known_also_with_a_mistake_or_a_part_missing() {
        for text in [
            "the capital of France is Paris",
            "It lies on the sane and has two million",
            "capital of France Paris",
        ] {
            assert!(resembles(OURS, text), "{text}");
        }
    }

    #[test]
    fn the_words_of_the_user_are_not_ours() {
        for text in [
            "what about the capital of Spain",
            "stop",
            "Paris",
            "no I meant Finland",
            "and how old is it",
            "",
        ] {
            assert!(!resembles(OURS, text), "{text}");
        }
    }
}
