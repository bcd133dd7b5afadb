//! TCP sockets that wait for connections: where, and whose.
//!
//! Any thread may call it; listing takes some milliseconds on Linux (`/proc`) and starts `lsof` on macOS. The two readers
//! are here for every system, so that both are tested on each.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::system;

/// A socket that waits for connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Where: `0.0.0.0` and `::` are every address of this machine.
    pub address: SocketAddr,
    /// Whose; `None` where the system does not tell this user.
    pub pid: Option<u32>,
}

impl Listening {
    /// Whether other machines can reach it, as far as no firewall is in the way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.address.ip().to_canonical().is_loopback()
    }
}

/// All of this machine, as far as this user may see them; `None` where the system does not tell.
#[must_use]
pub fn listening() -> Option<Vec<Listening>> {
    system::listening()
}

/// Reads `/proc/net/tcp` or `/proc/net/tcp6`: address and inode of each socket in state 0A. Addresses are words of 32 bits in
/// the byte order of the machine, which is little-endian on all that Hark runs on.
#[must_use]
pub fn read_proc(table: &str) -> Vec<(SocketAddr, String)> {
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if *fields.get(3)? != "0A" {
                return None;
            }
            let (address, port) = fields.get(1)?.split_once(':')?;
            let address =
                SocketAddr::new(proc_address(address)?, u16::from_str_radix(port, 16).ok()?);
            Some((address, (*fields.get(9)?).to_owned()))
        })
        .collect()
}

fn proc_address(hex: &str) -> Option<IpAddr> {
    let words: Vec<u32> = (0..hex.len() / 8)
        .map(|at| u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok())
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// Reads what `lsof -nP -iTCP -sTCP:LISTEN -F pn` prints: `p` and a process, then `n` and an address for each of its sockets.
#[must_use]
pub fn read_lsof(printed: &str) -> Vec<Listening> {
    let mut pid = None;
    let mut found: BTreeMap<(SocketAddr, Option<u32>), ()> = BTreeMap::new();
    for line in printed.lines() {
        if let Some(process) = line.strip_prefix('p') {
            pid = process.parse().ok();
        } else if let Some(address) = line.strip_prefix('n').and_then(lsof_address) {
            found.insert((address, pid), ());
        }
    }
    found
        .into_keys()
        .map(|(address, pid)| Listening { address, pid })
        .collect()
}

/// `127.0.0.1:11434`, `[::1]:8080`, `*:7000`.
fn lsof_address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let ip = match host {
        "*" => Ipv4Addr::UNSPECIFIED.into(),
        host => host.trim_matches(['[', ']']).parse().ok()?,
    };
    Some(SocketAddr::new(ip, port.parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_understood() {
        let four = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1\n   1: 00000000:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4243 1\n   2: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000        0 4244 1\n";
        let found = read_proc(four);
        assert_eq!(
            found,
            [
                ("127.0.0.1:8080".parse().unwrap(), "4242".to_owned()),
                ("0.0.0.0:11434".parse().unwrap(), "4243".to_owned()),
            ]
        );
        let six = "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1000 0 7 1\n   1: 00000000000000000000000000000000:2CAA 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1000 0 8 1\n";
        let found: Vec<SocketAddr> = read_proc(six).into_iter().map(|(at, _)| at).collect();
        assert_eq!(
            found,
            [
                "[::1]:8080".parse().unwrap(),
                "[::]:11434".parse::<SocketAddr>().unwrap()
            ]
        );
    }

    #[test]
    fn what_lsof_prints_is_understood() {
        let printed =
            "p501\nf7\nn127.0.0.1:11434\np77\nf3\nn*:8080\nf4\nn[::1]:9000\nf5\nn*:8080\n";
        let found = read_lsof(printed);
        let told: Vec<(String, Option<u32>, bool)> = found
            .iter()
            .map(|one| (one.address.to_string(), one.pid, one.is_open()))
            .collect();
        assert_eq!(
            told,
            [
                ("0.0.0.0:8080".to_owned(), Some(77), true),
                ("127.0.0.1:11434".to_owned(), Some(501), false),
                ("[::1]:9000".to_owned(), Some(77), false),
            ]
        );
        assert!(read_lsof("").is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_of_this_process_is_found_and_told_open_or_not() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let found = listening().unwrap();
        for (socket, is_open) in [(&closed, false), (&open, true)] {
            let address = socket.local_addr().unwrap();
            let ours = found.iter().find(|one| one.address == address).unwrap();
            assert_eq!(
                (ours.is_open(), ours.pid),
                (is_open, Some(std::process::id()))
            );
        }
    }
}
