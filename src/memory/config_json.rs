//! A model's shape from the files of its folder: `config.json` and `model.safetensors.index.json`.
//!
//! Core: text in, [`Shape`] out. Knows the spellings of the families that mlx_lm serves: layer types by name, by a pattern
//! ("each sixth is full"), shared caches, compressed (latent) attention, linear attention. A layer that cannot be told is
//! taken for a full one, so that a plan errs on the side of too much.

use serde_json::Value;

use super::shape::{Layers, Remembers, Shape};

/// Why there is no shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// It is not JSON. The download is damaged: get it again.
    #[error("it is not JSON")]
    NotJson,
    /// A value without which nothing can be computed. It is no decoder of text, or of a new kind.
    #[error("it says nothing about {0}")]
    Missing(&'static str),
}

/// The shape by `config.json`, with weights of `weights_bytes` (the sum of the files, see [`total_size`]).
///
/// # Errors
/// See [`ShapeError`].
pub fn shape(config: &str, weights_bytes: u64) -> Result<Shape, ShapeError> {
    let whole: Value = serde_json::from_str(config).map_err(|_| ShapeError::NotJson)?;
    // Models that also see or hear keep their text part apart.
    let text = whole.get("text_config").filter(|text| text.is_object());
    let config = Config {
        text: text.unwrap_or(&whole),
        whole: &whole,
    };
    let layers = config
        .number("num_hidden_layers")
        .ok_or(ShapeError::Missing("num_hidden_layers"))?;
    let query_heads = config
        .number("num_attention_heads")
        .ok_or(ShapeError::Missing("num_attention_heads"))?;
    let hidden = config
        .number("hidden_size")
        .ok_or(ShapeError::Missing("hidden_size"))?;
    let head = config
        .number("head_dim")
        .unwrap_or(hidden / query_heads.max(1));
    let widest = config.number("global_head_dim").unwrap_or(0).max(head);
    Ok(Shape {
        weights_bytes,
        layers: config.layers(layers, query_heads, head),
        element_bytes: config.element_bytes(),
        hidden,
        inner: config.inner(hidden),
        query_heads,
        head: widest,
        vocabulary: config.number("vocab_size").unwrap_or(32_000),
        max_context: config.number("max_position_embeddings").unwrap_or(4_096),
    })
}

/// The bytes of all tensors by `model.safetensors.index.json`.
#[must_use]
pub fn total_size(index: &str) -> Option<u64> {
    let index: Value = serde_json::from_str(index).ok()?;
    index.pointer("/metadata/total_size")?.as_u64()
}

struct Config<'a> {
    text: &'a Value,
    whole: &'a Value,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Full,
    Sliding,
    Linear,
}

