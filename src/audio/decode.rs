//! Reads any usual audio file into mono 16 kHz samples.
