//! The Silero voice-activity model.
