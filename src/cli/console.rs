//! Where a verb writes to and asks: the terminal, a pipe, or a test's buffer.
//!
//! Verbs take a [`Console`] instead of the standard streams, so that a test captures what a person would see. Decides
//! nothing but colour: only on a terminal, and never where `NO_COLOR` is set.

use std::io::{self, BufRead, IsTerminal, Write};

use jiff::ZonedDateTime;

/// The streams of one command and what is known of them.
pub struct Console<'a> {
    /// For what was asked for.
    pub out: &'a mut dyn Write,
    /// For diagnostics and questions.
    pub err: &'a mut dyn Write,
    /// Where answers come from; `None` where nobody can be asked.
    pub answers: Option<&'a mut dyn BufRead>,
    /// Whether `out` may be coloured.
    pub colour: bool,
    /// Columns of `out`.
    pub width: usize,
    /// The present, for words like "today".
    pub now: ZonedDateTime,
}

impl Console<'_> {
    /// Whether standard output may be coloured.
    #[must_use]
    pub fn colour_wanted() -> bool {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        io::stdout().is_terminal() && !forbidden
    }

    /// `text` in bold where colour is allowed.
    #[must_use]
    pub fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    /// `text` dimmed where colour is allowed.
    #[must_use]
    pub fn dim(&self, text: &str) -> String {
        self.styled("2", text)
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Asks and reads one line; `None` where nobody can answer or the input ended.
    ///
    /// # Errors
    /// A stream failed.
    pub fn ask(&mut self, question: &str) -> io::Result<Option<String>> {
        let Some(answers) = self.answers.as_mut() else {
            return Ok(None);
        };
        write!(self.err, "{question} ")?;
        self.err.flush()?;
        let mut line = String::new();
        if answers.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(line.trim().to_owned()))
    }
}

/// Runs `verb` on the process's own streams.
pub fn with_standard_streams<T>(verb: impl FnOnce(&mut Console<'_>) -> T) -> T {
    let stdin = io::stdin();
    let interactive = stdin.is_terminal() && io::stderr().is_terminal();
    let mut input = stdin.lock();
    let mut out = io::stdout().lock();
    let mut err = io::stderr();
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        answers: interactive.then_some(&mut input as &mut dyn BufRead),
        colour: Console::colour_wanted(),
        width: width(),
        now: crate::platform::clock::wall(),
    };
    verb(&mut console)
}

/// Columns of standard output. Into a pipe nothing is cut, so that `grep` finds all of it.
fn width() -> usize {
    if !io::stdout().is_terminal() {
        return usize::MAX;
    }
    let told = std::env::var("COLUMNS").ok();
    told.and_then(|columns| columns.parse().ok())
        .unwrap_or(DEFAULT_WIDTH)
}

/// Columns that every terminal of today has.
const DEFAULT_WIDTH: usize = 80;
