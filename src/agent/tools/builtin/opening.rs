//! Opening applications, files and web pages.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::super::arguments::{Arguments, spoken, wrong};
use super::super::argv::{linux, macos};
use super::{Offer, Words, act, destroy, done, object, text};
use super::{ToolError, ToolOutput};
use crate::agent::tools::host::Host;
use crate::platform::System;

pub(super) fn offers(host: &Arc<Host>) -> Vec<Offer> {
    let app = Words {
        name: "open_app",
        description: "Start an application or bring it to the front.",
        parameters: object(&[("name", text("its name, like Safari"))], &["name"]),
        class: act,
        filler: |arguments| format!("Opening {}.", spoken(arguments, "name", "it")),
        confirmation: |arguments| format!("Open {}?", spoken(arguments, "name", "it")),
    };
    let file = Words {
        name: "open_file",
        description: "Open a document or folder of the user in its application.",
        parameters: object(&[("path", text("path from find_files"))], &["path"]),
        class: act,
        filler: |arguments| format!("Opening {}.", file_name(arguments)),
        confirmation: |arguments| format!("Open the file {}?", file_name(arguments)),
    };
    // A page is asked from the network with whatever the address holds: that can carry things out of the house.
    let page = Words {
        name: "open_url",
        description: "Open a web page in the browser. Only when the user asks for it.",
        parameters: object(&[("url", text("https address"))], &["url"]),
        class: destroy,
        filler: |arguments| format!("Opening {}.", site(arguments)),
        confirmation: |arguments| format!("Open the web page {}?", site(arguments)),
    };
    vec![
        app.with(host, open_app).unless(app_missing(host)),
        file.with(host, open_file).unless(opener_missing(host)),
        page.with(host, open_url).unless(opener_missing(host)),
    ]
}

fn opener_missing(host: &Host) -> Option<String> {
    match host.system {
        System::MacOs => missing(host, "open", "it is part of macOS"),
        System::Linux | System::Other => {
            missing(host, "xdg-open", "install xdg-utils").or_else(|| no_desktop(host))
        }
    }
}

fn app_missing(host: &Host) -> Option<String> {
    match host.system {
        System::MacOs => missing(host, "open", "it is part of macOS"),
        System::Linux | System::Other => {
            missing(host, "gtk-launch", "install libgtk-3-bin").or_else(|| no_desktop(host))
        }
    }
}

fn no_desktop(host: &Host) -> Option<String> {
    let desktop = host
        .variable("WAYLAND_DISPLAY")
        .or_else(|| host.variable("DISPLAY"));
    desktop
        .is_none()
        .then(|| "there is no desktop: neither WAYLAND_DISPLAY nor DISPLAY is set".to_owned())
}

pub(super) fn missing(host: &Host, program: &str, remedy: &str) -> Option<String> {
    (!host.has(program)).then(|| format!("{program} is not installed: {remedy}"))
}

/// The last part of the path, as it is said.
fn file_name(arguments: &Value) -> String {
    let path = spoken(arguments, "path", "it");
    path.rsplit('/').next().unwrap_or(&path).to_owned()
}

/// Host and the beginning of the rest, so that what an address carries is read back.
fn site(arguments: &Value) -> String {
    let url = spoken(arguments, "url", "it");
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    rest.trim_end_matches('/').to_owned()
}

async fn open_app(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let name = Arguments::new(&arguments, &["name"])?.required("name")?;
    if name.chars().count() > 80 || name.starts_with('-') || name.contains(['/', '\n']) {
        return Err(wrong("name must be the name of an application, not a path"));
    }
    match host.system {
        System::MacOs => host.run(macos::open_app(name)).await?,
        System::Linux | System::Other => {
            let id = desktop_file(&host, name).ok_or_else(|| {
                wrong(&format!(
                    "name is {name}, and no such application is installed"
                ))
            })?;
            host.run(linux::open_app(&id)).await?
        }
    };
    done(format!("{name} is open."))
}

