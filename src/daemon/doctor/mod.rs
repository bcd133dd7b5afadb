//! Finds out what stops a voice assistant from working on this machine: one check after the other, each with its remedy.
//!
//! Called by `hark doctor` on its own thread; no daemon need run, and one that runs is not disturbed. Promises: no check
//! outlasts its limit ([`bounded`]), nothing is changed unless [`Repair::Safe`] is asked for, every warning and failure
//! names the command that helps, and a check *fails* only where the main job cannot be done as it is set up: to hear (or
//! read a file), to understand, to answer and to speak. Printing and exit codes are left to `cli`.

pub mod app;
pub mod backends;
pub mod bounded;
pub mod files;
pub mod keys;
pub mod machine;
pub mod mend;
pub mod model;
pub mod neighbours;
pub mod plan;
pub mod ports;
pub mod service;
pub mod settings;
pub mod sound;
pub mod speech;
pub mod voices;
pub mod wake;

use std::path::Path;

use serde::Serialize;

use crate::config::{Config, Places, Request};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing is wrong.
    Ok,
    /// The main job can be done, but not as well, as fast or as privately as it should be.
    Warn,
    /// The main job cannot be done as it is set up.
    Fail,
    /// There was nothing to check, or something before it failed.
    Skip,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name: stable, for scripts.
    pub name: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found, in words.
    pub detail: String,
    /// What to do, with the command; there is one for every warning and failure.
    pub remedy: Option<String>,
    /// Whether a permission of the system is what is missing: that has an exit code of its own.
    #[serde(skip)]
    pub permission: bool,
}

impl Check {
    /// Nothing is wrong.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail.into(), None)
    }

    /// There was nothing to check.
    pub fn skip(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Skip, detail.into(), None)
    }

    /// It works, but not as it should.
    pub fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(name, Status::Warn, detail.into(), Some(remedy.into()))
    }

    /// The main job cannot be done.
    pub fn fail(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(name, Status::Fail, detail.into(), Some(remedy.into()))
    }

    /// The system does not allow it.
    pub fn denied(
        name: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            permission: true,
            ..Self::fail(name, detail, remedy)
        }
    }

    fn new(name: &'static str, status: Status, detail: String, remedy: Option<String>) -> Self {
        Self {
            name,
            status,
            detail,
            remedy,
            permission: false,
        }
    }
}

/// What is examined.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The settings, or the defaults where they are wrong.
    pub config: Config,
    /// Where files lie.
    pub places: Places,
}

/// Whether anything may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    Nothing,
    /// What cannot do harm: see [`mend`].
    Safe,
}

/// How far the examination is, for whoever watches it.
#[derive(Debug)]
pub enum Step<'a> {
    /// A group of checks begins, which may take some seconds.
    Begins(&'static str),
    /// Something was mended, or could not be.
    Mended(&'a mend::Mended),
    /// A check has ended.
    Found(&'a Check),
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The checks in their order.
    pub checks: Vec<Check>,
    /// What [`Repair::Safe`] did or could not do.
    pub mended: Vec<mend::Mended>,
}

impl Report {
    /// Whether the main job can be done.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.with(Status::Fail)
    }

    /// How many warnings there are.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.with(Status::Warn).count()
    }

    /// Whether a permission of the system is missing.
    #[must_use]
    pub fn lacks_permission(&self) -> bool {
        self.failed().any(|check| check.permission)
    }

    /// The check of this name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    fn with(&self, status: Status) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(move |check| check.status == status)
    }
}

/// A group of checks: what it is about, for whoever waits, and its function.
type Group = (&'static str, fn(&Setup) -> Vec<Check>);

/// In the order of a turn; what takes long comes after what is needed to understand it.
const GROUPS: [Group; 10] = [
    ("sound: a moment of the microphone", sound::checks),
    ("the speech model and the voice", speech::checks),
    ("the language model: two short questions", backends::checks),
    ("the memory plan", plan::checks),
    ("the running daemon and the push-to-talk key", keys::checks),
    ("the service", service::checks),
    ("the app and its signature", app::checks),
    ("open ports", ports::checks),
    ("files", files::checks),
    ("the machine", machine::checks),
];

/// Examines everything; `watch` is told of each step as it happens.
pub fn examine(
    places: &Places,
    request: &Request,
    repair: Repair,
    watch: &mut dyn FnMut(Step<'_>),
) -> Report {
    let mut report = Report::default();
    let (config, found) = settings::checks(places, request);
    let setup = Setup {
        config,
        places: places.clone(),
    };
    if repair == Repair::Safe {
        watch(Step::Begins("what can be mended safely"));
        report.mended = mend::mend(&setup);
        for mended in &report.mended {
            watch(Step::Mended(mended));
        }
    }
    let mut keep = |checks: Vec<Check>, watch: &mut dyn FnMut(Step<'_>)| {
        for check in checks {
            watch(Step::Found(&check));
            report.checks.push(check);
        }
    };
    keep(found, watch);
    for (about, group) in GROUPS {
        watch(Step::Begins(about));
        keep(group(&setup), watch);
    }
    report
}

/// A path as a shell takes it.
#[must_use]
pub fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Bytes for people: `9.9 MB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64 / 1e3;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1e3 {
            break;
        }
        value /= 1e3;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_blanks_or_quotes_survives_the_shell() {
        assert_eq!(shell(Path::new("/a/b-1.db")), "/a/b-1.db");
        assert_eq!(
            shell(Path::new("/Library/Application Support/hark")),
            "'/Library/Application Support/hark'"
        );
        assert_eq!(shell(Path::new("it's")), r"'it'\''s'");
    }

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        assert_eq!(size(999), "1.0 kB");
        assert_eq!(size(9_885_106), "9.9 MB");
        assert_eq!(size(16_000_000_000), "16.0 GB");
    }

    #[test]
    fn a_report_is_ok_with_warnings_and_not_with_a_failure() {
        let mut report = Report::default();
        report.checks.push(Check::warn("a", "x", "`y`"));
        assert!(report.ok() && report.warnings() == 1);
        report.checks.push(Check::denied("b", "x", "`y`"));
        assert!(!report.ok() && report.lacks_permission());
    }
}
