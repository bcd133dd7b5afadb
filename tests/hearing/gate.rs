//! The energy gate in front of the model: what is cut is what would be cut without it, and in silence the model rests.

use hark::flow::Frame;
use hark::hearing::Vad;
use hark::hearing::gate::EnergyGate;
use hark::hearing::segment::{SegmentEvent, SegmentSettings, Segmenter};
use hark::hearing::vad::SileroVad;
use hark::time::{FRAME_SAMPLES, SamplePos, Span};

use crate::clips::{RATE, clip, noise};
use crate::voice::{assets, decode};

/// Spans of the utterances, and how often the model was asked.
fn cut(samples: &[f32], gated: bool) -> (Vec<Span>, usize) {
    let mut vad = SileroVad::new().unwrap();
    let mut gate = EnergyGate::default();
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let (mut events, mut asked) = (Vec::new(), 0);
    for (n, chunk) in samples.chunks_exact(FRAME_SAMPLES).enumerate() {
        let frame = Frame {
            at: SamplePos((n * FRAME_SAMPLES) as u64),
            samples: chunk.try_into().unwrap(),
        };
        let open = segmenter.is_open();
        let mut ask = |samples: &[f32; FRAME_SAMPLES]| {
            asked += 1;
            vad.probability(samples)
        };
        let probability = if gated {
            gate.probability(&frame.samples, open, ask)
        } else {
            ask(&frame.samples)
        };
        segmenter.push(&frame, probability, 0, &mut events);
    }
    segmenter.finish(&mut events);
    let spans = events.into_iter().filter_map(|event| match event {
        SegmentEvent::Utterance(utterance) => Some(utterance.speech),
        _ => None,
    });
    (spans.collect(), asked)
}

/// Twelve seconds of a room, then the clip at this level in it, then the room again.
fn in_a_room(speech: &[f32], level: f32, room: f32) -> Vec<f32> {
    let mut samples = noise(RATE as usize * 12, room, 5);
    let voice = speech.iter().zip(noise(speech.len(), room, 6));
    samples.extend(voice.map(|(voice, room)| voice * level + room));
    samples.extend(noise(RATE as usize * 2, room, 7));
    samples
}

#[test]
fn no_utterance_begins_later_or_is_lost_behind_the_gate() {
    let mut clips = vec![clip("question.wav"), clip("questions3.wav")];
    match assets() {
        Some(folder) => {
            for kind in ["command", "sentence"] {
                let mut paths: Vec<_> = std::fs::read_dir(folder.join(kind))
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .collect();
                paths.sort();
                clips.extend(paths.iter().take(8).map(|path| decode(path)));
            }
        }
        None => eprintln!(
            "only the project's own clips: no recordings of people here (HARK_TEST_ASSETS)"
        ),
    }
    let mut utterances = 0;
    for (number, speech) in clips.iter().enumerate() {
        for (level, room) in [(1.0, 0.0), (1.0, 0.002), (0.2, 0.002), (0.5, 0.02)] {
            let samples = in_a_room(speech, level, room);
            let (without, _) = cut(&samples, false);
            let (with, _) = cut(&samples, true);
            assert_eq!(
                with.len(),
                without.len(),
                "clip {number} at {level} in {room}: {with:?} {without:?}"
            );
            for (with, without) in with.iter().zip(&without) {
                let late = with.start.0.abs_diff(without.start.0);
                assert!(
                    late <= 5 * FRAME_SAMPLES as u64,
                    "clip {number} at {level} in {room}: off by {late} samples"
                );
                utterances += 1;
            }
        }
    }
    eprintln!(
        "{utterances} utterances of {} clips in 4 rooms begin at most 160 ms apart, half of the pre-roll",
        clips.len()
    );
}

#[test]
fn in_a_quiet_room_the_model_is_asked_for_a_few_seconds_only() {
    let minute = noise(RATE as usize * 60, 0.002, 9);
    let (_, asked) = cut(&minute, true);
    let frames = minute.len() / FRAME_SAMPLES;
    eprintln!("a minute of a quiet room: asked for {asked} of {frames} frames");
    assert!(asked * 20 < frames, "{asked} of {frames}");
}
