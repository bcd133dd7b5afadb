//! A room between the loudspeaker and the microphone: what is played comes back later, softer, with reflections and noise,
//! and a user can speak in it.
//!
//! One thread reads the loudspeaker's monitor in pieces of 10 ms and writes each into the microphone's feed with the echo and
//! the user's voice mixed in. Both sides lie on one time line, so that the time from a user's first sound to the last
//! sample of the loudspeaker is a count of pieces. It includes the rig's own pipes, about 50 ms each way.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How sound travels.
#[derive(Debug, Clone, Copy)]
pub struct Acoustics {
    /// Amplitude of the direct sound at the microphone, of the loudspeaker's.
    pub gain: f32,
    /// From loudspeaker to microphone, beyond the rig's own buffers.
    pub delay_ms: usize,
    /// Peak of the white noise in the room.
    pub noise: f32,
    /// Up to where the loudspeaker is linear; 1.0 is all of it.
    pub linear_to: f32,
}

pub struct Room {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the user says and has not said yet.
    voice: Vec<f32>,
    spoken: usize,
    /// Loudest sample of the loudspeaker in each piece of 10 ms.
    played: Vec<f32>,
}

impl Room {
    pub fn new(acoustics: Acoustics) -> Self {
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || carry(&own, acoustics));
        let room = Self {
            shared,
            thread: Some(thread),
        };
        room.wait_for(10);
        room
    }

    /// The piece that is being carried now.
    pub fn now(&self) -> usize {
        self.shared.state.lock().unwrap().played.len()
    }

    /// Waits until `pieces` more have been carried.
    pub fn wait_for(&self, pieces: usize) {
        let until = self.now() + pieces;
        for _ in 0..pieces * 20 + 2_000 {
            if self.now() >= until {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("the room does not carry sound any more");
    }

    /// The user begins to say this (48 kHz mono); gives the piece in which the first sound of it is.
    pub fn say(&self, voice: &[f32]) -> usize {
        let mut state = self.shared.state.lock().unwrap();
        let first = voice.iter().position(|s| s.abs() > 0.02).unwrap_or(0);
        state.voice = voice.to_vec();
        state.spoken = 0;
        state.played.len() + first / PIECE
    }

    /// The last piece after `from` in which the loudspeaker was heard before it fell silent for half a second.
    pub fn silent_after(&self, from: usize) -> Option<usize> {
        let state = self.shared.state.lock().unwrap();
        let mut last = from;
        for (at, peak) in state.played.iter().enumerate().skip(from) {
            if *peak > 2e-3 {
                last = at;
            } else if at - last >= 50 {
                return Some(last);
            }
        }
        None
    }

    /// Loudest samples of the loudspeaker since `from`, a piece each.
    pub fn played_since(&self, from: usize) -> Vec<f32> {
        self.shared.state.lock().unwrap().played[from..].to_vec()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_default();
        }
    }
}

/// A child that is gone with the value.
struct Pipe(Child);

impl Drop for Pipe {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn pipe(program: &str, device: &str, channels: u16) -> Pipe {
    let child = Command::new("nice")
        .args(["-n", crate::rig::PRECEDENCE, program])
        .args([
            &format!("--device={device}"),
            "--rate=48000",
            &format!("--channels={channels}"),
            "--format=float32le",
            "--raw",
            "--latency-msec=30",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Pipe(child)
}

fn carry(shared: &Shared, acoustics: Acoustics) {
    // Sound in air waits for no scheduler.
    hark::platform::priority::raise_this_thread("room");
    let mut ear = pipe("parec", "speaker.monitor", 1);
    let mut mouth = pipe("pacat", "mic_in", 1);
    let mut heard = ear.0.stdout.take().unwrap();
    let mut spoken = mouth.0.stdin.take().unwrap();
    let taps = reflections(acoustics.delay_ms);
    let longest = taps.iter().map(|(delay, _)| *delay).max().unwrap_or(0) + PIECE;
    let mut past = vec![0.0_f32; longest];
    let mut random = 7_u32;
    let mut bytes = [0_u8; PIECE * 4];
    while !shared.over.load(Ordering::SeqCst) {
        if heard.read_exact(&mut bytes).is_err() {
            return;
        }
        past.drain(..PIECE);
        let samples = bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        let limit = acoustics.linear_to;
        let mut peak = 0.0_f32;
        past.extend(samples.map(|sample| {
            peak = peak.max(sample.abs());
            sample.clamp(-limit, limit)
        }));
        let mut out = Vec::with_capacity(PIECE * 4);
        let mut state = shared.state.lock().unwrap();
        for n in 0..PIECE {
            let end = past.len() - PIECE + n;
            let echo: f32 = taps
                .iter()
                .map(|(delay, level)| past[end - delay] * level)
                .sum();
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = ((random >> 8) as f32 / 8_388_608.0 - 1.0) * acoustics.noise;
            let voice = state.voice.get(state.spoken).copied().unwrap_or(0.0);
            state.spoken += 1;
            let sum = echo * acoustics.gain + noise + voice;
            out.extend(sum.clamp(-1.0, 1.0).to_le_bytes());
        }
        state.played.push(peak);
        drop(state);
        if spoken.write_all(&out).is_err() {
            return;
        }
    }
}

/// The direct sound and 40 reflections that die away within 150 ms: delays in samples, amplitudes.
fn reflections(delay_ms: usize) -> Vec<(usize, f32)> {
    let mut taps = vec![(delay_ms * 48, 1.0)];
    let mut random = 99_u32;
    for n in 1..=40 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let sign = if random & 0x8000 == 0 { 1.0 } else { -1.0 };
        let at = n * 180 + (random >> 16) as usize % 150;
        taps.push((delay_ms * 48 + at, sign * 0.3 * (-(n as f32) / 10.0).exp()));
    }
    taps
}

/// Samples in 10 ms at 48 kHz.
const PIECE: usize = 480;
