//! Takes thinking out of a reply's text: some servers leave `<think>…</think>` in the content even when told not to think.
//!
//! Core: owned by one decoder, applied to every dialect. The marks may be split over any number of pieces, so a piece that
//! could be the beginning of a mark is held back until it is decided; nothing else is delayed. What stood between the marks
//! is given out as thinking, never as text; white space after a closing mark is dropped with it. A closing mark without an
//! opening one (templates that open the thinking themselves) is dropped: what came before it has been spoken already.

/// A piece of a reply after the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text of the answer.
    Text(String),
    /// Text of the thinking.
    Thinking(String),
}

/// Opening and closing marks: Qwen, DeepSeek and their kin; others that imitate them; Gemma 4.
const MARKS: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<|channel>thought", "<channel|>"),
];

/// The filter's place within one reply.
#[derive(Debug, Default)]
pub struct ThinkFilter {
    /// Not yet given out: it may be the beginning of a mark.
    held: String,
    /// Inside the thinking that this row of [`MARKS`] opened.
    inside: Option<usize>,
    /// A mark has just closed: white space is still part of it.
    after_mark: bool,
}

impl ThinkFilter {
    /// Takes the next piece of the content; appends what is decided to `out`.
    pub fn push(&mut self, text: &str, out: &mut Vec<Piece>) {
        self.held.push_str(text);
        while let Some(mark) = self.next_mark() {
            let before = self.held[..mark.start].to_owned();
            self.held.drain(..mark.end);
            self.emit(before, out);
            self.inside = mark.opens;
            self.after_mark = mark.opens.is_none();
        }
        let decided = self.held.len() - self.undecided();
        let text = self.held.drain(..decided).collect();
        self.emit(text, out);
    }

    /// The reply has ended: what was held back was no mark after all.
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        let text = std::mem::take(&mut self.held);
        self.emit(text, out);
    }

    /// The first whole mark in what is held, by its place.
    fn next_mark(&self) -> Option<Mark> {
        let open = |row: usize| (MARKS[row].0, Some(row));
        let close = |row: usize| (MARKS[row].1, None);
        let rows = 0..MARKS.len();
        let candidates: Vec<_> = match self.inside {
            Some(row) => vec![close(row)],
            None => rows.clone().map(open).chain(rows.map(close)).collect(),
        };
        candidates
            .into_iter()
            .filter_map(|(text, opens)| {
                let start = self.held.find(text)?;
                Some(Mark {
                    start,
                    end: start + text.len(),
                    opens,
                })
            })
            .min_by_key(|mark| mark.start)
    }

    /// Bytes at the end of what is held that may yet become a mark.
    fn undecided(&self) -> usize {
        let of = |mark: &str| {
            (1..mark.len())
                .rev()
                .find(|length| self.held.ends_with(&mark[..*length]))
                .unwrap_or(0)
        };
        match self.inside {
            Some(row) => of(MARKS[row].1),
            None => MARKS
                .iter()
                .map(|(open, close)| of(open).max(of(close)))
                .max()
                .unwrap_or(0),
        }
    }

    fn emit(&mut self, text: String, out: &mut Vec<Piece>) {
        if self.inside.is_some() {
            if !text.is_empty() {
                out.push(Piece::Thinking(text));
            }
            return;
        }
        let text = if self.after_mark {
            text.trim_start().to_owned()
        } else {
            text
        };
        if !text.is_empty() {
            self.after_mark = false;
            out.push(Piece::Text(text));
        }
    }
}

/// A whole mark that was found.
struct Mark {
    start: usize,
    end: usize,
    /// The row of [`MARKS`] whose thinking it opens; `None` for a closing mark.
    opens: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text and the thinking, each joined.
    fn filter(pieces: &[&str]) -> (String, String) {
        let (mut filter, mut out) = (ThinkFilter::default(), Vec::new());
        for piece in pieces {
            filter.push(piece, &mut out);
        }
        filter.finish(&mut out);
        let (mut text, mut thinking) = (String::new(), String::new());
        for piece in out {
            match piece {
                Piece::Text(part) => text.push_str(&part),
                Piece::Thinking(part) => thinking.push_str(&part),
            }
        }
        (text, thinking)
    }

    fn pair(text: &str, thinking: &str) -> (String, String) {
        (text.to_owned(), thinking.to_owned())
    }

    #[test]
    fn thinking_is_taken_out_whatever_the_cuts() {
        let reply =
            "<think>Is it <b>2 < 3</b>? né</think>\n\nYes, 2 < 3. <thinking>hm</thinking> Né.";
        let expected = pair("Yes, 2 < 3. Né.", "Is it <b>2 < 3</b>? néhm");
        for first in (0..=reply.len()).filter(|at| reply.is_char_boundary(*at)) {
            for second in (first..=reply.len()).filter(|at| reply.is_char_boundary(*at)) {
                let pieces = [&reply[..first], &reply[first..second], &reply[second..]];
                assert_eq!(filter(&pieces), expected, "cut at {first} and {second}");
            }
        }
        let letters: Vec<String> = reply.chars().map(String::from).collect();
        assert_eq!(
            filter(&letters.iter().map(String::as_str).collect::<Vec<_>>()),
            expected
        );
    }

    #[test]
    fn an_empty_channel_leaves_nothing_and_an_unclosed_one_swallows_the_rest() {
        assert_eq!(
            filter(&["<|channel>thought\n<channel|>Hello"]),
            pair("Hello", "\n")
        );
        assert_eq!(
            filter(&["<think>never", " closed</thi"]),
            pair("", "never closed</thi")
        );
    }

    #[test]
    fn a_closing_mark_alone_is_dropped() {
        assert_eq!(filter(&["</th", "ink>\n", " Hello"]), pair("Hello", ""));
    }

    #[test]
    fn text_that_only_looks_like_a_mark_is_text_and_ordinary_text_is_not_delayed() {
        assert_eq!(
            filter(&["a <th", "ree> b <thi"]),
            pair("a <three> b <thi", "")
        );
        let (mut filter, mut out) = (ThinkFilter::default(), Vec::new());
        filter.push("Hello", &mut out);
        assert_eq!(out, [Piece::Text("Hello".to_owned())]);
    }
}
