//! Precedence of a thread over ordinary work.
//!
//! Called once, first thing, by the few threads that sound depends on: the one that listens and the one that speaks. On a
//! device each uses a few per cent of a core, so that nobody is kept waiting (a file read with `--fast` takes what it needs, in
//! seconds); but where a compiler or another model takes every core, an
//! ordinary thread may wait 100 ms for its turn, and then samples are lost or a sentence stutters. Threads and streams that
//! such a thread starts later inherit the precedence.

use super::system;

/// Puts the calling thread before ordinary ones; false where the system does not allow it (on Linux only root and users with
/// a nice limit, `ulimit -e`, may), which is no failure: the thread then runs as any other.
pub fn raise_this_thread(name: &str) -> bool {
    let raised = system::raise_this_thread();
    tracing::debug!(thread = name, raised, "precedence of a sound thread");
    raised
}
