//! The promises of the machine, over random histories in which results also come late, twice, or for dead turns.

use std::collections::BTreeSet;
use std::time::Duration;

use hark::dialogue::{
    AgentEvent, BargeIn, Dialogue, Effect, Event, Key, Policy, SpeakerEvent, Start,
};
use hark::flow::{Extent, Heard, ReplyChunk};
use hark::ids::{ChunkSeq, Revision, TurnId};
use hark::private::Private;
use hark::time::Mono;
use proptest::prelude::*;

use crate::world::{done, paused, transcript, utterance};

/// What happens next: the kind, which of the recent turns it is for, and how much later.
type Step = (u8, u64, u64);

fn event(kind: u8, turn: TurnId, now: Mono, paused_at: Mono) -> Event {
    let chunk = |seq| ReplyChunk {
        turn,
        seq: ChunkSeq(seq),
        text: Private::from("two words"),
        language: None,
    };
    let agent = |event| Event::Agent { turn, event };
    match kind {
        0 => Event::SpeechOnset,
        1 | 39 => Event::SpeechStarted { when: now },
        2 | 45..=49 => paused(now, now),
        3 => Event::SpeechDropped,
        4..=6 => Event::Utterance {
            utterance: utterance(now, now + Duration::from_millis(500)),
            ended: now,
        },
        // Ends where the last pause was: what was begun in it is adopted.
        50..=55 => Event::Utterance {
            utterance: utterance(paused_at, paused_at),
            ended: paused_at,
        },
        7 => Event::InputLost,
        8..=10 => Event::Transcribed(transcript(turn, Revision(0), "hey hark what now")),
        11 => Event::Transcribed(transcript(turn, Revision(0), "")),
        12 => Event::Transcribed(transcript(turn, Revision(0), "something else")),
        13 => Event::TranscribeFailed {
            turn,
            revision: Revision(0),
            kind: "broken".to_owned(),
        },
        14 | 15 => agent(AgentEvent::Chunk(chunk(0))),
        16 => agent(AgentEvent::Chunk(chunk(1))),
        17 => agent(done()),
        18 => agent(AgentEvent::Failed {
            kind: "cut".to_owned(),
        }),
        19 => Event::Speaker(SpeakerEvent::Heard(Heard {
            turn,
            seq: ChunkSeq(0),
            extent: Extent::Whole,
        })),
        20 | 21 => Event::Speaker(SpeakerEvent::Finished { turn }),
        22 => Event::Speaker(SpeakerEvent::Failed {
            turn,
            kind: "output_lost".to_owned(),
        }),
        23 => Event::Announce(Private::from("ring")),
        24 => Event::Typed(Private::from("typed")),
        25 => Event::Stop,
        26 | 27 => Event::Key(Key::Press),
        28 | 29 => Event::Key(Key::Release),
        30 => Event::Key(Key::Toggle),
        31 => Event::Held {
            utterance: Some(utterance(now, now + Duration::from_millis(500))),
            ended: now,
        },
        32 => Event::Held {
            utterance: None,
            ended: now,
        },
        33 => Event::Transcribed(transcript(turn, Revision(0), "never mind")),
        36 => Event::Outdated,
        37 => Event::BargeIn(BargeIn::Wake),
        38 => Event::BargeIn(BargeIn::On),
        _ => Event::Tick,
    }
}

/// Watches the effects of a history and fails on the first broken promise.
#[derive(Default)]
struct Watch {
    last_id: u64,
    /// Replies that were begun in a pause and are neither adopted nor discarded.
    drafts: BTreeSet<u64>,
    prepared: BTreeSet<u64>,
    discarded: BTreeSet<u64>,
    asked: BTreeSet<u64>,
    recorded: BTreeSet<u64>,
    silenced: BTreeSet<u64>,
    ended: BTreeSet<u64>,
    /// The turn whose sound is ducked or held, until it is resumed or hushed.
    doubted: Option<u64>,
    quieted: bool,
    /// Whether the ear holds.
    held: bool,
}

