//! The commented configuration file that `hark config init` writes.
//!
//! Core: made from `defaults.toml`, so that it can never tell another story than the program. Every value is commented out
//! except the answers of the user, so a later version's better default is not frozen into old files.

use std::collections::BTreeMap;

use super::raw::{DEFAULTS, Value};

/// The file with `answers` (key to value) set and everything else commented out.
#[must_use]
pub fn render(answers: &BTreeMap<String, Value>) -> String {
    let mut out = String::from(HEADER);
    let mut section = String::new();
    // The first paragraph of the defaults speaks of themselves.
    let body = DEFAULTS.split_once("\n\n").map_or("", |(_, body)| body);
    for line in body.lines() {
        let line = if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            line.to_owned()
        } else if line.is_empty() || line.starts_with('#') {
            line.to_owned()
        } else {
            let name = line.split_once(" = ").map_or("", |(name, _)| name);
            match answers.get(&format!("{section}.{name}")) {
                Some(answer) => format!("{name} = {answer}"),
                None => format!("# {line}"),
            }
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

const HEADER: &str = "\
# Settings of Hark. A line that starts with \"# name = \" shows the default; remove the \"# \" to change it.
# Each setting can also be given as HARK_SECTION_NAME in the environment, which wins over this file.
# `hark config check` checks the file, `hark config show --sources` tells where each value comes from.

";
