//! Writes segments as SRT or WebVTT.
//!
//! Core: values in, text out. Called by `hark transcribe` only.

use std::fmt::Write as _;
use std::time::Duration;

use super::Segment;

/// SubRip: numbered, with a comma before the milliseconds.
#[must_use]
pub fn srt(segments: &[Segment]) -> String {
    let mut out = String::new();
    for (index, segment) in segments.iter().enumerate() {
        let (start, end) = (clock(segment.start, ','), clock(segment.end, ','));
        write!(
            out,
            "{}\n{start} --> {end}\n{}\n\n",
            index + 1,
            line(segment.text.as_str())
        )
        .expect(INFALLIBLE);
    }
    out
}

/// WebVTT: a header, a point before the milliseconds, and the three characters escaped that its syntax uses.
#[must_use]
pub fn vtt(segments: &[Segment]) -> String {
    let mut out = "WEBVTT\n\n".to_owned();
    for segment in segments {
        let (start, end) = (clock(segment.start, '.'), clock(segment.end, '.'));
        let text = line(segment.text.as_str())
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        write!(out, "{start} --> {end}\n{text}\n\n").expect(INFALLIBLE);
    }
    out
}

const INFALLIBLE: &str = "writing to a string cannot fail";

/// One line: an empty line would end the subtitle.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn clock(at: Duration, point: char) -> String {
    let ms = at.as_millis();
    format!(
        "{:02}:{:02}:{:02}{point}{:03}",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1_000 % 60,
        ms % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start_ms: u64, end_ms: u64, text: &str) -> Segment {
        let (start, end) = (
            Duration::from_millis(start_ms),
            Duration::from_millis(end_ms),
        );
        Segment {
            start,
            end,
            text: text.into(),
            confidence: 0.9,
        }
    }

    #[test]
    fn srt_is_numbered_and_uses_commas() {
        let text = srt(&[
            segment(0, 1_500, "Hello."),
            segment(3_723_004, 3_724_000, "Late\n\nline."),
        ]);
        assert_eq!(
            text,
            "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n2\n01:02:03,004 --> 01:02:04,000\nLate line.\n\n"
        );
        assert_eq!(srt(&[]), "");
    }

    #[test]
    fn vtt_has_a_header_and_escapes() {
        assert_eq!(
            vtt(&[segment(20, 40, "a < b & c")]),
            "WEBVTT\n\n00:00:00.020 --> 00:00:00.040\na &lt; b &amp; c\n\n"
        );
        assert_eq!(vtt(&[]), "WEBVTT\n\n");
    }
}
