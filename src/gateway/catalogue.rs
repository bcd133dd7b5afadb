//! The models as clients see them: one, by our name.
//!
//! Edge: asks the backend what it holds, in short questions. A client may name any model (editors insist on their own
//! names); it gets the resident one, and no name is ever passed on, because another name would load another model. Beside
//! `hark` the resident's own name is listed, the last part only: a path is nobody's business.

use serde_json::{Value, json};

use super::Shared;
use super::failure::Failure;
use crate::llm::dialect::Dialect;
use crate::llm::upstream::Upstream;

/// The resident model's public name.
pub const MODEL: &str = "hark";

/// The version of Ollama's dialect that this is, for clients that look at it.
pub const OLLAMA_VERSION: &str = "0.32.0";

impl Shared {
    /// The public names: ours, and the resident's own where it is known and says something.
    async fn names(&self) -> Vec<String> {
        let mut names = vec![MODEL.to_owned()];
        if let Ok(backend) = self.resident.now().await
            && let Some(model) = backend.resident_model().await
        {
            let last = model.rsplit('/').next().unwrap_or_default();
            if !last.is_empty() && last != MODEL && last != "default_model" {
                names.push(last.to_owned());
            }
        }
        names
    }

    /// `/v1/models`.
    pub(super) async fn openai_models(&self) -> Value {
        let created = crate::platform::clock::wall().timestamp().as_second();
        let data: Vec<Value> = self
            .names()
            .await
            .iter()
            .map(|name| openai_model(name, created))
            .collect();
        json!({"object": "list", "data": data})
    }

    /// `/v1/models/NAME`: whatever is named, the resident one answers.
    pub(super) async fn openai_model(&self, name: &str) -> Result<Value, Failure> {
        let created = crate::platform::clock::wall().timestamp().as_second();
        let known = self.names().await.iter().any(|known| known == name);
        if known {
            return Ok(openai_model(name, created));
        }
        Err(Failure::new(
            404,
            "invalid_request_error",
            "model_not_found",
            "there is one model here, `hark`; requests may use any name and get it",
        ))
    }

    /// `/api/tags`.
    pub(super) async fn ollama_tags(&self) -> Value {
        let about = self.about().await;
        let models: Vec<Value> = self
            .names()
            .await
            .iter()
            .map(|name| {
                let name = tagged(name);
                json!({
                    "name": name, "model": name, "modified_at": about.modified_at, "size": about.size,
                    "digest": about.digest, "details": about.details, "capabilities": about.capabilities,
                })
            })
            .collect();
        json!({"models": models})
    }

    /// `/api/ps`: the resident model is always loaded as far as clients are concerned, and stays.
    pub(super) async fn ollama_ps(&self) -> Value {
        let Ok(backend) = self.resident.now().await else {
            return json!({"models": []});
        };
        let about = self.about().await;
        let name = tagged(MODEL);
        json!({"models": [{
            "name": name, "model": name, "size": about.size, "size_vram": about.size_vram,
            "digest": about.digest, "details": about.details,
            "expires_at": "2318-01-01T00:00:00Z",
            "context_length": backend.context(),
        }]})
    }

    /// `/api/show`: the context is the one that every request gets, not the model's largest.
    pub(super) async fn ollama_show(&self) -> Result<Value, Failure> {
        let backend = self.resident.now().await?;
        let mut shown = match backend.show().await {
            Some(shown) => shown,
            None => {
                let about = self.about().await;
                json!({
                    "modelfile": "", "parameters": "", "template": "{{ .Prompt }}",
                    "details": about.details, "capabilities": about.capabilities,
                    "model_info": {"general.architecture": "hark", "general.name": MODEL},
                })
            }
        };
        if let (Some(context), Some(info)) =
            (backend.context(), shown["model_info"].as_object_mut())
        {
            let architecture = info
                .get("general.architecture")
                .and_then(Value::as_str)
                .unwrap_or("hark")
                .to_owned();
            let key = format!("{architecture}.context_length");
            let largest = info.get(&key).and_then(Value::as_u64).unwrap_or(u64::MAX);
            info.insert(key, json!(largest.min(u64::from(context))));
        }
        // Files of the machine.
        for key in ["modelfile", "license"] {
            if let Some(shown) = shown.as_object_mut() {
                shown.shift_remove(key);
            }
        }
        Ok(shown)
    }

    async fn about(&self) -> About {
        let unknown = About::default();
        let Ok(backend) = self.resident.now().await else {
            return unknown;
        };
        match backend.dialect() {
            Dialect::OpenAi => unknown,
            Dialect::Ollama => about_ollama(&backend).await.unwrap_or(unknown),
        }
    }
}

/// What a list of Ollama's dialect tells of a model.
struct About {
    modified_at: Value,
    size: u64,
    size_vram: u64,
    digest: Value,
    details: Value,
    capabilities: Value,
}

impl Default for About {
    fn default() -> Self {
        Self {
            modified_at: json!("2026-01-01T00:00:00Z"),
            size: 0,
            size_vram: 0,
            digest: json!(""),
            details: json!({
                "parent_model": "", "format": "", "family": "hark", "families": ["hark"],
                "parameter_size": "", "quantization_level": "",
            }),
            capabilities: json!(["completion", "tools"]),
        }
    }
}

async fn about_ollama(backend: &Upstream) -> Option<About> {
    let model = backend.resident_model().await?;
    let of = |list: &str| {
        let list: Value = serde_json::from_str(list).ok()?;
        let models = list["models"].as_array()?.clone();
        models
            .into_iter()
            .find(|entry| entry["name"] == model.as_str())
    };
    let (_, tags) = backend.get("/api/tags").await.ok()?;
    let entry = of(&tags)?;
    let loaded = backend
        .get("/api/ps")
        .await
        .ok()
        .and_then(|(_, ps)| of(&ps));
    let size = |entry: &Value, key: &str| entry[key].as_u64().unwrap_or(0);
    let otherwise = About::default();
    Some(About {
        modified_at: entry["modified_at"].clone(),
        size: loaded
            .as_ref()
            .map_or_else(|| size(&entry, "size"), |loaded| size(loaded, "size")),
        size_vram: loaded
            .as_ref()
            .map_or(0, |loaded| size(loaded, "size_vram")),
        digest: entry["digest"].clone(),
        details: entry["details"].clone(),
        capabilities: match &entry["capabilities"] {
            Value::Null => otherwise.capabilities,
            known => known.clone(),
        },
    })
}

fn openai_model(name: &str, created: i64) -> Value {
    json!({"id": name, "object": "model", "created": created, "owned_by": "hark"})
}

/// As Ollama writes a name that has no tag.
fn tagged(name: &str) -> String {
    if name.contains(':') {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}
