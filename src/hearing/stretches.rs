//! Where somebody speaks in a recording.
//!
//! Called by commands that read whole files, on their own thread; blocks for about 0.5 % of the recording's length. The same
//! voice activity and segmenter as at a microphone cut it, so that a file with several questions becomes several utterances:
//! a small speech model that was taught single utterances loses words when it is given more at once.

use std::ops::Range;

use super::Vad;
use super::segment::{SegmentEvent, SegmentSettings, Segmenter};
use crate::flow::Frame;
use crate::time::{FRAME_SAMPLES, SAMPLE_RATE, SamplePos};

/// The stretches of `samples` (mono, 16 kHz) in which somebody speaks, each with some room before and after it; empty where
/// nobody does. `vad` must not have heard anything yet.
pub fn stretches(samples: &[f32], vad: &mut dyn Vad) -> Vec<Range<usize>> {
    let mut segmenter = Segmenter::new(SegmentSettings {
        end_silence: PAUSE,
        ..SegmentSettings::default()
    });
    let mut events = Vec::new();
    let mut frame = Frame {
        at: SamplePos(0),
        samples: [0.0; FRAME_SAMPLES],
    };
    for chunk in samples.chunks(FRAME_SAMPLES) {
        frame.samples[..chunk.len()].copy_from_slice(chunk);
        frame.samples[chunk.len()..].fill(0.0);
        let probability = vad.probability(&frame.samples);
        segmenter.push(&frame, probability, 0, &mut events);
        frame.at = frame.at.plus(FRAME_SAMPLES as u64);
    }
    segmenter.finish(&mut events);
    let place = |pos: SamplePos| {
        usize::try_from(pos.0)
            .unwrap_or(usize::MAX)
            .min(samples.len())
    };
    let found = events.into_iter().filter_map(|event| match event {
        SegmentEvent::Utterance(utterance) => {
            Some(place(utterance.span.start)..place(utterance.span.end))
        }
        _ => None,
    });
    found.filter(|range| !range.is_empty()).collect()
}

/// A silence of 0.7 s lies between two utterances: people who read aloud pause for less at a comma.
const PAUSE: u64 = SAMPLE_RATE as u64 * 7 / 10;
