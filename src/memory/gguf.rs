//! A model's shape from the head of a GGUF file.
//!
//! Core: bytes in, [`Shape`] out. [`read`] takes the beginning of a file and says [`GgufError::Short`] when the metadata goes
//! on beyond it (vocabularies make it some megabytes long); the caller then brings more. Arrays of text are counted and
//! skipped. Weights stay mapped as they lie in the file, so their bytes are the file's length.

use std::collections::HashMap;

use super::config_json::ShapeError;
use super::shape::{Layers, Remembers, Shape};

/// Why the head of a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GgufError {
    /// The metadata goes on beyond what was given: bring more.
    #[error("the file ends within its metadata")]
    Short,
    /// It is no GGUF file of a known version, or damaged.
    #[error("it is no GGUF file that this version of Hark can read")]
    Foreign,
}

/// A number of the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Number {
    /// The same for all layers.
    One(u64),
    /// One for each layer.
    Each(Vec<u64>),
}

/// What the metadata says, as far as shapes go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    texts: HashMap<String, String>,
    numbers: HashMap<String, Number>,
    /// Entries of arrays that were only counted.
    lengths: HashMap<String, u64>,
}

/// Reads the metadata from the beginning of a file.
///
/// # Errors
/// See [`GgufError`].
pub fn read(bytes: &[u8]) -> Result<Metadata, GgufError> {
    let mut walk = Walk { bytes, at: 0 };
    if walk.take(4)? != b"GGUF" {
        return Err(GgufError::Foreign);
    }
    if !(2..=3).contains(&walk.u32()?) {
        return Err(GgufError::Foreign);
    }
    let _tensors = walk.u64()?;
    let entries = walk.u64()?;
    // A damaged count must not keep us reading: real files have some dozens.
    if entries > 65_536 {
        return Err(GgufError::Foreign);
    }
    let mut metadata = Metadata::default();
    for _ in 0..entries {
        let key = walk.text()?;
        let kind = walk.u32()?;
        walk.value(&key, kind, &mut metadata)?;
    }
    Ok(metadata)
}

impl Metadata {
    /// Notes a text.
    pub fn text(&mut self, key: &str, value: &str) {
        self.texts.insert(key.to_owned(), value.to_owned());
    }

    /// Notes a number.
    pub fn number(&mut self, key: &str, value: Number) {
        self.numbers.insert(key.to_owned(), value);
    }

    /// The shape that it describes, with weights of `weights_bytes` and a cache of f16, which is llama.cpp's default.
    ///
    /// # Errors
    /// [`ShapeError::Missing`].
    pub fn shape(&self, weights_bytes: u64) -> Result<Shape, ShapeError> {
        let arch = self
            .texts
            .get("general.architecture")
            .ok_or(ShapeError::Missing("general.architecture"))?;
        let find = Find { all: self, arch };
        let count = find
            .one("block_count")
            .ok_or(ShapeError::Missing("block_count"))?;
        let hidden = find
            .one("embedding_length")
            .ok_or(ShapeError::Missing("embedding_length"))?;
        let query_heads = find
            .at("attention.head_count", 0)
            .ok_or(ShapeError::Missing("attention.head_count"))?;
        let head = hidden / query_heads.max(1);
        let widest = find.one("attention.key_length").unwrap_or(head);
        let own = count
            - find
                .one("attention.shared_kv_layers")
                .unwrap_or(0)
                .min(count);
        let expert = find.one("expert_feed_forward_length").unwrap_or(0);
        let visited = find.one("expert_used_count").unwrap_or(0);
        let vocabulary = find.one("vocab_size");
        let tokens = self.lengths.get("tokenizer.ggml.tokens").copied();
        Ok(Shape {
            weights_bytes,
            layers: find.layers(own, query_heads, head),
            element_bytes: 2,
            hidden,
            inner: find.at("feed_forward_length", 0).unwrap_or(4 * hidden) + expert * visited,
            query_heads,
            head: widest,
            vocabulary: vocabulary.or(tokens).unwrap_or(32_000),
            max_context: find.one("context_length").unwrap_or(4_096),
        })
    }
}

struct Find<'a> {
    all: &'a Metadata,
    arch: &'a str,
}

