//! espeak-ng, streaming.
