//! The listening thread.
