//! Whether the model's prefix cache was used, turn by turn, and if not, why.
//!
//! Core. A backend starts the second turn in a fraction of the first one's time only while every request begins with the
//! bytes of the one before: a miss costs 10 to 80 s of prefill on a laptop. The contract is kept by [`super::prompt`]
//! (static prompt first and byte-stable, history append-only) and checked here: [`PrefixWatch::sent`] takes what leaves,
//! [`PrefixWatch::answered`] what the backend told, and every miss is counted under its cause. Owned by whoever owns the
//! history. Keeps hashes, no words.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// Why a prefix was not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Miss {
    /// The server has just started, or nothing warmed it.
    ColdStart,
    /// Another backend has taken its place.
    Swap,
    /// The static prompt differs from the one before: a defect, or a tool that came or went.
    PromptChanged,
    /// The history no longer begins as it did: it was cut to its budget, or a new conversation began.
    HistoryCut,
    /// The same beginning was sent, and another program used the server in between.
    OtherClient,
    /// The same beginning was sent, and the server had dropped it.
    Evicted,
}

impl Miss {
    /// For records and scripts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ColdStart => "cold_start",
            Self::Swap => "swap",
            Self::PromptChanged => "prompt_changed",
            Self::HistoryCut => "history_cut",
            Self::OtherClient => "other_client",
            Self::Evicted => "evicted",
        }
    }
}

/// What a turn showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What could be reused was.
    Reused,
    /// It was not.
    Missed(Miss),
    /// The backend tells neither tokens nor times.
    Unknown,
}

impl Verdict {
    /// For the receipt: `reused`, the cause of a miss, or nothing.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Reused => Some("reused"),
            Self::Missed(miss) => Some(miss.as_str()),
            Self::Unknown => None,
        }
    }
}

/// What a backend told of one prompt.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evaluated {
    /// Tokens of the prompt.
    pub prompt_tokens: Option<u32>,
    /// Of those, cached.
    pub cached_tokens: Option<u32>,
    /// Milliseconds from the request to the first token.
    pub first_token_ms: Option<i64>,
}

/// A request that left, as hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    fixed: u64,
    rest: Vec<u64>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct PrefixWatch {
    last: Option<Sent>,
    /// What the next request can expect to miss for.
    expected: Option<Miss>,
    /// Tokens of the last prompt.
    tokens: Option<u32>,
    /// Milliseconds a token of prompts that nothing was cached of: for backends that tell no cached tokens.
    cold_rate: Option<f64>,
    foreign: bool,
    misses: BTreeMap<Miss, u32>,
    reused: u32,
    /// Why the last miss was one.
    last_miss: Option<Miss>,
}

impl PrefixWatch {
    /// Nothing was sent yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The server's cache is empty now: it was started, another took its place, or the machine slept.
    pub fn emptied(&mut self, why: Miss) {
        self.expected = Some(why);
    }

    /// The static prompt alone was evaluated: the next request finds it.
    pub fn warmed(&mut self) {
        self.expected = None;
    }

    /// Another program has used the server.
    pub const fn disturbed(&mut self) {
        self.foreign = true;
    }

    /// A request leaves: its static part (prompt and tools) and its other messages, in order.
    pub fn sent<T: Hash>(&mut self, fixed: &impl Hash, messages: impl IntoIterator<Item = T>) {
        let next = Sent {
            fixed: hash(fixed),
            rest: messages.into_iter().map(|message| hash(&message)).collect(),
        };
        if let Some(last) = &self.last
            && self.expected.is_none()
        {
            if last.fixed != next.fixed {
                self.expected = Some(Miss::PromptChanged);
            } else if !begins_alike(last, &next) {
                self.expected = Some(Miss::HistoryCut);
            }
        }
        self.last = Some(next);
    }

    /// The request was answered. Call it once a turn that the model answered.
    pub fn answered(&mut self, told: Evaluated) -> Verdict {
        let expected = self.expected.take();
        let foreign = std::mem::take(&mut self.foreign);
        let before = self.tokens;
        self.tokens = told.prompt_tokens.or(before);
        let Some(prompt) = told.prompt_tokens else {
            return Verdict::Unknown;
        };
        // What should be there: the prompt before this one, or for the first one a static prompt that was warmed.
        let should = before.unwrap_or(prompt / 2).min(prompt);
        let missed = match (told.cached_tokens, told.first_token_ms) {
            (Some(cached), _) => cached.saturating_mul(2) < should,
            (None, Some(ms)) => match self.by_time(ms, prompt, expected) {
                Some(missed) => missed,
                None => return Verdict::Unknown,
            },
            (None, None) => return Verdict::Unknown,
        };
        if !missed {
            self.reused += 1;
            return Verdict::Reused;
        }
        let miss = expected.unwrap_or(match (before, foreign) {
            (None, _) => Miss::ColdStart,
            (Some(_), true) => Miss::OtherClient,
            (Some(_), false) => Miss::Evicted,
        });
        *self.misses.entry(miss).or_default() += 1;
        self.last_miss = Some(miss);
        Verdict::Missed(miss)
    }

