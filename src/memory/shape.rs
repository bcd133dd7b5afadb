//! What a language model takes by its own shapes: its weights, and its key-value cache for so many tokens.
//!
//! Core. The readers ([`super::config_json`], [`super::gguf`], [`super::show`]) make a [`Shape`]; [`super::plan`] uses it. A
//! cache is counted layer by layer, because in today's models most layers look only at a sliding window: for Gemma 4 26B
//! that is 840 MiB at 32,768 tokens where the naive product says 14 GiB (measured with mlx_lm's own cache classes:
//! 20 KiB a token and 200 MiB).

/// The layers of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// How many.
    pub count: u64,
    /// What each remembers.
    pub remembers: Remembers,
}

/// What a layer remembers of the tokens before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remembers {
    /// So many elements for every token.
    Every {
        /// Elements (not bytes) a token: keys and values of all heads.
        elements: u64,
    },
    /// So many elements for each of the last `window` tokens.
    Window {
        /// Elements a token.
        elements: u64,
        /// Tokens of the window.
        window: u64,
    },
    /// A state whose size does not depend on the tokens (linear attention).
    State {
        /// Its elements, four bytes each.
        elements: u64,
    },
}

/// A language model, as far as its memory goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of its weights.
    pub weights_bytes: u64,
    /// Its layers by kind.
    pub layers: Vec<Layers>,
    /// Bytes of one element of the cache: 2 for f16 and bf16.
    pub element_bytes: u64,
    /// Width of the hidden state.
    pub hidden: u64,
    /// Width inside the feed-forward part; of a mixture, of all experts that one token uses, together with the dense part.
    pub inner: u64,
    /// Query heads.
    pub query_heads: u64,
    /// The widest head.
    pub head: u64,
    /// Entries of the vocabulary.
    pub vocabulary: u64,
    /// The longest context that it was made for, in tokens.
    pub max_context: u64,
}

impl Shape {
    /// Bytes of the cache after `tokens`, where a sliding layer keeps `extra` tokens beyond its window: none while
    /// decoding in MLX, a batch in llama.cpp.
    #[must_use]
    pub fn cache_bytes(&self, tokens: u64, extra: u64) -> u64 {
        let layers = self.layers.iter();
        layers
            .map(|layers| {
                let each = match layers.remembers {
                    Remembers::Every { elements } => elements * tokens * self.element_bytes,
                    Remembers::Window { elements, window } => {
                        elements * tokens.min(window + extra) * self.element_bytes
                    }
                    Remembers::State { elements } => elements * 4,
                };
                layers.count * each
            })
            .sum()
    }

    /// Bytes that the sliding layers hold when their window is full: what a checkpoint of llama.cpp copies.
    #[must_use]
    pub fn window_bytes(&self, tokens: u64) -> u64 {
        let layers = self.layers.iter();
        layers
            .map(|layers| match layers.remembers {
                Remembers::Window { elements, window } => {
                    layers.count * elements * tokens.min(window) * self.element_bytes
                }
                Remembers::State { elements } => layers.count * elements * 4,
                Remembers::Every { .. } => 0,
            })
            .sum()
    }

    /// The cache in words: how many layers of which kind.
    #[must_use]
    pub fn cache_in_words(&self) -> String {
        let parts: Vec<String> = self
            .layers
            .iter()
            .map(|layers| match layers.remembers {
                Remembers::Every { elements } => format!(
                    "{} full layers × {} B a token",
                    layers.count,
                    elements * self.element_bytes
                ),
                Remembers::Window { elements, window } => format!(
                    "{} sliding layers × {} B × the last {window} tokens",
                    layers.count,
                    elements * self.element_bytes
                ),
                Remembers::State { elements } => format!(
                    "{} layers with a state of {} KiB",
                    layers.count,
                    elements * 4 / 1024
                ),
            })
            .collect();
        parts.join(", ")
    }

    /// Gemma 4 26B-A4B with weights of so many bytes. The shapes are those of its published configuration: 30 layers of
    /// which each sixth is full (2 heads of 512, keys and values cached apart), the others with a window of 1,024 (8 heads
    /// of 256), 8 of 128 experts of 704 beside 2,112 dense.
    #[must_use]
    pub fn gemma_26b_a4b(weights_bytes: u64) -> Self {
        Self {
            weights_bytes,
            layers: vec![
                Layers {
                    count: 5,
                    remembers: Remembers::Every {
                        elements: 2 * 2 * 512,
                    },
                },
                Layers {
                    count: 25,
                    remembers: Remembers::Window {
                        elements: 2 * 8 * 256,
                        window: 1_024,
                    },
                },
            ],
            element_bytes: 2,
            hidden: 2_816,
            inner: 2_112 + 8 * 704,
            query_heads: 16,
            head: 512,
            vocabulary: 262_144,
            max_context: 262_144,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MIB;

    /// The table of the measured cache sizes, MiB at thousands of tokens.
    #[test]
    fn the_cache_of_gemma_is_what_was_measured_with_the_real_cache_classes() {
        let gemma = Shape::gemma_26b_a4b(0);
        for (thousands, mib) in [
            (4, 280),
            (8, 360),
            (16, 520),
            (32, 840),
            (64, 1_480),
            (128, 2_760),
            (256, 5_320),
        ] {
            assert_eq!(
                gemma.cache_bytes(thousands * 1024, 0),
                mib * MIB,
                "{thousands}k"
            );
        }
    }

    #[test]
    fn during_prefill_the_sliding_layers_hold_a_step_more() {
        let gemma = Shape::gemma_26b_a4b(0);
        let sliding = |step| gemma.cache_bytes(8_192, step) - gemma.cache_bytes(8_192, 0);
        assert_eq!(sliding(512), 100 * MIB);
        assert_eq!(sliding(2_048), 400 * MIB);
        assert_eq!(gemma.window_bytes(30_000), 200 * MIB);
    }
}
