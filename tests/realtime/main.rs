//! The functions that run inside the audio callbacks, under an allocator that counts what they allocate and free; and what
//! they promise: a flush by epoch within one block, overruns counted, holes in the speech counted.
//!
//! The device is played by the test: it calls the very functions that the cpal callbacks call, block by block.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod capture;
mod contract;
mod guard;
mod listening;
mod playback;
mod wav;