impl Watch {
    fn see(&mut self, effects: &[Effect]) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Transcribe { turn, .. } => {
                    prop_assert!(turn.0 > self.last_id, "ids only grow");
                    self.last_id = turn.0;
                }
                Effect::Ask { turn, .. } => {
                    self.last_id = self.last_id.max(turn.0);
                    prop_assert!(self.asked.insert(turn.0), "asked twice");
                    let live = self.asked.difference(&self.recorded).count();
                    prop_assert!(live <= 1, "{live} turns are live");
                }
                Effect::Record(turn) => {
                    prop_assert!(
                        self.asked.contains(&turn.id.0),
                        "recorded without having been asked"
                    );
                    prop_assert!(self.recorded.insert(turn.id.0), "recorded twice");
                }
                Effect::Speculate { turn, .. } => {
                    prop_assert!(!self.asked.contains(&turn.0), "begun after it was asked");
                    prop_assert!(self.drafts.insert(turn.0), "begun twice");
                    prop_assert!(self.drafts.len() <= 1, "two replies are begun at once");
                }
                Effect::Prepare(chunk) => {
                    prop_assert!(self.drafts.contains(&chunk.turn.0), "prepared for nobody");
                    prop_assert!(self.prepared.insert(chunk.turn.0), "prepared twice");
                }
                Effect::Adopt { turn } => {
                    prop_assert!(self.drafts.remove(&turn.0), "adopted what was not begun");
                    prop_assert!(self.asked.insert(turn.0), "asked twice");
                    let live = self.asked.difference(&self.recorded).count();
                    prop_assert!(live <= 1, "{live} turns are live");
                }
                Effect::Play { turn } => {
                    prop_assert!(self.prepared.contains(&turn.0), "nothing was prepared");
                    prop_assert!(self.asked.contains(&turn.0), "heard before it was decided");
                    prop_assert!(
                        !self.silenced.contains(&turn.0),
                        "played after hush or abandon"
                    );
                }
                Effect::Say(chunk) => {
                    prop_assert!(
                        !self.drafts.contains(&chunk.turn.0),
                        "heard before it was decided"
                    );
                    prop_assert!(
                        !self.silenced.contains(&chunk.turn.0),
                        "said after hush or abandon"
                    );
                    prop_assert!(
                        !self.recorded.contains(&chunk.turn.0),
                        "said after its record"
                    );
                }
                Effect::Hush { turn } | Effect::Abandon { turn } => {
                    if self.drafts.remove(&turn.0) {
                        self.discarded.insert(turn.0);
                    }
                    self.silenced.insert(turn.0);
                    if matches!(effect, Effect::Hush { .. }) {
                        (self.doubted, self.quieted) = (None, false);
                    }
                }
                Effect::Duck { turn } => {
                    prop_assert_eq!(self.doubted, None, "ducked twice");
                    self.doubted = Some(turn.0);
                }
                Effect::Pause { turn } => {
                    prop_assert_eq!(self.doubted, Some(turn.0), "held without being ducked");
                    prop_assert!(!self.quieted, "quieted twice");
                    self.quieted = true;
                }
                Effect::Resume { turn } => {
                    prop_assert_eq!(self.doubted, Some(turn.0), "resumed without a doubt");
                    (self.doubted, self.quieted) = (None, false);
                }
                Effect::Hold => {
                    prop_assert!(!self.held, "held twice");
                    self.held = true;
                }
                Effect::EndHold | Effect::LetGo => {
                    prop_assert!(self.held, "released without having been held");
                    self.held = false;
                }
                Effect::EndSpeech { turn } => {
                    prop_assert!(self.ended.insert(turn.0), "ended twice");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn check(policy: Policy, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut dialogue = Dialogue::new(policy);
    let mut watch = Watch::default();
    let (mut now, mut paused_at) = (Mono::ZERO, Mono::ZERO);
    for (kind, back, wait) in steps {
        now = now + Duration::from_millis(*wait);
        let turn = TurnId(watch.last_id.saturating_sub(*back));
        let dead = watch.recorded.contains(&turn.0) || watch.discarded.contains(&turn.0);
        let event = event(*kind, turn, now, paused_at);
        if matches!(event, Event::SpeechPaused { .. }) {
            paused_at = now;
        }
        let carries_turn = matches!(
            event,
            Event::Agent { .. } | Event::Speaker(_) | Event::Transcribed(_)
        );
        // Then the ear holds nothing any more, whatever the dialogue makes of it.
        if matches!(event, Event::Held { .. } | Event::InputLost) {
            watch.held = false;
        }
        let effects = dialogue.handle(now, event);
        if dead && carries_turn {
            prop_assert!(
                effects.is_empty(),
                "an event of a dead turn had effects: {effects:?}"
            );
        }
        watch.see(&effects)?;
        if let Some(deadline) = dialogue.deadline()
            && deadline <= now
        {
            watch.see(&dialogue.handle(now, Event::Tick))?;
            prop_assert!(
                dialogue.deadline().is_none_or(|later| later > now),
                "a due tick did not move the deadline"
            );
        }
    }
    watch.see(&dialogue.handle(now, Event::Shutdown))?;
    prop_assert_eq!(
        &watch.asked,
        &watch.recorded,
        "each ask has its record, also after shutdown"
    );
    prop_assert_eq!(dialogue.deadline(), None);
    prop_assert_eq!(
        watch.doubted,
        None,
        "a level that was lowered is put back or hushed"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_over_random_histories(
        steps in prop::collection::vec((0_u8..58, 0_u64..3, 0_u64..4_000), 1..120),
        start in prop::sample::select(vec![Start::Every, Start::Key, Start::Phrase("hey hark".to_owned())]),
        speculate in any::<bool>(),
        barge_in in 0_u8..3,
    ) {
        let policy = Policy {
            start,
            barge_in: [BargeIn::Off, BargeIn::On, BargeIn::Wake][usize::from(barge_in)],
            answer_limit: Duration::from_secs(20),
            speculate,
            ..Policy::default()
        };
        check(policy, &steps)?;
    }

    #[test]
    fn without_further_events_every_history_comes_to_rest(steps in prop::collection::vec((0_u8..58, 0_u64..3, 0_u64..4_000), 1..60)) {
        let mut dialogue = Dialogue::new(Policy::default());
        let mut now = Mono::ZERO;
        let mut last = 0;
        for (kind, back, wait) in &steps {
            now = now + Duration::from_millis(*wait);
            for effect in dialogue.handle(now, event(*kind, TurnId(u64::saturating_sub(last, *back)), now, now)) {
                if let Effect::Transcribe { turn, .. } | Effect::Ask { turn, .. } = effect { last = turn.0; }
            }
        }
        for _ in 0..64 {
            match dialogue.deadline() {
                Some(deadline) => { now = now.max(deadline); dialogue.handle(now, Event::Tick); }
                None => break,
            }
        }
        prop_assert!(dialogue.at_rest());
    }
}
