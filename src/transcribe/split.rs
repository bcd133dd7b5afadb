//! Cuts long audio into pieces that the model can take at once, at its quietest places.
//!
//! Core: samples in, ranges out. Called by the transcriber on the whisper thread or a command's own thread. A piece never
//! exceeds the given length, pieces never overlap, and (for [`cut_long`]) together they are the whole audio. What the
//! pieces contain, and whether it is speech, is decided by the model and the guards.

use std::ops::Range;

use crate::time::SAMPLE_RATE;

/// Samples in one frame of the loudness curve: 20 ms, short enough to see the gap between two words.
const FRAME: usize = SAMPLE_RATE as usize / 50;

/// Below this root mean square (−70 dBFS) a frame holds nothing that a person said near a microphone: 16-bit rounding
/// noise lies at about −98 dBFS, a quiet room through a laptop microphone at −60 to −50.
const SILENT_RMS: f32 = 3.0e-4;

/// Cuts `samples` into pieces of at most `longest` samples that together are the whole.
///
/// Each cut lies at the quietest 200 ms of the second half of what is allowed, so that words stay whole and a piece never
/// becomes so short that the model lacks context.
#[must_use]
pub fn cut_long(samples: &[f32], longest: usize) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while samples.len() - start > longest {
        let end = start + quietest(&samples[start..start + longest], longest / 2);
        pieces.push(start..end);
        start = end;
    }
    if start < samples.len() {
        pieces.push(start..samples.len());
    }
    pieces
}

/// Cuts `samples` at every pause, for subtitles of models that give no times: stretches of sound, each at most `longest`
/// samples, with what lies between them left out.
#[must_use]
pub fn cut_at_pauses(samples: &[f32], longest: usize) -> Vec<Range<usize>> {
    let loudness = loudness(samples);
    let threshold = speech_threshold(&loudness);
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for (index, _) in loudness
        .iter()
        .enumerate()
        .filter(|(_, rms)| **rms >= threshold)
    {
        let frame = index * FRAME..((index + 1) * FRAME).min(samples.len());
        match stretches.last_mut() {
            Some(last) if frame.start - last.end <= PAUSE => last.end = frame.end,
            _ => stretches.push(frame),
        }
    }
    let mut before = 0;
    let mut pieces = Vec::new();
    for stretch in stretches {
        let start = stretch.start.saturating_sub(PADDING).max(before);
        let end = (stretch.end + PADDING).min(samples.len());
        before = end;
        pieces.extend(
            cut_long(&samples[start..end], longest)
                .into_iter()
                .map(|piece| piece.start + start..piece.end + start),
        );
    }
    pieces
}

/// How many samples of `samples` are loud enough to be the speech in it: an upper bound of the voiced part, for the
/// guards. Zero means silence: no frame rises above −70 dBFS.
#[must_use]
pub fn loud_samples(samples: &[f32]) -> usize {
    let loudness = loudness(samples);
    // Not the loudest frame: beside a click or a slammed door all speech would look quiet. A tenth is −20 dB, which is
    // where the consonants of the same speaker end.
    let threshold = (quantile(&loudness, 95) * 0.1).max(SILENT_RMS);
    let frames = loudness.iter().filter(|rms| **rms >= threshold).count();
    (frames * FRAME).min(samples.len())
}

/// A silence of this many samples (0.35 s) separates two subtitles; the stops inside a word are shorter than 0.2 s.
const PAUSE: usize = SAMPLE_RATE as usize * 35 / 100;

/// Samples (0.15 s) kept on each side of a stretch: unvoiced consonants lie below the threshold.
const PADDING: usize = SAMPLE_RATE as usize * 15 / 100;

fn loudness(samples: &[f32]) -> Vec<f32> {
    samples
        .chunks(FRAME)
        .map(|frame| {
            let energy: f32 = frame.iter().map(|sample| sample * sample).sum();
            (energy / frame.len() as f32).sqrt()
        })
        .collect()
}

/// Where speech begins: 12 dB above the quietest tenth, but between 34 and 20 dB below the loudest fiftieth, so that
/// neither speech without any pause is taken for its own noise floor, nor a quiet room for speech where digital silence
/// has been added.
fn speech_threshold(loudness: &[f32]) -> f32 {
    let (floor, loud) = (quantile(loudness, 10), quantile(loudness, 98));
    (floor * 4.0).clamp(loud * 0.02, loud * 0.1).max(SILENT_RMS)
}

