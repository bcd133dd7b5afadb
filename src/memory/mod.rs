//! The ledger of bytes: what a language model and the voice take, what fits, and what gives way.
//!
//! Core: values in, values out; nobody here looks at a machine. [`shape`] says what a model takes by its own shapes
//! (readers: [`config_json`], [`gguf`], [`show`]), [`voice`] the same for hearing and speaking, [`server`] what a server adds
//! to its model, [`machine`] what the system keeps. [`plan`] adds it all up before anything is loaded and shrinks what may
//! shrink, the voice last. [`ledger`] answers requests while the daemon runs, and [`pressure`] decides what is given up, and
//! taken back, when memory runs short all the same.
//!
//! Called by `hark plan`, by the daemon and by whoever starts a backend, from any thread. GiB are 2^30 bytes.

pub mod config_json;
pub mod gguf;
pub mod ledger;
pub mod machine;
pub mod plan;
pub mod pressure;
pub mod server;
pub mod shape;
pub mod show;
pub mod voice;

pub use ledger::{Decision, Holder, Ledger, Refusal, Request};
pub use plan::{Plan, Wanted};
pub use pressure::Pressure;
pub use shape::Shape;

/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;

/// 2^30 bytes.
pub const GIB: u64 = 1 << 30;

/// A size as people read it: `15.8 GiB`, `547 MiB`.
#[must_use]
pub fn human(bytes: u64) -> String {
    let amount = bytes as f64;
    if bytes >= GIB {
        format!("{:.1} GiB", amount / GIB as f64)
    } else if bytes >= MIB {
        format!("{:.0} MiB", amount / MIB as f64)
    } else {
        format!("{:.0} KiB", amount / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(human(GIB * 158 / 10), "15.8 GiB");
        assert_eq!(human(547 * MIB), "547 MiB");
        assert_eq!(human(2_048), "2 KiB");
    }
}
