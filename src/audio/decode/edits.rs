//! The edit list of an MP4 file: which part of the decoded audio is meant to be heard.
//!
//! AAC encoders put 1024 to 2112 samples of silence in front and fill up the last packet; the container says so in an edit
//! list, which symphonia does not read. Used by the decoder on its caller's thread. Anything unusual (several edits, a
//! malformed box) is taken as "no edit": then a moment of silence stays, which harms nobody.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

/// The heard part of a track, in seconds of its decoded audio.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Edit {
    /// Before it.
    pub(super) skip: f64,
    /// Its length; `None` for all that follows.
    pub(super) keep: Option<f64>,
}

/// Counts decoded frames and tells which of a block are heard.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trim {
    edit: Edit,
    seen: u64,
}

impl Trim {
    pub(super) fn new(edit: Edit) -> Self {
        Self { edit, seen: 0 }
    }

    /// The heard frames of the next `frames` decoded ones.
    pub(super) fn next(&mut self, frames: usize, rate: u32) -> Range<usize> {
        let rate = f64::from(rate);
        let first = (self.edit.skip * rate).round() as u64;
        let last = self.edit.keep.map_or(u64::MAX, |keep| {
            first.saturating_add((keep * rate).round() as u64)
        });
        let within = |at: u64| {
            usize::try_from(at.saturating_sub(self.seen)).map_or(frames, |at| at.min(frames))
        };
        let heard = within(first)..within(last);
        self.seen += frames as u64;
        heard
    }
}

/// Reads the edit of the first audio track; leaves the reader at its start.
pub(super) fn of_mp4(file: &mut (impl Read + Seek + ?Sized), length: u64) -> Option<Edit> {
    let movie = movie_box(file, length);
    file.rewind().ok()?;
    edit_of(&movie?)
}

/// The content of the top-level `moov` box.
fn movie_box(file: &mut (impl Read + Seek + ?Sized), length: u64) -> Option<Vec<u8>> {
    const LARGEST: u64 = 32 << 20;
    let mut at = 0;
    while at + 8 <= length {
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at)).ok()?;
        file.read_exact(&mut head[..8]).ok()?;
        let (header, size) = match u32::from_be_bytes(head[..4].try_into().ok()?) {
            0 => (8, length - at),
            1 => {
                file.read_exact(&mut head[8..]).ok()?;
                (16, u64::from_be_bytes(head[8..].try_into().ok()?))
            }
            size => (8, u64::from(size)),
        };
        let content = size.checked_sub(header)?;
        if &head[4..8] == b"moov" && content <= LARGEST {
            let mut movie = Vec::new();
            file.take(content).read_to_end(&mut movie).ok()?;
            return Some(movie);
        }
        at = at.checked_add(size)?;
    }
    None
}

fn edit_of(movie: &[u8]) -> Option<Edit> {
    let movie_scale = time_scale(find(movie, b"mvhd")?)?;
    let is_sound = |track: &&[u8]| {
        let handler = find(track, b"mdia").and_then(|media| find(media, b"hdlr"));
        handler.and_then(|handler| handler.get(8..12)) == Some(b"soun")
    };
    let track = boxes(movie)
        .filter(|(kind, _)| kind == b"trak")
        .map(|(_, content)| content)
        .find(is_sound)?;
    let media_scale = time_scale(find(find(track, b"mdia")?, b"mdhd")?)?;
    let (duration, media_time) = only_edit(find(find(track, b"edts")?, b"elst")?)?;
    Some(Edit {
        skip: media_time as f64 / f64::from(media_scale),
        keep: (duration > 0).then(|| duration as f64 / f64::from(movie_scale)),
    })
}

/// Duration (in the movie's scale) and start (in the media's) of the edit, if there is exactly one that plays something.
fn only_edit(list: &[u8]) -> Option<(u64, u64)> {
    let wide = *list.first()? == 1;
    let entries = list.get(8..)?.chunks_exact(if wide { 20 } else { 12 });
    let mut edits = entries.filter_map(|entry| {
        let (duration, start) = if wide {
            (
                u64::from_be_bytes(entry[..8].try_into().ok()?),
                i64::from_be_bytes(entry[8..16].try_into().ok()?),
            )
        } else {
            let (duration, start) = (number(entry, 0)?, number(entry, 4)?);
            (u64::from(duration), i64::from(start.cast_signed()))
        };
        // A start of −1 is a pause before the sound.
        u64::try_from(start).ok().map(|start| (duration, start))
    });
    let edit = edits.next()?;
    edits.next().is_none().then_some(edit)
}

/// The units a second of `mvhd` and `mdhd`, which begin alike.
fn time_scale(header: &[u8]) -> Option<u32> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    number(header, at).filter(|scale| *scale > 0)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn find<'a>(content: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(content)
        .find(|(kind, _)| kind == wanted)
        .map(|(_, content)| content)
}

/// The boxes within a box's content, by type.
fn boxes(content: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let size = number(rest, 0)? as usize;
        let kind = rest.get(4..8)?.try_into().ok()?;
        let inner = rest.get(8..size)?;
        rest = &rest[size..];
        Some((kind, inner))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trim_spans_blocks() {
        let mut trim = Trim::new(Edit {
            skip: 0.15,
            keep: Some(0.2),
        });
        let heard: Vec<_> = (0..5).map(|_| trim.next(100, 1_000)).collect();
        assert_eq!(heard, [100..100, 50..100, 0..100, 0..50, 0..0]);
        assert_eq!(Trim::default().next(7, 1_000), 0..7);
    }

    #[test]
    fn malformed_boxes_are_no_edit() {
        for bytes in [
            &b""[..],
            b"\0\0\0\x08moov",
            b"\0\0\0\x01moov\0\0\0\0\0\0\0\0",
            b"\xff\xff\xff\xffmoov",
            b"\0\0\0\0moovabc",
        ] {
            let mut file = std::io::Cursor::new(bytes);
            assert_eq!(of_mp4(&mut file, bytes.len() as u64), None);
        }
    }
}