/// The desktop file of an application: its file name or its title.
fn desktop_file(host: &Host, name: &str) -> Option<String> {
    let wanted = name.to_lowercase();
    let data = host
        .variable("XDG_DATA_DIRS")
        .unwrap_or_else(|| "/usr/local/share:/usr/share".to_owned());
    let own = host.home.join(".local/share");
    let folders = std::iter::once(own).chain(std::env::split_paths(&data));
    let mut fallback = None;
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder.join("applications")) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()).take(5_000) {
            let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            if path
                .extension()
                .is_none_or(|extension| extension != "desktop")
            {
                continue;
            }
            if id.to_lowercase() == wanted || title(&path).is_some_and(|title| title == wanted) {
                return Some(id.to_owned());
            }
            // "org.gnome.TextEditor" by its last part.
            if id
                .rsplit('.')
                .next()
                .is_some_and(|last| last.to_lowercase() == wanted)
            {
                fallback = fallback.or_else(|| Some(id.to_owned()));
            }
        }
    }
    fallback
}

fn title(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Name="))?;
    Some(line.trim().to_lowercase())
}

async fn open_file(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let written = Arguments::new(&arguments, &["path"])?.required("path")?;
    let path = document(&host, written)?;
    let target = path.display().to_string();
    match host.system {
        System::MacOs => host.run(macos::open(&target)).await?,
        System::Linux | System::Other => host.run(linux::open(&target)).await?,
    };
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    done(format!("{name} is open."))
}

/// The file that is meant, if it lies in the home folder (also after links are followed), is not hidden, and is nothing
/// that runs when it is opened.
fn document(host: &Host, written: &str) -> Result<PathBuf, ToolError> {
    let path = match written.strip_prefix("~/") {
        Some(rest) => host.home.join(rest),
        None => host.home.join(written),
    };
    let path = path
        .canonicalize()
        .map_err(|_| wrong(&format!("path is {written}, and there is no such file")))?;
    let home = host
        .home
        .canonicalize()
        .unwrap_or_else(|_| host.home.clone());
    let inside = path
        .strip_prefix(&home)
        .map_err(|_| wrong("path must lie in the user's home folder"))?;
    let hidden = inside
        .iter()
        .any(|part| part.to_string_lossy().starts_with('.'));
    if hidden {
        return Err(wrong("path is hidden: settings and keys are not opened"));
    }
    if runs(&path) {
        return Err(wrong(
            "path is a program: only documents and folders are opened",
        ));
    }
    Ok(path)
}

/// Whether opening it would run it.
fn runs(path: &Path) -> bool {
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    RUNNABLE.contains(&extension.as_str()) || (path.is_file() && is_executable(path))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(_: &Path) -> bool {
    false
}

/// What a desktop runs, installs or trusts when it is opened.
const RUNNABLE: &[&str] = &[
    "app",
    "command",
    "terminal",
    "tool",
    "workflow",
    "action",
    "shortcut",
    "scpt",
    "applescript",
    "pkg",
    "mpkg",
    "dmg",
    "mobileconfig",
    "webloc",
    "inetloc",
    "fileloc",
    "url",
    "desktop",
    "sh",
    "bash",
    "zsh",
    "fish",
    "csh",
    "py",
    "pl",
    "rb",
    "js",
    "jar",
    "appimage",
    "run",
    "deb",
    "rpm",
    "flatpakref",
    "exe",
    "bat",
    "cmd",
    "ps1",
    "msi",
    "vbs",
    "prefpane",
    "saver",
    "kext",
    "plugin",
];

async fn open_url(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let written = Arguments::new(&arguments, &["url"])?.required("url")?;
    let url = address(written)?;
    match host.system {
        System::MacOs => host.run(macos::open(&url)).await?,
        System::Linux | System::Other => host.run(linux::open(&url)).await?,
    };
    done(format!("{} is open in the browser.", site(&arguments)))
}

/// A web address in its normal form; other schemes start other programs, and a name before `@` hides the true host.
fn address(written: &str) -> Result<String, ToolError> {
    let full = if written.contains("://") {
        written.to_owned()
    } else {
        format!("https://{written}")
    };
    let url = reqwest::Url::parse(&full).map_err(|_| wrong("url is no web address"))?;
    let web = matches!(url.scheme(), "http" | "https");
    if !web || !url.username().is_empty() || url.password().is_some() || url.host().is_none() {
        return Err(wrong(
            "url must be an http or https address without a user name",
        ));
    }
    if url.as_str().len() > 1_000 {
        return Err(wrong("url is longer than 1000 characters"));
    }
    Ok(url.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_opened() {
        assert_eq!(address("example.com").unwrap(), "https://example.com/");
        assert_eq!(address("http://a.b/c?d").unwrap(), "http://a.b/c?d");
        for bad in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://user@evil.example",
            "x-apple.systempreferences://",
            "https://",
            "",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
