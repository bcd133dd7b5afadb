//! `hark ask`: a typed question, answered on standard output as the answer comes.

use std::io::{IsTerminal, Read, Write};

use anyhow::Context as _;

use super::Setting;
use super::failure::Failure;
use crate::daemon::typed::{Typed, TypedEvent};

/// Arguments of `hark ask`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark ask what is twelve plus thirty\n  cat notes.txt | hark ask summarise this\n  hark ask --speak tell me a joke"
)]
pub struct AskArgs {
    /// The question; what is piped in follows it
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
    let question = question(&args.text)?;
    let mut out = std::io::stdout();
    let json = args.json;
    let mut show = move |event: &TypedEvent<'_>| -> std::io::Result<()> {
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
        question: &question,
        speak: args.speak,
    };
    let answer = super::runtime()?.block_on(crate::daemon::typed::ask(typed, &mut show))?;
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

/// The words of the command line and what is piped in.
fn question(words: &[String]) -> anyhow::Result<String> {
    let mut question = words.join(" ");
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let mut piped = Vec::new();
        stdin
            .lock()
            .take(MAX_PIPED_BYTES + 1)
            .read_to_end(&mut piped)
            .context("cannot read what is piped in")?;
        if u64::try_from(piped.len()).is_ok_and(|length| length > MAX_PIPED_BYTES) {
            return Err(Failure::usage(
                "more than 256 KiB are piped in, which no model here can read",
                "cut it, for example with `head -c 200000`",
            )
            .into());
        }
        let piped = String::from_utf8(piped)
            .map_err(|_| Failure::usage("what is piped in is no text", "pipe in UTF-8 text"))?;
        if !piped.trim().is_empty() {
            question.push_str("\n\n");
            question.push_str(piped.trim_end());
        }
    }
    if question.trim().is_empty() {
        return Err(Failure::usage("there is no question", "say: hark ask what time is it").into());
    }
    Ok(question)
}
