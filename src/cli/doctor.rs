//! `hark doctor`: prints what [`crate::daemon::doctor`] finds, as it finds it.

use std::io::IsTerminal as _;

use serde_json::json;

use super::console::Console;
use super::failure::{FAILED, Failure, PERMISSION};
use crate::config::{Places, Request};
use crate::daemon::doctor::{Check, Repair, Report, Status, Step, examine};

/// Arguments of `hark doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark doctor\n  hark doctor --fix\n  hark doctor --json | jq '.checks[] | select(.status != \"ok\")'\n\nExit code: 0 when Hark can hear (or read a file), understand, answer and speak; 1 when it cannot;\n4 when it may not use the microphone. Warnings do not count."
)]
pub struct DoctorArgs {
    /// Mends what can do no harm: missing folders, files that others may read, a deletion that was cut short
    #[arg(long)]
    fix: bool,
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// The main job cannot be done (1), or a permission is missing (4).
pub fn run(
    args: &DoctorArgs,
    places: &Places,
    request: &Request,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let repair = if args.fix {
        Repair::Safe
    } else {
        Repair::Nothing
    };
    let mut printed = Ok(());
    let terminal = std::io::stderr().is_terminal();
    let report = examine(places, request, repair, &mut |step| {
        if !args.json && printed.is_ok() {
            printed = show(&step, console, terminal);
        }
    });
    printed?;
    if args.json {
        writeln!(console.out, "{}", document(&report, repair))?;
    } else {
        writeln!(console.out, "\n{}", summary(&report))?;
    }
    judge(&report)
}

fn show(step: &Step<'_>, console: &mut Console<'_>, terminal: bool) -> std::io::Result<()> {
    match step {
        Step::Begins(about) if terminal => {
            write!(console.err, "\r\x1b[Kexamining {about} ...")?;
            console.err.flush()
        }
        Step::Begins(_) => Ok(()),
        Step::Mended(mended) => {
            clear(console, terminal)?;
            match &mended.failed {
                None => writeln!(console.out, "fixed {}", mended.what),
                Some(why) => writeln!(console.err, "not fixed: {}: {why}", mended.what),
            }
        }
        Step::Found(check) => {
            clear(console, terminal)?;
            line(check, console)
        }
    }
}

fn clear(console: &mut Console<'_>, terminal: bool) -> std::io::Result<()> {
    if terminal {
        write!(console.err, "\r\x1b[K")?;
        console.err.flush()?;
    }
    Ok(())
}

fn line(check: &Check, console: &mut Console<'_>) -> std::io::Result<()> {
    let name = check.name.replace('_', " ");
    let status = match check.status {
        Status::Ok => "ok  ".to_owned(),
        Status::Skip => console.dim("-   "),
        Status::Warn => console.bold("warn"),
        Status::Fail => console.bold("FAIL"),
    };
    writeln!(console.out, "{status}  {name:<21}  {}", check.detail)?;
    if let Some(remedy) = &check.remedy {
        writeln!(console.out, "      {:<21}  next: {remedy}", "")?;
    }
    console.out.flush()
}

fn document(report: &Report, repair: Repair) -> serde_json::Value {
    let mut document = json!({"ok": report.ok(), "checks": report.checks});
    if repair == Repair::Safe {
        let done = report.mended.iter();
        let done = done.filter(|mended| mended.failed.is_none());
        document["fixed"] = done.map(|mended| mended.what.as_str()).collect();
    }
    document
}

fn summary(report: &Report) -> String {
    let warnings = match report.warnings() {
        0 => String::new(),
        1 => "; there is 1 warning".to_owned(),
        many => format!("; there are {many} warnings"),
    };
    if report.ok() {
        format!("Hark can do its job{warnings}.")
    } else {
        format!("Hark cannot do its job yet{warnings}.")
    }
}

/// A set-up that cannot do the main job is a failure of this verb.
fn judge(report: &Report) -> anyhow::Result<()> {
    if report.ok() {
        return Ok(());
    }
    let failed: Vec<String> = report
        .failed()
        .map(|check| check.name.replace('_', " "))
        .collect();
    Err(Failure {
        code: if report.lacks_permission() {
            PERMISSION
        } else {
            FAILED
        },
        message: format!("not in order: {}", failed.join(", ")),
        next:
            "do what stands at each `next:` above (in JSON: `remedy`), then run `hark doctor` again"
                .to_owned(),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(checks: Vec<Check>) -> Option<u8> {
        let report = Report {
            checks,
            mended: Vec::new(),
        };
        let error = judge(&report).err()?;
        Some(super::super::failure::judge(&error).0)
    }

    #[test]
    fn warnings_are_no_failure_and_a_missing_permission_has_its_own_code() {
        let warning = Check::warn("disk", "full", "`df`");
        let failure = Check::fail("voice", "none", "`install`");
        let denied = Check::denied("microphone_permission", "denied", "`allow`");
        assert_eq!(code(vec![warning.clone()]), None);
        assert_eq!(code(vec![warning, failure.clone()]), Some(1));
        assert_eq!(code(vec![failure, denied]), Some(4));
    }
}
