//! One resident backend, with real processes: changes, take-overs, deaths, what a killed Hark leaves behind. Needs python3;
//! the test with the real mlx_lm.server its environment (`tests/mlx_fixture/setup.sh`), the one with the real llama-server
//! `HARK_LLAMA_SERVER`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod measured;
mod rig;
mod swap;
mod verbs;
