//! Whether the user has finished: how long a silence must last before it ends the turn.
//!
//! Pure. [`super::Dialogue`] asks at each pause, first with the sound alone and again when the words so far are known. Two
//! kinds of evidence are added up as log-odds of "this was all": [`text`] (an unfinished sentence, a whole question) and
//! [`prosody`] (how pitch and loudness end). [`EndPolicy::window`] turns the sum into a length of silence between
//! `turn.quick_silence_ms` and `turn.max_silence_ms`; neither evidence can end a turn by itself, and the longest silence ends
//! it whatever they say.
//!
//! A model that judges the sound (of the Smart Turn kind: 8 s of audio in, one probability out, 10 to 100 ms on a CPU) would
//! be a third summand in [`completeness`], given by the conductor with the words of a pause. There is none: the crate has
//! no runtime for such models, and the two kinds of evidence here take less than a millisecond together.

pub mod prosody;
pub mod text;

use std::time::Duration;

pub use prosody::Prosody;

/// How long a silence ends a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndPolicy {
    /// After a question or command that is clearly whole.
    pub quick: Duration,
    /// After what may be whole.
    pub usual: Duration,
    /// In any case.
    pub longest: Duration,
}

impl Default for EndPolicy {
    /// The values of `defaults.toml`.
    fn default() -> Self {
        Self {
            quick: Duration::from_millis(384),
            usual: Duration::from_millis(600),
            longest: Duration::from_millis(1_400),
        }
    }
}

impl EndPolicy {
    /// The same for somebody who has paused for up to `before` in this utterance and gone on: who did so once does it again,
    /// and a silence that is hardly longer is no end.
    #[must_use]
    pub fn window_after(&self, completeness: f32, before: Duration) -> Duration {
        let least = before.mul_f64(AGAIN).min(self.longest);
        self.window(completeness).max(least)
    }

    /// The silence that ends a turn of this [`completeness`]: `usual` at even odds, `quick` from [`CERTAIN`] upwards,
    /// `longest` from minus that downwards, in proportion between.
    #[must_use]
    pub fn window(&self, completeness: f32) -> Duration {
        let certainty = (completeness / CERTAIN).clamp(-1.0, 1.0);
        let (from, to) = if certainty >= 0.0 {
            (self.usual, self.quick)
        } else {
            (self.usual, self.longest)
        };
        let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
        let millis = (from + (to - from) * f64::from(certainty.abs())) * 1_000.0;
        Duration::from_millis(millis.round() as u64)
    }
}

/// What the sound's own log-odds are worth. Over 80 ends and 93 inner pauses of read sentences and commands the sound alone
/// orders an end before a pause in 60 of 100 pairs, the words in 76: at full weight it cut off more turns than it ended
/// sooner.
const SOUND: f32 = 0.5;

/// Log-odds at which the evidence is believed: about 7 to 1.
pub const CERTAIN: f32 = 2.0;

/// How much longer than the longest pause so far a silence must be to be another kind of silence. Chosen with all
/// recordings in view; on one half of them it took the share of turns cut off at lengthened pauses from 22 to 19 in 100.
const AGAIN: f64 = 1.15;

/// The words of a pause and how far they can be believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Words<'a> {
    /// As the transcriber wrote them, the wake phrase removed.
    pub text: &'a str,
    /// Mean probability of its tokens, 0..1.
    pub confidence: f32,
}

/// Log-odds that the turn is over, from the words (where they are known) and the sound.
#[must_use]
pub fn completeness(words: Option<Words<'_>>, prosody: Option<&Prosody>) -> f32 {
    let spoken = words.map_or(0.0, |words| {
        // A transcript that its own model does not believe says little about how the sentence goes on.
        let belief = ((words.confidence - UNBELIEVED) / (BELIEVED - UNBELIEVED)).clamp(0.0, 1.0);
        text::score(words.text) * belief
    });
    spoken + prosody.map_or(0.0, Prosody::score) * SOUND
}

/// Confidence at and below which words are no evidence, and at and above which they are full evidence.
const UNBELIEVED: f32 = 0.35;
const BELIEVED: f32 = 0.65;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_goes_from_quick_to_longest_as_completeness_falls() {
        let policy = EndPolicy::default();
        let windows: Vec<u128> = [9.0, 2.0, 1.0, 0.0, -1.0, -2.0, -9.0]
            .into_iter()
            .map(|score| policy.window(score).as_millis())
            .collect();
        assert_eq!(windows, [384, 384, 492, 600, 1_000, 1_400, 1_400]);
    }

    #[test]
    fn who_has_paused_and_gone_on_is_waited_for_a_little_longer_than_that() {
        let policy = EndPolicy::default();
        let after = |ms, score| {
            let before = Duration::from_millis(ms);
            policy.window_after(score, before).as_millis()
        };
        assert_eq!(
            [after(0, 0.0), after(400, 0.0), after(800, 0.0)],
            [600, 600, 920]
        );
        assert_eq!([after(800, 9.0), after(5_000, 0.0)], [920, 1_400]);
    }

    #[test]
    fn words_without_confidence_are_no_evidence() {
        let words = |confidence| {
            Some(Words {
                text: "turn on the",
                confidence,
            })
        };
        assert_eq!(completeness(words(0.2), None), 0.0);
        assert!(completeness(words(0.9), None) < -CERTAIN);
        assert_eq!(completeness(None, None), 0.0);
    }
}
