//! The notebook on disk: what is set survives, is private, is shared between processes, and rings as it should.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use hark::agent::notebook::{Notebook, NotebookError};
use hark::agent::schedule::words::ringing;
use hark::agent::schedule::{Change, Days, Entry, Kind, NewEntry, Repeat, Ring, Schedule};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};
use proptest::prelude::*;

use crate::support::Home;

/// A Tuesday evening in Berlin.
fn now() -> ZonedDateTime {
    "2026-11-24T19:05:00+01:00[Europe/Berlin]".parse().unwrap()
}

fn later(seconds: i64) -> ZonedDateTime {
    now()
        .checked_add(SignedDuration::from_secs(seconds))
        .unwrap()
}

fn timer(seconds: u64, label: Option<&str>) -> NewEntry {
    let length = Duration::from_secs(seconds);
    NewEntry {
        kind: Kind::Timer { length },
        due: now().timestamp().saturating_add(length).unwrap(),
        label: label.map(str::to_owned),
        repeat: None,
    }
}

fn started() -> Timestamp {
    now().timestamp()
}

/// Applies what is due and gives what is said.
fn ring(book: &Notebook, at: &ZonedDateTime, started: Timestamp) -> Vec<String> {
    let changes = book.schedule().due(at, started);
    book.apply(&changes).unwrap();
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Ring(entry, how) => Some(ringing(entry, *how, at)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_was_set_is_there_after_a_restart_in_a_file_that_only_its_owner_reads() {
    let home = Home::new();
    let path = home.path("private/notebook.db");
    let book = Notebook::open(&path).unwrap();
    let tea = book.set(timer(300, Some("tea"))).unwrap();
    let repeat = Repeat {
        days: Days::WEEKDAYS,
        time: "07:30".parse().unwrap(),
    };
    let alarm = book
        .set(NewEntry {
            kind: Kind::Alarm,
            due: repeat.after(&now()).unwrap(),
            label: None,
            repeat: Some(repeat),
        })
        .unwrap();
    book.add_note("buy milk", started()).unwrap();
    book.remember("my wife is called Anna", started()).unwrap();
    drop(book);
    let again = Notebook::open(&path).unwrap();
    assert_eq!(again.schedule().entries(), [tea, alarm]);
    assert_eq!(again.notes("MILK", 9).unwrap()[0].text.as_str(), "buy milk");
    assert_eq!(again.facts()[0].text.as_str(), "my wife is called Anna");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}

#[test]
fn a_timer_rings_on_time_again_until_it_is_heard_and_then_never() {
    let home = Home::new();
    let book = &home.notebook;
    book.set(timer(60, Some("tea"))).unwrap();
    assert_eq!(ring(book, &later(59), started()), [""; 0]);
    assert_eq!(ring(book, &later(60), started()), ["Your tea timer is up."]);
    assert_eq!(ring(book, &later(70), started()), [""; 0]);
    assert_eq!(ring(book, &later(80), started()), ["Your tea timer is up."]);
    assert_eq!(
        ring(book, &later(100), started()),
        ["Your tea timer is up."]
    );
    assert_eq!(
        ring(book, &later(120), started()),
        [""; 0],
        "three times are enough"
    );
    assert!(book.schedule().entries().is_empty());
}

#[test]
fn a_ring_that_was_heard_is_over_and_an_alarm_comes_again_on_its_next_day() {
    let home = Home::new();
    let book = &home.notebook;
    book.set(timer(60, None)).unwrap();
    let repeat = Repeat {
        days: Days::ALL,
        time: "19:06".parse().unwrap(),
    };
    let due = repeat.after(&now()).unwrap();
    let alarm = NewEntry {
        kind: Kind::Alarm,
        due,
        label: None,
        repeat: Some(repeat),
    };
    book.set(alarm).unwrap();
    let said = ring(book, &later(60), started());
    assert_eq!(
        said,
        [
            "Your 1 minute timer is up.",
            "It is 7:06 PM, and this is your alarm."
        ]
    );
    book.apply(&book.schedule().silenced(&later(62))).unwrap();
    assert_eq!(ring(book, &later(90), started()), [""; 0]);
    let left = book.schedule();
    assert_eq!(left.entries().len(), 1);
    assert_eq!(left.entries()[0].due, due + SignedDuration::from_hours(24));
}

#[test]
fn what_was_due_while_nobody_could_ring_is_told_as_missed_and_once() {
    let home = Home::new();
    let book = &home.notebook;
    book.set(timer(60, Some("tea"))).unwrap();
    book.set(NewEntry {
        kind: Kind::Reminder,
        due: later(90).timestamp(),
        label: Some("call Anna".to_owned()),
        repeat: None,
    })
    .unwrap();
    let back = later(60 + 12 * 60);
    let said = ring(book, &back, back.timestamp());
    assert_eq!(
        said,
        [
            "While I was away, your tea timer was up, 12 minutes ago.",
            "While I was away, you wanted to be reminded: call Anna, 11 minutes ago."
        ]
    );
    let after = later(60 + 12 * 60 + 20);
    assert_eq!(ring(book, &after, back.timestamp()), [""; 0]);
    assert!(book.schedule().entries().is_empty());
}

#[test]
fn a_daemon_that_is_killed_while_it_rings_says_it_again_after_its_restart() {
    let home = Home::new();
    home.notebook.set(timer(60, Some("tea"))).unwrap();
    assert_eq!(ring(&home.notebook, &later(60), started()).len(), 1);
    let again = Notebook::open(home.notebook.path()).unwrap();
    let said = ring(&again, &later(63), later(62).timestamp());
    assert_eq!(said, [""; 0], "not before it would have rung again");
    let said = ring(&again, &later(80), later(62).timestamp());
    assert_eq!(said, ["While I was away, your tea timer was up."]);
}

#[test]
fn another_process_sees_what_this_one_writes_and_no_name_is_used_twice() {
    let home = Home::new();
    let other = Notebook::open(home.notebook.path()).unwrap();
    let tea = other.set(timer(60, Some("tea"))).unwrap();
    assert!(home.notebook.schedule().entries().is_empty());
    home.notebook.refresh().unwrap();
    assert_eq!(
        home.notebook.schedule().entries(),
        std::slice::from_ref(&tea)
    );
    assert_eq!(home.notebook.cancel(&[tea.id]).unwrap().len(), 1);
    let next = home.notebook.set(timer(60, None)).unwrap();
    assert!(next.id > tea.id);
    assert!(other.cancel(&[tea.id]).unwrap().is_empty());
}

#[tokio::test]
async fn whoever_waits_is_told_of_a_write() {
    let home = Home::new();
    let book = Arc::clone(&home.notebook);
    let waiting = tokio::spawn(async move { book.changed().await });
    while !waiting.is_finished() {
        home.notebook.add_note("x", started()).unwrap();
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn what_is_no_notebook_is_moved_away_and_what_is_newer_is_left_alone() {
    let home = Home::new();
    let path = home.path("notebook.db");
    std::fs::write(
        &path,
        "this is a letter and no database at all, however long it may be",
    )
    .unwrap();
    assert!(matches!(
        Notebook::open(&path),
        Err(NotebookError::Damaged { .. })
    ));
    let (book, aside) = Notebook::open_or_renew(&path).unwrap();
    let aside = aside.unwrap();
    assert!(
        std::fs::read_to_string(aside)
            .unwrap()
            .starts_with("this is a letter")
    );
    book.add_note("new", started()).unwrap();
    drop(book);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA user_version = 9").unwrap();
    drop(raw);
    assert!(matches!(
        Notebook::open_or_renew(&path),
        Err(NotebookError::Newer { .. })
    ));
}

#[test]
fn facts_are_kept_once_and_within_bounds() {
    let home = Home::new();
    let book = &home.notebook;
    assert!(book.remember("I like tea.", started()).unwrap().1);
    assert!(!book.remember("i like tea", started()).unwrap().1);
    for number in 1..50 {
        book.remember(&format!("number {number}"), started())
            .unwrap();
    }
    let error = book.remember("one too many", started()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there are 50 already, and there is no room for more"
    );
    assert_eq!(book.forget_all().unwrap(), 50);
    assert!(book.facts().is_empty());
    // Ten of the longest are as much as the static prompt has room for.
    let longest = |number: usize| format!("{number:02}{}", "x".repeat(198));
    for number in 0..10 {
        book.remember(&longest(number), started()).unwrap();
    }
    assert!(book.remember(&longest(10), started()).is_err());
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        (1_u64..1_000).prop_map(|s| Kind::Timer {
            length: Duration::from_secs(s)
        }),
        Just(Kind::Alarm),
        Just(Kind::Reminder),
    ];
    let repeat =
        proptest::option::of(
            (1_u8..128, 0_i8..24, 0_i8..60).prop_map(|(days, h, m)| Repeat {
                days: Days::from_bits(days).unwrap(),
                time: jiff::civil::Time::new(h, m, 0, 0).unwrap(),
            }),
        );
    (1_i64..20, kind, -5_000_i64..5_000, repeat).prop_map(|(id, kind, due, repeat)| Entry {
        id: hark::agent::schedule::EntryId(id),
        kind,
        due: later(due).timestamp(),
        label: None,
        repeat: if matches!(kind, Kind::Timer { .. }) {
            None
        } else {
            repeat
        },
        ringing: None,
    })
}

proptest! {
    /// Whatever is set, however the clock jumps: nothing due is left undone, nothing rings early, everything ends.
    #[test]
    fn every_entry_rings_and_ends(
        entries in proptest::collection::vec(any_entry(), 0..10),
        steps in proptest::collection::vec(0_i64..4_000, 1..40),
    ) {
        let mut schedule = Schedule::new();
        for entry in entries {
            schedule.put(entry);
        }
        let mut at = 0;
        let mut rings = std::collections::BTreeMap::<i64, u32>::new();
        for step in steps {
            at += step;
            let now = later(at);
            for change in schedule.due(&now, started()) {
                match change {
                    Change::Ring(entry, how) => {
                        prop_assert!(entry.due <= now.timestamp());
                        prop_assert!(how != Ring::Now || entry.ringing.unwrap().times == 1);
                        *rings.entry(entry.id.0).or_default() += 1;
                        schedule.put(entry);
                    }
                    Change::Again(entry) => {
                        prop_assert!(entry.due > now.timestamp() && entry.ringing.is_none());
                        rings.remove(&entry.id.0);
                        schedule.put(entry);
                    }
                    Change::Over(id) => {
                        prop_assert!(rings.contains_key(&id.0), "nothing ends without having rung");
                        prop_assert!(schedule.remove(id));
                    }
                }
            }
            prop_assert!(rings.values().all(|times| *times <= 3));
            prop_assert!(schedule.next().is_none_or(|next| next > now.timestamp()));
        }
    }
}