/// The loudness that `percent` of the frames do not exceed; 0 without frames.
fn quantile(loudness: &[f32], percent: usize) -> f32 {
    let mut sorted = loudness.to_vec();
    sorted.sort_by(f32::total_cmp);
    let index = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(index).copied().unwrap_or(0.0)
}

/// The sample in the middle of the quietest 200 ms of `samples`, not before `from`.
fn quietest(samples: &[f32], from: usize) -> usize {
    const WINDOW: usize = 10;
    let loudness = loudness(samples);
    let first = from / FRAME;
    let windows = loudness.get(first..).unwrap_or_default().windows(WINDOW);
    let quietest = windows
        .enumerate()
        .min_by(|(_, a), (_, b)| sum(a).total_cmp(&sum(b)))
        .map_or(samples.len(), |(index, _)| {
            (first + index + WINDOW / 2) * FRAME
        });
    quietest.clamp(1, samples.len())
}

fn sum(window: &[f32]) -> f32 {
    window.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = SAMPLE_RATE as usize;

    /// A tone of `amplitude`; the guards and cuts look at loudness only.
    fn tone(seconds: f32, amplitude: f32) -> Vec<f32> {
        (0..(seconds * SECOND as f32) as usize)
            .map(|n| amplitude * (n as f32 * 0.2).sin())
            .collect()
    }

    #[test]
    fn audio_that_fits_is_not_cut() {
        assert_eq!(cut_long(&tone(3.0, 0.5), 4 * SECOND), vec![0..3 * SECOND]);
        assert_eq!(cut_long(&[], SECOND), Vec::<Range<usize>>::new());
    }

    #[test]
    fn a_cut_falls_into_the_pause() {
        let audio = [tone(6.0, 0.5), tone(0.5, 0.0), tone(5.0, 0.5)].concat();
        let pieces = cut_long(&audio, 10 * SECOND);
        assert_eq!(pieces.len(), 2);
        let cut = pieces[0].end;
        assert!(
            (6 * SECOND..6 * SECOND + SECOND / 2).contains(&cut),
            "cut at {cut}"
        );
    }

    #[test]
    fn pieces_are_the_whole_and_never_too_long() {
        for length in [1, 319, 320, 5_000, 16_000, 100_001, 333_333] {
            let audio: Vec<f32> = (0..length)
                .map(|n| ((n * 7919) % 101) as f32 / 101.0 - 0.5)
                .collect();
            let pieces = cut_long(&audio, 30_000);
            assert_eq!(pieces.first().map(|piece| piece.start), Some(0));
            assert_eq!(pieces.last().map(|piece| piece.end), Some(length));
            assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(
                pieces
                    .iter()
                    .all(|piece| !piece.is_empty() && piece.len() <= 30_000)
            );
        }
    }

    #[test]
    fn subtitles_begin_and_end_with_the_sound() {
        let audio = [
            tone(1.0, 0.0),
            tone(2.0, 0.3),
            tone(1.0, 0.001),
            tone(1.5, 0.3),
            tone(2.0, 0.0),
        ]
        .concat();
        let pieces = cut_at_pauses(&audio, 10 * SECOND);
        assert_eq!(pieces.len(), 2, "{pieces:?}");
        assert!(
            pieces[0].start.abs_diff(SECOND) <= PADDING + FRAME,
            "{pieces:?}"
        );
        assert!(
            pieces[0].end.abs_diff(3 * SECOND) <= PADDING + FRAME,
            "{pieces:?}"
        );
        assert!(
            pieces[1].start.abs_diff(4 * SECOND) <= PADDING + FRAME,
            "{pieces:?}"
        );
    }

    #[test]
    fn silence_has_no_loud_samples_and_no_subtitles() {
        let silence = tone(3.0, 0.00005);
        assert_eq!(loud_samples(&silence), 0);
        assert_eq!(cut_at_pauses(&silence, SECOND), Vec::<Range<usize>>::new());
        assert_eq!(loud_samples(&[]), 0);
    }

    #[test]
    fn loud_samples_count_the_sound_and_not_the_pause() {
        let audio = [tone(1.0, 0.001), tone(2.0, 0.3), tone(4.0, 0.001)].concat();
        assert!(loud_samples(&audio).abs_diff(2 * SECOND) <= 2 * FRAME);
    }

    #[test]
    fn a_click_does_not_hide_the_speech_beside_it() {
        let mut audio = tone(2.0, 0.02);
        audio[8_000..8_400].fill(0.9);
        assert!(loud_samples(&audio) > 30_000);
    }
}
