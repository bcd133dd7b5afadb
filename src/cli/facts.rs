//! `hark facts list|add|remove`: what the user asked Hark to remember, which is part of every prompt.

use serde_json::json;

use super::console::Console;
use super::failure::Failure;
use crate::agent::facts::{LONGEST_FACT, find};
use crate::agent::notebook::Notebook;
use crate::config::Places;
use crate::daemon::parts;

/// Arguments of `hark facts`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark facts\n  hark facts add my wife is called Anna\n  hark facts remove 3\n\nBy voice: \"remember that my wife is called Anna\", \"what do you remember\", \"forget that my wife is called Anna\"."
)]
pub struct FactsArgs {
    #[command(subcommand)]
    command: Option<FactsCommand>,
    /// Prints one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum FactsCommand {
    /// Lists what is remembered, the oldest first
    #[command(after_help = "Example:\n  hark facts list --json")]
    List,
    /// Remembers something
    #[command(after_help = "Example:\n  hark facts add I am allergic to nuts")]
    Add {
        /// One short sentence
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// Forgets something for good
    #[command(after_help = "Examples:\n  hark facts remove 3\n  hark facts remove --all")]
    Remove {
        /// Its number, or its words
        #[arg(required_unless_present = "all")]
        which: Vec<String>,
        /// Forgets everything
        #[arg(long, conflicts_with = "which")]
        all: bool,
    },
}

/// Runs the verb. Blocks.
///
/// # Errors
/// There is no such fact (exit code 2), or the notebook cannot be written (1).
pub fn run(args: &FactsArgs, places: &Places, console: &mut Console<'_>) -> anyhow::Result<()> {
    let notebook = parts::notebook(places)?;
    match &args.command {
        None | Some(FactsCommand::List) => list(&notebook, args.json, console),
        Some(FactsCommand::Add { text }) => add(&notebook, &text.join(" "), args.json, console),
        Some(FactsCommand::Remove { which, all }) => {
            remove(&notebook, &which.join(" "), *all, args.json, console)
        }
    }
}

fn list(notebook: &Notebook, as_json: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    let facts = notebook.facts();
    if as_json {
        let all: Vec<_> = facts
            .iter()
            .map(|fact| json!({"id": fact.id, "text": fact.text, "made": fact.made.to_string()}))
            .collect();
        writeln!(console.out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    if facts.is_empty() {
        writeln!(
            console.out,
            "Nothing is remembered. `hark facts add …` or \"remember that …\" changes that."
        )?;
    }
    for fact in facts {
        writeln!(console.out, "{:4}  {}", fact.id, fact.text.as_str())?;
    }
    Ok(())
}

fn add(
    notebook: &Notebook,
    text: &str,
    as_json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LONGEST_FACT {
        return Err(Failure::usage(
            format!("a fact has 1 to {LONGEST_FACT} characters"),
            "say it in one short sentence",
        )
        .into());
    }
    let (fact, new) = notebook.remember(text, console.now.timestamp())?;
    if as_json {
        let document = json!({"id": fact.id, "text": fact.text, "new": new});
        writeln!(console.out, "{document}")?;
    } else if new {
        writeln!(console.out, "Remembered as number {}.", fact.id)?;
    } else {
        writeln!(
            console.out,
            "That was remembered already, as number {}.",
            fact.id
        )?;
    }
    Ok(())
}

fn remove(
    notebook: &Notebook,
    which: &str,
    all: bool,
    as_json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let gone = if all {
        notebook.forget_all()?
    } else {
        let facts = notebook.facts();
        let named = which
            .parse()
            .ok()
            .and_then(|id: i64| facts.iter().find(|fact| fact.id == id));
        let fact = named.or_else(|| find(&facts, which)).ok_or_else(|| {
            Failure::usage(
                format!("nothing that is remembered is called {which}"),
                "`hark facts` lists the numbers",
            )
        })?;
        usize::from(notebook.forget(fact.id)?.is_some())
    };
    if as_json {
        writeln!(console.out, "{}", json!({"removed": gone}))?;
    } else {
        writeln!(console.out, "Forgotten: {gone}.")?;
    }
    Ok(())
}
