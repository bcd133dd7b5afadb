//! Finding files: Spotlight on macOS, elsewhere a bounded walk through the home folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::super::arguments::{Arguments, spoken};
use super::super::argv::macos;
use super::{Offer, Words, found, object, one_of, read, text};
use super::{ToolError, ToolOutput};
use crate::agent::tools::host::Host;
use crate::platform::System;

pub(super) fn offers(host: &Arc<Host>) -> Vec<Offer> {
    let words = Words {
        name: "find_files",
        description: "Find files and folders of the user by name, newest first.",
        parameters: object(
            &[
                ("query", text("words of the name")),
                ("in", one_of(&["name", "content"])),
            ],
            &["query"],
        ),
        class: read,
        filler: |arguments| format!("Looking for {}.", spoken(arguments, "query", "the file")),
        confirmation: |arguments| {
            format!(
                "Look for files named {}?",
                spoken(arguments, "query", "that")
            )
        },
    };
    vec![words.with(host, find).within(15).here()]
}

async fn find(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["query", "in"])?;
    // A leading dash would be an option of Spotlight's command.
    let query = read.required("query")?.trim_start_matches('-').trim();
    let in_content = match read.text("in")? {
        None => false,
        Some(_) => read.choice("in", &[("name", false), ("content", true)])?,
    };
    if query.is_empty() {
        return Err(super::super::arguments::wrong("query holds no word"));
    }
    let paths = match (host.system, in_content) {
        (System::MacOs, _) => {
            let home = host.home.display().to_string();
            let line = if in_content {
                macos::find_by_words(&home, query)
            } else {
                macos::find_by_name(&home, query)
            };
            let printed = host.run(line).await?;
            let paths = printed.lines().take(1_000).map(PathBuf::from);
            newest(paths.collect())
        }
        (System::Linux | System::Other, true) => {
            return Err(ToolError::Failed(
                "files can be found by their names only on this machine".to_owned(),
            ));
        }
        (System::Linux | System::Other, false) => walk(&host.home, query).await?,
    };
    if paths.is_empty() {
        return found(format!("No file or folder of that name was found: {query}"));
    }
    let lines: Vec<String> = paths
        .iter()
        .take(MOST_FOUND)
        .map(|path| json!(path.display().to_string()).to_string())
        .collect();
    let more = paths.len().saturating_sub(MOST_FOUND);
    let rest = if more > 0 {
        format!("\n({more} more)")
    } else {
        String::new()
    };
    found(format!("{}{rest}", lines.join("\n")))
}

/// Stops the walk when nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn walk(home: &Path, query: &str) -> Result<Vec<PathBuf>, ToolError> {
    let stop = Stop(Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop.0);
    let home = home.to_owned();
    let words: Vec<String> = query
        .to_lowercase()
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let walked = tokio::task::spawn_blocking(move || search(&home, &words, &stopped)).await;
    walked.map_err(|_| ToolError::Cancelled)
}

/// Breadth first, so that what lies near the top is found before the bound is reached; hidden folders and those that
/// programs fill are left out, and no link is followed.
fn search(home: &Path, words: &[String], stopped: &AtomicBool) -> Vec<PathBuf> {
    let mut folders = std::collections::VecDeque::from([home.to_owned()]);
    let mut hits = Vec::new();
    let mut seen = 0_usize;
    while let Some(folder) = folders.pop_front() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MOST_SEEN || hits.len() >= 1_000 || stopped.load(Ordering::Relaxed) {
                return newest(hits);
            }
            let name = entry.file_name().to_string_lossy().to_lowercase();
            if name.starts_with('.') || SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if words.iter().all(|word| name.contains(word.as_str())) {
                hits.push(entry.path());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push_back(entry.path());
            }
        }
    }
    newest(hits)
}

fn newest(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let changed = |path: &PathBuf| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let mut paths = paths;
    paths.sort_by_cached_key(|path| std::cmp::Reverse(changed(path)));
    paths
}

/// Folders full of what no person has named.
const SKIPPED: &[&str] = &[
    "node_modules",
    "target",
    "__pycache__",
    "site-packages",
    "library",
    "snap",
];

/// Entries that are looked at: about two seconds of a warm disk.
const MOST_SEEN: usize = 300_000;

/// Paths that the model gets.
const MOST_FOUND: usize = 15;
