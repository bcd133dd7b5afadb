//! The clipboard.

use std::sync::Arc;

use serde_json::Value;

use super::super::arguments::{Arguments, spoken};
use super::super::argv::{CommandLine, linux, macos};
use super::{Offer, Words, act, done, found, object, read, text};
use super::{ToolError, ToolOutput};
use crate::agent::tools::host::Host;
use crate::platform::System;

pub(super) fn offers(host: &Arc<Host>) -> Vec<Offer> {
    let look = Words {
        name: "read_clipboard",
        description: "Read the text in the clipboard.",
        parameters: object(&[], &[]),
        class: read,
        filler: |_| "Looking at the clipboard.".to_owned(),
        confirmation: |_| "Read your clipboard?".to_owned(),
    };
    let write = Words {
        name: "write_clipboard",
        description: "Put a text into the clipboard.",
        parameters: object(&[("text", text("the text"))], &["text"]),
        class: act,
        filler: |arguments| format!("Copying {}.", spoken(arguments, "text", "it")),
        confirmation: |arguments| {
            format!(
                "Copy to the clipboard: {}?",
                spoken(arguments, "text", "this")
            )
        },
    };
    vec![
        look.with(host, read_clipboard).unless(lacking(host)),
        write.with(host, write_clipboard).unless(lacking(host)),
    ]
}

/// Which clipboard there is.
#[derive(Clone, Copy)]
enum Kind {
    Mac,
    Wayland,
    X11,
}

fn kind(host: &Host) -> Result<Kind, String> {
    if host.system == System::MacOs {
        return Ok(Kind::Mac);
    }
    if host.variable("WAYLAND_DISPLAY").is_some() && host.has("wl-paste") && host.has("wl-copy") {
        return Ok(Kind::Wayland);
    }
    if host.variable("DISPLAY").is_some() && host.has("xclip") {
        return Ok(Kind::X11);
    }
    Err(if host.variable("WAYLAND_DISPLAY").is_some() {
        "wl-clipboard is not installed".to_owned()
    } else if host.variable("DISPLAY").is_some() {
        "xclip is not installed".to_owned()
    } else {
        "there is no desktop: neither WAYLAND_DISPLAY nor DISPLAY is set".to_owned()
    })
}

fn lacking(host: &Host) -> Option<String> {
    kind(host).err()
}

async fn read_clipboard(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    Arguments::new(&arguments, &[])?;
    let line = match kind(&host).map_err(ToolError::Gone)? {
        Kind::Mac => macos::paste(),
        Kind::Wayland => linux::wayland_paste(),
        Kind::X11 => linux::x11_paste(),
    };
    let text = host.run(line).await?;
    if text.trim().is_empty() {
        return found("The clipboard holds no text.");
    }
    found(text)
}

async fn write_clipboard(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let text = Arguments::new(&arguments, &["text"])?.required("text")?;
    let line: CommandLine = match kind(&host).map_err(ToolError::Gone)? {
        Kind::Mac => macos::copy(text),
        Kind::Wayland => linux::wayland_copy(text),
        Kind::X11 => linux::x11_copy(text),
    };
    host.run(line).await?;
    done("It is in the clipboard.")
}
