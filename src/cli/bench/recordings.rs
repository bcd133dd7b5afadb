//! Recordings with what is said in them, from a folder.
//!
//! Either a `manifest.csv` lists them (columns `file` and `text`, optional `category` and `text_kind`), or each sound file has
//! a text file of the same name beside it. Files are only decoded when they are used.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::audio::decode::{Input, decode_mono};
use crate::cli::failure::Failure;

/// What the text of a recording is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every word that is said.
    Verbatim,
    /// A name for what is heard; there is no speech.
    NoSpeech,
    /// Something else (slots, one keyword, nothing): no transcript to compare with.
    Other,
}

/// One recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The sound file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What the text is.
    pub kind: Kind,
    /// The set that it belongs to: the manifest's category, else the folder's name.
    pub set: String,
}

impl Recording {
    /// The sound, mono, 16 kHz. What is damaged is used as far as it goes.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn samples(&self) -> anyhow::Result<Vec<f32>> {
        Ok(decode_mono(Input::File(&self.path), &mut |_| {})?.samples)
    }
}

/// The recordings of `folder` that have texts, in the order of the manifest or of their names.
///
/// # Errors
/// There are none, or the manifest cannot be read.
pub fn with_texts(folder: &Path) -> anyhow::Result<Vec<Recording>> {
    let manifest = folder.join("manifest.csv");
    let found = if manifest.is_file() {
        listed(folder, &manifest)?
    } else {
        let mut found = Vec::new();
        for path in sounds(folder)? {
            if let Ok(text) = std::fs::read_to_string(path.with_extension("txt")) {
                found.push(beside(path, text.trim().to_owned()));
            }
        }
        found
    };
    if found.is_empty() {
        let next = "give it a manifest.csv with the columns file and text, or put a .txt beside each sound file";
        let message = format!("{} holds no recordings with texts", folder.display());
        return Err(Failure::usage(message, next).into());
    }
    Ok(found)
}

/// All sound files below `folder` (or the one file that it is), sorted.
///
/// # Errors
/// The folder cannot be read, or holds none.
pub fn sounds(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if folder.is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = Vec::new();
    collect(folder, &mut found)?;
    found.sort();
    if found.is_empty() {
        let message = format!("{} holds no sound files", folder.display());
        let next = format!(
            "name a folder with files that end in {}",
            ENDINGS.join(", ")
        );
        return Err(Failure::usage(message, next).into());
    }
    Ok(found)
}

/// A sound file of which nothing is said.
#[must_use]
pub fn untitled(path: PathBuf) -> Recording {
    beside(path, String::new())
}

const ENDINGS: &[&str] = &["wav", "flac", "mp3", "m4a", "ogg", "aiff"];

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|reason| {
        let message = format!("cannot read {}: {reason}", folder.display());
        Failure::usage(message, "name a folder with sound files")
    })?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|ending| {
            ENDINGS.contains(&ending.to_string_lossy().to_lowercase().as_str())
        }) {
            found.push(path);
        }
    }
    Ok(())
}

fn beside(path: PathBuf, text: String) -> Recording {
    let set = path
        .parent()
        .and_then(Path::file_name)
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let kind = if text.is_empty() {
        Kind::NoSpeech
    } else {
        Kind::Verbatim
    };
    Recording {
        path,
        text,
        kind,
        set,
    }
}

fn listed(folder: &Path, manifest: &Path) -> anyhow::Result<Vec<Recording>> {
    let text = std::fs::read_to_string(manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let header = rows.headers()?.clone();
    let column = |name: &str| header.iter().position(|column| column == name);
    let (Some(file), Some(text)) = (column("file"), column("text")) else {
        let message = format!("{} has no columns file and text", manifest.display());
        return Err(Failure::usage(message, "name the columns in its first line").into());
    };
    let (category, kind) = (column("category"), column("text_kind"));
    let mut found = Vec::new();
    for row in rows.records() {
        let row = row.with_context(|| format!("{} is no CSV file", manifest.display()))?;
        let field = |at: Option<usize>| at.and_then(|at| row.get(at)).unwrap_or("").to_owned();
        let mut recording = beside(folder.join(field(Some(file))), field(Some(text)));
        if category.is_some() {
            recording.set = field(category);
        }
        match field(kind).as_str() {
            "" | "verbatim" => {}
            "label" => recording.kind = Kind::NoSpeech,
            _ => recording.kind = Kind::Other,
        }
        found.push(recording);
    }
    Ok(found)
}
