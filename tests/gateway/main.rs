//! The gateway: who runs, who may come in, both dialects in both directions, backends that die, crowds, real servers, real
//! clients.

#![allow(clippy::unwrap_used)]

mod admission;
mod change;
mod clients;
mod crowd;
mod dialects;
mod doors;
mod failing;
mod house;
mod openclaw;
mod real;
mod verb;

#[path = "../llm/lookalike.rs"]
#[allow(dead_code)]
mod lookalike;
#[path = "../llm/mlx.rs"]
#[allow(dead_code)]
mod mlx;
#[path = "../llm/support.rs"]
#[allow(dead_code)]
mod support;
