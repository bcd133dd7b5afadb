//! Speech to text on a real model: decoding, Whisper, the whisper thread, and `hark transcribe`.

mod command;
mod files;
mod leak;
mod support;
mod thread;
mod whisper;
