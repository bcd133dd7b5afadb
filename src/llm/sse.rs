//! Server-sent events: bytes in, events out, whatever the cuts.
//!
//! Core: owned by one decoder. Comments are given out, because mlx_lm.server tells its progress in them. An event at the
//! end of the stream without its blank line is given out too (some servers leave it away); whether the stream was complete
//! is told by its content, not here. Fields other than `data` (`event`, `id`, `retry`) mean nothing to the dialects that
//! Hark speaks and are skipped. Memory is bounded: a line, and the data of one event, by [`super::lines::MAX_LINE_BYTES`].

use super::lines::{LineTooLong, Lines, MAX_LINE_BYTES};

/// One thing in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SseEvent {
    /// A line that began with a colon, without it and the space after it.
    Comment(String),
    /// The data of one event; lines of the same event are joined by LF.
    Data(String),
}

/// Splits a byte stream into events.
#[derive(Debug, Default)]
pub struct SseParser {
    lines: Lines,
    /// The data of the event that is being read; `None` until its first `data` line, which may be empty.
    data: Option<String>,
    /// A byte order mark may stand before the first line only.
    begun: bool,
}

impl SseParser {
    /// Takes the next piece of the stream and appends the events that it completes to `events`.
    ///
    /// # Errors
    /// [`LineTooLong`]; the events before it have been appended.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), LineTooLong> {
        let mut lines = Vec::new();
        let split = self.lines.push(bytes, &mut lines);
        for line in lines {
            self.line(&line, events)?;
        }
        split
    }

    /// The stream has ended: what was unfinished is given out as it is.
    ///
    /// # Errors
    /// [`LineTooLong`].
    pub fn finish(&mut self, events: &mut Vec<SseEvent>) -> Result<(), LineTooLong> {
        if let Some(line) = self.lines.finish() {
            self.line(&line, events)?;
        }
        events.extend(self.data.take().map(SseEvent::Data));
        Ok(())
    }

    fn line(&mut self, line: &str, events: &mut Vec<SseEvent>) -> Result<(), LineTooLong> {
        let line = if self.begun {
            line
        } else {
            line.trim_start_matches('\u{feff}')
        };
        self.begun = true;
        if line.is_empty() {
            events.extend(self.data.take().map(SseEvent::Data));
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => events.push(SseEvent::Comment(value.to_owned())),
            "data" => self.add(value)?,
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, value: &str) -> Result<(), LineTooLong> {
        let Some(data) = &mut self.data else {
            self.data = Some(value.to_owned());
            return Ok(());
        };
        if data.len() + value.len() >= MAX_LINE_BYTES {
            return Err(LineTooLong);
        }
        data.push('\n');
        data.push_str(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let (mut parser, mut events) = (SseParser::default(), Vec::new());
        for piece in pieces {
            parser.push(piece, &mut events).expect("short lines");
        }
        parser.finish(&mut events).expect("short lines");
        events
    }

    fn data(text: &str) -> SseEvent {
        SseEvent::Data(text.to_owned())
    }

    fn comment(text: &str) -> SseEvent {
        SseEvent::Comment(text.to_owned())
    }

    #[test]
    fn events_survive_every_cut_into_three() {
        let text = "\u{feff}: keepalive 1/2\r\n\r\nevent: x\nid: 7\ndata: né\ndata:  two\n\ndata:\n\n:\ndata: [DONE]"
            .as_bytes();
        let expected = [
            comment("keepalive 1/2"),
            data("né\n two"),
            data(""),
            comment(""),
            data("[DONE]"),
        ];
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(parse(&pieces), expected, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn blank_lines_and_unknown_fields_alone_are_no_event() {
        assert_eq!(parse(&[b"\n\n\nretry: 3\n\nnonsense\n\n"]), []);
    }

    #[test]
    fn an_event_of_endless_lines_is_refused() {
        let (mut parser, mut events) = (SseParser::default(), Vec::new());
        let line = [b"data: ".as_slice(), &vec![b'x'; MAX_LINE_BYTES / 2], b"\n"].concat();
        assert_eq!(parser.push(&line, &mut events), Ok(()));
        assert_eq!(parser.push(&line, &mut events), Err(LineTooLong));
    }
}
