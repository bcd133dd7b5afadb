//! What is given up when memory runs short, step by step, and taken back when it is over.
//!
//! Core: a pure machine on the daemon's clock. [`Relief::observe`] gets the system's level every second or so and answers
//! with steps to do or undo. A warning gives up the cheapest thing at once and the next only if it lasts; a critical level
//! goes on every two seconds down to the language model. Steps are taken back one by one after half a minute of calm, the
//! last one first, so that a level that flutters changes nothing. The ear is on no list.

use std::time::Duration;

use crate::time::Mono;

/// How short memory is, as the system tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is enough.
    Normal,
    /// It compresses, swaps or stalls.
    Warning,
    /// It is about to kill.
    Critical,
}

impl Pressure {
    /// Linux: the share of the last ten seconds in which some or all tasks stood still for memory (percent, from
    /// `/proc/pressure/memory`), and what is available of the machine. A tenth of the time is felt in a voice; below a
    /// thirty-second of the machine the next load ends in the killer.
    #[must_use]
    pub fn from_stalls(some: f64, full: f64, available: u64, total: u64) -> Self {
        if full >= 10.0 || available < total / 50 {
            Self::Critical
        } else if some >= 10.0 || available < total / 32 {
            Self::Warning
        } else {
            Self::Normal
        }
    }

    /// macOS: `kern.memorystatus_vm_pressure_level` is 1, 2 or 4.
    #[must_use]
    pub const fn from_memorystatus(level: u32) -> Self {
        match level {
            0 | 1 => Self::Normal,
            2 | 3 => Self::Warning,
            _ => Self::Critical,
        }
    }

    /// For people and scripts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What can be given up, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Copies of earlier prompts.
    DropPromptCaches,
    /// Work of other clients than the voice.
    RefuseBackground,
    /// The Whisper model, for a smaller one.
    SmallerWhisper,
    /// The language model: local answers go on.
    UnloadLlm,
}

impl Step {
    /// For events and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DropPromptCaches => "drop_prompt_caches",
            Self::RefuseBackground => "refuse_background",
            Self::SmallerWhisper => "smaller_whisper",
            Self::UnloadLlm => "unload_llm",
        }
    }
}

/// All steps, in order.
const STEPS: [Step; 4] = [
    Step::DropPromptCaches,
    Step::RefuseBackground,
    Step::SmallerWhisper,
    Step::UnloadLlm,
];

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Give this up.
    Do(Step),
    /// Take it back.
    Undo(Step),
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Relief {
    /// How many of [`STEPS`] are done.
    done: usize,
    /// Since when the level is what it is.
    since: Option<(Pressure, Mono)>,
    /// When the last step was done or undone.
    stepped: Option<Mono>,
    pace: Pace,
}

/// How long each wait is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long it must be calm before a step is taken back, and between two of them.
    pub calm: Duration,
    /// How long a warning must last after a step before the next one.
    pub lasting: Duration,
    /// The same at the critical level.
    pub urgent: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            // Ten times the window of the level, and more than the 25 s for which macOS rests between two notifications.
            calm: Duration::from_secs(30),
            lasting: Duration::from_secs(10),
            urgent: Duration::from_secs(2),
        }
    }
}

impl Relief {
    /// Nothing given up.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing given up, at another pace.
    #[must_use]
    pub fn at_pace(pace: Pace) -> Self {
        Self {
            pace,
            ..Self::default()
        }
    }

