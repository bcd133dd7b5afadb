//! Admission on simulated time: its rules as scenarios, and random histories against a small model of what must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hark::gateway::admission::{Admission, Class, JobId, Limits, Refusal, Step};
use hark::time::Mono;
use proptest::prelude::*;

fn at(ms: u64) -> Mono {
    Mono::from_millis(ms)
}

fn from(client: &str, session: Option<&str>) -> Class {
    Class::Background {
        client: client.to_owned(),
        session: session.map(str::to_owned),
    }
}

/// Asks, and gives the id and whether it runs at once.
fn ask(admission: &mut Admission, now: Mono, class: Class) -> (JobId, Vec<Step>) {
    admission.request(now, class).expect("it is admitted")
}

fn started(steps: &[Step]) -> Vec<JobId> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Start(id) => Some(*id),
            _ => None,
        })
        .collect()
}

#[test]
fn voice_interrupts_and_starts_when_the_other_has_stopped_and_after_its_patience_in_any_case() {
    let mut admission = Admission::new(Limits::default());
    let (job, _) = ask(&mut admission, at(0), from("a", None));
    let (voice, steps) = ask(&mut admission, at(100), Class::Voice);
    assert_eq!(steps, [Step::Yield(job)]);
    assert_eq!(admission.wait_again(at(110), job), [Step::Start(voice)]);
    assert_eq!(
        started(&admission.done(at(2_000), voice)),
        [job],
        "and the other goes on"
    );
    let (voice, steps) = ask(&mut admission, at(2_100), Class::Voice);
    assert_eq!(steps, [Step::Yield(job)]);
    assert_eq!(admission.deadline(), Some(at(2_600)));
    assert_eq!(admission.tick(at(2_599)), []);
    assert_eq!(
        admission.tick(at(2_600)),
        [Step::Start(voice)],
        "beside one that does not listen"
    );
}

#[test]
fn while_a_turn_is_under_way_nobody_else_starts_and_a_forgotten_turn_ends_by_itself() {
    let mut admission = Admission::new(Limits::default());
    let (job, _) = ask(&mut admission, at(0), from("a", None));
    assert_eq!(admission.hold(at(10)), [Step::Yield(job)]);
    assert_eq!(admission.wait_again(at(12), job), []);
    assert_eq!(admission.deadline(), Some(at(20_010)));
    assert_eq!(admission.tick(at(20_010)), [Step::Start(job)]);
    admission.hold(at(30_000));
    admission.wait_again(at(30_001), job);
    assert_eq!(admission.release(at(30_500)), [Step::Start(job)]);
}

#[test]
fn a_client_with_a_hundred_jobs_does_not_keep_another_one_waiting() {
    let mut admission = Admission::new(Limits::default());
    let (mut running, _) = ask(&mut admission, at(0), from("greedy", None));
    for _ in 0..100 {
        ask(&mut admission, at(0), from("greedy", None));
    }
    let (modest, _) = ask(&mut admission, at(1), from("modest", None));
    let mut now = 0;
    for place in 1..=3 {
        now += 1_000;
        running = started(&admission.done(at(now), running))[0];
        if running == modest {
            assert!(place <= 1, "it came at place {place}");
            return;
        }
    }
    panic!("the modest client waits behind {now} ms of the greedy one");
}

#[test]
fn time_is_shared_and_not_the_number_of_jobs() {
    let mut admission = Admission::new(Limits::default());
    let mut jobs = BTreeMap::new();
    for _ in 0..60 {
        jobs.insert(ask(&mut admission, at(0), from("long", None)).0, 900);
        jobs.insert(ask(&mut admission, at(0), from("short", None)).0, 100);
    }
    let (mut now, mut used) = (0, BTreeMap::<u64, u64>::new());
    let mut running = *jobs.keys().next().unwrap();
    for _ in 0..50 {
        let length = jobs[&running];
        now += length;
        *used.entry(length).or_default() += length;
        running = started(&admission.done(at(now), running))[0];
    }
    let (long, short) = (used[&900], used[&100]);
    assert!(long.abs_diff(short) <= 1_000, "{long} ms and {short} ms");
}

#[test]
fn the_session_that_ran_last_goes_first_because_its_prompt_is_cached_but_not_for_ever() {
    let limits = Limits::default();
    let mut admission = Admission::new(limits);
    let (mut running, _) = ask(&mut admission, at(0), from("a", Some("talk")));
    let (other, _) = ask(&mut admission, at(1), from("b", None));
    let mut now = 0;
    for turn in 0..=limits.sticky {
        now += 1_000;
        ask(&mut admission, at(now - 1), from("a", Some("talk")));
        running = started(&admission.done(at(now), running))[0];
        assert_eq!(running == other, turn == limits.sticky, "turn {turn}");
    }
}

