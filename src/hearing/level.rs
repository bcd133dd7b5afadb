//! How loud the speaker is against what else sounds in the room.
//!
//! Core. Fed by the segmenter with the loudness of every frame. A voice-activity model hears a running television as voice,
//! and rightly so; what tells it from the person at the microphone is that it was there before and is quieter. The room is
//! the quiet quarter of the loudest frames of the last ten seconds, half a second each; the speaker is nearly the loudest of
//! the last three. Where the two are far apart, a voiced frame no louder than the room is the room's. In a quiet room that
//! line lies far below any voice, and while only one of them sounds there is no line.

/// Loudness of the last ten seconds.
#[derive(Debug, Clone)]
pub struct Room {
    /// Loudest frame of each block, decibels, a ring.
    blocks: [f32; BLOCKS],
    /// Blocks seen, and frames of the running one.
    seen: usize,
    frames: usize,
    peak: f32,
    line: Option<f32>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            blocks: [0.0; BLOCKS],
            seen: 0,
            frames: 0,
            peak: f32::MIN,
            line: None,
        }
    }
}

impl Room {
    /// Takes the loudness of the next frame, in decibels; tells whether the line was drawn anew.
    pub fn push(&mut self, db: f32) -> bool {
        self.peak = self.peak.max(db);
        self.frames += 1;
        if self.frames < FRAMES_A_BLOCK {
            return false;
        }
        self.blocks[self.seen % BLOCKS] = self.peak;
        self.seen += 1;
        self.frames = 0;
        self.peak = f32::MIN;
        self.line = self.draw();
        true
    }

    /// Below this loudness a voice is not the speaker's, in decibels; `None` while nobody stands out.
    #[must_use]
    pub const fn line(&self) -> Option<f32> {
        self.line
    }

    fn draw(&self) -> Option<f32> {
        if self.seen < LEAST_BLOCKS {
            return None;
        }
        let known = self.seen.min(BLOCKS);
        let mut sorted = self.blocks;
        sorted[..known].sort_by(f32::total_cmp);
        let room = sorted[known / 4];
        let mut recent = [f32::MIN; RECENT];
        for (back, slot) in recent.iter_mut().enumerate() {
            *slot = self.blocks[(self.seen - 1 - back) % BLOCKS];
        }
        recent.sort_by(f32::total_cmp);
        let above = recent[RECENT - 2] - room;
        (above >= STANDS_OUT_DB).then(|| room + (above * 0.6).min(MOST_DB))
    }
}

/// The loudness of a frame, in decibels against full scale.
#[must_use]
pub fn decibels(samples: &[f32]) -> f32 {
    let energy = samples.iter().map(|sample| sample * sample).sum::<f32>();
    10.0 * (energy / samples.len().max(1) as f32 + 1e-12).log10()
}

/// Half a second a block, ten seconds in all, three for the speaker.
const FRAMES_A_BLOCK: usize = 16;
const BLOCKS: usize = 20;
const RECENT: usize = 6;
/// Four seconds must have been heard before a room is known.
const LEAST_BLOCKS: usize = 8;
/// A speaker who is not this far above the room is not told from it by loudness.
const STANDS_OUT_DB: f32 = 10.0;
/// The loudest moments of a television lie this far above the quiet quarter of its half seconds.
const MOST_DB: f32 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(levels: &[(f32, usize)]) -> Room {
        let mut room = Room::default();
        for (db, frames) in levels {
            for _ in 0..*frames {
                room.push(*db);
            }
        }
        room
    }

    #[test]
    fn a_speaker_over_a_television_stands_out_and_the_television_alone_does_not() {
        assert_eq!(after(&[(-34.0, 320)]).line(), None);
        let line = after(&[(-34.0, 320), (-18.0, 64)]).line();
        assert!(
            line.is_some_and(|line| (-30.0..-22.0).contains(&line)),
            "{line:?}"
        );
    }

    #[test]
    fn in_a_quiet_room_the_line_lies_far_below_any_voice() {
        let line = after(&[(-62.0, 200), (-20.0, 96)]).line();
        assert!(line.is_some_and(|line| line < -50.0), "{line:?}");
    }

    #[test]
    fn a_room_must_be_heard_for_a_while() {
        assert_eq!(after(&[(-60.0, 32), (-20.0, 64)]).line(), None);
    }
}
