//! What Whisper invents on silence, loops, low confidence: decides which words of the model were heard.
//!
//! Core: text and numbers in, a verdict out. Called by the transcriber on every piece of audio, on its thread. Promises
//! that notes such as `[BLANK_AUDIO]` and text without a letter never pass. Whether there was a voice at all is decided
//! before (the voice-activity gate of the listening thread); `no_speech_prob` is not used, because whisper.cpp reads it
//! from the wrong row when times are off.

use std::time::Duration;

/// The thresholds; the defaults are meant for every Whisper model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardPolicy {
    /// Mean log-probability of the tokens below which nothing is believed. −1.0 is the value that the original Whisper
    /// release uses for "this decoding failed".
    pub least_logprob: f32,
    /// Mean log-probability below which a phrase that Whisper is known to invent counts as invented (a probability of
    /// about 0.6 a token).
    pub sure_logprob: f32,
    /// More words a second than this cannot be spoken; fast speakers reach 5, the fastest readers 8.
    pub fastest_words_per_second: f32,
}

impl Default for GuardPolicy {
    fn default() -> Self {
        Self {
            least_logprob: -1.0,
            sure_logprob: -0.5,
            fastest_words_per_second: 8.0,
        }
    }
}

/// What the model said about one piece of audio.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Its text.
    pub text: &'a str,
    /// Mean log-probability of the tokens, the end token included.
    pub logprob: f32,
    /// How much of the audio was loud enough to be speech.
    pub speech: Duration,
}

/// Why text was refused. Safe to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No letter or digit is left without the notes.
    Empty,
    /// The model did not believe it.
    Improbable,
    /// The same words again and again.
    Looping,
    /// A phrase from subtitles of its training, at low confidence or in too little sound.
    Invented,
    /// More words than can be spoken in that time.
    TooFast,
}

