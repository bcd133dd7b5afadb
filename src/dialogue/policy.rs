//! What a conversation is allowed to do: every duration and choice, none of them hidden in the machine.

use std::time::Duration;

use super::ending::EndPolicy;
use crate::flow::Utterance;
use crate::time::duration_to_samples;

/// What opens a turn when nobody is being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Every utterance is a turn: files, `--no-wake`.
    Every,
    /// The first words of the utterance must be this phrase (lower case, words separated by one blank).
    Phrase(String),
    /// Only the push-to-talk key (and what follows an answer): other speech is not even transcribed.
    Key,
}

/// What speech during our own speech means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BargeIn {
    /// Our own voice, as far as we can tell: the ear is closed while we speak and for a moment after.
    Off,
    /// The user: if it lasts, we stop. For outputs that the microphone cannot hear, and where our echo is removed.
    On,
    /// Possibly our own voice: only the wake phrase and words that want silence interrupt. Where the echo is not removed.
    Wake,
}

/// What the scores of the wake model mean, where there is one for the phrase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WakeLevels {
    /// Below this the phrase was not said: the utterance is not even transcribed.
    pub propose: f32,
    /// From here on the phrase was said, however the transcript spells it. Between the two the transcript decides.
    pub certain: f32,
}

/// The settings of a [`super::Dialogue`].
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// What opens a turn.
    pub start: Start,
    /// What the scores of the wake model mean; `None`: there is no model, the transcript alone decides.
    pub wake: Option<WakeLevels>,
    /// What speech during our own speech means.
    pub barge_in: BargeIn,
    /// How long a follow-up needs no wake phrase after an answer; zero switches it off.
    pub follow_up: Duration,
    /// How long the answer to a question of consent needs no wake phrase; only where follow-ups do not need one either.
    pub consent: Duration,
    /// How long the wake phrase alone keeps the ear open for the question.
    pub no_speech: Duration,
    /// Longest utterance that the segmenter can deliver, with a margin; guards against a lost event.
    pub longest_utterance: Duration,
    /// How long the transcriber may take.
    pub transcribe_limit: Duration,
    /// How long the agent may take until the first clause, and between clauses.
    pub answer_limit: Duration,
    /// How long the speaker may take over one clause.
    pub clause_limit: Duration,
    /// Speech that lasts this long into our own speech, from its first voiced sample, is no cough: we fall silent and listen.
    /// The field uses 200 to 500 ms; ours may be short because falling silent is not yet the end of the answer.
    pub doubt: Duration,
    /// Speech that lasts this long is an interruption whatever its words: "mhm" and "okay" are over by then.
    pub interruption: Duration,
    /// Where our echo is removed: how long speech must go on after we have fallen silent before it is believed to be the
    /// user's. An echo that gets through ends with our voice, whatever a transcriber makes of it; zero where nothing can echo.
    pub proof: Duration,
    /// How long we speak softly for a sound that does not become speech.
    pub duck_limit: Duration,
    /// How long we stay silent after a voice that has stopped, until its words are asked for: the longest end silence.
    pub held_limit: Duration,
    /// How long the room needs to fall silent after our last sample: reverberation and the device's own buffer.
    pub settle: Duration,
    /// How long the speaker may take to report what was heard after a hush.
    pub hush_limit: Duration,
    /// A push-to-talk key that is up again within this time was tapped: it works like the wake phrase. Nobody says a
    /// command within 250 ms: the shortest that was measured, "go", has 288 ms of voice.
    pub tap: Duration,
    /// How long a silence ends a turn.
    pub end: EndPolicy,
    /// Whether the words are read and a reply is begun while the user pauses. Without it a silence is judged by its sound
    /// alone.
    pub speculate: bool,
    /// Replies that may be begun and discarded within one utterance: somebody who pauses often must not keep the model
    /// busy with half sentences.
    pub most_guesses: u8,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            start: Start::Phrase("hey hark".to_owned()),
            wake: None,
            barge_in: BargeIn::Off,
            follow_up: Duration::from_secs(8),
            consent: Duration::from_secs(15),
            no_speech: Duration::from_secs(6),
            longest_utterance: Duration::from_secs(35),
            transcribe_limit: Duration::from_secs(30),
            answer_limit: Duration::from_secs(200),
            clause_limit: Duration::from_secs(60),
            doubt: Duration::from_millis(200),
            interruption: Duration::from_millis(1_000),
            proof: Duration::ZERO,
            duck_limit: Duration::from_millis(700),
            held_limit: Duration::from_millis(2_500),
            settle: Duration::from_millis(250),
            hush_limit: Duration::from_millis(500),
            tap: Duration::from_millis(250),
            end: EndPolicy::default(),
            speculate: true,
            most_guesses: 3,
        }
    }
}

impl Policy {
    /// Whether the wake phrase is needed and the wake model is sure that it is not in `utterance`: then nobody need look at
    /// the words.
    pub(super) fn not_called(&self, utterance: &Utterance) -> bool {
        match (&self.start, self.wake, utterance.wake) {
            (Start::Phrase(_), Some(levels), Some(heard)) => heard.score < levels.propose,
            _ => false,
        }
    }

    /// The score of the wake model, if `utterance` certainly begins with the phrase.
    pub(super) fn called(&self, utterance: &Utterance) -> Option<f32> {
        let (levels, heard) = (self.wake?, utterance.wake?);
        let begun = heard.at.since(utterance.speech.start) <= duration_to_samples(PHRASE_WITHIN);
        (heard.score >= levels.certain && begun).then_some(heard.score)
    }
}

/// How long after the start of the speech the phrase may end to count as its beginning.
const PHRASE_WITHIN: Duration = Duration::from_millis(2_500);
