//! The table of speech models, compiled in from `models/manifest.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

/// One model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
    /// By which users call it.
    pub name: String,
    /// The name of its file.
    pub file: String,
    /// The exact size of the file, where it is known for certain.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// The rounded size of the file.
    pub about_bytes: u64,
    /// What it takes while loaded, work buffers included.
    pub memory_bytes: u64,
    /// SHA-256 of the file, hexadecimal, where it is known.
    #[serde(default)]
    pub sha256: Option<String>,
    /// SPDX identifier.
    pub licence: String,
    /// What it understands.
    pub languages: Languages,
    /// Order of quality: higher is better.
    pub rank: u32,
    /// Whether it comes with Hark.
    #[serde(default)]
    pub bundled: bool,
    /// One line for the list.
    #[serde(default)]
    pub note: Option<String>,
}

impl ModelInfo {
    /// The exact size, else the rounded one.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.unwrap_or(self.about_bytes)
    }
}

/// What a model understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Languages {
    /// English only.
    #[serde(rename = "en")]
    English,
    /// About 99 languages.
    #[serde(rename = "many")]
    Many,
}

/// All models, in the order of the file.
#[must_use]
pub fn all() -> &'static [ModelInfo] {
    &MANIFEST.model
}

/// The model called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static ModelInfo> {
    all().iter().find(|model| model.name == name)
}

/// The folder on the network that holds the public models' files.
#[must_use]
pub fn source() -> &'static str {
    &MANIFEST.source
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    source: String,
    model: Vec<ModelInfo>,
}

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    toml::from_str(include_str!("../../models/manifest.toml"))
        .expect("the manifest is valid; a test reads it")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_manifest_makes_sense() {
        assert!(source().starts_with("https://") && !source().ends_with('/'));
        for model in all() {
            let name = &model.name;
            assert_eq!(
                all().iter().filter(|other| other.name == *name).count(),
                1,
                "{name} twice"
            );
            assert_eq!(
                all()
                    .iter()
                    .filter(|other| other.rank == model.rank)
                    .count(),
                1,
                "rank of {name} twice"
            );
            assert!(model.memory_bytes > model.size(), "{name}");
            assert!(
                model
                    .bytes
                    .is_none_or(|bytes| bytes.abs_diff(model.about_bytes) < bytes / 50),
                "{name}"
            );
            assert!(!model.file.contains(['/', '\\']), "{name}");
            assert_eq!(model.licence, "MIT", "{name}");
            let hash = model
                .sha256
                .as_deref()
                .unwrap_or("0".repeat(64).as_str())
                .to_owned();
            assert!(
                hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
                "{name}"
            );
            assert_eq!(
                model.name.contains(".en"),
                model.languages == Languages::English,
                "{name}"
            );
        }
    }

    #[test]
    fn the_starter_is_the_only_bundled_model() {
        let bundled: Vec<_> = all()
            .iter()
            .filter(|model| model.bundled)
            .map(|model| &model.name)
            .collect();
        assert_eq!(bundled, [super::super::STARTER]);
    }
}
