//! `kill -9` at random instants: every turn that was acknowledged is found, none twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hark::transcripts::{Ack, Reader, WriterOptions, check};

use super::{Running, State, turn};

/// The environment variable that makes the test below the victim: the log to write to.
const VICTIM: &str = "HARK_TEST_CRASH_LOG";

/// Run by itself it records a few turns. Run by the test below it records for ever, prints each acknowledged turn, and is
/// killed.
#[test]
fn a_writer_prints_what_is_acknowledged() {
    if let Some(log) = std::env::var_os(VICTIM) {
        write_and_print(Path::new(&log), u64::MAX);
    }
    let state = State::new();
    write_and_print(&state.log(), 5);
    assert_eq!(Reader::open(&state.log()).unwrap().count().unwrap(), 5);
}

/// Records turns one after the other without waiting for more than a few, and prints `ack:SESSION:TURN` for each that is
/// safe.
fn write_and_print(log: &Path, turns: u64) {
    let running = Running::start(log, WriterOptions::default());
    let run = std::process::id();
    let mut unanswered = 0;
    for id in 1..=turns {
        let words = format!("run {run} turn {id} {}", "and some more words ".repeat(20));
        running.send(turn(id, &words, "yes"));
        unanswered += 1;
        // Up to four turns are on their way, so that a kill also meets batches.
        while unanswered > 4 || (id == turns && unanswered > 0) {
            let (id, ack) = running.acknowledged();
            assert!(matches!(ack, Ack::Recorded(_)));
            let mut out = std::io::stdout().lock();
            writeln!(out, "ack:{run}:{id}").unwrap();
            out.flush().unwrap();
            unanswered -= 1;
        }
    }
    running.close();
}

#[test]
fn every_acknowledged_turn_survives_kill_9_and_none_is_there_twice() {
    let kills = if std::env::var_os("HARK_LONG_TESTS").is_some() {
        1_000
    } else {
        100
    };
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut state = State::new();
    let mut acknowledged = 0;
    let mut promised: BTreeMap<u32, u64> = BTreeMap::new();
    for kill in 0..kills {
        // Now and then the log is new, so that the kill meets its making too.
        if kill % 10 == 0 {
            acknowledged += examine(&state, &promised);
            promised.clear();
            state = State::new();
        }
        let victim = Victim::start(&state.log());
        let run = victim.run();
        let seen = victim.kill_after(dice.below(40), Duration::from_micros(dice.below(6_000)));
        promised.insert(run, seen);
    }
    acknowledged += examine(&state, &promised);
    eprintln!("{kills} kills, {acknowledged} acknowledged turns, all found once");
    assert!(
        acknowledged > kills,
        "the kills came before anything was written"
    );
}

/// Holds the log against what was promised: for each run, the turns 1 to the last acknowledged one.
fn examine(state: &State, promised: &BTreeMap<u32, u64>) -> u64 {
    if !state.log().exists() {
        assert!(promised.values().all(|turns| *turns == 0));
        return 0;
    }
    // What the daemon does at its next start; it also makes a schema that the kill prevented.
    state.running().close();
    let integrity = check(&state.log()).unwrap();
    assert_eq!(integrity.findings, Vec::<String>::new());
    let database = rusqlite::Connection::open(state.log()).unwrap();
    let mut statement = database
        .prepare("SELECT s.key, count(*), count(DISTINCT t.asked), max(t.turn) FROM turns t JOIN sessions s ON s.id = t.session GROUP BY s.id")
        .unwrap();
    let found: BTreeMap<u32, (u64, u64, u64)> = statement
        .query_map([], |row| {
            let key: String = row.get(0)?;
            let run = key.rsplit('/').next().unwrap().parse().unwrap();
            let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok((run, (count(1)?, count(2)?, count(3)?)))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (run, turns) in promised {
        let (rows, distinct, last) = found.get(run).copied().unwrap_or_default();
        assert!(
            last >= *turns,
            "run {run}: {turns} turns were acknowledged, {last} are found"
        );
        assert_eq!(
            (rows, distinct),
            (last, last),
            "run {run}: a turn is missing or there twice"
        );
    }
    promised.values().sum()
}

/// A process that records turns.
struct Victim {
    child: Child,
}

impl Victim {
    fn start(log: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "crash::a_writer_prints_what_is_acknowledged",
                "--nocapture",
            ])
            .env(VICTIM, log)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }

    fn run(&self) -> u32 {
        self.child.id()
    }

    /// Kills it `later` than it has printed `acks` turns; how many it has printed in all.
    fn kill_after(mut self, acks: u64, later: Duration) -> u64 {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let mut last = 0;
        // The harness may print on the same line before it.
        let number = |line: &str| {
            line.rsplit_once("ack:")?
                .1
                .rsplit_once(':')?
                .1
                .parse::<u64>()
                .ok()
        };
        while last < acks {
            let line = lines.next().expect("the victim ended by itself").unwrap();
            last = number(&line).unwrap_or(last);
        }
        std::thread::sleep(later);
        self.child.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            last = number(&line).unwrap_or(last);
        }
        self.child.wait().unwrap();
        last
    }
}

/// Numbers without order, the same at each run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
