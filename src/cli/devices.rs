//! `hark devices`: what there is, and what is used.

use std::io::Write;

use serde_json::json;

use super::Setting;
use crate::audio::devices::{self, DeviceInfo};

/// Arguments of `hark devices`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hark devices --json")]
pub struct DevicesArgs {
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// Standard output failed.
pub fn run(args: &DevicesArgs, setting: &Setting) -> anyhow::Result<()> {
    let list = crate::platform::quiet::quietly(devices::list);
    let audio = &setting.config.audio;
    let wanted = crate::daemon::parts::wanted(&audio.input, &setting.config);
    let input = devices::choose_input(&list, &wanted)
        .map(|choice| (choice.device.id.clone(), choice.why.to_string()));
    let output = devices::choose(&list.outputs, &audio.output, &[])
        .map(|choice| (choice.device.id.clone(), choice.why.to_string()));
    let mut out = std::io::stdout();
    if args.json {
        let used = |choice: &Result<(String, String), devices::ChooseError>| match choice {
            Ok((id, why)) => json!({"id": id, "why": why}),
            Err(error) => json!({"id": null, "why": error.to_string()}),
        };
        let document = json!({
            "host": list.host, "inputs": list.inputs, "outputs": list.outputs,
            "input": used(&input), "output": used(&output),
        });
        writeln!(out, "{document}")?;
        return Ok(());
    }
    writeln!(out, "sound system: {}", list.host)?;
    section(&mut out, "microphones", &list.inputs, &input)?;
    section(&mut out, "loudspeakers", &list.outputs, &output)
}

fn section(
    out: &mut impl Write,
    title: &str,
    devices: &[DeviceInfo],
    used: &Result<(String, String), devices::ChooseError>,
) -> anyhow::Result<()> {
    writeln!(out, "{title}:")?;
    if devices.is_empty() {
        writeln!(out, "  none")?;
    }
    for device in devices {
        let layout = match (device.rate, device.channels) {
            (Some(rate), Some(channels)) => format!("{rate} Hz, {channels} channels"),
            _ => "cannot be asked".to_owned(),
        };
        let mark = match used {
            Ok((id, why)) if *id == device.id => format!("  <- used: {why}"),
            _ => String::new(),
        };
        writeln!(out, "  {} ({layout}){mark}", device.name)?;
    }
    if let Err(error) = used {
        writeln!(out, "  none is used: {error}")?;
    }
    Ok(())
}
