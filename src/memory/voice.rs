//! What hearing and speaking take: the Whisper model with its work buffers by its shapes, and the small models beside it.
//!
//! Core. The formulae are those of whisper.cpp's allocations (the caches by shape, the compute buffers by the widest
//! intermediate results) and meet what it prints while it loads `large-v3-turbo`. The small parts are bounds with room.

use super::MIB;

/// The shape of a Whisper model, from the head of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WhisperShape {
    /// Entries of the vocabulary.
    pub vocabulary: u64,
    /// Width of the encoder.
    pub audio_state: u64,
    /// Heads of the encoder.
    pub audio_heads: u64,
    /// Width of the decoder.
    pub text_state: u64,
    /// Layers of the decoder.
    pub text_layers: u64,
    /// Bands of the spectrum.
    pub mels: u64,
}

impl WhisperShape {
    /// By the first 48 bytes of a file; `None` where it is none of whisper.cpp's.
    #[must_use]
    pub fn from_head(bytes: &[u8]) -> Option<Self> {
        let number = |index: usize| -> Option<u64> {
            let four = bytes.get(4 * index..4 * index + 4)?;
            Some(u64::from(u32::from_le_bytes(four.try_into().ok()?)))
        };
        if bytes.get(..4)? != b"lmgg" {
            return None;
        }
        let shape = Self {
            vocabulary: number(1)?,
            audio_state: number(3)?,
            audio_heads: number(4)?,
            text_state: number(7)?,
            text_layers: number(9)?,
            mels: number(10)?,
        };
        let plausible = shape.vocabulary < 100_000
            && (1..=4_096).contains(&shape.audio_state)
            && (1..=4_096).contains(&shape.text_state)
            && shape.text_layers <= 64;
        plausible.then_some(shape)
    }

    /// By the name of a public model: what is not here is told by its file.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let stem = name.split(['-', '.']).next()?;
        let english = name.contains(".en");
        let (state, heads, layers) = match stem {
            "starter" => (128, 4, 2),
            "tiny" => (384, 6, 4),
            "base" => (512, 8, 6),
            "small" => (768, 12, 12),
            "medium" => (1_024, 16, 24),
            "large" if name.contains("turbo") => (1_280, 20, 4),
            "large" => (1_280, 20, 32),
            _ => return None,
        };
        let large = stem == "large";
        Some(Self {
            vocabulary: match (english, large) {
                (true, _) => 51_864,
                (false, true) => 51_866,
                (false, false) => 51_865,
            },
            audio_state: state,
            audio_heads: heads,
            text_state: state,
            text_layers: layers,
            mels: if large { 128 } else { 80 },
        })
    }

    /// Bytes beside the weights: caches and compute buffers for the full window of 1,500 positions.
    #[must_use]
    pub fn buffer_bytes(&self) -> u64 {
        let Self {
            vocabulary,
            audio_state,
            text_state,
            text_layers,
            mels,
            ..
        } = *self;
        // Keys and values in f16; lengths are padded to 256.
        let own_cache = 2 * text_state * text_layers * 512 * 2;
        let cross_cache = 2 * text_state * text_layers * 1_536 * 2;
        let pad = 2 * audio_state * 1_536 * 2;
        // Two convolutions over 3,000 and 1,500 positions: results in f32, unrolled inputs in f16.
        let convolution = 3_000 * audio_state * 4
            + 1_500 * 3 * audio_state * 2
            + 1_500 * audio_state * 4
            + 3_000 * 3 * mels * 2;
        // With flash attention: the feed-forward part (four times as wide) and three more of the state's width.
        let encode = 1_500 * 7 * audio_state * 4;
        let cross = 1_500 * audio_state * 6;
        // The decoder is laid out for a whole text context of logits.
        let decode = 448 * (vocabulary + 4 * text_state) * 4;
        own_cache + cross_cache + pad + convolution + encode + cross + decode
    }
}

/// What the parts of the voice take beside Whisper, in bytes, with where the number comes from.
pub const SMALL_PARTS: &[(&str, u64, &str)] = &[
    (
        "vad",
        12 * MIB,
        "Silero voice activity: 2.3 MB of weights, its state and its runtime; a bound, not measured alone",
    ),
    (
        "wake",
        16 * MIB,
        "wake-word models: an embedding network and one head a phrase; a bound",
    ),
    (
        "echo_canceller",
        8 * MIB,
        "echo canceller: filters for 250 ms at 16 kHz and the rings of capture and playback; a bound",
    ),
    (
        "hark",
        96 * MIB,
        "Hark itself: program, runtime, transcript log, rings; a bound",
    ),
];

/// The voice that speaks: what a neural voice of our own or a premium voice of the system may take.
pub const TTS_BYTES: u64 = 512 * MIB;

/// Where [`TTS_BYTES`] comes from.
pub const TTS_SOURCE: &str =
    "a premium system voice or a neural one of our own: budget, not measured";

#[cfg(test)]
mod tests {
    use super::*;

    /// What whisper.cpp prints while it loads, in MB: caches, then conv, encode, cross, decode.
    #[test]
    fn the_buffers_are_within_a_tenth_of_what_whisper_cpp_prints() {
        let turbo = WhisperShape::by_name("large-v3-turbo-q5_0").unwrap();
        let printed = 10.49 + 31.46 + 7.86 + 37.69 + 55.35 + 9.27 + 100.03;
        let ours = turbo.buffer_bytes() as f64 / 1e6;
        assert!((ours / printed - 1.0).abs() < 0.1, "{ours} MB");
    }

    #[test]
    fn a_file_tells_its_shape() {
        let mut head = b"lmgg".to_vec();
        for number in [51_864_u32, 1_500, 128, 4, 4, 448, 128, 4, 2, 80, 1] {
            head.extend(number.to_le_bytes());
        }
        assert_eq!(
            WhisperShape::from_head(&head),
            WhisperShape::by_name("starter.en")
        );
        assert_eq!(WhisperShape::from_head(b"GGUF"), None);
        assert_eq!(WhisperShape::by_name("my-own"), None);
    }
}
