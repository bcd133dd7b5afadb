//! Embeddings, where the backend has them.
//!
//! Edge. They come from the resident model, for no other one is loaded; mlx_lm.server has none. An embedding takes a place at
//! the model like a reply, and is short, so it does not give way.

use serde_json::{Map, Value, json};

use super::Shared;
use super::admission::Class;
use super::ask::object;
use super::failure::Failure;
use crate::llm::LlmError;
use crate::llm::dialect::Dialect;

/// Where a request for embeddings came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbedPath {
    /// `/v1/embeddings`.
    OpenAi,
    /// `/api/embed`.
    Ollama,
    /// `/api/embeddings`, of older clients: one text, one vector.
    OllamaOld,
}

impl EmbedPath {
    /// The client's language.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::OpenAi => Dialect::OpenAi,
            Self::Ollama | Self::OllamaOld => Dialect::Ollama,
        }
    }
}

impl Shared {
    /// Answers a request for embeddings.
    pub(super) async fn embed(
        &self,
        path: EmbedPath,
        bytes: &[u8],
        class: Class,
    ) -> Result<Value, Failure> {
        let body = object(bytes)?;
        let input = match path {
            EmbedPath::OllamaOld => body.get("prompt"),
            _ => body.get("input"),
        };
        let is_text = |value: &Value| value.is_string();
        let is_good = input.is_some_and(|input| {
            is_text(input)
                || input
                    .as_array()
                    .is_some_and(|list| !list.is_empty() && list.iter().all(is_text))
        });
        let Some(input) = input.filter(|_| is_good) else {
            return Err(Failure::bad("the input must be a text or a list of texts"));
        };
        let backend = self.resident.get().await?;
        if backend.needs_limit() {
            return Err(Failure::unsupported(
                "mlx_lm.server, which is resident, has no embeddings; use Ollama for them",
            ));
        }
        let mut request = Map::new();
        request.insert("input".to_owned(), input.clone());
        for key in ["dimensions", "truncate"] {
            if let Some(value) = body.get(key) {
                request.insert(key.to_owned(), value.clone());
            }
        }
        let _ticket = self.gate.admit(class).await?;
        let where_to = match backend.dialect() {
            Dialect::OpenAi => "/embeddings",
            Dialect::Ollama => "/api/embed",
        };
        let answered = async {
            backend.own(&mut request).await?;
            backend.whole(where_to, &request).await
        };
        let answer = answered.await.map_err(|error| match error {
            LlmError::Refused {
                status: 404 | 405 | 501,
                message,
            } => Failure::unsupported(format!("the backend has no embeddings: {message}")),
            other => other.into(),
        })?;
        let (vectors, tokens) = vectors(&answer, backend.dialect());
        Ok(written(path, vectors, tokens))
    }
}

fn vectors(answer: &Value, backend: Dialect) -> (Vec<Value>, u64) {
    match backend {
        Dialect::Ollama => (
            answer["embeddings"].as_array().cloned().unwrap_or_default(),
            answer["prompt_eval_count"].as_u64().unwrap_or(0),
        ),
        Dialect::OpenAi => {
            let data = answer["data"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            let vectors = data
                .iter()
                .map(|entry| entry["embedding"].clone())
                .collect();
            (
                vectors,
                answer["usage"]["prompt_tokens"].as_u64().unwrap_or(0),
            )
        }
    }
}

fn written(path: EmbedPath, vectors: Vec<Value>, tokens: u64) -> Value {
    let model = super::catalogue::MODEL;
    match path {
        EmbedPath::Ollama => {
            json!({"model": model, "embeddings": vectors, "prompt_eval_count": tokens})
        }
        EmbedPath::OllamaOld => json!({"embedding": vectors.into_iter().next()}),
        EmbedPath::OpenAi => {
            let data: Vec<Value> = vectors
                .into_iter()
                .enumerate()
                .map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": vector}))
                .collect();
            json!({
                "object": "list", "data": data, "model": model,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            })
        }
    }
}