#[test]
fn one_session_never_runs_beside_itself() {
    let mut admission = Admission::new(Limits {
        slots: 4,
        ..Limits::default()
    });
    let (first, _) = ask(&mut admission, at(0), from("a", Some("talk")));
    let (second, steps) = ask(&mut admission, at(0), from("a", Some("talk")));
    assert_eq!(steps, []);
    let (_, steps) = ask(&mut admission, at(0), from("a", Some("another")));
    assert_eq!(steps.len(), 1);
    assert_eq!(started(&admission.done(at(5), first)), [second]);
}

#[test]
fn who_waits_too_long_or_gives_way_too_often_is_told_when_to_come_back() {
    let limits = Limits {
        interruptions: 2,
        ..Limits::default()
    };
    let mut admission = Admission::new(limits);
    let (running, _) = ask(&mut admission, at(0), from("a", None));
    let (waiting, _) = ask(&mut admission, at(0), from("b", None));
    let steps = admission.tick(at(120_000));
    assert!(
        matches!(steps[..], [Step::Refuse(id, Refusal::Busy { retry_after })]
        if id == waiting && retry_after >= Duration::from_secs(1))
    );
    for turn in 0..3 {
        let (voice, _) = ask(&mut admission, at(130_000 + turn), Class::Voice);
        let steps = admission.wait_again(at(130_000 + turn), running);
        if turn == 2 {
            assert!(matches!(steps[0], Step::Refuse(id, Refusal::Busy { .. }) if id == running));
        } else {
            assert_eq!(
                started(&admission.done(at(130_001 + turn), voice)),
                [running]
            );
        }
    }
}

#[test]
fn a_full_queue_want_of_memory_and_the_end_refuse_by_type() {
    let mut admission = Admission::new(Limits {
        queue: 3,
        queue_each: 2,
        ..Limits::default()
    });
    ask(&mut admission, at(0), from("a", None));
    ask(&mut admission, at(0), from("a", None));
    ask(&mut admission, at(0), from("a", None));
    assert!(matches!(
        admission.request(at(0), from("a", None)),
        Err(Refusal::Busy { .. })
    ));
    let (last, _) = ask(&mut admission, at(0), from("b", None));
    assert!(matches!(
        admission.request(at(0), from("c", None)),
        Err(Refusal::Busy { .. })
    ));
    let steps = admission.set_no_memory(at(0), Some((5, 4)));
    assert_eq!(steps.len(), 3);
    assert!(steps.contains(&Step::Refuse(last, Refusal::NoMemory { need: 5, free: 4 })));
    assert_eq!(
        admission.request(at(0), from("c", None)).unwrap_err(),
        Refusal::NoMemory { need: 5, free: 4 }
    );
    let (voice, _) = ask(&mut admission, at(0), Class::Voice);
    admission.set_no_memory(at(0), None);
    assert_eq!(
        admission.close(),
        [Step::Refuse(voice, Refusal::ShuttingDown)]
    );
    assert_eq!(
        admission.request(at(0), Class::Voice).unwrap_err(),
        Refusal::ShuttingDown
    );
}

/// What can happen to admission.
#[derive(Debug, Clone)]
enum Happening {
    Voice,
    Background(u8, Option<u8>),
    /// One of those that run ends.
    Ends(u8),
    /// One of those that wait leaves.
    Leaves(u8),
    Hold,
    Release,
    Slots(u8),
    Passes(u16),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => Just(Happening::Voice),
        6 => (0..5_u8, proptest::option::of(0..3_u8)).prop_map(|(client, session)| Happening::Background(client, session)),
        6 => any::<u8>().prop_map(Happening::Ends),
        1 => any::<u8>().prop_map(Happening::Leaves),
        1 => Just(Happening::Hold),
        1 => Just(Happening::Release),
        1 => (1..4_u8).prop_map(Happening::Slots),
        6 => (0..3_000_u16).prop_map(Happening::Passes),
    ]
}

/// What is known of a job from outside.
#[derive(Debug, Clone)]
struct Known {
    voice: bool,
    client: u8,
    session: Option<u8>,
    /// When it began to wait, the last time.
    since: Mono,
}

