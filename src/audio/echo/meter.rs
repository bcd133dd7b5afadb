//! Tells the user's voice from what is left of our own, and whether cancellation works in this room.
//!
//! Core: levels of 10 ms blocks in, an [`EchoReport`] out. Two questions are answered apart. *Is somebody near?* A block
//! counts as near when its level lies above the room's floor and above everything that our own voice has left behind so far,
//! measured against how loud we are: a histogram of that ratio, so that a room with a bad echo raises its own bar. *Does
//! cancellation work?* It does when the canceller's linear filter explains the echo, or when there is no echo to hear; a
//! filter that has found nothing after some seconds of our speech has not converged, and the daemon then lets only the wake
//! phrase and the stop words interrupt.

use serde::{Deserialize, Serialize};

use crate::audio::floor::{NoiseFloor, decibels};

/// Whether our own voice can be told from the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EchoState {
    /// There is no canceller: the ear is closed while we speak, or nothing we play can be heard.
    #[default]
    Off,
    /// Too little has been played to know.
    Learning,
    /// The echo is explained and removed.
    Converged,
    /// The microphone does not hear the loudspeaker: a headset, or it is turned down.
    Inaudible,
    /// The echo is there and cannot be removed: a distorting loudspeaker, a sound system that delays by more than half a
    /// second.
    NotConverged,
}

impl EchoState {
    /// For people and scripts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Learning => "learning",
            Self::Converged => "converged",
            Self::Inaudible => "inaudible",
            Self::NotConverged => "not_converged",
        }
    }

    /// Whether speech while we speak may be taken for the user's.
    #[must_use]
    pub const fn trusts_speech(self) -> bool {
        matches!(self, Self::Converged | Self::Inaudible)
    }
}

/// What the canceller makes of the samples that were read last.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EchoReport {
    /// Our own voice may be in them.
    pub ours: bool,
    /// Somebody is near: what is left is not our own voice. Means nothing unless `ours`.
    pub near: bool,
    /// How cancellation fares.
    pub state: EchoState,
    /// Decibels of echo that were removed in the last seconds of our speech.
    pub removed_db: f32,
    /// From the output callback to the echo in the microphone, as estimated.
    pub delay_ms: u32,
}

/// The levels of one block of 10 ms, as powers of full scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// What the loudspeaker was given, in step with the microphone.
    pub reference: f32,
    /// What the microphone gave.
    pub microphone: f32,
    /// What the canceller left of it.
    pub residual: f32,
}

/// What the canceller says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FilterNews {
    /// Echo that its linear filter explains, in dB.
    pub explained_db: f32,
    /// Its estimate of the delay.
    pub delay_ms: u32,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct EchoMeter {
    /// Powers of the reference in the last 300 ms, a ring.
    recent: [f32; RECENT],
    at: usize,
    /// Blocks since the reference was last audible.
    since_ours: u32,
    room: NoiseFloor,
    microphone_room: NoiseFloor,
    /// How often the residual lay so many steps of 2 dB above −100 dB of the reference; decays.
    ratios: [f32; BINS],
    /// The last blocks that looked near, one bit each.
    looks: u8,
    /// Blocks for which `near` still holds.
    near_for: u32,
    /// Blocks of our own speech since the start.
    active: u32,
    /// Of those, blocks in a row in which the filter explained nothing.
    unexplained: u32,
    /// Smoothed levels while only we speak.
    microphone: f32,
    residual: f32,
    explained_db: f32,
    delay_ms: u32,
    state: EchoState,
}

impl Default for EchoMeter {
    fn default() -> Self {
        Self {
            recent: [0.0; RECENT],
            at: 0,
            since_ours: u32::MAX,
            room: NoiseFloor::new(FLOOR_BLOCKS),
            microphone_room: NoiseFloor::new(FLOOR_BLOCKS),
            ratios: [0.0; BINS],
            looks: 0,
            near_for: 0,
            active: 0,
            unexplained: 0,
            microphone: 0.0,
            residual: 0.0,
            explained_db: 0.0,
            delay_ms: 0,
            state: EchoState::Learning,
        }
    }
}

impl EchoMeter {
    /// Takes a block that passed while the canceller rested: it teaches the level of the room.
    pub fn rest(&mut self, microphone: f32) {
        self.room.update(microphone);
        self.microphone_room.update(microphone);
        self.recent = [0.0; RECENT];
        self.since_ours = u32::MAX;
        self.near_for = 0;
        self.looks = 0;
    }