/// Returns what was heard, cleaned, or why nothing was.
///
/// # Errors
/// The reason, when no word of it can be believed.
pub fn judge(policy: &GuardPolicy, evidence: &Evidence<'_>) -> Result<String, Refusal> {
    let text = without_notes(evidence.text);
    if !text.chars().any(char::is_alphanumeric) {
        return Err(Refusal::Empty);
    }
    if evidence.logprob < policy.least_logprob || evidence.logprob.is_nan() {
        return Err(Refusal::Improbable);
    }
    if invented(policy, evidence, &text) {
        return Err(Refusal::Invented);
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    match loop_in(&words) {
        Some(found) if found.repeats >= ENDLESS || too_fast(policy, evidence, words.len()) => {
            broken(policy, evidence, &words, found)
        }
        _ if too_fast(policy, evidence, words.len()) => Err(Refusal::TooFast),
        _ => Ok(text),
    }
}

/// This many repetitions are a loop even when they could have been spoken.
const ENDLESS: usize = 8;

/// A run of the same words.
#[derive(Clone, Copy)]
struct Loop {
    start: usize,
    words: usize,
    repeats: usize,
}

/// Keeps what precedes the loop and its first round, if that can have been said; otherwise refuses.
fn broken(
    policy: &GuardPolicy,
    evidence: &Evidence<'_>,
    words: &[&str],
    found: Loop,
) -> Result<String, Refusal> {
    let kept = &words[..found.start + found.words];
    if found.start == 0 || too_fast(policy, evidence, kept.len()) {
        return Err(Refusal::Looping);
    }
    Ok(kept.join(" "))
}

/// The longest run of at least four rounds of the same one to eight words.
fn loop_in(words: &[&str]) -> Option<Loop> {
    const LEAST_REPEATS: usize = 4;
    const LONGEST: usize = 8;
    let plain: Vec<String> = words.iter().map(|word| plain(word)).collect();
    let mut best: Option<Loop> = None;
    for length in 1..=LONGEST.min(plain.len() / LEAST_REPEATS) {
        let mut run = 0;
        for index in length..plain.len() {
            run = if plain[index] == plain[index - length] {
                run + 1
            } else {
                0
            };
            let found = Loop {
                start: index + 1 - run - length,
                words: length,
                repeats: run / length + 1,
            };
            let longer =
                best.is_none_or(|best| found.words * found.repeats > best.words * best.repeats);
            if found.repeats >= LEAST_REPEATS && longer {
                best = Some(found);
            }
        }
    }
    best
}

fn too_fast(policy: &GuardPolicy, evidence: &Evidence<'_>, words: usize) -> bool {
    // Three words are allowed in any case: the estimate of the sound's length is rough for short bursts.
    words as f32 > 3.0 + policy.fastest_words_per_second * evidence.speech.as_secs_f32()
}

fn invented(policy: &GuardPolicy, evidence: &Evidence<'_>, text: &str) -> bool {
    let plain = plain(text);
    let unsure = evidence.logprob < policy.sure_logprob;
    if SUBTITLES.iter().any(|phrase| plain.contains(phrase)) {
        // Nobody can say these in a moment: 20 letters a second is faster than anybody speaks.
        let needed = Duration::from_millis(50 * plain.chars().count() as u64);
        return unsure || evidence.speech < needed;
    }
    SAID_TOO.contains(&plain.as_str()) && (unsure || evidence.speech < Duration::from_millis(150))
}

/// Phrases of subtitles and video endings that Whisper models produce on silence and noise. An assistant hardly ever
/// hears them, so they are refused already when the model is unsure or the sound is too short for them.
const SUBTITLES: &[&str] = &[
    "thanks for watching",
    "thank you for watching",
    "thank you so much for watching",
    "please subscribe",
    "subscribe to my channel",
    "like and subscribe",
    "see you in the next video",
    "see you next time",
    "subtitles by",
    "transcribed by",
    "transcription by",
    "captions by",
    "amara org",
    "untertitel der",
    "untertitel von",
    "untertitelung des",
    "sous titres réalisés",
    "sottotitoli creati",
    "субтитры",
];

/// Phrases that Whisper invents too, but that people do say to an assistant: refused only when the model is unsure.
const SAID_TOO: &[&str] = &[
    "thank you",
    "thanks",
    "thank you very much",
    "you",
    "bye",
    "bye bye",
    "okay",
    "ok",
    "so",
    "yeah",
    "oh",
    "uh",
    "um",
    "hmm",
    "mm hmm",
    "the",
    "i",
    "ah",
    "huh",
];

/// Lower case, with everything that is no letter or digit turned into single blanks.
fn plain(text: &str) -> String {
    let spaced: String = text
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '\'' {
                c
            } else {
                ' '
            }
        })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Removes what stands for sounds and not for words: `[BLANK_AUDIO]`, `(music)`, `*sighs*`, `♪ … ♪`, `<|…|>`. Speech has no
