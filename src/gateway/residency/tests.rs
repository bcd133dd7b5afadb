//! The machine on simulated time, and beside a world in which processes come and go.

use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Mono {
    Mono::from_millis(ms)
}

fn serving(kind: Kind, consent: Consent) -> Residency {
    let mut machine = Residency::new(Policy {
        consent,
        ..Policy::default()
    });
    machine.handle(at(0), Event::Use(kind));
    machine.handle(at(1), Event::Ready(kind));
    machine.handle(at(2), Event::Warmed(kind));
    assert_eq!(
        machine.phase(),
        Phase::Serving {
            kind,
            owner: Owner::Ours
        }
    );
    machine
}

#[test]
fn a_change_drains_unloads_confirms_loads_and_warms_in_this_order() {
    let mut machine = serving(Kind::Mlx, Consent::Given);
    machine.handle(at(10), Event::RequestBegan);
    assert_eq!(
        machine.handle(at(20), Event::Use(Kind::Ollama)),
        [Effect::CloseDoor]
    );
    assert_eq!(
        machine.handle(at(30), Event::RequestEnded),
        [Effect::Unload(Kind::Mlx, Owner::Ours)]
    );
    assert_eq!(
        machine.handle(at(40), Event::Gone(Kind::Mlx)),
        [Effect::Start(Kind::Ollama)]
    );
    assert_eq!(
        machine.handle(at(50), Event::Ready(Kind::Ollama)),
        [Effect::Warm(Kind::Ollama)]
    );
    assert_eq!(
        machine.handle(at(60), Event::Warmed(Kind::Ollama)),
        [
            Effect::OpenDoor(Kind::Ollama),
            Effect::Tell(News::Serving(Kind::Ollama))
        ]
    );
}

#[test]
fn somebody_elses_server_is_stopped_only_after_a_yes() {
    let mut machine = Residency::new(Policy::default());
    machine.handle(at(0), Event::Found(Kind::Ollama, Owner::Foreign));
    assert_eq!(
        machine.handle(at(1), Event::Use(Kind::Mlx)),
        [Effect::Ask(Kind::Ollama)]
    );
    assert_eq!(
        machine.handle(at(2), Event::Answered { yes: false }),
        [Effect::Tell(News::Declined)]
    );
    machine.handle(at(3), Event::Use(Kind::Mlx));
    assert_eq!(
        machine.handle(at(4), Event::Answered { yes: true }),
        [
            Effect::CloseDoor,
            Effect::Unload(Kind::Ollama, Owner::Foreign)
        ]
    );
}

#[test]
fn memory_that_does_not_come_back_in_time_costs_the_process() {
    let mut machine = serving(Kind::Mlx, Consent::Given);
    machine.handle(at(100), Event::Stop);
    assert_eq!(machine.handle(at(5_099), Event::Tick), []);
    assert_eq!(
        machine.handle(at(5_100), Event::Tick),
        [Effect::Kill(Kind::Mlx)]
    );
    assert_eq!(
        machine.handle(at(5_200), Event::Gone(Kind::Mlx)),
        [Effect::Tell(News::Stopped(Kind::Mlx))]
    );
}

#[test]
fn a_dead_one_is_started_again_and_told_of_once() {
    let mut machine = serving(Kind::Mlx, Consent::Given);
    let told = machine.handle(at(100), Event::Died(Kind::Mlx));
    assert_eq!(
        told,
        [Effect::CloseDoor, Effect::Tell(News::Restarting(Kind::Mlx))]
    );
    assert_eq!(machine.deadline(), Some(at(600)));
    assert_eq!(
        machine.handle(at(600), Event::Tick),
        [Effect::Kill(Kind::Mlx)]
    );
    assert_eq!(
        machine.handle(at(610), Event::Gone(Kind::Mlx)),
        [Effect::Start(Kind::Mlx)]
    );
    assert_eq!(machine.handle(at(700), Event::Died(Kind::Mlx)), []);
    assert_eq!(machine.deadline(), Some(at(1_700)), "the pause doubles");
}

#[test]
fn one_that_says_nothing_for_a_minute_is_killed_and_a_slow_one_is_not() {
    let mut machine = serving(Kind::Ollama, Consent::Given);
    machine.handle(at(1_000), Event::RequestBegan);
    machine.handle(at(50_000), Event::Progress);
    assert_eq!(machine.handle(at(61_000), Event::Tick), []);
    let effects = machine.handle(at(110_000), Event::Tick);
    assert!(effects.contains(&Effect::Kill(Kind::Ollama)), "{effects:?}");
    assert_eq!(
        machine.handle(at(110_010), Event::Gone(Kind::Ollama)),
        [Effect::Start(Kind::Ollama)]
    );
}

