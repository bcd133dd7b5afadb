//! A model's shape from what Ollama says of it: `/api/show` for the shapes, the size in `/api/tags` for the weights.
//!
//! Core: JSON in, [`Shape`] out. `model_info` holds the metadata of the GGUF file under the same keys as the file, so the
//! reading is shared with [`super::gguf`].

use serde_json::Value;

use super::config_json::ShapeError;
use super::gguf::{Metadata, Number};
use super::shape::Shape;

/// The shape by the answer of `/api/show`, with weights of `weights_bytes`.
///
/// # Errors
/// See [`ShapeError`].
pub fn shape(answer: &str, weights_bytes: u64) -> Result<Shape, ShapeError> {
    let answer: Value = serde_json::from_str(answer).map_err(|_| ShapeError::NotJson)?;
    let info = answer
        .get("model_info")
        .and_then(Value::as_object)
        .ok_or(ShapeError::Missing("model_info"))?;
    let mut metadata = Metadata::default();
    for (key, value) in info {
        match value {
            Value::String(text) => metadata.text(key, text),
            Value::Number(number) => {
                if let Some(number) = number.as_u64() {
                    metadata.number(key, Number::One(number));
                }
            }
            Value::Array(items) => {
                let numbers = items.iter().map(|item| match item {
                    Value::Bool(truth) => Some(u64::from(*truth)),
                    other => other.as_u64(),
                });
                if let Some(numbers) = numbers.collect::<Option<Vec<u64>>>() {
                    metadata.number(key, Number::Each(numbers));
                }
            }
            Value::Null | Value::Bool(_) | Value::Object(_) => {}
        }
    }
    metadata.shape(weights_bytes)
}

/// The size in bytes of the model `name` in an answer of `/api/tags` or `/api/ps` (key `size`).
#[must_use]
pub fn size_of(list: &str, name: &str) -> Option<u64> {
    let list: Value = serde_json::from_str(list).ok()?;
    let models = list.get("models")?.as_array()?;
    let named = |wanted: &str| {
        models.iter().find(|model| {
            ["name", "model"]
                .iter()
                .any(|key| model.get(key).and_then(Value::as_str) == Some(wanted))
        })
    };
    let model = named(name).or_else(|| named(&format!("{name}:latest")))?;
    model.get("size")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MIB;

    #[test]
    fn ollamas_answer_gives_the_same_shape_as_the_file() {
        let answer = r#"{"details":{"format":"gguf"},"model_info":{"general.architecture":"gemma3","gemma3.block_count":12,
            "gemma3.embedding_length":640,"gemma3.feed_forward_length":2560,"gemma3.attention.head_count":4,
            "gemma3.attention.head_count_kv":2,"gemma3.attention.key_length":256,"gemma3.attention.value_length":256,
            "gemma3.attention.sliding_window":512,"gemma3.context_length":8192,"gemma3.vocab_size":2048,
            "tokenizer.ggml.tokens":null}}"#;
        let read = shape(answer, 168 * MIB).unwrap();
        // 2 full and 10 sliding layers of 2 × 2 × 256 × 2 bytes = 2 KiB a token.
        assert_eq!(read.cache_bytes(4_096, 0), 2_048 * (2 * 4_096 + 10 * 512));
        assert_eq!(read.weights_bytes, 168 * MIB);
    }

    #[test]
    fn arrays_a_layer_are_read_too() {
        let answer = r#"{"model_info":{"general.architecture":"gemma4","gemma4.block_count":3,"gemma4.embedding_length":64,
            "gemma4.attention.head_count":4,"gemma4.attention.head_count_kv":[2,2,1],"gemma4.attention.key_length":32,
            "gemma4.attention.key_length_swa":16,"gemma4.attention.value_length":32,"gemma4.attention.value_length_swa":16,
            "gemma4.attention.sliding_window":8,"gemma4.attention.sliding_window_pattern":[true,true,false]}}"#;
        let read = shape(answer, 0).unwrap();
        let bytes = 2 * (2 * 2 * 16) * 8 + (32 + 32) * 100;
        assert_eq!(read.cache_bytes(100, 0), 2 * bytes);
    }

    #[test]
    fn sizes_are_found_with_and_without_the_tag() {
        let list = r#"{"models":[{"name":"gemma:latest","model":"gemma:latest","size":7}]}"#;
        assert_eq!(size_of(list, "gemma"), Some(7));
        assert_eq!(size_of(list, "gemma:latest"), Some(7));
        assert_eq!(size_of(list, "other"), None);
    }
}
