//! The transcript log on a million turns: how long a list, a search, a page of export and a deletion take, and what a
//! commit costs with and without waiting for the disk.
//!
//! `cargo bench --bench transcripts` prints a table; `HARK_BENCH_TURNS` sets another number of turns, `HARK_BENCH_FOLDER`
//! keeps the log there for the next run. Exits with 1 where a list or a search takes 50 ms or more (95th percentile), which
//! is the project's limit.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::time::{Duration, Instant};

use hark::flow::{Outcome, Receipt, Turn};
use hark::ids::TurnId;
use hark::time::{SamplePos, Span};
use hark::transcripts::forget::forget;
use hark::transcripts::query::expression;
use hark::transcripts::when::{ALWAYS, When};
use hark::transcripts::{
    ListRequest, Reader, RecordId, SearchRequest, SessionInfo, Speaker, Wall, Which,
    insert_session, insert_turn, open_writable,
};

/// A turn every five minutes, so that a million of them are nine and a half years.
const APART_MS: i64 = 300_000;

/// 1 January 2017.
const FIRST_MS: i64 = 1_483_228_800_000;

const LIMIT: Duration = Duration::from_millis(50);

fn main() {
    // `cargo bench` says `--bench`; `cargo test` only wants to see that the benchmark still runs.
    let bench = std::env::args().any(|argument| argument == "--bench");
    let usual = if bench { 1_000_000 } else { 2_000 };
    let turns: u64 =
        std::env::var("HARK_BENCH_TURNS").map_or(usual, |turns| turns.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let folder =
        std::env::var_os("HARK_BENCH_FOLDER").map_or(temporary.path().to_owned(), Into::into);
    println!("transcript log, {turns} turns");
    commits(temporary.path());
    let log = folder.join("transcripts").join("transcripts.db");
    if !log.exists() {
        let began = Instant::now();
        fill(&log, turns);
        println!(
            "{:44} {:>10.1} s",
            "written (in batches, disk not waited for)",
            began.elapsed().as_secs_f64()
        );
    }
    let bytes = std::fs::metadata(&log).unwrap().len();
    println!("{:44} {:>10.0} MB", "size", bytes as f64 / 1e6);
    let within = reads(&log, turns);
    let began = Instant::now();
    let forgotten = forget(&log, &[Which::Turns(5, 5)]).unwrap();
    println!(
        "{:44} {:>10.1} s",
        format!("forget {} turn, without a trace", forgotten.turns),
        began.elapsed().as_secs_f64()
    );
    if bench && !within {
        println!("a list or a search took {LIMIT:?} or more");
        std::process::exit(1);
    }
}

/// What one turn a commit costs, waiting for the disk at each (`FULL`, as Hark does) and only at checkpoints (`NORMAL`).
fn commits(folder: &Path) {
    for mode in ["FULL", "NORMAL"] {
        let mut log = open_writable(&folder.join(mode).join("log.db"), LIMIT).unwrap();
        log.execute_batch(&format!("PRAGMA synchronous = {mode}"))
            .unwrap();
        let session = insert_session(&log, "bench", wall(0), &SessionInfo::default()).unwrap();
        let mut dice = Dice(1);
        let mut times: Vec<Duration> = (0..500)
            .map(|id| {
                let turn = turn(id, &mut dice);
                let began = Instant::now();
                let work = log.transaction().unwrap();
                insert_turn(&work, session, wall(id), &turn, true).unwrap();
                work.commit().unwrap();
                began.elapsed()
            })
            .collect();
        print(
            &format!("commit of one turn, synchronous={mode}"),
            &mut times,
        );
    }
}

fn fill(log: &Path, turns: u64) {
    let mut log = open_writable(log, LIMIT).unwrap();
    log.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")
        .unwrap();
    let session = insert_session(&log, "bench", wall(0), &SessionInfo::default()).unwrap();
    let mut dice = Dice(2);
    let mut id = 0;
    while id < turns {
        let work = log.transaction().unwrap();
        let end = (id + 10_000).min(turns);
        while id < end {
            insert_turn(&work, session, wall(id), &turn(id, &mut dice), false).unwrap();
            id += 1;
        }
        work.commit().unwrap();
    }
}

/// Times of everything that reads; whether all of it is within the limit.
fn reads(log: &Path, turns: u64) -> bool {
    let reader = Reader::open(log).unwrap();
    let middle = FIRST_MS + (turns / 2) as i64 * APART_MS;
    let from = |from_ms: i64, days: i64| When {
        from_ms,
        until_ms: from_ms + days * 86_400_000,
    };
    let list = |name, when| {
        measure(name, &mut || {
            reader.list(&ListRequest { when, limit: 20 }).unwrap().len()
        })
    };
    let search = |name, typed, speaker, when| {
        let expression = expression(typed).unwrap();
        let request = SearchRequest {
            expression,
            speaker,
            when,
            limit: 20,
        };
        measure(name, &mut || reader.search(&request).unwrap().len())
    };
    let (day, year) = (from(middle, 1), from(middle, 365));
    let within = [
        list("list, the last 20", ALWAYS),
        list("list, a day in the middle", day),
        list("list, the first day", from(FIRST_MS, 1)),
        measure("open and list, as the command does", &mut || {
            let reader = Reader::open(log).unwrap();
            reader.list(&ListRequest::default()).unwrap().len()
        }),
        search("search, a word of every turn", "the", None, ALWAYS),
        search("search, a word of one turn in 140", "w777", None, ALWAYS),
        search("search, a word of one turn", "unique12345", None, ALWAYS),
        search("search, two common words", "the w3", None, ALWAYS),
        search("search, two rare words", "w801 w900", None, ALWAYS),
        search("search, a phrase", "\"the w5\"", None, ALWAYS),
        search("search, a beginning of two letters", "w7*", None, ALWAYS),
        search("search, a beginning of three letters", "w77*", None, ALWAYS),
        search("search, a beginning of four letters", "that*", None, ALWAYS),
        search(
            "search, a beginning of two turns in five",
            "about*",
            None,
            ALWAYS,
        ),
        search("search, one side only", "w20", Some(Speaker::User), ALWAYS),
        search("search, a common word in an old day", "the", None, day),
        search("search, a common word in an old year", "the", None, year),
        search("search, a rare word in an old year", "w950", None, year),
        search(
            "search, a common word without another",
            "the -that",
            None,
            ALWAYS,
        ),
        search("search, what is not there", "nowhere", None, ALWAYS),
        measure("show, one turn", &mut || {
            usize::from(reader.show(RecordId(turns as i64 / 3)).unwrap().is_some())
        }),
    ];
    within.iter().all(|within| *within)
}

/// Prints the times of `work`, which tells how many rows it found; whether they are within the limit.
fn measure(name: &str, work: &mut dyn FnMut() -> usize) -> bool {
    let mut rows = 0;
    let mut times: Vec<Duration> = (0..30)
        .map(|_| {
            let began = Instant::now();
            rows = work();
            began.elapsed()
        })
        .collect();
    print(&format!("{name} ({rows} found)"), &mut times)
}

/// Prints the median and the 95th percentile; whether the latter is within the limit.
fn print(name: &str, times: &mut [Duration]) -> bool {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{name:56} p50 {:>8.2} ms   p95 {:>8.2} ms",
        ms(at(50)),
        ms(at(95))
    );
    at(95) < LIMIT
}

