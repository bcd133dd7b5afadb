//! The sound of questions, kept beside the log where the user has switched that on.
//!
//! One WAV file a turn (16 kHz, mono, 16 bits; 32 kB a second), `audio/NUMBER.wav` in the folder of the log, 0600 in 0700.
//! The number of a turn is never given twice, so the name is the link. Written on the store thread after the turn itself is
//! safe; deleted with its turn (`sweep`, called by `forget` and by retention), or earlier by its own retention. Secrets
//! cannot be blotted out of sound.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};

use super::files;
use super::record::RecordId;
use crate::time::SAMPLE_RATE;

/// Where the sound of turn `id` lies, if it is kept, for the log at `log`.
#[must_use]
pub fn path(log: &Path, id: RecordId) -> PathBuf {
    folder(log).join(format!("{id}.wav"))
}

/// The sound of turn `id`, where there is one.
#[must_use]
pub fn find(log: &Path, id: RecordId) -> Option<PathBuf> {
    Some(path(log, id)).filter(|path| path.is_file())
}

/// The folder of the sounds.
#[must_use]
pub fn folder(log: &Path) -> PathBuf {
    log.with_file_name("audio")
}

/// Keeps the sound of a turn that is recorded. It appears whole or not at all.
///
/// # Errors
/// The disk's; the turn itself is not touched by it.
pub fn write(log: &Path, id: RecordId, samples: &[f32]) -> io::Result<()> {
    let path = path(log, id);
    files::make_private_folder(&folder(log))?;
    let fresh = path.with_extension("part");
    let kept = encode(&fresh, samples).and_then(|()| std::fs::rename(&fresh, &path));
    if kept.is_err()
        && let Err(error) = std::fs::remove_file(&fresh)
    {
        tracing::debug!(%error, "half a sound was left behind; it is removed with its turn");
    }
    kept
}

fn encode(path: &Path, samples: &[f32]) -> io::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let file = io::BufWriter::new(files::create_private(path)?);
    let mut writer = hound::WavWriter::new(file, spec).map_err(plain)?;
    for sample in samples {
        let value = (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16;
        writer.write_sample(value).map_err(plain)?;
    }
    writer.finalize().map_err(plain)
}

fn plain(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// Deletes every sound whose turn is not in the log any more, or began before `before_ms`; how many.
///
/// # Errors
/// The first that could not be deleted or looked up; the others are gone.
pub(super) fn sweep(connection: &Connection, log: &Path, before_ms: i64) -> io::Result<usize> {
    let folder = folder(log);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut deleted = 0;
    let mut trouble = None;
    for entry in entries {
        let path = entry?.path();
        // Whatever else lies there is not ours.
        let Some(id) = number(&path) else { continue };
        let began = connection
            .prepare_cached("SELECT began_ms FROM turns WHERE id = ?1")
            .and_then(|mut find| find.query_row([id], |row| row.get::<_, i64>(0)).optional())
            .map_err(io::Error::other)?;
        if began.is_some_and(|began| began >= before_ms) {
            continue;
        }
        match std::fs::remove_file(&path) {
            Ok(()) => deleted += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    trouble.map_or(Ok(deleted), Err)
}

/// The turn whose sound (or half a sound) this is.
fn number(path: &Path) -> Option<i64> {
    let ours = path
        .extension()
        .is_some_and(|extension| extension == "wav" || extension == "part");
    let id: i64 = path.file_stem()?.to_str()?.parse().ok()?;
    (ours && id > 0).then_some(id)
}
