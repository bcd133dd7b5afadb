//! Everything that differs from system to system, behind the same functions: the only place with `target_os`.

pub mod clock;
pub mod disk;
pub mod gpu;
pub mod tls;
