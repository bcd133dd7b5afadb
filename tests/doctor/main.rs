//! `hark doctor` on set-ups that are broken, each in its own way: the right thing is named, with the command that mends it.
//!
//! Through the functions where the machine would decide (a permission, a microphone that gives zeros), and through the
//! binary, with a cleared environment and a home folder of its own, where files and servers do.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod app;
mod binary;
mod devices;
mod files;
mod judged;
mod model;
mod open_doors;
mod resident;
mod servers;
mod service;
mod support;
mod voices;
mod wake;
