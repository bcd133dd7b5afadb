//! Reads the structure of a Whisper model file before the C++ loader sees it.
//!
//! whisper.cpp trusts its input: a truncated file is read as zeros, a wrong type index stops the process, and a file
//! without tensors loads as an "empty model for testing". So every header, length and tensor is walked here first (only
//! headers are read, weights are skipped: a few milliseconds), and what is wrong is said in words. Called once a load,
//! from the thread that loads.

use std::io::{self, Read, Seek, SeekFrom};

/// What the header of a model file says, as far as the transcriber needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Whether the vocabulary has language tokens; without them the model knows English only.
    pub multilingual: bool,
    /// Whether whisper.cpp lets the model give times: it forces them off for models with two decoder layers, which it
    /// takes for early distilled ones (our starter is such a model by its shape).
    pub timestamps: bool,
}

/// Walks the file and returns its shape.
///
/// # Errors
/// A phrase for "the speech model … cannot be loaded: …": what the file is instead, or where it is damaged.
pub fn inspect(file: &mut (impl Read + Seek)) -> Result<Shape, String> {
    let length = file
        .seek(SeekFrom::End(0))
        .map_err(|error| error.to_string())?;
    file.seek(SeekFrom::Start(0))
        .map_err(|error| error.to_string())?;
    let mut walk = Walk {
        file,
        at: 0,
        length,
    };
    walk.magic()?;
    let header = walk.header()?;
    walk.filters(&header)?;
    walk.vocabulary(&header)?;
    walk.tensors(&header)?;
    Ok(Shape {
        multilingual: header.vocabulary >= MULTILINGUAL_VOCABULARY,
        timestamps: header.text_layers != 2 || header.vocabulary == V3_VOCABULARY,
    })
}

/// Vocabulary of the first multilingual models; English-only ones have one entry less.
const MULTILINGUAL_VOCABULARY: u32 = 51_865;
/// Vocabulary of large-v3 and large-v3-turbo.
const V3_VOCABULARY: u32 = 51_866;

const NOT_A_WHISPER_HEADER: &str =
    "its header does not describe a Whisper model; it is damaged or of another kind";

struct Header {
    vocabulary: u32,
    audio_layers: u32,
    text_layers: u32,
    mels: u32,
}

struct Walk<'a, F> {
    file: &'a mut F,
    at: u64,
    length: u64,
}

impl<F: Read + Seek> Walk<'_, F> {
    fn magic(&mut self) -> Result<(), String> {
        if self.length == 0 {
            return Err("the file is empty".to_owned());
        }
        let mut start = [0_u8; 64];
        let read = read_up_to(self.file, &mut start).map_err(|error| error.to_string())?;
        self.file
            .seek(SeekFrom::Start(4))
            .map_err(|error| error.to_string())?;
        self.at = 4;
        if start[..read].starts_with(b"lmgg") {
            return Ok(());
        }
        Err(what_it_is_instead(&start[..read]).to_owned())
    }

    fn header(&mut self) -> Result<Header, String> {
        let [
            vocabulary,
            audio_positions,
            audio_state,
            audio_heads,
            audio_layers,
        ] = self.numbers()?;
        let [
            text_positions,
            text_state,
            text_heads,
            text_layers,
            mels,
            kind,
        ] = self.numbers()?;
        let plausible = (51_864..=V3_VOCABULARY).contains(&vocabulary)
            && audio_positions == 1500
            && text_positions == 448
            && (64..=2048).contains(&audio_state)
            && text_state == audio_state
            && (1..=64).contains(&audio_heads)
            && audio_state.is_multiple_of(audio_heads)
            && text_heads == audio_heads
            && [4, 6, 12, 24, 32].contains(&audio_layers)
            && (1..=32).contains(&text_layers)
            && [80, 128].contains(&mels)
            && kind % 1000 <= 20;
        if !plausible {
            return Err(NOT_A_WHISPER_HEADER.to_owned());
        }
        Ok(Header {
            vocabulary,
            audio_layers,
            text_layers,
            mels,
        })
    }

    fn filters(&mut self, header: &Header) -> Result<(), String> {
        let [mels, bins] = self.numbers()?;
        if mels != header.mels || bins != 201 {
            return Err(self.damaged("the mel filters"));
        }
        self.skip(u64::from(mels) * u64::from(bins) * 4)
    }

    fn vocabulary(&mut self, header: &Header) -> Result<(), String> {
        let [words] = self.numbers()?;
        if words == 0 || words > header.vocabulary {
            return Err(self.damaged("the vocabulary"));
        }
        for _ in 0..words {
            let [bytes] = self.numbers()?;
            if bytes > 512 {
                return Err(self.damaged("the vocabulary"));
            }
            self.skip(u64::from(bytes))?;
        }
        Ok(())
    }

    fn tensors(&mut self, header: &Header) -> Result<(), String> {
        // The counts are those of the architecture: 11 single tensors, 15 an encoder layer, 24 a decoder layer.
        let expected = 11 + 15 * header.audio_layers + 24 * header.text_layers;
        for _ in 0..expected {
            self.tensor()?;
        }
        if self.at != self.length {
            return Err(format!(
                "{} unexpected bytes follow its last tensor",
                self.length - self.at
            ));
        }
        Ok(())
    }

    fn tensor(&mut self) -> Result<(), String> {
        let [dimensions, name, kind] = self.numbers()?;
        if !(1..=3).contains(&dimensions) || !(1..=128).contains(&name) {
            return Err(self.damaged("a tensor"));
        }
        let mut elements = 1_u64;
        for _ in 0..dimensions {
            let [size] = self.numbers()?;
            elements = elements.saturating_mul(u64::from(size));
        }
        let bytes = tensor_bytes(kind, elements).ok_or_else(|| self.damaged("a tensor"))?;
        self.skip(u64::from(name))?;
        self.skip(bytes)
    }

    fn numbers<const N: usize>(&mut self) -> Result<[u32; N], String> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            let mut bytes = [0; 4];
            self.room(4)?;
            self.file
                .read_exact(&mut bytes)
                .map_err(|error| error.to_string())?;
            self.at += 4;
            *number = u32::from_le_bytes(bytes);
        }
        Ok(numbers)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), String> {
        self.room(bytes)?;
        let offset = i64::try_from(bytes).map_err(|_| self.damaged("a length"))?;
        self.file
            .seek_relative(offset)
            .map_err(|error| error.to_string())?;
        self.at += bytes;
        Ok(())
    }

    fn room(&self, bytes: u64) -> Result<(), String> {
        if self.at.saturating_add(bytes) > self.length {
            return Err(format!(
                "it is cut off: it ends at byte {} in the middle of its data",
                self.length
            ));
        }
        Ok(())
    }

    fn damaged(&self, what: &str) -> String {
        format!("{what} near byte {} is damaged", self.at)
    }
}