    /// Takes a block that the canceller has worked on.
    pub fn take(&mut self, levels: Levels, filter: FilterNews) -> EchoReport {
        self.recent[self.at] = levels.reference;
        self.at = (self.at + 1) % RECENT;
        self.since_ours = if levels.reference > AUDIBLE {
            0
        } else {
            self.since_ours.saturating_add(1)
        };
        let loudest = self.recent.iter().copied().fold(0.0, f32::max);
        let near = self.look(levels.residual, loudest);
        self.room.update(levels.residual);
        if loudest > AUDIBLE {
            self.learn(levels, loudest, near, filter);
        }
        self.report()
    }

    /// What is known now.
    #[must_use]
    pub fn report(&self) -> EchoReport {
        EchoReport {
            ours: self.since_ours <= TAIL,
            near: self.near_for > 0,
            state: self.state,
            removed_db: decibels(self.microphone) - decibels(self.residual),
            delay_ms: self.delay_ms,
        }
    }

    /// Whether this block is too loud for an echo; two of three must be, and then it holds for a moment.
    fn look(&mut self, residual: f32, loudest: f32) -> bool {
        let level = decibels(residual);
        let floor = self.room.power().map_or(UNKNOWN_ROOM_DB, decibels);
        let bar = decibels(loudest) + self.bound_db() + MARGIN_DB;
        let looks_near = level > floor + ABOVE_ROOM_DB && (level > bar || loudest <= AUDIBLE);
        self.looks = (self.looks << 1 | u8::from(looks_near)) & 0b111;
        if self.looks.count_ones() >= 2 {
            self.near_for = HOLD;
        } else {
            self.near_for = self.near_for.saturating_sub(1);
        }
        looks_near
    }

    /// The ratio of residual to reference, in dB, that 98 of 100 blocks stayed below.
    fn bound_db(&self) -> f32 {
        let all: f32 = self.ratios.iter().sum();
        if self.active < LEARNING {
            return 0.0;
        }
        let mut above = 0.0;
        for (bin, count) in self.ratios.iter().enumerate().rev() {
            above += count;
            if above > 0.02 * all {
                return LOWEST_DB + STEP_DB * (bin as f32 + 1.0);
            }
        }
        LOWEST_DB
    }

    fn learn(&mut self, levels: Levels, loudest: f32, near: bool, filter: FilterNews) {
        self.active = self.active.saturating_add(1);
        let ratio = decibels(levels.residual) - decibels(loudest);
        let bin = ((ratio - LOWEST_DB) / STEP_DB).clamp(0.0, (BINS - 1) as f32) as usize;
        // What looks near is mostly the user and teaches little; but it teaches, or a bar that is too low would stay so.
        let weight = if near { 0.1 } else { 1.0 };
        for count in &mut self.ratios {
            *count *= FORGET;
        }
        self.ratios[bin] += weight;
        if !near {
            let smooth = |old: f32, new: f32| old + (new - old) * SMOOTH;
            self.microphone = smooth(self.microphone, levels.microphone);
            self.residual = smooth(self.residual, levels.residual);
        }
        self.explained_db = filter.explained_db;
        self.delay_ms = filter.delay_ms;
        self.unexplained = if filter.explained_db >= EXPLAINED_DB {
            0
        } else {
            self.unexplained.saturating_add(1)
        };
        self.judge();
    }

    fn judge(&mut self) {
        if self.active < LEARNING {
            return;
        }
        let floor = self
            .microphone_room
            .power()
            .map_or(UNKNOWN_ROOM_DB, decibels);
        self.state = if decibels(self.microphone) <= floor + AUDIBLE_OVER_ROOM_DB {
            EchoState::Inaudible
        } else if self.explained_db >= EXPLAINED_DB {
            EchoState::Converged
        } else if self.unexplained >= PATIENCE {
            EchoState::NotConverged
        } else if self.state == EchoState::Inaudible {
            EchoState::Learning
        } else {
            // The filter falls behind for a while when the user speaks or the room changes.
            self.state
        };
    }
}

