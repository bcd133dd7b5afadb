//! Words while the user still speaks: which of them are sure, and how often they may be read.
//!
//! Core. [`Agreement`] takes one reading of the growing utterance after the other and lets out the words on which two readings
//! in a row agree: the end of a reading changes with every word that follows, its beginning seldom. [`Governor`] spaces the
//! readings so that they take a small share of one core, whatever the model: a slow model reads less often, and one that
//! cannot keep up not at all.

use std::time::Duration;

use crate::time::Mono;

/// The words that two readings agree on.
#[derive(Debug, Clone, Default)]
pub struct Agreement {
    last: Vec<String>,
    agreed: usize,
}

impl Agreement {
    /// Takes a reading; gives all agreed words when there are more than before.
    pub fn take(&mut self, text: &str) -> Option<String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let same = words
            .iter()
            .zip(&self.last)
            .take_while(|(new, old)| plain(new) == plain(old))
            .count();
        self.last = words;
        if same <= self.agreed {
            return None;
        }
        self.agreed = same;
        Some(self.last[..same].join(" "))
    }

    /// Another utterance begins.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Capitals and marks change with what follows; the word does not.
fn plain(word: &str) -> String {
    let letters = word.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// When the next reading may begin.
#[derive(Debug, Clone, Default)]
pub struct Governor {
    /// A reading is under way.
    busy: bool,
    /// None before that.
    next: Mono,
    /// The last reading took too long for any to be of use.
    hopeless: bool,
}

impl Governor {
    /// Whether a reading may begin now; if so, it counts as begun.
    pub fn begin(&mut self, now: Mono) -> bool {
        let may = !self.busy && !self.hopeless && now >= self.next;
        self.busy |= may;
        may
    }

    /// It could not be begun after all: the model has better things to do.
    pub fn refused(&mut self, now: Mono) {
        self.busy = false;
        self.next = now + LEAST_GAP;
    }

    /// It is done and took `elapsed`.
    pub fn done(&mut self, now: Mono, elapsed: Duration) {
        self.busy = false;
        self.hopeless = elapsed > TOO_LONG;
        self.next = now + LEAST_GAP.max(elapsed * REST);
    }

    /// Another utterance begins: what was under way is of no use, and a model that was slow on a long one may be quick enough
    /// for the beginning of the next.
    pub fn reset(&mut self) {
        self.busy = false;
        self.hopeless = false;
    }
}

/// A reading every third of a second is as quick as people read.
const LEAST_GAP: Duration = Duration::from_millis(350);
/// After a reading, rest for three times as long: a quarter of the time at most is spent on it.
const REST: u32 = 3;
/// Words that come this late are no help while somebody speaks.
const TOO_LONG: Duration = Duration::from_millis(1_200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_out_when_two_readings_agree_on_them() {
        let mut agreement = Agreement::default();
        assert_eq!(agreement.take("turn on"), None);
        assert_eq!(
            agreement.take("Turn on the lamp").as_deref(),
            Some("Turn on")
        );
        assert_eq!(
            agreement.take("turn on the light"),
            Some("turn on the".to_owned())
        );
        assert_eq!(
            agreement.take("turn on the light in"),
            Some("turn on the light".to_owned())
        );
        assert_eq!(
            agreement.take("burn"),
            None,
            "what was agreed is not taken back"
        );
        agreement.reset();
        assert_eq!(agreement.take("burn"), None);
    }

    #[test]
    fn readings_take_a_quarter_of_the_time_at_most() {
        let mut governor = Governor::default();
        let (mut now, mut busy) = (Mono::ZERO, Duration::ZERO);
        let cost = Duration::from_millis(500);
        while now < Mono::from_millis(20_000) {
            if governor.begin(now) {
                assert!(!governor.begin(now), "one at a time");
                now = now + cost;
                busy += cost;
                governor.done(now, cost);
            }
            now = now + Duration::from_millis(10);
        }
        assert!(busy <= Duration::from_millis(5_500), "{busy:?}");
    }

    #[test]
    fn a_model_that_is_too_slow_is_left_alone_until_the_next_utterance() {
        let mut governor = Governor::default();
        assert!(governor.begin(Mono::ZERO));
        governor.done(Mono::from_millis(2_000), Duration::from_secs(2));
        assert!(!governor.begin(Mono::from_millis(60_000)));
        governor.reset();
        assert!(governor.begin(Mono::from_millis(60_000)));
    }
}
