//! Hark's folders and files: can they be written, may others read them, is the transcript log whole.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bounded::within;
use super::{Check, Setup, shell, size};
use crate::agent::notebook::{self, NotebookError};
use crate::transcripts::{self, Integrity, StoreError};

/// All checks of this group. Reads the whole transcript log, about a second for each gigabyte.
#[must_use]
pub fn checks(setup: &Setup) -> Vec<Check> {
    vec![
        state_folder(setup),
        log(setup),
        notebook(setup),
        private_files(setup),
    ]
}

/// Whether Hark can keep anything.
fn state_folder(setup: &Setup) -> Check {
    const NAME: &str = "state_folder";
    let state = setup.places.state.clone();
    let first = state.ancestors().find(|path| path.exists());
    if let Some(file) = first.filter(|path| !path.is_dir()) {
        let shown = shell(file);
        return Check::warn(
            NAME,
            format!(
                "{} is a file, where Hark needs a folder: nothing can be kept",
                file.display()
            ),
            format!("move it away: `mv {shown} {shown}.file`"),
        );
    }
    let place = existing(&state);
    let work = place.clone();
    let mend = format!(
        "see owner and mode with `ls -ld {}`; it must be yours: `sudo chown -R \"$USER\" {}`",
        shell(&place),
        shell(&place)
    );
    match within(WRITING, move || try_write(&work)) {
        Err(stuck) => Check::warn(
            NAME,
            format!("{} cannot be written: {stuck}", place.display()),
            format!("see whether its disk answers: `ls -ld {}`", shell(&place)),
        ),
        Ok(Err(error)) => Check::warn(
            NAME,
            format!(
                "{} cannot be written ({error}): no transcripts and no downloaded models can be kept",
                place.display()
            ),
            mend,
        ),
        Ok(Ok(())) if place == state => {
            Check::ok(NAME, format!("{} can be written", state.display()))
        }
        Ok(Ok(())) => Check::ok(
            NAME,
            format!(
                "{} is not there yet; the first turn makes it",
                state.display()
            ),
        ),
    }
}

/// The folder itself, or the nearest one above it that exists.
pub(super) fn existing(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find(|path| path.is_dir());
    found.map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

/// Makes an empty file and removes it: modes, read-only disks and quotas all show only then.
fn try_write(folder: &Path) -> io::Result<()> {
    let file = folder.join(format!(".hark-doctor-{}", std::process::id()));
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&file)?;
    fs::remove_file(&file)
}

/// Whether the transcript log is whole.
fn log(setup: &Setup) -> Check {
    const NAME: &str = "transcripts";
    let path = setup.places.transcripts();
    let work = path.clone();
    match within(READING, move || transcripts::check(&work)) {
        Err(stuck) => Check::warn(
            NAME,
            format!("{} cannot be read: {stuck}", path.display()),
            format!("see whether its disk answers: `ls -l {}`", shell(&path)),
        ),
        Ok(Err(error)) => unreadable(&path, &error),
        Ok(Ok(integrity)) => judge(&path, &integrity),
    }
}

fn unreadable(path: &Path, error: &StoreError) -> Check {
    const NAME: &str = "transcripts";
    let remedy = match error {
        StoreError::Absent { .. } => {
            return Check::ok(
                NAME,
                format!(
                    "there is no {} yet; the first turn makes it",
                    path.display()
                ),
            );
        }
        StoreError::Damaged { .. } => set_aside(path),
        StoreError::Newer { .. } => {
            "install the newer Hark again (this one is `hark --version`); nothing in the log was changed".to_owned()
        }
        StoreError::Full { .. } => "make room on that disk: `df -h` shows which is full".to_owned(),
        StoreError::Denied { .. } => {
            format!("it must be yours: `sudo chown \"$USER\" {}`", shell(path))
        }
        StoreError::Busy { .. } | StoreError::Unscrubbed { .. } | StoreError::Io { .. } => {
            format!(
                "run `hark doctor` again; if it stays, see who holds the file: `lsof {}`",
                shell(path)
            )
        }
    };
    Check::warn(NAME, error.to_string(), remedy)
}

/// What to do with a damaged log. The daemon does it by itself at its next start; whoever asks wants to know.
fn set_aside(path: &Path) -> String {
    let folder = path.parent().unwrap_or(path);
    format!(
        "save what can be read (`hark transcripts export > transcripts.md`), then set it aside: `mv {} {}`; a new one is \
         begun with the next turn",
        shell(folder),
        shell(&folder.with_extension("damaged"))
    )
}

