//! Memory as the system counts it: of one process, of the machine, and how short it is.
//!
//! Any thread may call it. A process's *footprint* is what would come back if it ended: on macOS `phys_footprint`, which
//! counts the buffers of the graphics processor too; on Linux the proportional set size with what was swapped out. Resident
//! size is neither: it misses compressed pages and counts shared ones for everybody.

use super::system;
use crate::memory::Pressure;

/// The memory that ends with process `pid`, in bytes; `None` if it has ended or belongs to somebody else.
#[must_use]
pub fn footprint_bytes(pid: u32) -> Option<u64> {
    system::footprint_bytes(pid)
}

/// The footprint of `pid` and of everything that it has started (Ollama's runner is a child of `ollama serve`).
#[must_use]
pub fn tree_footprint_bytes(pid: u32) -> Option<u64> {
    let own = footprint_bytes(pid)?;
    let below = super::process::descendants(pid);
    let children = below
        .iter()
        .filter_map(|process| footprint_bytes(process.pid));
    Some(own + children.sum::<u64>())
}

/// Memory that could be had without swapping, in bytes.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    system::available_bytes()
}

/// How short memory is; `None` where the system does not tell.
#[must_use]
pub fn pressure() -> Option<Pressure> {
    system::pressure()
}

/// How much the graphics processor may hold, where it shares the machine's memory and tells.
#[must_use]
pub fn gpu_limit_bytes() -> Option<u64> {
    system::gpu_limit_bytes()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_taken_shows_in_the_footprint_of_this_process() {
        let own = std::process::id();
        let before = footprint_bytes(own).unwrap();
        let taken = vec![1_u8; 64 << 20];
        let after = footprint_bytes(own).unwrap();
        assert!(std::hint::black_box(&taken).len() == 64 << 20);
        // Other tests run beside this one and may give memory back meanwhile.
        assert!(after > before + (40 << 20), "{before} then {after}");
        assert_eq!(footprint_bytes(u32::MAX), None);
        let available = available_bytes().unwrap();
        assert!(available < super::super::total_memory_bytes().unwrap());
        assert!(tree_footprint_bytes(own).unwrap() >= footprint_bytes(own).unwrap() / 2);
    }
}
