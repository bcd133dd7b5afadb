//! The log as a document: Markdown to read, JSON Lines to compute with, plain text to grep.
//!
//! [`render`] is pure but for the writer it is given; [`Target`] puts the result where it was asked for, privately, and
//! remembers how far an incremental export came.

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::error::StoreError;
use super::files;
use super::reader::Reader;
use super::record::{RecordId, StoredTurn};
use super::when::When;
use crate::flow::Outcome;

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A document for people, a heading for each day.
    Markdown,
    /// One JSON object a line, with everything.
    Jsonl,
    /// One line for each speaker.
    Text,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target could not be written; what was there before is still there.
    #[error("the export to {target} failed: {source}; make room or choose another place")]
    Write {
        /// Where to.
        target: String,
        /// What the system said.
        source: io::Error,
    },
    /// The state file holds no number. Remove it for a whole export.
    #[error("{path} is not the state of an export; remove it to export everything")]
    State {
        /// The state file.
        path: PathBuf,
    },
}

/// What an export covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Turns.
    pub turns: usize,
    /// The last of them; where there was none, the number that the export started after.
    pub last: RecordId,
}

/// Writes the turns of a stretch of time after number `since` to `out`.
///
/// # Errors
/// The log or `out` failed. A closed pipe is reported like any other error of `out`.
pub fn render(
    reader: &Reader,
    format: Format,
    when: When,
    since: RecordId,
    out: &mut dyn Write,
) -> Result<Exported, ExportError> {
    let mut page = Page {
        day: None,
        fresh: since == RecordId(0),
    };
    let mut exported = Exported {
        turns: 0,
        last: since,
    };
    let mut failure = None;
    reader.each(when, since, |stored| {
        let written = match format {
            Format::Markdown => page.markdown(&stored, out),
            Format::Jsonl => writeln!(out, "{}", stored.to_json()),
            Format::Text => page.text(&stored, out),
        };
        if let Err(error) = written {
            failure = Some(error);
            return ControlFlow::Break(());
        }
        exported.turns += 1;
        exported.last = stored.id;
        ControlFlow::Continue(())
    })?;
    match failure.map_or_else(|| out.flush(), Err) {
        Ok(()) => Ok(exported),
        Err(source) => Err(ExportError::Write {
            target: "the output".to_owned(),
            source,
        }),
    }
}

/// What was written last, for the headings.
struct Page {
    day: Option<Date>,
    /// Whether the document starts here; a continued one has its title already.
    fresh: bool,
}

impl Page {
    fn markdown(&mut self, stored: &StoredTurn, out: &mut dyn Write) -> io::Result<()> {
        let began = stored.began.zoned();
        if std::mem::take(&mut self.fresh) {
            writeln!(out, "# Conversations with Hark")?;
        }
        if self.day != Some(began.date()) {
            self.day = Some(began.date());
            writeln!(out, "\n## {}", began.strftime("%A, %-d %B %Y"))?;
        }
        let turn = &stored.turn;
        writeln!(
            out,
            "\n**{}** {}",
            began.strftime("%H:%M"),
            escaped(turn.asked.as_str())
        )?;
        if !turn.replied.as_str().is_empty() {
            writeln!(out)?;
            for line in turn.replied.as_str().lines() {
                // The reply is Markdown already, of the model's; only raw HTML could do harm in a viewer.
                let line = line.replace('<', "&lt;");
                writeln!(out, "{}", format!("> {line}").trim_end())?;
            }
        }
        if let Some(note) = ending(stored) {
            writeln!(out, "\n*{}*", escaped(&note))?;
        }
        Ok(())
    }

    fn text(&mut self, stored: &StoredTurn, out: &mut dyn Write) -> io::Result<()> {
        let began = stored
            .began
            .zoned()
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string();
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let turn = &stored.turn;
        writeln!(out, "{began} You:  {}", one_line(turn.asked.as_str()))?;
        if !turn.replied.as_str().is_empty() {
            writeln!(out, "{began} Hark: {}", one_line(turn.replied.as_str()))?;
        }
        if let Some(note) = ending(stored) {
            writeln!(out, "{began} ({})", one_line(&note))?;
        }
        Ok(())
    }
}

