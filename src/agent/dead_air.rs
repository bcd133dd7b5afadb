//! When the user has heard nothing for too long, and what is said then.
//!
//! Core, on the time of the reply. Silence counts from the end of what was last handed over for speaking, which is
//! estimated from its length: the loudspeaker's own account comes too late to act on. While a tool works, the words that
//! the tool offers for its arguments are said after [`FILLER_AFTER`]; whatever the reason, [`STILL_WORKING`] is said after
//! [`STILL_AFTER`], and again more rarely.

use std::time::Duration;

use crate::time::Mono;

/// Silence before a tool's own words: a second, the longest pause that people take for listening.
pub const FILLER_AFTER: Duration = Duration::from_secs(1);

/// Silence before [`STILL_WORKING`].
pub const STILL_AFTER: Duration = Duration::from_secs(8);

/// Silence before it is said again.
pub const STILL_AGAIN: Duration = Duration::from_secs(20);

/// Said when there is nothing better to say.
pub const STILL_WORKING: &str = "Still working.";

/// How long a letter sounds: English at 150 words a minute.
const LETTER: Duration = Duration::from_millis(66);

/// The watch over one reply.
#[derive(Debug)]
pub struct DeadAir {
    /// Nothing has been heard since then, or will be until then.
    quiet: Mono,
    /// What a tool under way, or the model that reads its result, may be excused with, and since when.
    filler: Option<(Mono, String)>,
    /// How often [`STILL_WORKING`] has been said since the last words of the reply.
    told: u32,
}

impl DeadAir {
    /// The reply begins.
    #[must_use]
    pub const fn new(now: Mono) -> Self {
        Self {
            quiet: now,
            filler: None,
            told: 0,
        }
    }

    /// Words of the reply were handed over for speaking.
    pub fn said(&mut self, now: Mono, words: &str) {
        self.speak(now, words);
        self.filler = None;
        self.told = 0;
    }

    /// A tool begins its work; of several at once the first one's words are taken.
    pub fn tool(&mut self, now: Mono, filler: &str) {
        if self.filler.is_none() && !filler.trim().is_empty() {
            self.filler = Some((now, filler.to_owned()));
        }
    }

    /// When [`Self::due`] would next say something.
    #[must_use]
    pub fn deadline(&self) -> Mono {
        let still = self.quiet
            + if self.told == 0 {
                STILL_AFTER
            } else {
                STILL_AGAIN
            };
        match &self.filler {
            Some((since, _)) => still.min((*since).max(self.quiet) + FILLER_AFTER),
            None => still,
        }
    }

    /// What is to be said now, if anything.
    pub fn due(&mut self, now: Mono) -> Option<String> {
        if now < self.deadline() {
            return None;
        }
        let words = match self.filler.take() {
            Some((_, filler)) => filler,
            None => {
                self.told += 1;
                STILL_WORKING.to_owned()
            }
        };
        self.speak(now, &words);
        Some(words)
    }

    fn speak(&mut self, now: Mono, words: &str) {
        let letters = u32::try_from(words.chars().count()).unwrap_or(u32::MAX);
        self.quiet = self.quiet.max(now) + LETTER.saturating_mul(letters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono::from_millis(ms)
    }

    #[test]
    fn a_tools_words_after_a_second_then_still_working_after_eight_more() {
        let mut air = DeadAir::new(at(0));
        air.tool(at(500), "Looking.");
        assert_eq!((air.deadline(), air.due(at(1_499))), (at(1_500), None));
        assert_eq!(air.due(at(1_500)).as_deref(), Some("Looking."));
        let spoken = 1_500 + 8 * 66;
        assert_eq!(air.deadline(), at(spoken + 8_000));
        assert_eq!(air.due(at(spoken + 8_000)).as_deref(), Some(STILL_WORKING));
        assert_eq!(
            air.deadline(),
            at(spoken + 8_000 + 14 * 66 + 20_000),
            "more rarely from then on"
        );
    }

    #[test]
    fn what_is_being_said_is_no_silence() {
        let mut air = DeadAir::new(at(0));
        air.said(at(0), &"x".repeat(100));
        air.tool(at(100), "Looking.");
        assert_eq!(air.deadline(), at(6_600 + 1_000));
    }

    #[test]
    fn words_of_the_reply_make_the_excuse_needless() {
        let mut air = DeadAir::new(at(0));
        air.tool(at(0), "Looking.");
        air.said(at(900), "It is");
        assert_eq!(air.deadline(), at(900 + 5 * 66 + 8_000));
    }
}