/// Blocks of reference in which the loudest counts: the echo comes up to 250 ms later, and the room rings on.
const RECENT: usize = 30;
/// Blocks after our last audible sample in which its echo may still come.
const TAIL: u32 = 50;
/// −60 dB of full scale: a reference below it leaves no echo that anybody hears.
const AUDIBLE: f32 = 1e-6;
/// Two windows of 1.5 s: speech pauses within each.
const FLOOR_BLOCKS: u32 = 150;
/// Taken for the room before it has been heard.
const UNKNOWN_ROOM_DB: f32 = -50.0;
/// A voice that is worth answering lies this far above the room.
const ABOVE_ROOM_DB: f32 = 8.0;
/// And this far above what our own voice has left so far.
const MARGIN_DB: f32 = 5.0;
/// The microphone hears the loudspeaker when our speech raises its level by this much.
const AUDIBLE_OVER_ROOM_DB: f32 = 4.0;
/// Blocks that a verdict holds: a voice has gaps between syllables.
const HOLD: u32 = 15;
/// Blocks of our own speech before anything is concluded: 1 s. In simulated rooms the filter had converged after 2 to 4 s.
const LEARNING: u32 = 100;
/// Blocks without an explained echo after which the filter counts as not converged: 8 s of our speech.
const PATIENCE: u32 = 800;
/// In simulated rooms a linear echo was explained by 5 to 12 dB after 4 s, a distorted one by 4 to 8 dB, none by 0.
const EXPLAINED_DB: f32 = 3.0;
const BINS: usize = 60;
const LOWEST_DB: f32 = -100.0;
const STEP_DB: f32 = 2.0;
/// Half of what was learnt is forgotten after 20 s of our speech.
const FORGET: f32 = 0.999_65;
/// Time constant of 1 s.
const SMOOTH: f32 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    fn block(reference_db: f32, microphone_db: f32, residual_db: f32) -> Levels {
        let power = |db: f32| 10_f32.powf(db / 10.0);
        Levels {
            reference: power(reference_db),
            microphone: power(microphone_db),
            residual: power(residual_db),
        }
    }

    const EXPLAINS: FilterNews = FilterNews {
        explained_db: 9.0,
        delay_ms: 120,
    };
    const BLIND: FilterNews = FilterNews {
        explained_db: 0.0,
        delay_ms: 0,
    };

    fn in_a_room() -> EchoMeter {
        let mut meter = EchoMeter::default();
        for _ in 0..400 {
            meter.rest(10_f32.powf(-6.0));
        }
        meter
    }

    #[test]
    fn an_echo_that_is_removed_converges_and_nobody_is_near() {
        let mut meter = in_a_room();
        for n in 0..600 {
            let report = meter.take(block(-20.0, -28.0, -58.0), EXPLAINS);
            assert!(report.ours && !report.near, "block {n}: {report:?}");
        }
        assert_eq!(meter.report().state, EchoState::Converged);
        assert!((meter.report().removed_db - 30.0).abs() < 1.0);
    }

    #[test]
    fn a_voice_above_the_residual_is_near_within_two_blocks_and_for_a_moment_after() {
        let mut meter = in_a_room();
        for _ in 0..600 {
            meter.take(block(-20.0, -28.0, -58.0), EXPLAINS);
        }
        assert!(!meter.take(block(-20.0, -26.0, -30.0), EXPLAINS).near);
        assert!(meter.take(block(-20.0, -26.0, -30.0), EXPLAINS).near);
        for _ in 0..10 {
            assert!(meter.take(block(-20.0, -28.0, -58.0), EXPLAINS).near);
        }
        for _ in 0..10 {
            meter.take(block(-20.0, -28.0, -58.0), EXPLAINS);
        }
        assert!(!meter.report().near);
    }

    #[test]
    fn a_bad_residual_raises_its_own_bar() {
        let mut meter = in_a_room();
        for _ in 0..600 {
            meter.take(block(-20.0, -28.0, -36.0), EXPLAINS);
        }
        let mut near = 0;
        for _ in 0..300 {
            near += u32::from(meter.take(block(-20.0, -28.0, -35.0), EXPLAINS).near);
        }
        assert_eq!(near, 0);
    }

    #[test]
    fn a_filter_that_explains_nothing_has_not_converged_after_eight_seconds() {
        let mut meter = in_a_room();
        for _ in 0..790 {
            let state = meter.take(block(-20.0, -28.0, -50.0), BLIND).state;
            assert_ne!(state, EchoState::NotConverged);
            assert!(!state.trusts_speech());
        }
        for _ in 0..20 {
            meter.take(block(-20.0, -28.0, -50.0), BLIND);
        }
        assert_eq!(meter.report().state, EchoState::NotConverged);
        for _ in 0..20 {
            meter.take(block(-20.0, -28.0, -50.0), EXPLAINS);
        }
        assert_eq!(meter.report().state, EchoState::Converged);
    }

    #[test]
    fn a_headset_is_known_by_a_microphone_that_hears_nothing_of_us() {
        let mut meter = in_a_room();
        for _ in 0..200 {
            meter.take(block(-20.0, -59.5, -60.0), BLIND);
        }
        assert_eq!(meter.report().state, EchoState::Inaudible);
        assert!(meter.report().state.trusts_speech());
    }
}
