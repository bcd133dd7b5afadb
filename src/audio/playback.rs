//! The loudspeaker: a ring feeding a cpal output stream, flushed by epoch.
