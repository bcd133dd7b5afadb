//! Facts about the machine: time, battery, disk, memory, network.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::arguments::Arguments;
use super::super::argv::macos;
use super::{Offer, Words, found, object, read};
use super::{ToolError, ToolOutput};
use crate::agent::tools::host::Host;
use crate::platform::{self, System, clock, disk};

pub(super) fn offers(host: &Arc<Host>) -> Vec<Offer> {
    let words = Words {
        name: "system_status",
        description: "Tell the computer's time, battery, free disk space, memory and network.",
        parameters: object(&[], &[]),
        class: read,
        filler: |_| "Looking at the computer.".to_owned(),
        confirmation: |_| "Look at the state of the computer?".to_owned(),
    };
    vec![words.with(host, system_status).here()]
}

async fn system_status(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    Arguments::new(&arguments, &[])?;
    let now = clock::wall();
    let (battery, network) = match host.system {
        System::MacOs => (mac_battery(&host).await, mac_network(&host).await),
        System::Linux | System::Other => (
            linux_battery(Path::new(SUPPLIES)),
            linux_network(Path::new("/")),
        ),
    };
    let gigabytes = |bytes: u64| (bytes as f64 / 1e8).round() / 10.0;
    let disk = disk::free_bytes(&host.home).ok().map(gigabytes);
    let memory = platform::total_memory_bytes().map(gigabytes);
    found(
        json!({
            "time": now.strftime("%A, %-d %B %Y, %H:%M").to_string(),
            "time_zone": now.time_zone().iana_name(),
            "system": platform::system_name(),
            "battery": battery,
            "disk_free_gigabytes": disk,
            "memory_gigabytes": memory,
            "network": network,
        })
        .to_string(),
    )
}

/// "76 percent, on mains"; a machine without a battery has none.
async fn mac_battery(host: &Host) -> Option<String> {
    let printed = host.run(macos::battery()).await.ok()?;
    let (percent, mains) = macos::read_battery(&printed)?;
    Some(battery_words(
        percent,
        if mains { "on mains" } else { "discharging" },
    ))
}

async fn mac_network(host: &Host) -> Option<String> {
    let printed = host.run(macos::network()).await.ok()?;
    let names = printed
        .lines()
        .find_map(|line| line.trim().strip_prefix("Network interfaces:"))?;
    Some(match names.trim() {
        "" => "not connected".to_owned(),
        names => format!("connected by {names}"),
    })
}

fn battery_words(percent: u8, state: &str) -> String {
    format!("{percent} percent, {state}")
}

const SUPPLIES: &str = "/sys/class/power_supply";

/// The first battery of the machine, not one of a mouse.
fn linux_battery(supplies: &Path) -> Option<String> {
    let mut folders: Vec<_> = std::fs::read_dir(supplies)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders.into_iter().find_map(|folder| {
        let value = |name: &str| {
            let text = std::fs::read_to_string(folder.join(name)).ok()?;
            Some(text.trim().to_owned())
        };
        if value("type")? != "Battery" || value("scope").as_deref() == Some("Device") {
            return None;
        }
        let percent = value("capacity")?.parse().ok()?;
        let state = value("status").unwrap_or_default().to_lowercase();
        Some(battery_words(percent, &state))
    })
}

/// Through which interface the default route leads.
fn linux_network(root: &Path) -> Option<String> {
    let routes = std::fs::read_to_string(root.join("proc/net/route")).ok()?;
    let default = routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let name = fields.next()?;
        (fields.next()? == "00000000").then_some(name)
    });
    Some(match default {
        None => "not connected".to_owned(),
        Some(name) => {
            let wireless = root.join("sys/class/net").join(name).join("wireless");
            let kind = if wireless.exists() { "Wi-Fi" } else { "cable" };
            format!("connected by {kind} ({name})")
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_battery_of_the_machine_is_found_beside_that_of_a_mouse() {
        let folder = tempfile::tempdir().unwrap();
        let supply = |name: &str, files: &[(&str, &str)]| {
            let folder = folder.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            for (file, text) in files {
                std::fs::write(folder.join(file), format!("{text}\n")).unwrap();
            }
        };
        supply("AC", &[("type", "Mains"), ("online", "1")]);
        supply(
            "a-mouse",
            &[("type", "Battery"), ("scope", "Device"), ("capacity", "5")],
        );
        assert_eq!(linux_battery(folder.path()), None);
        let own = [
            ("type", "Battery"),
            ("capacity", "76"),
            ("status", "Discharging"),
        ];
        supply("BAT0", &own);
        let told = linux_battery(folder.path());
        assert_eq!(told.as_deref(), Some("76 percent, discharging"));
    }

    #[test]
    fn the_default_route_tells_whether_there_is_a_network() {
        let root = tempfile::tempdir().unwrap();
        let routes = root.path().join("proc/net");
        std::fs::create_dir_all(&routes).unwrap();
        let head = "Iface\tDestination\tGateway\n";
        std::fs::write(routes.join("route"), format!("{head}eth0\t0000A8C0\t0\n")).unwrap();
        assert_eq!(linux_network(root.path()).as_deref(), Some("not connected"));
        std::fs::write(routes.join("route"), format!("{head}wlan0\t00000000\t0\n")).unwrap();
        std::fs::create_dir_all(root.path().join("sys/class/net/wlan0/wireless")).unwrap();
        let told = linux_network(root.path());
        assert_eq!(told.as_deref(), Some("connected by Wi-Fi (wlan0)"));
    }
}
