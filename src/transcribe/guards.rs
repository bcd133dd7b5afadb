//! What Whisper invents on silence, loops, low confidence.
