//! The agent's tools: one contract for all of them, the notebook behind them, the command lines of both systems, real
//! programs on Linux, and servers of the Model Context Protocol.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod argv;
mod builtin;
mod contract;
mod linux;
mod mcp;
mod notebook;
mod select;
mod support;
mod tokens;
