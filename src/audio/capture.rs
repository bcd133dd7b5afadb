//! The microphone: a cpal input stream feeding a ring.
