//! `hark service logs`: the daemon's log files, oldest first, as lines for people.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::logging;
use crate::service::JobName;

/// Arguments of `hark service logs`.
#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    /// Waits for more, until stopped
    #[arg(long, short)]
    follow: bool,
    /// Only this many lines, the newest
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 200)]
    lines: usize,
    /// Prints the lines as they are in the file, JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// There is no log, or it cannot be read.
pub(super) fn run(args: &LogsArgs, logs: &Path, console: &mut Console<'_>) -> anyhow::Result<()> {
    let newest = logging::file(logs);
    let files = files(&newest);
    if files.is_empty() && !args.follow {
        return Err(Failure::failed(
            format!("there is no log in {}", logs.display()),
            "`hark run` and `hark service install` write one",
        )
        .into());
    }
    let mut lines: Vec<String> = Vec::new();
    let mut at = 0;
    for path in &files {
        let file = File::open(path)?;
        if *path == newest {
            at = file.metadata()?.len();
        }
        // To the length of a moment ago: what comes later is followed, or is no part of this.
        let length = file.metadata()?.len();
        for line in BufReader::new(file.take(length)).lines() {
            lines.push(line?);
        }
    }
    let from = lines.len().saturating_sub(args.lines);
    for line in &lines[from..] {
        writeln!(console.out, "{}", shown(line, args.json))?;
    }
    console.out.flush()?;
    if args.follow {
        follow(&newest, at, args.json, console)?;
    }
    Ok(())
}

/// The log files, oldest first.
fn files(newest: &Path) -> Vec<PathBuf> {
    let mut numbered: Vec<(u32, PathBuf)> = (1..=100)
        .map(|number| {
            let mut name = newest.as_os_str().to_owned();
            name.push(format!(".{number}"));
            (number, PathBuf::from(name))
        })
        .filter(|(_, path)| path.is_file())
        .collect();
    numbered.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let mut files: Vec<PathBuf> = numbered.into_iter().map(|(_, path)| path).collect();
    if newest.is_file() {
        files.push(newest.to_owned());
    }
    files
}

/// Prints what is added to the newest file, also after it was put aside for a new one.
fn follow(newest: &Path, mut at: u64, json: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    let mut rest = String::new();
    loop {
        if let Ok(mut file) = File::open(newest) {
            let length = file.metadata()?.len();
            if length < at {
                at = 0;
            }
            if length > at {
                file.seek(SeekFrom::Start(at))?;
                let mut bytes = Vec::new();
                at += file.take(length - at).read_to_end(&mut bytes)? as u64;
                rest.push_str(&String::from_utf8_lossy(&bytes));
                while let Some(end) = rest.find('\n') {
                    let line: String = rest.drain(..=end).collect();
                    writeln!(console.out, "{}", shown(line.trim_end(), json))?;
                }
                console.out.flush()?;
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A line for people: when, how grave, what, and what belongs to it.
fn shown(line: &str, json: bool) -> String {
    if json {
        return line.to_owned();
    }
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line) else {
        return line.to_owned();
    };
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
    let when = text("timestamp")
        .parse::<jiff::Timestamp>()
        .map(|time| {
            jiff::ZonedDateTime::new(time, jiff::tz::TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S%.3f")
                .to_string()
        })
        .unwrap_or_else(|_| text("timestamp").to_owned());
    let mut out = format!("{when} {:5} {}", text("level"), text("message"));
    for (key, value) in &fields {
        if !["timestamp", "level", "message"].contains(&key.as_str()) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            out.push_str(&format!(" {key}={value}"));
        }
    }
    out
}

/// The last line that a job has left anywhere, for the message that it has ended.
pub(super) fn last_words(logs: &Path, name: JobName) -> Option<String> {
    let printed = match name {
        JobName::Hark => logs.join("hark.stderr.log"),
        other => logs.join(format!("{}.log", other.stem())),
    };
    let last = |path: &Path| -> Option<String> {
        let mut file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))
            .ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map(str::to_owned)
    };
    let logged = || last(&logging::file(logs)).map(|line| shown(&line, false));
    last(&printed).or_else(|| {
        if name == JobName::Hark {
            logged()
        } else {
            None
        }
    })
}
