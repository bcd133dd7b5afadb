//! A loudspeaker made of memory: it plays only when the test says so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hark::audio::{AudioSink, Level, PlaybackError};

#[derive(Default)]
pub struct State {
    queue: VecDeque<f32>,
    pub heard: Vec<f32>,
    written: u64,
    played: u64,
    pub lost: bool,
    pub closed: bool,
    pub flushed: u64,
    pub levels: Vec<Level>,
}

/// Copies are the same loudspeaker: one for the thread, one for the test.
#[derive(Clone)]
pub struct VirtualSpeaker {
    rate: u32,
    pub state: Arc<Mutex<State>>,
}

impl VirtualSpeaker {
    pub fn at(rate: u32) -> Self {
        Self {
            rate,
            state: Arc::default(),
        }
    }

    /// Lets `samples` samples leave the loudspeaker, as far as there are so many.
    pub fn play(&self, samples: usize) -> usize {
        let mut state = self.state.lock().unwrap();
        let now = samples.min(state.queue.len());
        let sound: Vec<f32> = state.queue.drain(..now).collect();
        state.heard.extend(sound);
        state.played += now as u64;
        now
    }

    pub fn queued(&self) -> usize {
        self.state.lock().unwrap().queue.len()
    }

    pub fn heard(&self) -> Vec<f32> {
        self.state.lock().unwrap().heard.clone()
    }
}

impl AudioSink for VirtualSpeaker {
    fn rate(&self) -> u32 {
        self.rate
    }

    fn write(&mut self, samples: &[f32], _wait: Duration) -> Result<usize, PlaybackError> {
        let mut state = self.state.lock().unwrap();
        if state.lost {
            return Err(PlaybackError::Lost {
                reason: "unplugged".to_owned(),
            });
        }
        let taken = samples.len().min(CAPACITY - state.queue.len());
        state.queue.extend(&samples[..taken]);
        state.written += taken as u64;
        Ok(taken)
    }

    fn check(&mut self) -> Result<(), PlaybackError> {
        if self.state.lock().unwrap().lost {
            return Err(PlaybackError::Lost {
                reason: "unplugged".to_owned(),
            });
        }
        Ok(())
    }

    fn set_level(&mut self, level: Level) {
        self.state.lock().unwrap().levels.push(level);
    }

    fn written(&self) -> u64 {
        self.state.lock().unwrap().written
    }

    fn played(&self) -> u64 {
        self.state.lock().unwrap().played
    }

    fn flush(&mut self) -> Result<(), PlaybackError> {
        let mut state = self.state.lock().unwrap();
        state.flushed += state.queue.len() as u64;
        state.queue.clear();
        state.played = state.written;
        Ok(())
    }

    fn starved(&self) -> u64 {
        0
    }

    fn close(&mut self) -> Result<(), PlaybackError> {
        self.state.lock().unwrap().closed = true;
        Ok(())
    }
}

/// Ten seconds at 16 kHz: more than is ever handed over in advance.
const CAPACITY: usize = 160_000;