fn wall(id: u64) -> Wall {
    Wall {
        ms: FIRST_MS + id as i64 * APART_MS,
        offset_s: 3_600,
    }
}

/// A turn of eight words asked and thirty answered, out of a vocabulary of a thousand in which word n is n times rarer
/// than the first, as words are (Zipf).
fn turn(id: u64, dice: &mut Dice) -> Turn {
    let mut words = |count: usize| {
        let words = (0..count).map(|_| match dice.zipf() {
            0 => "the".to_owned(),
            1 => "that".to_owned(),
            10 => "about".to_owned(),
            rank => format!("w{rank}"),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let (asked, replied) = (format!("the {} unique{id}", words(8)), words(30));
    Turn {
        id: TurnId(id),
        span: Span {
            start: SamplePos(id * 48_000),
            end: SamplePos(id * 48_000 + 40_000),
        },
        asked: asked.into(),
        language: "en".to_owned(),
        confidence: 0.9,
        heard: replied.clone().into(),
        replied: replied.into(),
        outcome: Outcome::Completed,
        failure: None,
        tools: Vec::new(),
        receipt: Receipt {
            endpoint_ms: Some(500),
            first_audio_ms: Some(1_200),
            ..Receipt::default()
        },
    }
}

/// Numbers without order, the same at each run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A rank below 1,000, the n-th about n times rarer than the first.
    fn zipf(&mut self) -> u64 {
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (1_000_f64.powf(share) - 1.0) as u64
    }
}
