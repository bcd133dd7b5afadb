//! Bytes to lines, whatever the cuts: the part that [`super::sse`] and [`super::ndjson`] share.
//!
//! Core: owned by one decoder, fed by whoever reads the socket. It holds at most [`MAX_LINE_BYTES`] of an unfinished line,
//! so that a server which never ends its line cannot fill the memory. A line ends in LF, CRLF or CR; bytes that are not
//! UTF-8 become U+FFFD, for one broken character is no reason to lose a reply. What the lines mean is left to the callers.

/// The longest line that is accepted, in bytes. The longest honest one is a whole tool call; 1 MiB is a thousand times that.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// A line, or the data of one event, passed [`MAX_LINE_BYTES`]. Give the stream up: what follows cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line of more than {MAX_LINE_BYTES} bytes")]
pub struct LineTooLong;

/// Splits a byte stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// A CR ended the last line: an LF that follows belongs to it, even in the next piece.
    after_cr: bool,
}

impl Lines {
    /// Takes the next piece of the stream and appends the lines that it completes to `lines`, without their endings.
    ///
    /// # Errors
    /// [`LineTooLong`]; the lines before the long one have been appended.
    pub fn push(&mut self, bytes: &[u8], lines: &mut Vec<String>) -> Result<(), LineTooLong> {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, end) = (&rest[..at], rest[at]);
            rest = &rest[at + 1..];
            let is_tail_of_crlf = end == b'\n' && self.after_cr && line.is_empty();
            self.after_cr = end == b'\r';
            if is_tail_of_crlf && self.buffer.is_empty() {
                continue;
            }
            self.hold(line)?;
            lines.push(self.take());
        }
        if !rest.is_empty() {
            self.after_cr = false;
            self.hold(rest)?;
        }
        Ok(())
    }

    /// The stream has ended: the unfinished line, if there is one.
    pub fn finish(&mut self) -> Option<String> {
        (!self.buffer.is_empty()).then(|| self.take())
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), LineTooLong> {
        if self.buffer.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(LineTooLong);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn take(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.buffer).into_owned();
        self.buffer.clear();
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut lines) = (Lines::default(), Vec::new());
        for piece in pieces {
            splitter.push(piece, &mut lines).expect("short lines");
        }
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn every_ending_ends_one_line_and_blank_lines_stay() {
        assert_eq!(
            split(&[b"a\nb\r\nc\rd\n\n\r\n\re"]),
            ["a", "b", "c", "d", "", "", "", "e"]
        );
    }

    #[test]
    fn a_crlf_cut_in_two_is_still_one_ending() {
        assert_eq!(split(&[b"a\r", b"\nb\r", b"c"]), ["a", "b", "c"]);
        assert_eq!(split(&[b"a\r", b"\n", b"\n", b"b"]), ["a", "", "b"]);
    }

    #[test]
    fn a_character_cut_in_two_is_whole_and_a_broken_one_is_replaced() {
        assert_eq!(split(&["é".as_bytes().split_at(1).0, b"\xa9\n"]), ["é"]);
        assert_eq!(split(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let (mut splitter, mut lines) = (Lines::default(), Vec::new());
        let half = vec![b'x'; MAX_LINE_BYTES / 2];
        assert_eq!(splitter.push(&half, &mut lines), Ok(()));
        assert_eq!(splitter.push(&half, &mut lines), Ok(()));
        assert_eq!(splitter.push(b"y", &mut lines), Err(LineTooLong));
    }
}
