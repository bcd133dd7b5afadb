//! The spoken question that comes with Hark: what `hark demo` asks without a microphone and `hark doctor` has understood.

use anyhow::Context as _;

use crate::audio::decode;

/// The clip, made by the project with espeak-ng.
pub const QUESTION: &[u8] = include_bytes!("../../../tests/data/question.wav");

/// Its words.
pub const QUESTION_WORDS: &str = "what time is it";

/// The clip as a transcriber takes it: mono, 16 kHz.
///
/// # Errors
/// It is damaged: a bug.
pub fn question_for_transcriber() -> anyhow::Result<Vec<f32>> {
    let input = decode::Input::Bytes("the bundled clip", QUESTION.to_vec());
    let sound = decode::decode_mono(input, &mut |_| {}).context("the bundled clip is damaged")?;
    Ok(sound.samples)
}