/// The model: who waits and who runs, told by the steps alone; it knows the rules but not how they are kept.
struct Model {
    limits: Limits,
    waits: BTreeMap<JobId, Known>,
    runs: BTreeMap<JobId, Known>,
    asked_to_yield: BTreeSet<JobId>,
    held_until: Option<Mono>,
}

impl Model {
    fn take(&mut self, now: Mono, steps: &[Step]) -> Result<Vec<JobId>, TestCaseError> {
        let mut yields = Vec::new();
        for step in steps {
            match *step {
                Step::Start(id) => {
                    let job = self.waits.remove(&id);
                    prop_assert!(job.is_some(), "{id:?} starts and did not wait");
                    let job = job.expect("it was just asserted");
                    self.check_start(now, id, &job)?;
                    self.runs.insert(id, job);
                }
                Step::Yield(id) => {
                    prop_assert!(
                        self.runs.get(&id).is_some_and(|job| !job.voice),
                        "only background gives way"
                    );
                    prop_assert!(self.asked_to_yield.insert(id), "asked twice");
                    yields.push(id);
                }
                Step::Refuse(id, refusal) => {
                    let job = self.waits.remove(&id);
                    prop_assert!(
                        job.as_ref().is_some_and(|job| !job.voice),
                        "voice is not refused"
                    );
                    let busy = matches!(refusal, Refusal::Busy { .. });
                    prop_assert!(busy);
                }
            }
        }
        Ok(yields)
    }

    fn check_start(&self, now: Mono, id: JobId, job: &Known) -> Result<(), TestCaseError> {
        if job.voice {
            let full = self.runs.len() >= self.limits.slots;
            let late = now >= job.since + self.limits.yield_within;
            prop_assert!(
                !full || late,
                "voice starts beside others only when it has waited"
            );
            let before = self
                .waits
                .iter()
                .filter(|(other, known)| known.voice && **other < id && known.since < job.since);
            prop_assert_eq!(before.count(), 0, "voice is first come, first served");
            return Ok(());
        }
        prop_assert!(self.runs.len() < self.limits.slots, "more than the slots");
        prop_assert!(
            self.waits.values().all(|other| !other.voice),
            "voice outranks it"
        );
        prop_assert!(
            self.held_until.is_none_or(|until| until <= now),
            "a turn is under way"
        );
        if job.session.is_some() {
            let beside = self.runs.values().any(|other| {
                !other.voice && other.client == job.client && other.session == job.session
            });
            prop_assert!(!beside, "a session beside itself");
        }
        Ok(())
    }

