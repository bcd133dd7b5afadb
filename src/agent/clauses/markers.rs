//! The tags and tokens around what a model thinks or does, and what they switch to.
//!
//! Core. Called by the splitter at every character. Known are tags (`<think>` and its kin, `[THINK]`), the channels of
//! Gemma 4 (`<|channel>thought … <channel|>`) and of the harmony format (`<|channel|>analysis<|message|> … <|end|>`), and
//! in general every `<|token|>`, none of which is text.

use super::blocks::Block;

/// What the pending text belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Text for the user.
    #[default]
    Prose,
    /// A fenced block.
    Block(Block),
    /// Inside the tag with this index in [`TAGS`], until its end tag.
    Tag(usize),
    /// Inside a channel of Gemma's form, until `<channel|>`.
    Channel,
    /// Inside a message of a channel that is not for the user, until the message's end.
    Message,
    /// Between the start of a message and its text: role and channel names.
    Header {
        /// A channel was named that is not for the user.
        private: bool,
    },
}

/// A complete marker in the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// Its bytes.
    pub(super) len: usize,
    sense: Sense,
}

#[derive(Debug, PartialEq, Eq)]
enum Sense {
    TagStart(usize),
    TagEnd(usize),
    /// `<|channel>`
    ChannelStart,
    /// `<channel|>` and the like.
    ChannelEnd,
    /// `<|start|>`, `<|channel|>`: names follow.
    HeaderStart,
    /// `<|message|>`: the text follows.
    TextStart,
    /// `<|end|>` and the like.
    TextEnd,
    /// Any other token.
    Other,
}

/// What stands at a position.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// No marker.
    Nothing,
    /// Perhaps one, when more text is there.
    Unfinished,
    /// One.
    Found(Marker),
}

impl Mode {
    /// What holds after `text`, which had no marker, was given out in this mode.
    pub(super) fn after_text(self, text: &str) -> Self {
        match self {
            Self::Header { .. } if text.ends_with('\n') => Self::Prose,
            Self::Header { private } => Self::Header {
                private: private || PRIVATE_CHANNELS.iter().any(|name| text.contains(name)),
            },
            other => other,
        }
    }

    pub(super) fn after_marker(self, marker: &Marker) -> Self {
        match (self, &marker.sense) {
            (Self::Tag(open), Sense::TagEnd(closed)) if open == *closed => Self::Prose,
            (Self::Channel, Sense::ChannelEnd) => Self::Prose,
            (Self::Tag(_) | Self::Channel, _) => self,
            (_, Sense::TagStart(tag)) => Self::Tag(*tag),
            (_, Sense::ChannelStart) => Self::Channel,
            (_, Sense::HeaderStart) => Self::Header { private: false },
            (Self::Header { private: true }, Sense::TextStart) => Self::Message,
            (Self::Header { private: false }, Sense::TextStart) => Self::Prose,
            (_, Sense::TextEnd | Sense::ChannelEnd) => Self::Prose,
            (other, Sense::TagEnd(_) | Sense::TextStart | Sense::Other) => other,
        }
    }
}

/// Looks for a marker that starts at byte `at`.
pub(super) fn scan(text: &str, at: usize) -> Scan {
    let rest = &text[at..];
    // A marker that is written about stands in backticks.
    if text[..at].ends_with('`') {
        return Scan::Nothing;
    }
    if rest.starts_with('[') {
        return scan_brackets(rest);
    }
    if !rest.starts_with('<') {
        return Scan::Nothing;
    }
    for (offset, c) in rest.char_indices().skip(1).take(MARKER_CHARS) {
        match c {
            '>' => {
                return sense(&rest[1..offset]).map_or(Scan::Nothing, |sense| {
                    Scan::Found(Marker {
                        len: offset + 1,
                        sense,
                    })
                });
            }
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '|' | '/' => {}
            _ => return Scan::Nothing,
        }
    }
    if rest.chars().nth(MARKER_CHARS).is_some() {
        Scan::Nothing
    } else {
        Scan::Unfinished
    }
}

fn scan_brackets(rest: &str) -> Scan {
    for (word, sense) in [
        ("[THINK]", Sense::TagStart(BRACKET_TAG)),
        ("[/THINK]", Sense::TagEnd(BRACKET_TAG)),
    ] {
        if rest.starts_with(word) {
            return Scan::Found(Marker {
                len: word.len(),
                sense,
            });
        }
        if word.starts_with(rest) {
            return Scan::Unfinished;
        }
    }
    Scan::Nothing
}

fn sense(body: &str) -> Option<Sense> {
    let body = body.to_ascii_lowercase();
    if let Some(name) = body.strip_prefix('|') {
        return Some(match (name, name.strip_suffix('|')) {
            ("channel", _) => Sense::ChannelStart,
            (_, Some("channel" | "start" | "im_start" | "start_header_id")) => Sense::HeaderStart,
            (_, Some("message" | "end_header_id")) => Sense::TextStart,
            (_, Some("end" | "return" | "call" | "im_end" | "eot_id")) => Sense::TextEnd,
            _ => Sense::Other,
        });
    }
    if body.strip_suffix('|').is_some_and(|name| !name.is_empty()) {
        return Some(Sense::ChannelEnd);
    }
    match body.as_str() {
        "start_of_turn" => return Some(Sense::HeaderStart),
        "end_of_turn" | "eos" | "bos" => return Some(Sense::Other),
        _ => {}
    }
    let (name, end) = body
        .strip_prefix('/')
        .map_or((body.as_str(), false), |name| (name, true));
    let tag = TAGS.iter().position(|known| *known == name)?;
    Some(if end {
        Sense::TagEnd(tag)
    } else {
        Sense::TagStart(tag)
    })
}

/// Tags whose content is not for the user.
const TAGS: &[&str] = &[
    "think",
    "thinking",
    "thought",
    "reasoning",
    "reflection",
    "tool_call",
    "tool_response",
];

/// The index that stands for `[THINK]`, which no entry of [`TAGS`] has.
const BRACKET_TAG: usize = usize::MAX;

/// Channels of the harmony format whose text is not for the user.
const PRIVATE_CHANNELS: &[&str] = &["analysis", "commentary", "thought"];

/// The longest marker has fewer characters than this.
const MARKER_CHARS: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_and_comparisons_are_no_markers() {
        for text in ["<b>", "<br/>", "< 5", "<3 and", "[1]", "[link](x)"] {
            assert_eq!(scan(text, 0), Scan::Nothing, "{text}");
        }
    }

    #[test]
    fn the_beginning_of_a_marker_is_waited_for() {
        for text in ["<", "<th", "</thin", "<|chan", "<channel|", "[", "[/TH"] {
            assert_eq!(scan(text, 0), Scan::Unfinished, "{text}");
        }
    }
}