/// What is worth saying about how a turn ended; nothing where it simply ended.
#[must_use]
pub fn ending(stored: &StoredTurn) -> Option<String> {
    let turn = &stored.turn;
    let heard = turn.heard.as_str().trim();
    Some(match turn.outcome {
        Outcome::Completed => return None,
        Outcome::Interrupted if heard.is_empty() => "interrupted before the first word".to_owned(),
        Outcome::Interrupted => format!("interrupted after “{}”", last_words(heard)),
        Outcome::Cancelled => "taken back".to_owned(),
        Outcome::Failed => match &turn.failure {
            Some(failure) => format!("failed: {failure}"),
            None => "failed".to_owned(),
        },
        Outcome::ShutDown => "Hark was stopped".to_owned(),
    })
}

/// The end of what was heard, as much as shows where it was.
fn last_words(heard: &str) -> String {
    let words: Vec<&str> = heard.split_whitespace().collect();
    let shown = words.len().min(LAST_WORDS);
    let dots = if words.len() > shown { "… " } else { "" };
    format!("{dots}{}", words[words.len() - shown..].join(" "))
}

const LAST_WORDS: usize = 6;

/// Said words are no markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '*' | '_' | '`' | '[' | ']' | '#' | '|' | '~' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '\n' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

/// Where an export goes and where it begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The file; `None` is standard output.
    pub file: Option<PathBuf>,
    /// The file that holds the last exported number: the export continues there, and adds to `file`.
    pub state: Option<PathBuf>,
    /// Only turns after this number, where no state tells more.
    pub since: i64,
}

impl Target {
    /// Exports to the file, or to `out` where there is none.
    ///
    /// A file is written beside its place and renamed, so that a failure leaves the old one. With a state the file is
    /// added to, and the state is renewed after that: a crash in between exports those turns again rather than not.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn export(
        &self,
        reader: &Reader,
        format: Format,
        when: When,
        out: &mut dyn Write,
    ) -> Result<Exported, ExportError> {
        let since = RecordId(self.begin()?);
        let exported = match &self.file {
            None => render(reader, format, when, since, out)?,
            Some(file) => {
                let fill = |out: &mut dyn Write| render(reader, format, when, since, out);
                self.fill(file, fill)?
            }
        };
        if let Some(state) = &self.state {
            let draft = beside(state);
            fs::write(&draft, format!("{}\n", exported.last))
                .and_then(|()| fs::rename(&draft, state))
                .map_err(|source| failed(state, source))?;
        }
        Ok(exported)
    }

    /// Replaces `file`, or adds to it where there is a state, and waits for the disk.
    fn fill(
        &self,
        file: &Path,
        fill: impl FnOnce(&mut dyn Write) -> Result<Exported, ExportError>,
    ) -> Result<Exported, ExportError> {
        let draft = beside(file);
        let opened = if self.state.is_some() {
            files::append_private(file)
        } else {
            files::create_private(&draft)
        };
        let mut writer = io::BufWriter::new(opened.map_err(|source| failed(file, source))?);
        let exported = match fill(&mut writer) {
            Err(ExportError::Write { source, .. }) => return Err(failed(file, source)),
            result => result?,
        };
        let finish = || {
            let plain = writer
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            plain.sync_all()?;
            if self.state.is_none() {
                fs::rename(&draft, file)?;
            }
            Ok(())
        };
        finish().map_err(|source| failed(file, source))?;
        Ok(exported)
    }

    /// The number after which to begin.
    fn begin(&self) -> Result<i64, ExportError> {
        let Some(path) = &self.state else {
            return Ok(self.since);
        };
        let wrong = || ExportError::State { path: path.clone() };
        match fs::read_to_string(path) {
            Ok(text) => Ok(self.since.max(text.trim().parse().map_err(|_| wrong())?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.since),
            Err(_) => Err(wrong()),
        }
    }
}

fn failed(target: &Path, source: io::Error) -> ExportError {
    ExportError::Write {
        target: target.display().to_string(),
        source,
    }
}

/// A name next to `file` that nobody else uses.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    file.with_file_name(name)
}
