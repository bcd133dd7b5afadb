//! The level of a room in which nobody speaks.
//!
//! Core: powers in, a power out. The floor is the least power of the last few seconds: speech pauses at least that often, a
//! fan or a television in the next room does not. Used by the energy gate before the voice-activity model and by the echo
//! meter; each keeps its own, because they look at different signals.

/// Follows the least power of the last one to two windows.
#[derive(Debug, Clone)]
pub struct NoiseFloor {
    /// Updates in a window.
    window: u32,
    seen: u32,
    /// Least power of the window that is running, and of the one before it; `None` before the first window has ended.
    current: f32,
    before: Option<f32>,
}

impl NoiseFloor {
    /// A floor over windows of `window` updates.
    #[must_use]
    pub const fn new(window: u32) -> Self {
        Self {
            window,
            seen: 0,
            current: f32::MAX,
            before: None,
        }
    }

    /// Takes the power of the next stretch. Digital silence counts as [`LEAST`], so that ratios stay finite.
    pub fn update(&mut self, power: f32) {
        self.current = self.current.min(power.max(LEAST));
        self.seen += 1;
        if self.seen >= self.window {
            self.seen = 0;
            self.before = Some(std::mem::replace(&mut self.current, f32::MAX));
        }
    }

    /// The floor; `None` until a whole window has been heard.
    #[must_use]
    pub fn power(&self) -> Option<f32> {
        self.before.map(|before| before.min(self.current))
    }
}

/// Mean power of `samples`.
#[must_use]
pub fn power(samples: &[f32]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
}

/// A power in dB of full scale, at least −120.
#[must_use]
pub fn decibels(power: f32) -> f32 {
    10.0 * power.max(LEAST).log10()
}

/// −120 dB of full scale: below the last bit of every converter.
pub const LEAST: f32 = 1e-12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_known_after_one_window_and_ignores_speech() {
        let mut floor = NoiseFloor::new(10);
        for _ in 0..9 {
            floor.update(1e-6);
            assert_eq!(floor.power(), None);
        }
        floor.update(1e-6);
        for _ in 0..9 {
            floor.update(1e-2);
        }
        assert_eq!(floor.power(), Some(1e-6));
    }

    #[test]
    fn a_louder_room_raises_it_after_two_windows_and_a_quieter_one_lowers_it_at_once() {
        let mut floor = NoiseFloor::new(10);
        for _ in 0..10 {
            floor.update(1e-6);
        }
        for _ in 0..20 {
            floor.update(1e-4);
        }
        assert_eq!(floor.power(), Some(1e-4));
        floor.update(1e-8);
        assert_eq!(floor.power(), Some(1e-8));
    }

    #[test]
    fn levels_are_told_in_decibels_of_full_scale() {
        assert!((decibels(power(&[0.5; 100])) + 6.02).abs() < 0.01);
        assert_eq!(decibels(power(&[0.0; 100])), -120.0);
        assert_eq!(decibels(power(&[])), -120.0);
    }
}
