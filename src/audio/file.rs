//! Files that behave like devices: a WAV as microphone, a WAV as loudspeaker.
