//! Whisper through whisper-rs.
