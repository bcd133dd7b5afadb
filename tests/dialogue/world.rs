//! Drives a [`Dialogue`] as the conductor does, with a scripted ear, transcriber, agent and speaker on simulated time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hark::dialogue::{AgentEvent, Dialogue, Effect, Event, Ignored, Key, Policy, SpeakerEvent};
use hark::flow::{Extent, Heard, ReplyChunk, Transcript, Turn, Utterance, WakeScore};
use hark::ids::{ChunkSeq, Revision, TurnId};
use hark::private::Private;
use hark::time::{Mono, SamplePos, Span, duration_to_samples};

/// Time the scripted transcriber takes.
pub const TRANSCRIBE_MS: u64 = 80;
/// Time the scripted agent takes to its first clause.
pub const FIRST_CLAUSE_MS: u64 = 200;
/// Time between clauses, and from the last clause to the end of the reply.
pub const CLAUSE_MS: u64 = 50;
/// How long each clause sounds.
pub const SOUND_MS: u64 = 1_000;
/// Silence after which the segmenter closes an utterance.
pub const HANGOVER_MS: u64 = 500;

/// What the ear takes to close a held utterance.
pub const RELEASE_MS: u64 = 96;

/// How the scripted agent answers the next question.
#[derive(Clone)]
pub enum Answer {
    /// With these clauses.
    Clauses(Vec<&'static str>),
    /// With these clauses, then it breaks off.
    Breaks(Vec<&'static str>),
    /// Never.
    Hangs,
    /// With silence: what "stop" is answered with.
    Silent,
}

pub struct World {
    pub dialogue: Dialogue,
    now: Mono,
    queue: Vec<(Mono, u64, Event)>,
    order: u64,
    /// What the transcriber reads, by the start of the utterance.
    words: Vec<(SamplePos, &'static str)>,
    /// What the wake model says of the utterances that follow.
    pub wake: Option<WakeScore>,
    /// What it reads of an utterance that pauses: at first, and from then on.
    reads: Option<(&'static str, &'static str)>,
    answers: VecDeque<Answer>,
    /// Until when the scripted speaker is busy, and with which clauses: turn, clause, start, end.
    playing: Vec<(TurnId, ChunkSeq, Mono, Mono)>,
    /// The speaker is held since then; what it had yet to play.
    paused: Option<(Mono, Vec<(Duration, Event)>)>,
    pub log: Vec<(Mono, Effect)>,
    /// What is said with the key held, see [`World::says`]: start, end.
    sayings: Vec<(Mono, Mono)>,
    /// Since when the ear holds.
    held: Option<Mono>,
    prepared: Option<ReplyChunk>,
}

impl World {
    pub fn new(policy: Policy) -> Self {
        Self {
            dialogue: Dialogue::new(policy),
            now: Mono::ZERO,
            queue: Vec::new(),
            order: 0,
            words: Vec::new(),
            wake: None,
            reads: None,
            answers: VecDeque::new(),
            playing: Vec::new(),
            paused: None,
            log: Vec::new(),
            sayings: Vec::new(),
            held: None,
            prepared: None,
        }
    }

    pub fn at(&mut self, ms: u64, event: Event) -> &mut Self {
        self.post(Mono::from_millis(ms), event);
        self
    }

    /// The user speaks from `ms` for `length_ms`; the segmenter sees it, the transcriber will read `words`.
    pub fn speech(&mut self, ms: u64, length_ms: u64, words: &'static str) -> &mut Self {
        self.at(ms, Event::SpeechOnset);
        let (start, end) = (Mono::from_millis(ms), Mono::from_millis(ms + length_ms));
        self.words.push((utterance(start, end).span.start, words));
        self.at(ms, Event::SpeechStarted { when: start });
        let utterance = Utterance {
            wake: self.wake,
            ..utterance(start, end)
        };
        let pause = Event::SpeechPaused {
            so_far: utterance.clone(),
            ended: end,
        };
        self.at(ms + length_ms, pause);
        self.at(
            ms + length_ms + HANGOVER_MS,
            Event::Utterance {
                utterance,
                ended: end,
            },
        )
    }

    /// The push-to-talk key.
    pub fn key(&mut self, ms: u64, key: Key) -> &mut Self {
        self.at(ms, Event::Key(key))
    }

    /// The user speaks around a key: who hears it, and when it ends, depends on what the dialogue tells the ear.
    pub fn says(&mut self, ms: u64, length_ms: u64, words: &'static str) -> &mut Self {
        let (start, end) = (Mono::from_millis(ms), Mono::from_millis(ms + length_ms));
        self.words.push((utterance(start, end).span.start, words));
        self.sayings.push((start, end));
        self.at(ms, Event::SpeechStarted { when: start })
    }

    /// What the ear has of the words: all that was begun since it holds.
    fn saying(&self) -> Option<(Mono, Mono)> {
        let since = self.held?;
        let mine = self
            .sayings
            .iter()
            .filter(|(start, _)| *start >= since && *start <= self.now);
        mine.copied().reduce(|a, b| (a.0, b.1))
    }

    /// What is read at the first pause, and at every later one.
    pub fn reads(&mut self, first: &'static str, later: &'static str) -> &mut Self {
        self.reads = Some((first, later));
        self
    }

    /// A cough: too short to become an utterance.
    pub fn cough(&mut self, ms: u64) -> &mut Self {
        self.at(
            ms,
            Event::SpeechStarted {
                when: Mono::from_millis(ms),
            },
        );
        let (start, end) = (Mono::from_millis(ms), Mono::from_millis(ms + 100));
        self.at(ms + 100, paused(start, end));
        self.at(ms + 100 + HANGOVER_MS, Event::SpeechDropped)
    }

    pub fn now(&self) -> Mono {
        self.now
    }

    pub fn answers(&mut self, answer: Answer) -> &mut Self {
        self.answers.push_back(answer);
        self
    }

    fn post(&mut self, at: Mono, event: Event) {
        self.order += 1;
        self.queue.push((at, self.order, event));
    }

    /// Runs until nothing is left to happen, deadlines included.
    pub fn run(&mut self) -> &mut Self {
        for _ in 0..10_000 {
            let next = self.queue.iter().map(|(at, order, _)| (*at, *order)).min();
            let deadline = self.dialogue.deadline();
            let event = match (next, deadline) {
                (None, None) => return self,
                (Some((at, order)), deadline) if deadline.is_none_or(|deadline| at <= deadline) => {
                    self.now = self.now.max(at);
                    let index = self.queue.iter().position(|(_, o, _)| *o == order).unwrap();
                    self.queue.swap_remove(index).2
                }
                (_, Some(deadline)) => {
                    self.now = self.now.max(deadline);
                    Event::Tick
                }
                (Some(_), None) => unreachable!("the guard above takes it"),
            };
            for effect in self.dialogue.handle(self.now, event) {
                self.execute(&effect);
                self.log.push((self.now, effect));
            }
        }
        panic!("the conversation never comes to rest: {:?}", self.dialogue);
    }

    fn execute(&mut self, effect: &Effect) {
        match effect {
            Effect::Transcribe {
                turn,
                revision,
                utterance,
                ..
            } => {
                let start = utterance.0.span.start;
                let known = self.words.iter().position(|(at, _)| *at == start);
                let words = match (self.reads, known) {
                    (Some((first, later)), _) => {
                        self.reads = Some((later, later));
                        first
                    }
                    (None, Some(at)) => self.words[at].1,
                    (None, None) => "",
                };
                self.post(
                    self.now + Duration::from_millis(TRANSCRIBE_MS),
                    Event::Transcribed(transcript(*turn, *revision, words)),
                );
            }
            Effect::Ask { turn, .. } | Effect::Speculate { turn, .. } => self.answer(*turn),
            Effect::Prepare(chunk) => self.prepared = Some(chunk.clone()),
            Effect::Play { turn } => {
                let chunk = self.prepared.take().unwrap();
                assert_eq!(chunk.turn, *turn);
                self.play(&chunk);
            }
            Effect::Say(chunk) => self.play(chunk),
            Effect::EndSpeech { turn } => {
                let end = self
                    .playing
                    .iter()
                    .map(|(.., end)| *end)
                    .max()
                    .unwrap_or(self.now)
                    .max(self.now);
                self.post_sound(end, Event::Speaker(SpeakerEvent::Finished { turn: *turn }));
            }
            Effect::Pause { turn } => self.hold(*turn),
            Effect::Resume { .. } => self.go_on(),
            Effect::Hush { turn } => self.hush(*turn),
            Effect::Hold => self.held = Some(self.now),
            Effect::EndHold => {
                let said = self.saying();
                self.held = None;
                let ended = said.map_or(self.now, |(_, end)| end.min(self.now));
                let utterance = said.map(|(start, _)| utterance(start, ended));
                let after = self.now + Duration::from_millis(RELEASE_MS);
                self.post(after, Event::Held { utterance, ended });
            }
            Effect::LetGo => {
                if let Some((start, end)) = self.saying() {
                    let after = end.max(self.now) + Duration::from_millis(HANGOVER_MS);
                    let utterance = utterance(start, end);
                    self.post(
                        after,
                        Event::Utterance {
                            utterance,
                            ended: end,
                        },
                    );
                }
                self.held = None;
            }
            _ => {}
        }
    }

    fn answer(&mut self, turn: TurnId) {
        let answer = self
            .answers
            .pop_front()
            .unwrap_or(Answer::Clauses(vec!["All right."]));
        let (clauses, last) = match answer {
            Answer::Hangs => return,
            // The intents answer at once.
            Answer::Silent => {
                let event = done();
                return self.post(self.now, Event::Agent { turn, event });
            }
            Answer::Clauses(clauses) => (clauses, done()),
            Answer::Breaks(clauses) => (
                clauses,
                AgentEvent::Failed {
                    kind: "cut".to_owned(),
                },
            ),
        };
        let mut at = self.now + Duration::from_millis(FIRST_CLAUSE_MS);
        for (seq, text) in (0..).zip(clauses) {
            let chunk = ReplyChunk {
                turn,
                seq: ChunkSeq(seq),
                text: Private::from(text),
                language: None,
            };
            self.post(
                at,
                Event::Agent {
                    turn,
                    event: AgentEvent::Chunk(chunk),
                },
            );
            at = at + Duration::from_millis(CLAUSE_MS);
        }
        self.post(at, Event::Agent { turn, event: last });
    }

    fn play(&mut self, chunk: &ReplyChunk) {
        let free = self
            .playing
            .iter()
            .map(|(.., end)| *end)
            .max()
            .unwrap_or(self.now)
            .max(self.now);
        let end = free + Duration::from_millis(SOUND_MS);
        let (turn, seq) = (chunk.turn, chunk.seq);
        self.playing.push((turn, seq, free, end));
        self.post(
            self.now,
            Event::Speaker(SpeakerEvent::Synthesised {
                turn,
                seq,
                when: self.now,
            }),
        );
        self.post_sound(
            free,
            Event::Speaker(SpeakerEvent::Audible {
                turn,
                seq,
                when: free,
            }),
        );
        self.post_sound(
            end,
            Event::Speaker(SpeakerEvent::Heard(Heard {
                turn,
                seq,
                extent: Extent::Whole,
            })),
        );
    }

    /// What the loudspeaker will do then, counted from the hold while it is held.
    fn post_sound(&mut self, at: Mono, event: Event) {
        match &mut self.paused {
            Some((since, waiting)) => waiting.push((at.since(*since), event)),
            None => self.post(at, event),
        }
    }

    fn hold(&mut self, turn: TurnId) {
        assert!(self.paused.is_none(), "paused twice");
        let now = self.now;
        let (sounds, rest) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, _, event)| is_sound_of(event, turn));
        self.queue = rest;
        let waiting = sounds
            .into_iter()
            .map(|(at, _, event)| (at.since(now), event));
        self.paused = Some((now, waiting.collect()));
    }

    fn go_on(&mut self) {
        let Some((since, waiting)) = self.paused.take() else {
            return;
        };
        let (now, pause) = (self.now, self.now.since(since));
        for (_, _, start, end) in &mut self.playing {
            if *end > since {
                *end = *end + pause;
                if *start > since {
                    *start = *start + pause;
                }
            }
        }
        for (after, event) in waiting {
            self.post(now + after, event);
        }
    }

    fn hush(&mut self, turn: TurnId) {
        let now = self.paused.take().map_or(self.now, |(since, _)| since);
        self.queue.retain(|(_, _, event)| !is_sound_of(event, turn));
        let cut: Vec<_> = self
            .playing
            .iter()
            .filter(|(t, _, start, end)| *t == turn && *start <= now && now < *end)
            .copied()
            .collect();
        for (turn, seq, start, end) in cut {
            let share = now.since(start).as_secs_f32() / end.since(start).as_secs_f32();
            self.post(
                self.now,
                Event::Speaker(SpeakerEvent::Heard(Heard {
                    turn,
                    seq,
                    extent: Extent::Cut(share),
                })),
            );
        }
        self.playing.retain(|(t, ..)| *t != turn);
        self.post(self.now, Event::Speaker(SpeakerEvent::Finished { turn }));
    }

    pub fn records(&self) -> Vec<&Turn> {
        self.log
            .iter()
            .filter_map(|(_, effect)| {
                if let Effect::Record(turn) = effect {
                    Some(&**turn)
                } else {
                    None
                }
            })
            .collect()
    }

    pub fn turn(&self, index: usize) -> &Turn {
        self.records()[index]
    }

    pub fn ignored(&self) -> Vec<Ignored> {
        self.log
            .iter()
            .filter_map(|(_, effect)| {
                if let Effect::Ignore(reason) = effect {
                    Some(*reason)
                } else {
                    None
                }
            })
            .collect()
    }

    pub fn when(&self, wanted: impl Fn(&Effect) -> bool) -> Option<u64> {
        let found = self.log.iter().find(|(_, effect)| wanted(effect));
        found.map(|(at, _)| u64::try_from(at.since_start().as_millis()).unwrap())
    }
}

fn is_sound_of(event: &Event, turn: TurnId) -> bool {
    match event {
        Event::Speaker(
            SpeakerEvent::Audible { turn: t, .. } | SpeakerEvent::Finished { turn: t },
        ) => *t == turn,
        Event::Speaker(SpeakerEvent::Heard(heard)) => heard.turn == turn,
        _ => false,
    }
}

/// Begins nothing before the turn is over; `speculation.rs` tells what happens when it does.
pub fn patient() -> Policy {
    Policy {
        speculate: false,
        ..Policy::default()
    }
}

pub fn transcript(turn: TurnId, revision: Revision, words: &str) -> Transcript {
    Transcript {
        turn,
        revision,
        text: Private::from(words),
        language: "en".to_owned(),
        confidence: 0.9,
        elapsed: Duration::from_millis(TRANSCRIBE_MS),
    }
}

pub fn done() -> AgentEvent {
    AgentEvent::Done {
        backend: "scripted".to_owned(),
        model: None,
        prompt_tokens: Some(12),
        cached_tokens: Some(9),
    }
}

pub fn paused(start: Mono, end: Mono) -> Event {
    Event::SpeechPaused {
        so_far: utterance(start, end),
        ended: end,
    }
}

pub fn utterance(start: Mono, end: Mono) -> Utterance {
    let pos = |mono: Mono| SamplePos(duration_to_samples(mono.since_start()));
    let speech = Span {
        start: pos(start),
        end: pos(end),
    };
    Utterance {
        span: speech,
        speech,
        samples: Arc::from([]),
        lost: 0,
        wake: None,
    }
}
