//! The conversation as a pure machine.
