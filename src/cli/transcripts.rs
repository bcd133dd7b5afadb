//! `hark transcripts list|show|search|export|forget|why`.
//!
//! Thin: reads arguments, asks the log, prints. Works without the daemon and beside it. A reader that goes away (`| head`)
//! ends a verb quietly.

mod forget;
mod print;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::console::Console;
use crate::config::Places;
use crate::transcripts::export::{ExportError, Format, Target};
use crate::transcripts::query::{QueryError, expression};
use crate::transcripts::when::{ALWAYS, When, WhenError, stretch};
use crate::transcripts::{
    ListRequest, Reader, RecordId, SearchRequest, Speaker, StoreError, StoredTurn, audio, why,
};

/// Arguments of `hark transcripts`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hark transcripts list today\n  hark transcripts search timer")]
pub struct TranscriptsArgs {
    #[command(subcommand)]
    command: TranscriptsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TranscriptsCommand {
    /// Lists conversations, newest first
    #[command(
        after_help = "Examples:\n  hark transcripts list yesterday\n  hark transcripts list 2026-11-01..2026-11-24 --limit 100\n  hark transcripts list --follow"
    )]
    List(ListArgs),
    /// Shows one turn with everything that is known of it; without a number the last one
    #[command(after_help = "Example:\n  hark transcripts show 42")]
    Show(TurnArgs),
    /// Finds turns by their words
    #[command(
        after_help = "Examples:\n  hark transcripts search weather tokyo\n  hark transcripts search '\"garage door\" -timer' --when 30d --speaker user\n\nWords must all occur. \"quoted words\" are a phrase, -word must not occur (within quotes of the shell, or after --), word* is a beginning, OR stands between alternatives."
    )]
    Search(SearchArgs),
    /// Writes conversations as Markdown, JSON Lines or text
    #[command(
        after_help = "Examples:\n  hark transcripts export --when 2026-11 --output november.md\n  hark transcripts export --format jsonl --state ~/.hark-exported --output all.jsonl"
    )]
    Export(ExportArgs),
    /// Deletes turns for good: from the file, its free space and its search index
    #[command(
        after_help = "Examples:\n  hark transcripts forget 42\n  hark transcripts forget 40..45 --yes\n  hark transcripts forget --day yesterday\n  hark transcripts forget --older-than 90d\n  hark transcripts forget --all"
    )]
    Forget(forget::ForgetArgs),
    /// Explains where the time of a turn went; without a number of the last one
    #[command(after_help = "Example:\n  hark transcripts why 42")]
    Why(TurnArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// today, yesterday, a day, a month, two of them (2026-11-01..2026-11-24) or an age (12h, 7d)
    when: Option<String>,
    /// At most so many turns
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Goes on printing turns as they are recorded
    #[arg(long, short)]
    follow: bool,
    /// Prints one JSON list; with --follow one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct TurnArgs {
    /// The turn's number, as `list` shows it
    turn: Option<i64>,
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct SearchArgs {
    /// What to search for
    #[arg(required = true)]
    words: Vec<String>,
    /// Only within this time (as for `list`)
    #[arg(long, value_name = "WHEN")]
    when: Option<String>,
    /// Only in the words of one side
    #[arg(long, value_enum)]
    speaker: Option<SpeakerArg>,
    /// At most so many turns
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Prints one JSON list
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SpeakerArg {
    User,
    Hark,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FormatArg {
    /// A document for people, a heading for each day
    Markdown,
    /// One JSON object a line, with everything
    Jsonl,
    /// One line for each speaker
    Text,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// How it is written
    #[arg(long, value_enum, default_value_t = FormatArg::Markdown)]
    format: FormatArg,
    /// Only this time (as for `list`)
    #[arg(long, value_name = "WHEN")]
    when: Option<String>,
    /// Only turns after this number
    #[arg(long, value_name = "TURN", default_value_t = 0)]
    since_id: i64,
    /// Remembers the last turn in this file, and continues after it
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Writes to this file instead of standard output; with --state it adds to it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What a verb could not do, beside what the log itself reports.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A time that is none: exit code 2.
    #[error(transparent)]
    When(#[from] WhenError),
    /// A search for nothing: exit code 2.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A wrong combination of arguments: exit code 2.
    #[error("{0}")]
    Usage(&'static str),
    /// No turn of that number: exit code 1.
    #[error("there is no turn {0}; `hark transcripts list` shows those there are")]
    NoTurn(i64),
    /// No turn at all: exit code 1.
    #[error("nothing has been recorded yet; `hark run` records what you say to it")]
    Nothing,
}

/// The exit code of a failure of this verb.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Refusal>() {
        Some(Refusal::When(_) | Refusal::Query(_) | Refusal::Usage(_)) => 2,
        _ => 1,
    }
}

/// Runs the verb.
///
/// # Errors
/// See [`exit_code`].
pub fn run(
    args: &TranscriptsArgs,
    places: &Places,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let result = match &args.command {
        TranscriptsCommand::List(args) if args.follow => follow(args, places, console),
        TranscriptsCommand::List(args) => list(args, places, console),
        TranscriptsCommand::Show(args) => show(args, places, console),
        TranscriptsCommand::Search(args) => search(args, places, console),
        TranscriptsCommand::Export(args) => export(args, places, console),
        TranscriptsCommand::Forget(args) => forget::run(args, places, console),
        TranscriptsCommand::Why(args) => explain(args, places, console),
    };
    match result {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        result => result,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// The log, or `None` where nothing has been recorded yet.
fn open(places: &Places) -> Result<Option<Reader>, StoreError> {
    match Reader::open(&places.transcripts()) {
        Ok(reader) => Ok(Some(reader)),
        Err(StoreError::Absent { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn when(written: Option<&str>, console: &Console<'_>) -> Result<When, Refusal> {
    Ok(match written {
        Some(written) => stretch(written, &console.now)?,
        None => ALWAYS,
    })
}

fn list(args: &ListArgs, places: &Places, console: &mut Console<'_>) -> anyhow::Result<()> {
    let request = ListRequest {
        when: when(args.when.as_deref(), console)?,
        limit: args.limit,
    };
    let turns = match open(places)? {
        Some(reader) => reader.list(&request)?,
        None => Vec::new(),
    };
    if args.json {
        let list: Vec<_> = turns.iter().map(StoredTurn::to_json).collect();
        writeln!(console.out, "{}", serde_json::to_string_pretty(&list)?)?;
        return Ok(());
    }
    if turns.is_empty() {
        let told = match args.when {
            Some(_) => "Nothing was recorded in that time.",
            None => "Nothing has been recorded yet.",
        };
        writeln!(console.out, "{told}")?;
    }
    let mut lines = print::Lines::default();
    for turn in &turns {
        lines.turn(console, turn)?;
    }
    Ok(())
}

/// Prints the last turns, then each new one, until the reader goes away or the user interrupts.
fn follow(args: &ListArgs, places: &Places, console: &mut Console<'_>) -> anyhow::Result<()> {
    if args.when.is_some() {
        return Err(Refusal::Usage("--follow shows what is to come; leave the time away").into());
    }
    let mut lines = print::Lines::default();
    let mut reader = None;
    let mut last = RecordId(0);
    let mut version = None;
    loop {
        let started = reader.is_none();
        if started {
            reader = open(places)?;
        }
        if let Some(reader) = &reader {
            let now = reader.data_version()?;
            if version != Some(now) {
                version = Some(now);
                if started {
                    last = before_last(reader, args.limit)?;
                }
                last = print_since(reader, last, args.json, &mut lines, console)?;
            }
        }
        std::thread::sleep(FOLLOW_EVERY);
    }
}

/// How often a follower looks; a quarter of a second feels like at once.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// The number after which the last `limit` turns begin.
fn before_last(reader: &Reader, limit: usize) -> Result<RecordId, StoreError> {
    let request = ListRequest {
        when: ALWAYS,
        limit,
    };
    let first = reader.list(&request)?.iter().map(|turn| turn.id.0).min();
    match first {
        Some(first) => Ok(RecordId(first - 1)),
        None => Ok(reader.last()?.map_or(RecordId(0), |turn| turn.id)),
    }
}

fn print_since(
    reader: &Reader,
    since: RecordId,
    json: bool,
    lines: &mut print::Lines,
    console: &mut Console<'_>,
) -> anyhow::Result<RecordId> {
    let mut last = since;
    let mut failure = None;
    reader.each(ALWAYS, since, |turn| {
        let printed = if json {
            writeln!(console.out, "{}", turn.to_json())
        } else {
            lines.turn(console, &turn)
        };
        last = turn.id;
        match printed {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                std::ops::ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or_else(|| console.out.flush(), Err)?;
    Ok(last)
}

/// The turn of that number, or the last.
fn one(reader: Option<&Reader>, number: Option<i64>) -> anyhow::Result<StoredTurn> {
    let reader = reader.ok_or(Refusal::Nothing)?;
    let turn = match number {
        Some(number) => reader
            .show(RecordId(number))?
            .ok_or(Refusal::NoTurn(number))?,
        None => reader.last()?.ok_or(Refusal::Nothing)?,
    };
    Ok(turn)
}

fn show(args: &TurnArgs, places: &Places, console: &mut Console<'_>) -> anyhow::Result<()> {
    let reader = open(places)?;
    let turn = one(reader.as_ref(), args.turn)?;
    let sound = audio::find(&places.transcripts(), turn.id);
    if args.json {
        let mut json = turn.to_json();
        json["audio"] = serde_json::json!(sound);
        writeln!(console.out, "{}", serde_json::to_string_pretty(&json)?)?;
    } else {
        print::whole(console, &turn)?;
        if let Some(sound) = sound {
            writeln!(console.out, "{:<10}{}", "Sound:", sound.display())?;
        }
    }
    Ok(())
}

fn search(args: &SearchArgs, places: &Places, console: &mut Console<'_>) -> anyhow::Result<()> {
    let request = SearchRequest {
        expression: expression(&typed(&args.words)).map_err(Refusal::from)?,
        speaker: args.speaker.map(|speaker| match speaker {
            SpeakerArg::User => Speaker::User,
            SpeakerArg::Hark => Speaker::Hark,
        }),
        when: when(args.when.as_deref(), console)?,
        limit: args.limit,
    };
    let hits = match open(places)? {
        Some(reader) => reader.search(&request)?,
        None => Vec::new(),
    };
    if args.json {
        let list: Vec<_> = hits.iter().map(print::hit_json).collect();
        writeln!(console.out, "{}", serde_json::to_string_pretty(&list)?)?;
        return Ok(());
    }
    if hits.is_empty() {
        writeln!(console.out, "Nothing was found.")?;
    }
    let mut lines = print::Lines::default();
    for hit in &hits {
        lines.hit(console, hit)?;
    }
    Ok(())
}

/// The words as one text. What the shell has unquoted (`'garage door'` arrives as one word with a blank) stays one phrase.
fn typed(words: &[String]) -> String {
    if let [only] = words {
        return only.clone();
    }
    let quoted = words.iter().map(|word| {
        if word.contains(char::is_whitespace) && !word.contains('"') {
            format!("\"{word}\"")
        } else {
            word.clone()
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn export(args: &ExportArgs, places: &Places, console: &mut Console<'_>) -> anyhow::Result<()> {
    let when = when(args.when.as_deref(), console)?;
    let format = match args.format {
        FormatArg::Markdown => Format::Markdown,
        FormatArg::Jsonl => Format::Jsonl,
        FormatArg::Text => Format::Text,
    };
    let target = Target {
        file: args.output.clone(),
        state: args.state.clone(),
        since: args.since_id,
    };
    let reader = open(places)?.ok_or(Refusal::Nothing)?;
    let exported = match target.export(&reader, format, when, console.out) {
        // A closed pipe must be recognised by `run`.
        Err(ExportError::Write { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            return Err(source.into());
        }
        result => result?,
    };
    let turns = print::counted(exported.turns, "turn");
    match &args.output {
        Some(file) => writeln!(
            console.err,
            "Wrote {turns} to {}; the last is {}.",
            file.display(),
            exported.last
        )?,
        None => writeln!(console.err, "{turns}; the last is {}.", exported.last)?,
    }
    Ok(())
}

fn explain(args: &TurnArgs, places: &Places, console: &mut Console<'_>) -> anyhow::Result<()> {
    let reader = open(places)?;
    let turn = one(reader.as_ref(), args.turn)?;
    if args.json {
        let receipt = serde_json::to_string_pretty(&turn.turn.receipt)?;
        writeln!(console.out, "{receipt}")?;
        return Ok(());
    }
    let around = When {
        from_ms: turn.began.ms - AROUND_MS,
        until_ms: turn.began.ms + AROUND_MS,
    };
    let events = match &reader {
        Some(reader) => reader.events(around)?,
        None => Vec::new(),
    };
    write!(
        console.out,
        "{}",
        why::picture(&turn, &events, console.width)
    )?;
    Ok(())
}

/// What happened within half a minute of the question may have slowed its answer.
const AROUND_MS: i64 = 30_000;