#[test]
fn one_that_never_starts_is_given_up_after_some_tries() {
    let mut machine = serving(Kind::Mlx, Consent::Given);
    let (mut now, mut told) = (100, Vec::new());
    told.extend(machine.handle(at(now), Event::Died(Kind::Mlx)));
    for _ in 0..40 {
        let Some(deadline) = machine.deadline() else {
            break;
        };
        now = deadline.since_start().as_millis() as u64;
        let mut effects = machine.handle(at(now), Event::Tick);
        while let Some(effect) = effects.pop() {
            told.push(effect);
            let next = match effect {
                Effect::Kill(kind) => Event::Gone(kind),
                Effect::Start(kind) => Event::Died(kind),
                _ => continue,
            };
            effects.extend(machine.handle(at(now), next));
        }
    }
    let gave_up = |effect: &&Effect| **effect == Effect::Tell(News::GaveUp(Kind::Mlx));
    assert_eq!(told.iter().filter(gave_up).count(), 1, "{told:?}");
    assert_eq!(machine.phase(), Phase::Empty);
    assert!(now < 60_000, "{now} ms");
}

#[test]
fn where_it_is_forbidden_nothing_happens() {
    let mut machine = Residency::new(Policy {
        consent: Consent::Refused,
        ..Policy::default()
    });
    assert_eq!(
        machine.handle(at(0), Event::Use(Kind::Mlx)),
        [Effect::Tell(News::Forbidden)]
    );
}

/// The machine beside a world in which processes really are resident or not, and answers come late, twice or never.
#[derive(Debug, Clone, Copy)]
enum Act {
    Use(bool),
    Stop,
    Answer(bool),
    Began,
    Ended,
    Dies(bool),
    Serve,
    Pass(u16),
    Stray(u8, bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => any::<bool>().prop_map(Act::Use),
        1 => Just(Act::Stop),
        1 => any::<bool>().prop_map(Act::Answer),
        1 => Just(Act::Began),
        1 => Just(Act::Ended),
        1 => any::<bool>().prop_map(Act::Dies),
        4 => Just(Act::Serve),
        3 => (0_u16..20_000).prop_map(Act::Pass),
        1 => (0_u8..2, any::<bool>()).prop_map(|(what, which)| Act::Stray(what, which)),
    ]
}

fn kind(first: bool) -> Kind {
    if first { Kind::Mlx } else { Kind::Ollama }
}

proptest! {
    #[test]
    fn two_are_never_resident(acts in proptest::collection::vec(act(), 0..120), foreign in proptest::option::of(any::<bool>())) {
        let mut machine = Residency::new(Policy::default());
        let mut resident: Vec<Kind> = Vec::new();
        let mut orders: Vec<Effect> = Vec::new();
        let mut now = 0;
        if let Some(first) = foreign {
            resident.push(kind(first));
            machine.handle(at(0), Event::Found(kind(first), Owner::Foreign));
        }
        for act in acts {
            let events = match act {
                Act::Use(first) => vec![Event::Use(kind(first))],
                Act::Stop => vec![Event::Stop],
                Act::Answer(yes) => vec![Event::Answered { yes }],
                Act::Began => vec![Event::RequestBegan],
                Act::Ended => vec![Event::RequestEnded],
                Act::Dies(first) if resident.contains(&kind(first)) => {
                    resident.clear();
                    vec![Event::Died(kind(first))]
                }
                // A token or a warm-up of the past is reported late.
                Act::Stray(what, first) => vec![if what == 0 { Event::Ready(kind(first)) } else { Event::Warmed(kind(first)) }],
                Act::Pass(ms) => { now += u64::from(ms); vec![Event::Tick] }
                Act::Dies(_) => vec![],
                // The executor does its oldest order.
                Act::Serve => match (!orders.is_empty()).then(|| orders.remove(0)) {
                    Some(Effect::Start(kind)) => {
                        // One that runs already is not started a second time: the supervisor looks.
                        let others: Vec<_> = resident.iter().filter(|other| **other != kind).collect();
                        prop_assert!(others.is_empty(), "{kind:?} starts beside {others:?}");
                        if resident.is_empty() {
                            resident.push(kind);
                        }
                        vec![Event::Ready(kind)]
                    }
                    Some(Effect::Unload(kind, _) | Effect::Kill(kind)) => {
                        resident.retain(|other| *other != kind);
                        vec![Event::Gone(kind)]
                    }
                    Some(Effect::Warm(kind)) => vec![Event::Warmed(kind)],
                    _ => vec![],
                },
            };
            for event in events {
                let effects = machine.handle(at(now), event);
                if matches!(event, Event::Tick) && !effects.is_empty() {
                    prop_assert!(machine.deadline().is_none_or(|deadline| deadline > at(now)));
                }
                let work = |effect: &Effect| matches!(effect, Effect::Start(_) | Effect::Unload(..) | Effect::Kill(_) | Effect::Warm(_));
                orders.extend(effects.into_iter().filter(work));
            }
        }
    }
}