impl Config<'_> {
    fn number(&self, key: &str) -> Option<u64> {
        self.text.get(key)?.as_u64()
    }

    /// The cache has the type of the activations; of quantised weights that is the type named here all the same.
    fn element_bytes(&self) -> u64 {
        let named = ["dtype", "torch_dtype"]
            .iter()
            .find_map(|key| self.text.get(key).or_else(|| self.whole.get(key)))
            .and_then(Value::as_str);
        if named == Some("float32") { 4 } else { 2 }
    }

    /// Width inside the feed-forward part for one token: the dense part, and the experts that it visits.
    fn inner(&self, hidden: u64) -> u64 {
        let dense = self.number("intermediate_size").unwrap_or(4 * hidden);
        let expert = self
            .number("moe_intermediate_size")
            .or_else(|| self.number("expert_intermediate_size"));
        let visited = [
            "num_experts_per_tok",
            "top_k_experts",
            "num_experts_per_token",
        ]
        .iter()
        .find_map(|key| self.number(key));
        dense + expert.unwrap_or(0) * visited.unwrap_or(0)
    }

    fn layers(&self, count: u64, query_heads: u64, head: u64) -> Vec<Layers> {
        // The last ones may use the cache of an earlier layer.
        let shared = self.number("num_kv_shared_layers").unwrap_or(0).min(count);
        let own = count - shared;
        let kinds: Vec<Kind> = (0..own).map(|layer| self.kind(layer)).collect();
        let many = |kind| kinds.iter().filter(|other| **other == kind).count() as u64;
        let heads = self.number("num_key_value_heads").unwrap_or(query_heads);
        let global_heads = self.number("num_global_key_value_heads").unwrap_or(heads);
        let global_head = self.number("global_head_dim").unwrap_or(head);
        let window = self.number("sliding_window").unwrap_or(0);
        let full = match self.latent() {
            Some(elements) => elements,
            None if many(Kind::Sliding) > 0 => 2 * global_heads * global_head,
            None => 2 * heads * head,
        };
        [
            (Kind::Full, Remembers::Every { elements: full }),
            (
                Kind::Sliding,
                Remembers::Window {
                    elements: 2 * heads * head,
                    window,
                },
            ),
            (
                Kind::Linear,
                Remembers::State {
                    elements: self.linear_state(),
                },
            ),
        ]
        .into_iter()
        .map(|(kind, remembers)| Layers {
            count: many(kind),
            remembers,
        })
        .filter(|layers| layers.count > 0)
        .collect()
    }

    fn kind(&self, layer: u64) -> Kind {
        let named = self.text.get("layer_types").and_then(Value::as_array);
        let named = named.and_then(|types| types.get(usize::try_from(layer).ok()?)?.as_str());
        if let Some(named) = named {
            return match named {
                "sliding_attention" if self.number("sliding_window").is_some() => Kind::Sliding,
                "linear_attention" | "mamba" | "recurrent" => Kind::Linear,
                _ => Kind::Full,
            };
        }
        if let Some(interval) = self.number("full_attention_interval").filter(|n| *n > 0) {
            return if (layer + 1).is_multiple_of(interval) {
                Kind::Full
            } else {
                Kind::Linear
            };
        }
        let pattern = self.number("sliding_window_pattern").or_else(|| {
            let family = self.text.get("model_type").and_then(Value::as_str);
            // These leave it to the code: one layer in six is full.
            matches!(
                family,
                Some("gemma3_text" | "gemma3" | "gemma4_text" | "gemma4")
            )
            .then_some(6)
        });
        match (pattern, self.number("sliding_window")) {
            (Some(pattern), Some(_)) if pattern > 0 && !(layer + 1).is_multiple_of(pattern) => {
                Kind::Sliding
            }
            _ => Kind::Full,
        }
    }

    /// Compressed attention keeps one latent vector and the positional part of the key.
    fn latent(&self) -> Option<u64> {
        Some(self.number("kv_lora_rank")? + self.number("qk_rope_head_dim").unwrap_or(0))
    }

    /// The state of a gated delta layer: a matrix a value head, and the convolution's last inputs.
    fn linear_state(&self) -> u64 {
        let number = |key| self.number(key).unwrap_or(0);
        let keys = number("linear_num_key_heads") * number("linear_key_head_dim");
        let values = number("linear_num_value_heads") * number("linear_value_head_dim");
        let kernel = number("linear_conv_kernel_dim").saturating_sub(1);
        values * number("linear_key_head_dim") + kernel * (2 * keys + values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MIB;

    /// The configuration of Gemma 4 26B-A4B in the spelling of its repository, cut to what counts.
    const GEMMA: &str = r#"{"architectures":["Gemma4ForConditionalGeneration"],"dtype":"bfloat16","text_config":{
        "model_type":"gemma4_text","num_hidden_layers":30,"hidden_size":2816,"num_attention_heads":16,
        "num_key_value_heads":8,"num_global_key_value_heads":2,"head_dim":256,"global_head_dim":512,
        "sliding_window":1024,"intermediate_size":2112,"moe_intermediate_size":704,"top_k_experts":8,
        "num_experts":128,"vocab_size":262144,"max_position_embeddings":262144,"num_kv_shared_layers":0}}"#;

    #[test]
    fn gemmas_configuration_gives_the_shape_that_was_measured() {
        let read = shape(GEMMA, 17).unwrap();
        assert_eq!(read, Shape::gemma_26b_a4b(17));
        assert_eq!(read.cache_bytes(32_768, 0), 840 * MIB);
    }

    #[test]
    fn layer_types_by_name_win_over_any_pattern() {
        let config = r#"{"num_hidden_layers":4,"hidden_size":64,"num_attention_heads":4,"num_key_value_heads":2,
            "sliding_window":8,"sliding_window_pattern":2,
            "layer_types":["full_attention","sliding_attention","full_attention","full_attention"]}"#;
        let read = shape(config, 0).unwrap();
        let counts: Vec<u64> = read.layers.iter().map(|layers| layers.count).collect();
        assert_eq!(counts, [3, 1]);
        // 2 (keys and values) × 2 heads × 16 wide × 2 bytes = 128 bytes a token.
        assert_eq!(read.cache_bytes(100, 0), 128 * (3 * 100 + 8));
    }

    #[test]
    fn a_plain_model_has_only_full_layers_even_if_it_names_a_window_that_it_does_not_use() {
        let config = r#"{"num_hidden_layers":28,"hidden_size":1024,"num_attention_heads":16,"num_key_value_heads":8,
            "head_dim":128,"sliding_window":32768,"use_sliding_window":false,"torch_dtype":"float32"}"#;
        let read = shape(config, 0).unwrap();
        assert_eq!(read.cache_bytes(1_000, 0), 28 * 2 * 8 * 128 * 4 * 1_000);
    }

    #[test]
    fn latent_and_linear_attention_are_counted_by_what_they_keep() {
        let latent = r#"{"num_hidden_layers":2,"hidden_size":64,"num_attention_heads":4,"kv_lora_rank":512,"qk_rope_head_dim":64}"#;
        assert_eq!(
            shape(latent, 0).unwrap().cache_bytes(10, 0),
            2 * 576 * 2 * 10
        );
        let linear = r#"{"num_hidden_layers":4,"hidden_size":64,"num_attention_heads":4,"num_key_value_heads":1,"head_dim":16,
            "full_attention_interval":4,"linear_num_key_heads":2,"linear_key_head_dim":8,"linear_num_value_heads":4,
            "linear_value_head_dim":8,"linear_conv_kernel_dim":4}"#;
        let read = shape(linear, 0).unwrap();
        let state = 4 * (32 * 8 + 3 * (2 * 16 + 32));
        assert_eq!(read.cache_bytes(0, 0), 3 * state);
        assert_eq!(read.cache_bytes(10, 0), 3 * state + 10 * 2 * 16 * 2);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(shape("{", 0), Err(ShapeError::NotJson));
        assert_eq!(
            shape("{}", 0),
            Err(ShapeError::Missing("num_hidden_layers"))
        );
        assert_eq!(total_size(r#"{"metadata":{"total_size":12}}"#), Some(12));
    }
}