impl Find<'_> {
    fn number(&self, key: &str) -> Option<&Number> {
        self.all.numbers.get(&format!("{}.{key}", self.arch))
    }

    fn one(&self, key: &str) -> Option<u64> {
        match self.number(key)? {
            Number::One(number) => Some(*number),
            Number::Each(numbers) => numbers.iter().copied().max(),
        }
    }

    fn at(&self, key: &str, layer: usize) -> Option<u64> {
        match self.number(key)? {
            Number::One(number) => Some(*number),
            Number::Each(numbers) => numbers.get(layer).copied(),
        }
    }

    /// Layers with the same memory are put together, in the order of their first appearance.
    fn layers(&self, count: u64, query_heads: u64, head: u64) -> Vec<Layers> {
        let mut found: Vec<Layers> = Vec::new();
        for layer in 0..usize::try_from(count).unwrap_or(0) {
            let Some(remembers) = self.remembers(layer, query_heads, head) else {
                continue;
            };
            match found.iter_mut().find(|other| other.remembers == remembers) {
                Some(same) => same.count += 1,
                None => found.push(Layers {
                    count: 1,
                    remembers,
                }),
            }
        }
        found.sort_by_key(|layers| matches!(layers.remembers, Remembers::Window { .. }));
        found
    }

    fn remembers(&self, layer: usize, query_heads: u64, head: u64) -> Option<Remembers> {
        let sliding = self.slides(layer);
        let length = |what: &str| {
            let swa = sliding.then(|| self.one(&format!("attention.{what}_length_swa")));
            swa.flatten()
                .or_else(|| self.one(&format!("attention.{what}_length")))
                .unwrap_or(head)
        };
        let heads = self
            .at("attention.head_count_kv", layer)
            .unwrap_or(query_heads);
        // In hybrid models a layer without heads keeps a state instead of tokens.
        if heads == 0 {
            let state = self.one("ssm.state_size")? * self.one("ssm.inner_size")?;
            return Some(Remembers::State { elements: state });
        }
        let elements = match self.one("attention.kv_lora_rank") {
            Some(latent) => latent + self.one("rope.dimension_count").unwrap_or(0),
            None => heads * (length("key") + length("value")),
        };
        Some(match self.one("attention.sliding_window") {
            Some(window) if sliding && window > 0 => Remembers::Window { elements, window },
            _ => Remembers::Every { elements },
        })
    }

    /// Whether a layer looks only at its window: by the file's own pattern, else by what llama.cpp does for the family.
    fn slides(&self, layer: usize) -> bool {
        if let Some(Number::Each(pattern)) = self.number("attention.sliding_window_pattern") {
            return pattern.get(layer).is_some_and(|slides| *slides != 0);
        }
        let every = match self.one("attention.sliding_window_pattern") {
            Some(every) => every,
            None => match self.arch {
                "gemma2" | "gpt-oss" => 2,
                "cohere2" | "exaone4" | "olmo2" | "smallthinker" => 4,
                "gemma3n" => 5,
                "gemma3" => 6,
                _ => return false,
            },
        };
        every > 0 && !(layer as u64 + 1).is_multiple_of(every)
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], GgufError> {
        let end = self.at.checked_add(length).ok_or(GgufError::Foreign)?;
        let taken = self.bytes.get(self.at..end).ok_or(GgufError::Short)?;
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        let four = self.take(4)?.try_into().expect("four were taken");
        Ok(u32::from_le_bytes(four))
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        let eight = self.take(8)?.try_into().expect("eight were taken");
        Ok(u64::from_le_bytes(eight))
    }

    fn text(&mut self) -> Result<String, GgufError> {
        let length = self.u64()?;
        // The longest texts are chat templates; more than this is damage.
        if length > 16 << 20 {
            return Err(GgufError::Foreign);
        }
        let bytes = self.take(usize::try_from(length).map_err(|_| GgufError::Foreign)?)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn value(&mut self, key: &str, kind: u32, metadata: &mut Metadata) -> Result<(), GgufError> {
        match kind {
            TEXT => {
                let text = self.text()?;
                metadata.text(key, &text);
            }
            ARRAY => self.array(key, metadata)?,
            kind => {
                if let Some(number) = self.scalar(kind)? {
                    metadata.number(key, Number::One(number));
                }
            }
        }
        Ok(())
    }

    fn array(&mut self, key: &str, metadata: &mut Metadata) -> Result<(), GgufError> {
        let kind = self.u32()?;
        let length = self.u64()?;
        metadata.lengths.insert(key.to_owned(), length);
        if kind == TEXT {
            for _ in 0..length {
                let bytes = self.u64()?;
                self.take(usize::try_from(bytes).map_err(|_| GgufError::Foreign)?)?;
            }
            return Ok(());
        }
        // One entry a layer is what we want; vocabularies' scores are skipped in one step.
        if length > 1_024 {
            let all = length.checked_mul(size(kind)?).ok_or(GgufError::Foreign)?;
            self.take(usize::try_from(all).map_err(|_| GgufError::Foreign)?)?;
            return Ok(());
        }
        let mut numbers = Vec::new();
        for _ in 0..length {
            numbers.extend(self.scalar(kind)?);
        }
        if numbers.len() as u64 == length {
            metadata.number(key, Number::Each(numbers));
        }
        Ok(())
    }

    /// A whole number that is not negative; what else there is (fractions, negative ones) is read over.
    fn scalar(&mut self, kind: u32) -> Result<Option<u64>, GgufError> {
        let bytes = self.take(usize::try_from(size(kind)?).expect("at most eight"))?;
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let whole = u64::from_le_bytes(wide);
        Ok(match kind {
            0 | 2 | 4 | 7 | 10 => Some(whole),
            1 | 3 | 5 | 11 if !negative => Some(whole),
            _ => None,
        })
    }
}

