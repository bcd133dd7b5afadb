//! The one inference path of this machine: which backend is resident, and who may use it.

pub mod residency;
pub mod servers;
pub mod supervisor;