    /// Ollama counts cached tokens as evaluated ones, so only the time tells: a prompt that takes more than half of what the
    /// cold ones took was read anew. `None` until there was a cold one to compare with.
    fn by_time(&mut self, ms: i64, prompt: u32, expected: Option<Miss>) -> Option<bool> {
        let rate = ms.max(1) as f64 / f64::from(prompt.max(1));
        if expected.is_some() || self.cold_rate.is_none_or(|cold| rate > cold) {
            let first = self.cold_rate.is_none();
            self.cold_rate = Some(self.cold_rate.map_or(rate, |cold| cold.max(rate)));
            return (expected.is_some() || !first).then_some(true);
        }
        self.cold_rate.map(|cold| rate * 2.0 > cold)
    }

    /// Why the last prompt that was not reused was not.
    #[must_use]
    pub const fn last_miss(&self) -> Option<Miss> {
        self.last_miss
    }

    /// Misses by cause, and how many prompts were reused.
    #[must_use]
    pub fn counts(&self) -> (u32, &BTreeMap<Miss, u32>) {
        (self.reused, &self.misses)
    }
}

/// The last message of the one before was the newest question; it stays as it was sent.
fn begins_alike(last: &Sent, next: &Sent) -> bool {
    next.rest.len() >= last.rest.len() && next.rest[..last.rest.len()] == last.rest[..]
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(prompt: u32, cached: u32) -> Evaluated {
        Evaluated {
            prompt_tokens: Some(prompt),
            cached_tokens: Some(cached),
            first_token_ms: None,
        }
    }

    fn timed(prompt: u32, ms: i64) -> Evaluated {
        Evaluated {
            prompt_tokens: Some(prompt),
            cached_tokens: None,
            first_token_ms: Some(ms),
        }
    }

    #[test]
    fn each_cause_of_a_miss_is_told_apart() {
        let mut watch = PrefixWatch::new();
        watch.emptied(Miss::ColdStart);
        watch.sent(&"fixed", ["a"]);
        assert_eq!(
            watch.answered(told(600, 9)),
            Verdict::Missed(Miss::ColdStart)
        );
        watch.sent(&"fixed", ["a", "A", "b"]);
        assert_eq!(watch.answered(told(700, 620)), Verdict::Reused);
        watch.sent(&"fixed", ["a", "A", "b", "B", "c"]);
        assert_eq!(
            watch.answered(told(750, 12)),
            Verdict::Missed(Miss::Evicted)
        );
        watch.disturbed();
        watch.sent(&"fixed", ["a", "A", "b", "B", "c", "C", "d"]);
        assert_eq!(
            watch.answered(told(800, 12)),
            Verdict::Missed(Miss::OtherClient)
        );
        watch.sent(&"fixed", ["c", "C", "d", "D", "e"]);
        assert_eq!(
            watch.answered(told(700, 12)),
            Verdict::Missed(Miss::HistoryCut)
        );
        watch.sent(&"other", ["c", "C", "d", "D", "e", "E", "f"]);
        assert_eq!(
            watch.answered(told(700, 12)),
            Verdict::Missed(Miss::PromptChanged)
        );
        watch.emptied(Miss::Swap);
        watch.sent(&"other", ["c", "C", "d", "D", "e", "E", "f", "F", "g"]);
        assert_eq!(watch.answered(told(700, 0)), Verdict::Missed(Miss::Swap));
        assert_eq!(watch.counts().0, 1);
        assert_eq!(watch.last_miss(), Some(Miss::Swap));
        assert_eq!(watch.counts().1.values().sum::<u32>(), 6);
    }

    #[test]
    fn after_a_warm_up_even_the_first_turn_reuses_the_static_prompt() {
        let mut watch = PrefixWatch::new();
        watch.emptied(Miss::ColdStart);
        watch.warmed();
        watch.sent(&"fixed", ["a"]);
        assert_eq!(watch.answered(told(624, 592)), Verdict::Reused);
    }

    #[test]
    fn where_no_tokens_are_told_the_time_tells() {
        let mut watch = PrefixWatch::new();
        watch.emptied(Miss::ColdStart);
        watch.sent(&"fixed", ["a"]);
        assert_eq!(
            watch.answered(timed(1_000, 4_000)),
            Verdict::Missed(Miss::ColdStart)
        );
        watch.sent(&"fixed", ["a", "A", "b"]);
        assert_eq!(watch.answered(timed(1_050, 300)), Verdict::Reused);
        watch.sent(&"fixed", ["a", "A", "b", "B", "c"]);
        assert_eq!(
            watch.answered(timed(1_100, 4_300)),
            Verdict::Missed(Miss::Evicted)
        );
        assert_eq!(watch.answered(Evaluated::default()), Verdict::Unknown);
    }
}
