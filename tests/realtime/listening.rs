//! What the listening thread does with each frame allocates nothing once its buffers have grown.

use hark::audio::Format;
use hark::hearing::Vad;
use hark::hearing::framer::Framer;
use hark::hearing::segment::{SegmentEvent, SegmentSettings, Segmenter};
use hark::hearing::vad::SileroVad;

use crate::guard::allocations_in;

#[test]
fn resampling_voice_activity_and_segmenting_allocate_nothing_in_silence_or_speech() {
    let format = Format {
        rate: 48_000,
        channels: 2,
    };
    let mut framer = Framer::new(format).unwrap();
    let mut vad = SileroVad::new().unwrap();
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events: Vec<SegmentEvent> = Vec::with_capacity(8);
    let silence = vec![0.0_f32; 1_920];
    let buzz: Vec<f32> = (0..1_920)
        .map(|n| if n % 300 < 20 { 0.4 } else { -0.02 })
        .collect();
    // One second lets the buffers grow; then silence, an open utterance of 8 s (its probability is set by the test, so that
    // the segmenter is in speech whatever the model thinks of a buzz), and silence again.
    for block in 0..600 {
        let speaking = (200..600).contains(&block);
        let input = if speaking { &buzz } else { &silence };
        let allocated = allocations_in(|| {
            framer.push(input, 0, |frame, filled| {
                let seen = vad.probability(&frame.samples);
                segmenter.push(
                    frame,
                    if speaking { 0.9 } else { seen.min(0.1) },
                    filled,
                    &mut events,
                );
            });
        });
        assert!(
            block < 50 || allocated == 0,
            "{allocated} allocations in block {block}"
        );
        events.clear();
    }
    assert!(segmenter.snapshot().is_some());
}