    /// The steps that are done now, the first done first.
    #[must_use]
    pub fn done(&self) -> &'static [Step] {
        &STEPS[..self.done]
    }

    /// Whether `step` is done now.
    #[must_use]
    pub fn has(&self, step: Step) -> bool {
        self.done().contains(&step)
    }

    /// Takes the level of this moment: at most one reaction at a time, so that its effect is seen before the next.
    pub fn observe(&mut self, now: Mono, level: Pressure) -> Option<Reaction> {
        let since = match self.since {
            Some((same, since)) if same == level => since,
            _ => now,
        };
        self.since = Some((level, since));
        let rested = self.stepped.map_or(Duration::MAX, |at| now.since(at));
        let (deepest, pause) = match level {
            Pressure::Normal => {
                let calm = now.since(since);
                if self.done > 0 && calm >= self.pace.calm && rested >= self.pace.calm {
                    self.done -= 1;
                    self.stepped = Some(now);
                    return Some(Reaction::Undo(STEPS[self.done]));
                }
                return None;
            }
            // A warning never takes the language model: macOS stays at this level for hours on a full machine.
            Pressure::Warning => (STEPS.len() - 1, self.pace.lasting),
            Pressure::Critical => (STEPS.len(), self.pace.urgent),
        };
        if self.done >= deepest || rested < pause {
            return None;
        }
        self.stepped = Some(now);
        self.done += 1;
        Some(Reaction::Do(STEPS[self.done - 1]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::new(Duration::from_secs(seconds))
    }

    #[test]
    fn a_warning_gives_up_the_cheapest_first_and_never_the_language_model() {
        let mut relief = Relief::new();
        let did: Vec<_> = (0..120)
            .filter_map(|second| relief.observe(at(second), Pressure::Warning))
            .collect();
        assert_eq!(
            did,
            [
                Reaction::Do(Step::DropPromptCaches),
                Reaction::Do(Step::RefuseBackground),
                Reaction::Do(Step::SmallerWhisper)
            ]
        );
    }

    #[test]
    fn a_critical_level_comes_to_the_language_model_within_eight_seconds_and_all_comes_back_in_calm()
     {
        let mut relief = Relief::new();
        let last = (0..60).find(|second| {
            relief.observe(at(*second), Pressure::Critical) == Some(Reaction::Do(Step::UnloadLlm))
        });
        assert!(last.is_some_and(|second| second <= 8), "{last:?}");
        let undone: Vec<_> = (10..300)
            .filter_map(|second| Some((second, relief.observe(at(second), Pressure::Normal)?)))
            .collect();
        assert_eq!(undone[0], (40, Reaction::Undo(Step::UnloadLlm)));
        assert_eq!(undone[3].1, Reaction::Undo(Step::DropPromptCaches));
        assert!(relief.done().is_empty());
    }

    #[test]
    fn a_level_that_flutters_takes_nothing_back() {
        let mut relief = Relief::new();
        relief.observe(at(0), Pressure::Warning);
        let changes = (1..200)
            .filter_map(|second| {
                let level = if second % 20 == 0 {
                    Pressure::Warning
                } else {
                    Pressure::Normal
                };
                relief.observe(at(second), level)
            })
            .filter(|reaction| matches!(reaction, Reaction::Undo(_)))
            .count();
        assert_eq!(changes, 0);
    }

    #[test]
    fn the_systems_words_are_understood() {
        assert_eq!(Pressure::from_memorystatus(1), Pressure::Normal);
        assert_eq!(Pressure::from_memorystatus(2), Pressure::Warning);
        assert_eq!(Pressure::from_memorystatus(4), Pressure::Critical);
        assert_eq!(Pressure::from_stalls(0.0, 0.0, 50, 100), Pressure::Normal);
        assert_eq!(Pressure::from_stalls(12.0, 1.0, 50, 100), Pressure::Warning);
        assert_eq!(Pressure::from_stalls(0.0, 0.0, 1, 100), Pressure::Critical);
    }

    proptest! {
        /// Steps are done and undone as a stack, whatever the levels do.
        #[test]
        fn steps_form_a_stack(levels in proptest::collection::vec((0_u8..3, 1_u64..40), 0..200)) {
            let mut relief = Relief::new();
            let (mut stack, mut now) = (Vec::new(), 0);
            for (level, pause) in levels {
                now += pause;
                let level = [Pressure::Normal, Pressure::Warning, Pressure::Critical][usize::from(level)];
                match relief.observe(at(now), level) {
                    Some(Reaction::Do(step)) => {
                        prop_assert!(level != Pressure::Normal);
                        stack.push(step);
                    }
                    Some(Reaction::Undo(step)) => {
                        prop_assert!(level == Pressure::Normal);
                        prop_assert_eq!(stack.pop(), Some(step));
                    }
                    None => {}
                }
                prop_assert_eq!(relief.done(), &stack[..]);
            }
        }
    }
}
