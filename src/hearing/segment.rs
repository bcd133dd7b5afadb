//! Turns frames into utterances.
