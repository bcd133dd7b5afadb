//! Memory and processes of macOS: `proc_pid_rusage`, `sysctl`, Metal; `ps` and `lsof` for what needs a list.

use std::time::Duration;

use objc2_metal::{MTLCreateSystemDefaultDevice, MTLDevice as _};

use super::super::command::{finish, run};
use super::super::ports::{Listening, read_lsof};
use super::super::process::Process;
use crate::memory::Pressure;

pub(in super::super) fn footprint_bytes(pid: u32) -> Option<u64> {
    let pid = libc::c_int::try_from(pid).ok()?;
    let mut usage = std::mem::MaybeUninit::<libc::rusage_info_v4>::zeroed();
    // SAFETY: flavour 4 fills exactly this structure, which is plain numbers and was zeroed; it outlives the call.
    let status =
        unsafe { libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V4, usage.as_mut_ptr().cast()) };
    if status != 0 {
        return None;
    }
    // SAFETY: all zeros are valid for it, and the call has filled it.
    Some(unsafe { usage.assume_init() }.ri_phys_footprint)
}

/// The share that the system itself calls free, which is what `memory_pressure` prints.
pub(in super::super) fn available_bytes() -> Option<u64> {
    let percent = u64::from(sysctl_number(c"kern.memorystatus_level")?);
    Some(super::total_memory_bytes()? / 100 * percent.min(100))
}

pub(in super::super) fn pressure() -> Option<Pressure> {
    sysctl_number(c"kern.memorystatus_vm_pressure_level").map(Pressure::from_memorystatus)
}

pub(in super::super) fn gpu_limit_bytes() -> Option<u64> {
    let device = MTLCreateSystemDefaultDevice()?;
    Some(device.recommendedMaxWorkingSetSize())
}

fn sysctl_number(name: &std::ffi::CStr) -> Option<u32> {
    let mut value: u32 = 0;
    let mut size = std::mem::size_of::<u32>();
    // SAFETY: the name is a C string; `value` and `size` outlive the call, and `size` says how large `value` is.
    let status = unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            (&raw mut value).cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    (status == 0 && size == std::mem::size_of::<u32>()).then_some(value)
}

pub(in super::super) fn processes() -> Vec<Process> {
    // The output of a busy machine is larger than what `run` may read from a pipe, so only the columns that count.
    let listed = std::process::Command::new("ps")
        .args(["-axww", "-o", "pid=,ppid=,command="])
        .env("LC_ALL", "C")
        .output();
    let Ok(listed) = listed else {
        return Vec::new();
    };
    String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(Process {
                pid: words.next()?.parse().ok()?,
                parent: words.next()?.parse().ok()?,
                command: words.collect::<Vec<_>>().join(" "),
            })
        })
        .collect()
}

pub(in super::super) fn started(pid: u32) -> Option<String> {
    let printed = run(
        "ps",
        &["-o", "stat=,lstart=", "-p", &pid.to_string()],
        LIMIT,
    );
    let printed = printed.ok()?;
    let (state, started) = printed.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// launchd reaps what has lost its parent, so whoever can be signalled lives.
pub(in super::super) const fn group_lives(_leader: i32) -> bool {
    true
}

pub(in super::super) fn listener(port: u16) -> Option<u32> {
    let address = format!("-iTCP:{port}");
    let arguments = ["-nP", &address, "-sTCP:LISTEN", "-t"];
    let printed = run("lsof", &arguments, LIMIT).ok()?;
    printed.lines().next()?.trim().parse().ok()
}

/// One that nobody listens is told by an exit code of 1 and no words.
pub(in super::super) fn listening() -> Option<Vec<Listening>> {
    let ended = finish("lsof", &["-nP", "-iTCP", "-sTCP:LISTEN", "-F", "pn"], LIMIT);
    Some(read_lsof(&ended.ok()?.out))
}

/// `lsof` takes half a second on a machine with many open files.
const LIMIT: Duration = Duration::from_secs(3);