/// Bytes of a tensor of ggml's type number `kind`, `None` for a type that Whisper models do not use.
///
/// Numbers and block sizes are those of the file format (`ggml_type`): elements a block, bytes a block.
fn tensor_bytes(kind: u32, elements: u64) -> Option<u64> {
    let (block, bytes) = match kind {
        0 => (1, 4),
        1 => (1, 2),
        2 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        10 => (256, 84),
        11 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        _ => return None,
    };
    (elements > 0 && elements.is_multiple_of(block))
        .then(|| (elements / block).saturating_mul(bytes))
}

fn what_it_is_instead(start: &[u8]) -> &'static str {
    if start.starts_with(b"GGUF") {
        "it is a GGUF file (a language model); speech models are in whisper.cpp's ggml format"
    } else if start.starts_with(b"version https://git-lfs") {
        "it is a git-lfs pointer, not the model; run: git lfs pull"
    } else if start.starts_with(b"PK") {
        "it is a PyTorch or zip archive; speech models are in whisper.cpp's ggml format"
    } else if start.trim_ascii_start().starts_with(b"<") {
        "it is a web page, not a model; the download went wrong"
    } else {
        "it is not a Whisper model in whisper.cpp's ggml format"
    }
}

fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn refused(bytes: &[u8]) -> String {
        inspect(&mut Cursor::new(bytes)).expect_err("this is no model")
    }

    #[test]
    fn what_is_no_model_is_named() {
        let cases: [(&[u8], &str); 6] = [
            (b"", "empty"),
            (b"GGUF\x03\0\0\0", "GGUF"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "git lfs pull",
            ),
            (b"\n<!DOCTYPE html><html>", "web page"),
            (b"PK\x03\x04", "PyTorch"),
            (b"RIFF....WAVE", "not a Whisper model"),
        ];
        for (bytes, expected) in cases {
            let reason = refused(bytes);
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn a_magic_with_nothing_behind_it_is_cut_off() {
        assert!(refused(b"lmgg").contains("cut off"));
    }

    #[test]
    fn a_header_of_zeros_is_not_a_whisper_model() {
        let mut bytes = b"lmgg".to_vec();
        bytes.extend([0; 100]);
        assert!(refused(&bytes).contains("does not describe"));
    }

    #[test]
    fn sizes_of_tensors_follow_the_block_formats() {
        assert_eq!(tensor_bytes(0, 10), Some(40));
        assert_eq!(tensor_bytes(1, 10), Some(20));
        assert_eq!(tensor_bytes(8, 64), Some(68));
        assert_eq!(tensor_bytes(8, 33), None);
        assert_eq!(tensor_bytes(4, 32), None);
    }
}
