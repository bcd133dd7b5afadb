//! How much processor time this process has used.

use std::time::Duration;

/// Time that all threads of this process have spent on processors, in their own code and in the system's for them.
#[must_use]
pub fn process_time() -> Duration {
    // SAFETY: `rusage` is plain numbers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a local of the right type, which the call only writes.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0;
    if failed {
        return Duration::ZERO;
    }
    of(usage.ru_utime) + of(usage.ru_stime)
}

fn of(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