    /// What must hold whenever nothing is left to do at `now`.
    fn check_rest(&self, now: Mono) -> Result<(), TestCaseError> {
        let held = self.held_until.is_some_and(|until| until > now);
        for job in self.waits.values() {
            let limit = if job.voice {
                self.limits.yield_within
            } else {
                self.limits.wait
            };
            prop_assert!(
                now < job.since + limit,
                "{job:?} waits longer than its limit at {now}"
            );
        }
        let voice_waits = self.waits.values().any(|job| job.voice);
        let room = self.runs.len() < self.limits.slots;
        prop_assert!(!(room && voice_waits), "a slot is free and voice waits");
        if room && !held {
            // Only what its own session keeps from running may wait beside a free slot.
            let blocked = |job: &Known| {
                job.session.is_some()
                    && self.runs.values().any(|other| {
                        !other.voice && other.client == job.client && other.session == job.session
                    })
            };
            prop_assert!(
                self.waits.values().all(blocked),
                "a slot is free and somebody waits"
            );
        }
        if held {
            let all_asked = self
                .runs
                .iter()
                .all(|(id, job)| job.voice || self.asked_to_yield.contains(id));
            prop_assert!(
                all_asked,
                "a turn is under way and somebody was not asked to give way"
            );
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn in_every_history_the_rules_hold(happenings in proptest::collection::vec(happening(), 1..120), obedient in any::<bool>()) {
        let limits = Limits {
            slots: 1, queue: 12, queue_each: 6, wait: Duration::from_secs(20), interruptions: 3, hold: Duration::from_secs(5),
            ..Limits::default()
        };
        let mut admission = Admission::new(limits);
        let mut model = Model {
            limits, waits: BTreeMap::new(), runs: BTreeMap::new(), asked_to_yield: BTreeSet::new(), held_until: None,
        };
        let mut now = at(0);
        for happening in happenings {
            let mut steps = happen(&mut admission, &mut model, &mut now, happening)?;
            // Whoever is asked gives way at once, or never.
            loop {
                let yields = model.take(now, &steps)?;
                let Some(id) = yields.first().copied().filter(|_| obedient) else { break };
                let mut job = model.runs.remove(&id).expect("it ran");
                job.since = now;
                model.waits.insert(id, job);
                model.asked_to_yield.remove(&id);
                let rest: Vec<Step> = yields[1..].iter().map(|id| Step::Yield(*id)).collect();
                for id in &yields[1..] {
                    model.asked_to_yield.remove(id);
                }
                steps = admission.wait_again(now, id);
                steps.extend(rest);
            }
            model.check_rest(now)?;
        }
        end_well(&mut admission, &mut model, now)?;
    }
}

fn happen(
    admission: &mut Admission,
    model: &mut Model,
    now: &mut Mono,
    happening: Happening,
) -> Result<Vec<Step>, TestCaseError> {
    let pick = |jobs: &BTreeMap<JobId, Known>, n: u8| {
        jobs.keys().nth(usize::from(n) % jobs.len().max(1)).copied()
    };
    Ok(match happening {
        Happening::Voice | Happening::Background(..) => {
            let (voice, client, session) = match happening {
                Happening::Background(client, session) => (false, client, session),
                _ => (true, 0, None),
            };
            let class = if voice {
                Class::Voice
            } else {
                Class::Background {
                    client: client.to_string(),
                    session: session.map(|session| format!("{client} {session}")),
                }
            };
            let waiting = model.waits.values().filter(|job| !job.voice);
            let (all, own) = (
                waiting.clone().count(),
                waiting.filter(|job| job.client == client).count(),
            );
            match admission.request(*now, class) {
                Ok((id, steps)) => {
                    let full = all >= model.limits.queue || own >= model.limits.queue_each;
                    prop_assert!(voice || !full, "the queue is bounded");
                    model.waits.insert(
                        id,
                        Known {
                            voice,
                            client,
                            session,
                            since: *now,
                        },
                    );
                    steps
                }
                Err(_) => {
                    prop_assert!(
                        !voice && (all >= model.limits.queue || own >= model.limits.queue_each)
                    );
                    Vec::new()
                }
            }
        }
        Happening::Ends(n) => match pick(&model.runs, n) {
            Some(id) => {
                model.runs.remove(&id);
                model.asked_to_yield.remove(&id);
                admission.done(*now, id)
            }
            None => Vec::new(),
        },
        Happening::Leaves(n) => match pick(&model.waits, n) {
            Some(id) => {
                model.waits.remove(&id);
                admission.done(*now, id)
            }
            None => Vec::new(),
        },
        Happening::Hold => {
            model.held_until = Some(*now + model.limits.hold);
            admission.hold(*now)
        }
        Happening::Release => {
            model.held_until = None;
            admission.release(*now)
        }
        Happening::Slots(slots) => {
            model.limits.slots = usize::from(slots);
            admission.set_slots(*now, usize::from(slots))
        }
        Happening::Passes(ms) => {
            // As a driver does: never past a deadline without a tick.
            let until = *now + Duration::from_millis(u64::from(ms));
            let mut steps = Vec::new();
            while let Some(due) = admission.deadline().filter(|due| *due <= until) {
                *now = (*now).max(due);
                let ticked = admission.tick(*now);
                prop_assert!(
                    !ticked.is_empty() || admission.deadline() != Some(due),
                    "a tick that was due moves the deadline"
                );
                let yields = model.take(*now, &ticked)?;
                steps.extend(yields.iter().map(|id| Step::Yield(*id)));
                for id in yields {
                    model.asked_to_yield.remove(&id);
                }
            }
            *now = until;
            if model.held_until.is_some_and(|held| held <= until) {
                model.held_until = None;
            }
            steps.extend(admission.tick(*now));
            steps
        }
    })
}

/// When nobody asks any more, everybody who waits is served: nobody starves.
fn end_well(
    admission: &mut Admission,
    model: &mut Model,
    mut now: Mono,
) -> Result<(), TestCaseError> {
    model.held_until = None;
    let steps = admission.release(now);
    model.take(now, &steps)?;
    while let Some(id) = model.runs.keys().next().copied() {
        now = now + Duration::from_millis(10);
        model.runs.remove(&id);
        let steps = admission.done(now, id);
        model.take(now, &steps)?;
    }
    prop_assert!(model.waits.is_empty(), "{:?} were forgotten", model.waits);
    prop_assert_eq!(admission.counts(), (0, 0));
    Ok(())
}