/// brackets. An opening that is never closed removes nothing but itself.
fn without_notes(text: &str) -> String {
    const PAIRS: &[(char, char)] = &[
        ('[', ']'),
        ('(', ')'),
        ('*', '*'),
        ('♪', '♪'),
        ('<', '>'),
        ('（', '）'),
        ('【', '】'),
    ];
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let pair = PAIRS.iter().find(|(open, _)| *open == c);
        rest = match pair.and_then(|(_, close)| after.split_once(*close)) {
            Some((_, behind)) => behind,
            None => {
                if pair.is_none() && !matches!(c, '♪' | '♫' | '\u{fffd}' | '\0') {
                    out.push(c);
                }
                after
            }
        };
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str, logprob: f32, speech_ms: u64) -> Result<String, Refusal> {
        let speech = Duration::from_millis(speech_ms);
        judge(
            &GuardPolicy::default(),
            &Evidence {
                text,
                logprob,
                speech,
            },
        )
    }

    #[test]
    fn what_was_said_passes_and_what_was_invented_does_not() {
        use Refusal::{Empty, Improbable, Invented, Looping, TooFast};
        let cases: &[(&str, f32, u64, Result<&str, Refusal>)] = &[
            (" What time is it?", -0.1, 900, Ok("What time is it?")),
            ("set a timer", -0.9, 900, Ok("set a timer")),
            ("set a timer", -1.01, 900, Err(Improbable)),
            ("set a timer", f32::NAN, 900, Err(Improbable)),
            ("", 0.0, 0, Err(Empty)),
            (".", -0.01, 2_000, Err(Empty)),
            (" ... ", -0.01, 2_000, Err(Empty)),
            ("[BLANK_AUDIO]", -0.01, 2_000, Err(Empty)),
            (" (music) ", -0.01, 2_000, Err(Empty)),
            ("(upbeat music) [Applause]", -0.01, 2_000, Err(Empty)),
            ("*sighs*", -0.1, 900, Err(Empty)),
            ("♪♪♪", -0.1, 2_000, Err(Empty)),
            ("♪ la la la ♪", -0.1, 2_000, Err(Empty)),
            ("<|nospeech|>", -0.1, 900, Err(Empty)),
            (
                "[door closes] Turn it off.",
                -0.2,
                1_200,
                Ok("Turn it off."),
            ),
            ("five ( four", -0.2, 1_200, Ok("five four")),
            ("Thank you.", -0.1, 500, Ok("Thank you.")),
            ("Thank you.", -0.7, 500, Err(Invented)),
            ("Thank you.", -0.1, 100, Err(Invented)),
            (
                "thank you please stop",
                -0.7,
                900,
                Ok("thank you please stop"),
            ),
            ("you", -0.6, 300, Err(Invented)),
            ("Okay.", -0.05, 300, Ok("Okay.")),
            ("Thanks for watching!", -0.1, 300, Err(Invented)),
            ("Thanks for watching!", -0.6, 3_000, Err(Invented)),
            (
                "Thanks for watching!",
                -0.1,
                1_500,
                Ok("Thanks for watching!"),
            ),
            (
                "Subtitles by the Amara.org community",
                -0.2,
                1_000,
                Err(Invented),
            ),
            (
                "Untertitel der Amara.org-Community",
                -0.2,
                1_000,
                Err(Invented),
            ),
            ("Субтитры сделал DimaTorzok", -0.8, 3_000, Err(Invented)),
            ("no no no no", -0.1, 1_000, Ok("no no no no")),
            (
                "zero zero zero zero zero zero",
                -0.1,
                2_500,
                Ok("zero zero zero zero zero zero"),
            ),
            (
                "and and and and and and and and and",
                -0.1,
                20_000,
                Err(Looping),
            ),
            (
                "stop it stop it stop it stop it stop it stop it",
                -0.1,
                500,
                Err(Looping),
            ),
            (
                "what is is is is is is is is is is",
                -0.1,
                900,
                Ok("what is"),
            ),
            (
                "call me at at at at at at at at at at at at at at at at at at",
                -0.1,
                2_000,
                Ok("call me at"),
            ),
            ("a b c d e f g h i j k l m n o p", -0.1, 500, Err(TooFast)),
        ];
        for (text, logprob, speech_ms, expected) in cases {
            let expected = expected.map(str::to_owned);
            assert_eq!(
                judged(text, *logprob, *speech_ms),
                expected,
                "{text:?} {logprob} {speech_ms}"
            );
        }
    }

    #[test]
    fn a_sentence_with_a_repeated_phrase_is_no_loop() {
        let text = "Turn on the light in the kitchen and turn on the light in the hall.";
        assert_eq!(judged(text, -0.3, 4_000), Ok(text.to_owned()));
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in [
            "[", "(((", "*", "[]", "♪", "a♪b", "\u{0}", "é(", "]", "<|", "\u{fffd}",
        ] {
            let _ignored_verdict = judged(text, -0.1, 100);
        }
    }
}
