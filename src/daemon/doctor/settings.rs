//! Whether the settings can be used, and whether a variable of the environment was meant to be one.

use super::{Check, shell};
use crate::config::load::stray_variables;
use crate::config::{Config, Places, Raw, Request, load};

/// The settings, or the defaults where they are wrong, and what was found.
#[must_use]
pub fn checks(places: &Places, request: &Request) -> (Config, Vec<Check>) {
    let file = places.config_file.display();
    let (config, configuration) = match load(places, request) {
        Ok((config, _)) if places.config_file.exists() => (
            config,
            Check::ok("configuration", format!("{file} is valid")),
        ),
        Ok((config, _)) => (
            config,
            Check::ok(
                "configuration",
                format!("there is no {file}: the defaults are used"),
            ),
        ),
        Err(error) => {
            let problems = error.to_string().replace('\n', "; ");
            let check = Check::fail(
                "configuration",
                format!("{problems} (everything below was checked with the defaults)"),
                format!(
                    "correct it, for example with `nano {}`, until `hark config check` is content",
                    shell(&places.config_file)
                ),
            );
            (defaults(places), check)
        }
    };
    (config, vec![configuration, environment(request)])
}

fn defaults(places: &Places) -> Config {
    Config::resolve(&Raw::default(), places)
        .expect("the defaults are valid on every machine; a test says so")
}

fn environment(request: &Request) -> Check {
    let stray = stray_variables(request);
    if stray.is_empty() {
        return Check::ok(
            "environment",
            "no variable is taken for a setting by mistake",
        );
    }
    let told: Vec<String> = stray.iter().map(ToString::to_string).collect();
    let names: Vec<String> = stray
        .iter()
        .filter_map(|problem| match &problem.origin {
            crate::config::Origin::Environment { name } => Some(name.clone()),
            _ => None,
        })
        .collect();
    Check::warn(
        "environment",
        told.join("; "),
        format!(
            "correct the name where it is set, or `unset {}`",
            names.join(" ")
        ),
    )
}
