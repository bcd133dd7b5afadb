//! The daemon: builds the edges and runs the conductor.