/// Bytes of a scalar of the format's type number.
fn size(kind: u32) -> Result<u64, GgufError> {
    Ok(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return Err(GgufError::Foreign),
    })
}

/// Type numbers of the format.
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn number(out: &mut Vec<u8>, key: &str, value: u32) {
        text(out, key);
        out.extend(4_u32.to_le_bytes());
        out.extend(value.to_le_bytes());
    }

    /// A head of six entries: four numbers, an architecture, a vocabulary of three.
    fn head() -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend(7_u64.to_le_bytes());
        out.extend(6_u64.to_le_bytes());
        text(&mut out, "general.architecture");
        out.extend(8_u32.to_le_bytes());
        text(&mut out, "llama");
        number(&mut out, "llama.block_count", 3);
        number(&mut out, "llama.embedding_length", 64);
        number(&mut out, "llama.attention.head_count", 4);
        number(&mut out, "llama.attention.head_count_kv", 2);
        text(&mut out, "tokenizer.ggml.tokens");
        out.extend(9_u32.to_le_bytes());
        out.extend(8_u32.to_le_bytes());
        out.extend(3_u64.to_le_bytes());
        for token in ["a", "b", "cc"] {
            text(&mut out, token);
        }
        out
    }

    #[test]
    fn a_head_gives_the_shape() {
        let shape = read(&head()).unwrap().shape(99).unwrap();
        assert_eq!(shape.cache_bytes(10, 0), 3 * 2 * (16 + 16) * 2 * 10);
        assert_eq!((shape.vocabulary, shape.weights_bytes), (3, 99));
    }

    #[test]
    fn every_cut_within_the_head_asks_for_more() {
        let whole = head();
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), Err(GgufError::Short), "cut at {cut}");
        }
        assert!(read(&whole).is_ok());
    }

    #[test]
    fn what_is_no_gguf_is_refused() {
        assert_eq!(read(b"lmgg\0\0\0\0"), Err(GgufError::Foreign));
        let mut old = head();
        old[4] = 1;
        assert_eq!(read(&old), Err(GgufError::Foreign));
        let mut huge = head();
        huge[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(read(&huge), Err(GgufError::Foreign));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), start in proptest::bool::ANY) {
            if start && bytes.len() > 16 {
                bytes[..8].copy_from_slice(b"GGUF\x03\0\0\0");
            }
            let read = read(&bytes);
            if let Ok(metadata) = read {
                std::hint::black_box(metadata.shape(0).is_ok());
            }
        }
    }
}
