//! The bytes of an audio file, seekable, counted, with false lengths in a WAV header corrected.
//!
//! Used by the decoder on its caller's thread.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSource;

use super::edits::{self, Edit};
use super::{DecodeError, Input};

/// Opens the input and says what its name hints at.
pub(super) fn open(input: Input<'_>) -> Result<(Source, Hint), DecodeError> {
    let mut hint = Hint::new();
    let (path, opened) = match input {
        Input::File(path) => {
            if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
                hint.with_extension(extension);
            }
            (path, open_file(path))
        }
        Input::Bytes(name, bytes) => (Path::new(name), Ok(in_memory(bytes))),
    };
    let source = opened.and_then(|(mut inner, length)| {
        let mut head = Vec::new();
        inner.by_ref().take(HEAD).read_to_end(&mut head)?;
        inner.rewind()?;
        let patches = wav_length_patches(&head, length);
        let edit = match head.get(4..8) {
            Some(b"ftyp") => edits::of_mp4(&mut inner, length).unwrap_or_default(),
            _ => Edit::default(),
        };
        let done = Arc::default();
        Ok(Source {
            inner,
            edit,
            length,
            at: 0,
            done,
            patches,
        })
    });
    let source = source.map_err(|reason| DecodeError::Unreadable {
        path: path.to_owned(),
        reason,
    })?;
    Ok((source, hint))
}

type Opened = (Box<dyn ReadSeek>, u64);

fn open_file(path: &Path) -> io::Result<Opened> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if meta.is_file() {
        return Ok((Box::new(file), meta.len()));
    }
    // A pipe (process substitution) cannot be rewound.
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(in_memory(bytes))
}

fn in_memory(bytes: Vec<u8>) -> Opened {
    let length = bytes.len() as u64;
    (Box::new(Cursor::new(bytes)), length)
}

/// Bytes in which the chunks before a WAV file's samples are looked for.
const HEAD: u64 = 4096;

/// Lengths in the header of a WAV file that are placeholders: they are read as "unknown" (all ones).
///
/// A program that writes to a pipe cannot know the length: espeak-ng writes 0x7ffff000, sox 0x7ffff024 or so, ffmpeg all
/// ones; a recorder that was killed leaves zeros.
fn wav_length_patches(head: &[u8], length: u64) -> Vec<(u64, [u8; 4])> {
    const UNKNOWN: [u8; 4] = [0xff; 4];
    const PLACEHOLDER: u32 = 0x7fff_0000;
    let number = |at: usize| {
        head.get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_le_bytes)
    };
    if !head.starts_with(b"RIFF") || head.get(8..12) != Some(b"WAVE") {
        return Vec::new();
    }
    let mut patches = Vec::new();
    if number(4).is_some_and(|declared| !(4..PLACEHOLDER).contains(&declared)) {
        patches.push((4, UNKNOWN));
    }
    let mut at = 12;
    while let (Some(tag), Some(size)) = (head.get(at..at + 4), number(at + 4)) {
        if tag == b"data" {
            let rest = length.saturating_sub(at as u64 + 8);
            if size >= PLACEHOLDER || (size == 0 && rest > 0) {
                patches.push((at as u64 + 4, UNKNOWN));
                patches.push((4, UNKNOWN));
            }
            break;
        }
        at += 8 + size as usize + size as usize % 2;
    }
    patches
}

trait ReadSeek: Read + Seek + Send + Sync {}
impl<T: Read + Seek + Send + Sync> ReadSeek for T {}

/// The bytes of the input with the patches laid over them; counts what has been read.
pub(super) struct Source {
    inner: Box<dyn ReadSeek>,
    /// Which part of the decoded audio is heard.
    pub(super) edit: Edit,
    /// In all.
    pub(super) length: u64,
    at: u64,
    /// The farthest byte that has been read.
    pub(super) done: Arc<AtomicU64>,
    patches: Vec<(u64, [u8; 4])>,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for (start, bytes) in &self.patches {
            for (offset, byte) in (*start..).zip(bytes) {
                if (self.at..self.at + read as u64).contains(&offset) {
                    buffer[(offset - self.at) as usize] = *byte;
                }
            }
        }
        self.at += read as u64;
        self.done.fetch_max(self.at, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.inner.seek(to)?;
        Ok(self.at)
    }
}

impl MediaSource for Source {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_lengths_are_found() {
        let wav = |riff: u32, data: u32| {
            let mut head = b"RIFF".to_vec();
            head.extend(riff.to_le_bytes());
            head.extend(b"WAVEfmt \x10\0\0\0");
            head.extend([0; 16]);
            head.extend(b"data");
            head.extend(data.to_le_bytes());
            head
        };
        assert_eq!(wav_length_patches(&wav(136, 100), 144), []);
        assert_eq!(
            wav_length_patches(&wav(0x7fff_f024, 0x7fff_f000), 144).len(),
            3
        );
        assert_eq!(wav_length_patches(&wav(0, 0), 144).len(), 3);
        assert_eq!(wav_length_patches(b"RIFF", 4), []);
    }
}
