//! Open doors: ports of Hark and of the model servers that other machines reach.
//!
//! A model server that listens on every address gives the model, and with some servers the disk, to the whole network.

use std::time::Duration;

use super::bounded::within;
use super::{Check, Setup, backends, keys};
use crate::config::Config;
use crate::config::resolved::Gateway;
use crate::platform::ports::{self, Listening};
use crate::platform::process;

/// All checks of this group.
#[must_use]
pub fn checks(setup: &Setup) -> Vec<Check> {
    let own = own_processes();
    let found = within(LISTING, ports::listening).ok().flatten();
    vec![open_doors(&setup.config, found.as_deref(), &own)]
}

/// The daemon's processes, and this one.
fn own_processes() -> Vec<u32> {
    let mut own = vec![std::process::id()];
    if let Some(daemon) = keys::daemon_process() {
        own.push(daemon);
        own.extend(process::descendants(daemon).iter().map(|child| child.pid));
    }
    own
}

/// A port that something of ours has, or should have.
struct Port {
    number: u16,
    what: &'static str,
    close: String,
}

/// What listens beyond this machine. `own` are Hark's processes.
#[must_use]
pub fn open_doors(config: &Config, found: Option<&[Listening]>, own: &[u32]) -> Check {
    const NAME: &str = "open_doors";
    let Some(found) = found else {
        return Check::skip(NAME, "this system does not tell which ports are open");
    };
    let known = known_ports(config);
    let mut open: Vec<(String, String)> = Vec::new();
    for door in found.iter().filter(|door| door.is_open()) {
        let port = known.iter().find(|port| port.number == door.address.port());
        let ours = door.pid.is_some_and(|pid| own.contains(&pid));
        let (what, close) = match port {
            Some(port) => (port.what, port.close.clone()),
            None if ours => (
                "Hark",
                "end that program of Hark's and report this as a bug: `hark service restart`"
                    .to_owned(),
            ),
            None => continue,
        };
        let told = format!("{what} listens on {}", door.address);
        // IPv4 and IPv6 of one server are one door.
        if !open.iter().any(|(_, known)| *known == close) {
            open.push((told, close));
        }
    }
    if open.is_empty() {
        return Check::ok(
            NAME,
            "Hark and its model servers are reached from this machine only",
        );
    }
    let chosen = exposed(&config.gateway);
    let told: Vec<&str> = open.iter().map(|(told, _)| told.as_str()).collect();
    if chosen && open.len() == 1 && open[0].0.starts_with(GATEWAY) {
        return Check::ok(
            NAME,
            format!(
                "{}, as gateway.expose says; its traffic is not encrypted",
                told[0]
            ),
        );
    }
    let close: Vec<&str> = open.iter().map(|(_, close)| close.as_str()).collect();
    Check::warn(
        NAME,
        format!(
            "other machines reach what should be only yours: {}",
            told.join("; ")
        ),
        close.join("; "),
    )
}

fn exposed(gateway: &Gateway) -> bool {
    gateway
        .listen
        .is_some_and(|address| !address.ip().is_loopback())
}

fn known_ports(config: &Config) -> Vec<Port> {
    let mut ports = Vec::new();
    if let Some(address) = config.gateway.listen {
        ports.push(Port {
            number: address.port(),
            what: GATEWAY,
            close: "set gateway.listen to 127.0.0.1 in the file that `hark config path` names, then `hark service restart`"
                .to_owned(),
        });
    }
    if let Some(number) = local(&config.llm.mlx.url) {
        ports.push(Port {
            number,
            what: "the MLX server",
            close: format!(
                "start it on this machine's own address: {}",
                with_host(&backends::start(config, "mlx"))
            ),
        });
    }
    if let Some(number) = local(&config.llm.ollama.url) {
        ports.push(Port {
            number,
            what: "Ollama",
            close: format!(
                "`OLLAMA_HOST=127.0.0.1:{number} ollama serve`, or for the app on a Mac: `launchctl setenv OLLAMA_HOST \
                 127.0.0.1:{number}` and start it again"
            ),
        });
    }
    let openai = config.llm.openai.as_ref();
    if let Some(number) = openai.and_then(|remote| local(&remote.url)) {
        ports.push(Port {
            number,
            what: "the server of llm.openai",
            close: "start it with 127.0.0.1 as its address (llama-server: `--host 127.0.0.1`)"
                .to_owned(),
        });
    }
    ports
}

/// mlx_lm.server binds to loopback by itself; whoever opened it gave it another host.
fn with_host(command: &str) -> String {
    command.replace(" --port ", " --host 127.0.0.1 --port ")
}

/// The port of an address of this machine.
fn local(url: &str) -> Option<u16> {
    let url = reqwest::Url::parse(url).ok()?;
    let here = matches!(url.host_str()?, "127.0.0.1" | "localhost" | "[::1]");
    here.then(|| url.port_or_known_default())?
}

const GATEWAY: &str = "the inference gateway";

/// `lsof` takes half a second on a machine with many open files.
const LISTING: Duration = Duration::from_secs(5);
