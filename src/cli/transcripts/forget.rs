//! `hark transcripts forget`: counts, asks, deletes.

use crate::cli::console::Console;
use crate::config::Places;
use crate::transcripts::when::{When, age, stretch, turns};
use crate::transcripts::{Reader, RecordId, StoreError, Which, forget};

use super::print::counted;
use super::{Refusal, open};

/// Arguments of `forget`.
#[derive(Debug, clap::Args)]
pub(super) struct ForgetArgs {
    /// Turns by number (42) or range (40..45)
    turns: Vec<String>,
    /// Everything of a day or another time (as for `list`)
    #[arg(long, alias = "when", value_name = "WHEN")]
    day: Option<String>,
    /// Everything older than this (90d, 12h, 1y)
    #[arg(long, value_name = "AGE")]
    older_than: Option<String>,
    /// Everything
    #[arg(long, conflicts_with_all = ["turns", "day", "older_than"])]
    all: bool,
    /// Does not ask
    #[arg(long, short)]
    yes: bool,
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    args: &ForgetArgs,
    places: &Places,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let which = which(args, console)?;
    let path = places.transcripts();
    let kept = prepare(args, places, console)?;
    let count = match forget::count(&path, &which) {
        Err(StoreError::Absent { .. }) => None,
        result => Some(result?),
    };
    // `--all` also clears what is left of earlier deletions, sessions and events, so it runs with nothing to count too.
    let Some(count) = count.filter(|count| *count > 0 || args.all) else {
        return tell(args, console, 0);
    };
    if !args.yes && !confirmed(console, count)? {
        writeln!(console.err, "Nothing was forgotten.")?;
        return Ok(());
    }
    if kept >= SLOW_FROM {
        let told = "Writing the log anew so that no trace is left; this can take a minute or two.";
        writeln!(console.err, "{told}")?;
    }
    let forgotten = forget::forget(&path, &which)?;
    tell(args, console, forgotten.turns)
}

/// Finishes what an earlier deletion left, and refuses what is not there; how many turns there are.
fn prepare(args: &ForgetArgs, places: &Places, console: &mut Console<'_>) -> anyhow::Result<u64> {
    let path = places.transcripts();
    let Some(reader) = open(places)? else {
        return if args.turns.is_empty() {
            Ok(0)
        } else {
            Err(Refusal::Nothing.into())
        };
    };
    let kept = reader.count()?;
    if forget::is_unfinished(&path)? {
        // What is asked for now may be what was deleted then, so its absence is no slip.
        drop(reader);
        forget::finish(&path)?;
        let told = "An earlier deletion was cut short; its traces are removed.";
        writeln!(console.err, "{told}")?;
    } else {
        refuse_unknown(&reader, args)?;
    }
    Ok(kept)
}

/// Turns from which the rewrite takes seconds (a million took 80 s on a busy machine of two cores).
const SLOW_FROM: u64 = 50_000;

/// What the arguments mean.
fn which(args: &ForgetArgs, console: &Console<'_>) -> Result<Vec<Which>, Refusal> {
    if args.all {
        return Ok(vec![Which::All]);
    }
    let mut which = Vec::new();
    for written in &args.turns {
        let (first, last) = turns(written).ok_or(Refusal::Usage(
            "a turn is a number like 42 or a range like 40..45; days go with --day",
        ))?;
        which.push(Which::Turns(first, last));
    }
    if let Some(day) = &args.day {
        which.push(Which::When(stretch(day, &console.now)?));
    }
    if let Some(older) = &args.older_than {
        which.push(Which::When(When {
            from_ms: i64::MIN,
            until_ms: age(older, &console.now)?,
        }));
    }
    if which.is_empty() {
        return Err(Refusal::Usage(
            "say what to forget: turns by number, --day, --older-than or --all",
        ));
    }
    Ok(which)
}

/// A single number that is not there is most likely a slip, and forgetting cannot be taken back.
fn refuse_unknown(reader: &Reader, args: &ForgetArgs) -> anyhow::Result<()> {
    for written in &args.turns {
        if let Ok(number) = written.parse() {
            reader
                .show(RecordId(number))?
                .ok_or(Refusal::NoTurn(number))?;
        }
    }
    Ok(())
}

fn confirmed(console: &mut Console<'_>, count: usize) -> anyhow::Result<bool> {
    let turns = counted(count, "turn");
    let answer = console.ask(&format!("Forget {turns} for good? [y/N]"))?;
    match answer {
        Some(answer) => Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes")),
        None => Err(Refusal::Usage(
            "forgetting cannot be taken back; say --yes to do it without being asked",
        )
        .into()),
    }
}

fn tell(args: &ForgetArgs, console: &mut Console<'_>, count: usize) -> anyhow::Result<()> {
    if args.json {
        writeln!(console.out, "{}", serde_json::json!({ "forgotten": count }))?;
    } else if count == 0 && !args.all {
        writeln!(console.out, "There is nothing to forget.")?;
    } else {
        writeln!(console.out, "Forgot {}.", counted(count, "turn"))?;
    }
    Ok(())
}
