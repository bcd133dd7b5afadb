//! Memory and processes by `/proc`.

use std::collections::BTreeMap;
use std::fs;

use super::super::ports::{Listening, read_proc};
use super::super::process::Process;
use crate::memory::Pressure;

/// Proportional set size with what was swapped out.
pub(in super::super) fn footprint_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let field = |name: &str| kib(text.lines().find_map(|line| line.strip_prefix(name))?);
    Some(field("Pss:")? + field("SwapPss:").unwrap_or(0))
}

pub(in super::super) fn available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    kib(text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?)
}

/// `   1234 kB` in bytes.
fn kib(field: &str) -> Option<u64> {
    let kib: u64 = field.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

pub(in super::super) fn pressure() -> Option<Pressure> {
    let total = super::total_memory_bytes()?;
    // Kernels without pressure accounting still tell what is available.
    let stalls = fs::read_to_string("/proc/pressure/memory").unwrap_or_default();
    let (some, full) = read_stalls(&stalls);
    Some(Pressure::from_stalls(some, full, available_bytes()?, total))
}

/// `some avg10=0.00 avg60=…` and `full avg10=0.00 …`.
fn read_stalls(text: &str) -> (f64, f64) {
    let average = |which: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(which))
            .and_then(|line| line.split_whitespace().next()?.strip_prefix("avg10="))
            .and_then(|number| number.parse().ok())
            .unwrap_or(0.0)
    };
    (average("some "), average("full "))
}

/// Graphics processors have memory of their own here, or are none of Hark's.
pub(in super::super) fn gpu_limit_bytes() -> Option<u64> {
    None
}

pub(in super::super) fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            Some(Process {
                pid,
                parent: field(&stat, 1)?.parse().ok()?,
                command: command.trim_end().to_owned(),
            })
        })
        .collect()
}

/// When a process started, in ticks since the machine did; a zombie has ended.
pub(in super::super) fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    if matches!(field(&stat, 0)?, "Z" | "X") {
        return None;
    }
    Some(field(&stat, 19)?.to_owned())
}

/// A field of `/proc/PID/stat` after the name, which may hold blanks and brackets: 0 is the state.
fn field(stat: &str, index: usize) -> Option<&str> {
    stat.rsplit_once(") ")?.1.split(' ').nth(index)
}

/// Whether a process of the group still runs; what nobody has reaped yet has ended.
pub(in super::super) fn group_lives(leader: i32) -> bool {
    let leader = leader.to_string();
    let Ok(entries) = fs::read_dir("/proc") else {
        return true;
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok())
        .any(|stat| field(&stat, 2) == Some(&leader) && !matches!(field(&stat, 0), Some("Z" | "X")))
}

pub(in super::super) fn listener(port: u16) -> Option<u32> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let wanted: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let entries = fs::read_dir("/proc").ok()?;
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
                return false;
            };
            files
                .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
                .any(|target| {
                    wanted
                        .iter()
                        .any(|socket| target.as_os_str() == socket.as_str())
                })
        })
}

pub(in super::super) fn listening() -> Option<Vec<Listening>> {
    let tables: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .collect();
    if tables.is_empty() {
        return None;
    }
    let owners = socket_owners();
    Some(
        tables
            .iter()
            .flat_map(|table| read_proc(table))
            .map(|(address, inode)| Listening {
                address,
                pid: owners.get(&inode).copied(),
            })
            .collect(),
    )
}

/// Which process has the socket of which inode, as far as this user may look.
fn socket_owners() -> BTreeMap<String, u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut owners = BTreeMap::new();
    for pid in pids {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for target in files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()) {
            let inode = target
                .to_str()
                .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
            if let Some(inode) = inode {
                owners.insert(inode.to_owned(), pid);
            }
        }
    }
    owners
}

/// The inodes of sockets that listen on `port`: state 0A, the port in hexadecimal behind the address.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let here = fields.get(1)?.ends_with(&port) && *fields.get(3)? == "0A";
            here.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_understood() {
        let stalls = "some avg10=12.50 avg60=1.00 avg300=0.10 total=1\nfull avg10=0.75 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(read_stalls(stalls), (12.5, 0.75));
        assert_eq!(read_stalls(""), (0.0, 0.0));
        let table = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1\n   1: 0100007F:1F90 0100007F:C001 01 0:0 0:0 0 0 0 17 1\n";
        assert_eq!(listening_inodes(table, 8080), ["4242"]);
        assert!(listening_inodes(table, 80).is_empty());
        assert_eq!(field("7 (a ) b) S 1 2", 1), Some("1"));
    }
}
