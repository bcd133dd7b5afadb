//! `hark ask`: a typed question, answered on standard output as the answer comes.

use std::io::{IsTerminal, Read, Write};

use anyhow::Context as _;

use super::Setting;
use super::failure::Failure;
use super::waiting::Waiting;
use crate::daemon::typed::{Consented, Typed, TypedEvent};

/// Arguments of `hark ask`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark ask what is twelve plus thirty\n  cat notes.txt | hark ask summarise this\n  echo what time is it | hark ask -\n  hark ask --speak tell me a joke"
)]
pub struct AskArgs {
    /// The question; what is piped in is data for it. `-` reads the question itself from standard input
    #[arg(required = true)]
    text: Vec<String>,
    /// Says the answer, too
    #[arg(long)]
    speak: bool,
    /// Prints one JSON document instead of the streamed text
    #[arg(long)]
    json: bool,
}

/// The most that is read from a pipe: about 60,000 tokens, more than the context of any model that this is for.
const MAX_PIPED_BYTES: u64 = 256 * 1024;

/// Runs the verb.
///
/// # Errors
/// No backend answers and no local intent fits (exit code 3); the backend failed (1).
pub fn run(args: &AskArgs, setting: &Setting) -> anyhow::Result<()> {
    let (words, piped) = question(&args.text)?;
    let mut out = std::io::stdout();
    let json = args.json;
    let mut waiting = Waiting::begin("the model is thinking about it");
    let mut show = move |event: &TypedEvent<'_>| -> std::io::Result<()> {
        waiting.over();
        match event {
            TypedEvent::Text(text) if !json => {
                write!(out, "{text}")?;
                out.flush()
            }
            _ => Ok(()),
        }
    };
    let typed = Typed {
        config: &setting.config,
        places: &setting.places,
        question: &words,
        piped: piped.as_deref(),
        speak: args.speak,
    };
    let question = typed.whole();
    let answer =
        super::runtime()?.block_on(crate::daemon::typed::ask(typed, &mut show, &mut confirm))?;
    // With it the sign of the wait goes, before anything else is printed.
    drop(show);
    let mut out = std::io::stdout();
    if args.json {
        let document = serde_json::json!({
            "question": question,
            "answer": answer.text.as_str(),
            "outcome": answer.outcome,
            "receipt": answer.receipt,
        });
        writeln!(out, "{document}")?;
    } else {
        writeln!(out)?;
    }
    if answer.failure.is_none() && (std::io::stderr().is_terminal() || !args.json) {
        report(&answer.receipt);
    }
    match answer.failure {
        None => Ok(()),
        Some(failure) => Err(Failure {
            code: failure.code,
            message: failure.message,
            next: failure.next,
        }
        .into()),
    }
}

fn report(receipt: &crate::flow::Receipt) {
    let backend = receipt.backend.as_deref().unwrap_or("nobody");
    match receipt.first_token_ms {
        Some(ms) => eprintln!("(first token after {ms} ms, from {backend})"),
        None => eprintln!("(answered by {backend})"),
    }
}

/// Asks at the terminal. Where standard input is no terminal nobody can be asked, and a pipe must not answer: it could be
/// the text that wants the thing done.
fn confirm(_question: &str) -> std::io::Result<Consented> {
    super::console::with_standard_streams(|console| {
        // The question itself is the end of the answer, which has just been printed.
        writeln!(console.out)?;
        let Some(answer) = console.ask("[y/N]")? else {
            return Ok(Consented::Nobody);
        };
        Ok(match answer.to_lowercase().as_str() {
            "y" | "yes" => Consented::Yes,
            _ => Consented::No,
        })
    })
}

/// The question, and what is piped in beside it.
fn question(words: &[String]) -> anyhow::Result<(String, Option<String>)> {
    let (question, data) = match words {
        [dash] if dash == "-" => (read_all()?.trim().to_owned(), None),
        words if std::io::stdin().is_terminal() => (words.join(" "), None),
        words => (words.join(" "), Some(read_all()?)),
    };
    if question.trim().is_empty() {
        return Err(Failure::usage("there is no question", "say: hark ask what time is it").into());
    }
    Ok((question, data.filter(|data| !data.trim().is_empty())))
}

/// All of standard input, within the limit.
fn read_all() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let mut bytes = Vec::new();
    stdin
        .lock()
        .take(MAX_PIPED_BYTES + 1)
        .read_to_end(&mut bytes)
        .context("cannot read what is piped in")?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_PIPED_BYTES) {
        return Err(Failure::usage(
            "more than 256 KiB are piped in, which no model here can read",
            "cut it, for example with `head -c 200000`",
        )
        .into());
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::usage("what is piped in is no text", "pipe in UTF-8 text").into())
}