/// What was found in a log that can be opened.
#[must_use]
pub fn judge(path: &Path, integrity: &Integrity) -> Check {
    const NAME: &str = "transcripts";
    let turns = integrity.turns;
    let plural = if turns == 1 { "" } else { "s" };
    let what = format!(
        "{}: {turns} turn{plural}, {}",
        path.display(),
        size(integrity.bytes)
    );
    if integrity.damaged > 0 {
        let told = integrity.findings[..integrity.damaged].join("; ");
        return Check::warn(NAME, format!("{what}; damaged: {told}"), set_aside(path));
    }
    if integrity.unfinished {
        return Check::warn(
            NAME,
            format!("{what}; a deletion was cut short and may have left traces"),
            "`hark doctor --fix` finishes it",
        );
    }
    Check::ok(NAME, format!("{what}, whole"))
}

/// Whether timers, notes and facts can be read.
fn notebook(setup: &Setup) -> Check {
    const NAME: &str = "notebook";
    let path = setup.places.notebook();
    let work = path.clone();
    let shown = shell(&path);
    match within(READING, move || notebook::check(&work)) {
        Ok(Ok(None)) => Check::ok(
            NAME,
            format!(
                "there is no {} yet; the first timer or note makes it",
                path.display()
            ),
        ),
        Ok(Ok(Some(entries))) => Check::ok(
            NAME,
            format!(
                "{}: {entries} timers, notes and facts, whole",
                path.display()
            ),
        ),
        Ok(Err(error @ NotebookError::Damaged { .. })) => Check::warn(
            NAME,
            format!("{error}: timers, notes and facts in it are not read"),
            format!(
                "the next start of Hark sets it aside and begins a new one; save it first: `cp {shown} {shown}.saved`"
            ),
        ),
        Ok(Err(error @ NotebookError::Newer { .. })) => Check::fail(
            NAME,
            format!("{error}: this one does not start with it"),
            "install the newer Hark again (this one is `hark --version`); nothing in it was changed",
        ),
        Ok(Err(error)) => Check::warn(
            NAME,
            error.to_string(),
            format!("it must be yours: `sudo chown \"$USER\" {shown}`"),
        ),
        Err(stuck) => Check::warn(
            NAME,
            format!("{} cannot be read: {stuck}", path.display()),
            format!("see whether its disk answers: `ls -l {shown}`"),
        ),
    }
}

/// A place that only the user may read, and its mode.
pub(super) struct Private {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
}

/// All places that hold words or secrets, be they there or not.
pub(super) fn private_places(setup: &Setup) -> Vec<Private> {
    let log = setup.places.transcripts();
    let beside = |suffix: &str| {
        let mut name = log.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let folder = log.parent().map(Path::to_owned);
    let secrets = [
        Some(setup.config.gateway.token_file.clone()),
        setup
            .config
            .llm
            .openai
            .as_ref()
            .and_then(|remote| remote.key_file.clone()),
    ];
    let files = [log.clone(), beside("-wal"), beside("-shm")]
        .into_iter()
        .chain(secrets.into_iter().flatten())
        .map(|path| Private { path, mode: 0o600 });
    folder
        .map(|path| Private { path, mode: 0o700 })
        .into_iter()
        .chain(files)
        .collect()
}

/// The mode of a place that others may read or write; `None` where only the user may, or where there is nothing.
pub(super) fn loose(place: &Private) -> Option<u32> {
    let mode = fs::metadata(&place.path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Whether others may read what was said, or a key.
fn private_files(setup: &Setup) -> Check {
    const NAME: &str = "private_files";
    let places = private_places(setup);
    let open: Vec<(&Private, u32)> = places
        .iter()
        .filter_map(|place| Some((place, loose(place)?)))
        .collect();
    if open.is_empty() {
        return Check::ok(NAME, "only you may read transcripts and keys");
    }
    let told: Vec<String> = open
        .iter()
        .map(|(place, mode)| {
            format!(
                "{} has mode {mode:o} instead of {:o}",
                place.path.display(),
                place.mode
            )
        })
        .collect();
    let commands: Vec<String> = open
        .iter()
        .map(|(place, _)| format!("chmod {:o} {}", place.mode, shell(&place.path)))
        .collect();
    Check::warn(
        NAME,
        format!("others on this machine may read: {}", told.join("; ")),
        format!("`hark doctor --fix`, or `{}`", commands.join(" && ")),
    )
}

/// A disk that needs longer for an empty file hangs.
const WRITING: Duration = Duration::from_secs(5);
/// A minute is enough for tens of gigabytes of transcripts: more than a life of them.
const READING: Duration = Duration::from_secs(60);
