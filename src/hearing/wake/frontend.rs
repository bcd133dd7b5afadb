//! The features of the wake models: log-mel energies with a slow gain control per band, four a frame.
//!
//! Computes exactly what `models/train/wake/frontend.py` computes (that file says why); `tests/data/wake-features.json`, made by
//! the recipe, holds both to it. Allocates nothing after [`Frontend::new`].

use std::f32::consts::TAU;
use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use crate::time::{FRAME_SAMPLES, SAMPLE_RATE};

/// Bands of a feature, 60 Hz to 7.6 kHz, evenly wide in mel.
pub const BANDS: usize = 40;

/// Features of a frame: one every 128 samples (8 ms).
pub const FEATURES: usize = FRAME_SAMPLES / HOP;

const HOP: usize = 128;
/// Samples that a feature looks at: 25 ms.
const WINDOW: usize = 400;
const FFT: usize = 512;
/// The energy below which a band counts as silent: noise at about -75 dB of full scale.
const FLOOR: f32 = 1e-5;
/// How fast the mean of a band follows: a 64th each 8 ms, half a second in all.
const SLOW: f32 = 1.0 / 64.0;
const SCALE: f32 = 4.0;

/// One band: the first bin of the spectrum that counts, and the weights from there on.
struct Band {
    from: usize,
    weights: Vec<f32>,
}

/// Turns samples into features, frame after frame.
pub struct Frontend {
    fft: Arc<dyn RealToComplex<f32>>,
    window: [f32; WINDOW],
    bands: Vec<Band>,
    /// The end of what was heard before this frame, then the frame.
    heard: [f32; WINDOW - HOP + FRAME_SAMPLES],
    means: [f32; BANDS],
    input: Vec<f32>,
    spectrum: Vec<Complex32>,
    scratch: Vec<Complex32>,
    features: [[f32; BANDS]; FEATURES],
}

impl Frontend {
    /// Starts after silence.
    #[must_use]
    pub fn new() -> Self {
        let fft = RealFftPlanner::<f32>::new().plan_fft_forward(FFT);
        let mut window = [0.0; WINDOW];
        for (at, weight) in window.iter_mut().enumerate() {
            *weight = 0.5 - 0.5 * (TAU * at as f32 / WINDOW as f32).cos();
        }
        Self {
            window,
            bands: bands(),
            heard: [0.0; WINDOW - HOP + FRAME_SAMPLES],
            means: [0.0; BANDS],
            input: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            features: [[0.0; BANDS]; FEATURES],
            fft,
        }
    }

    /// The features of the next frame, oldest first.
    pub fn push(&mut self, samples: &[f32; FRAME_SAMPLES]) -> &[[f32; BANDS]; FEATURES] {
        self.heard.copy_within(FRAME_SAMPLES.., 0);
        self.heard[WINDOW - HOP..].copy_from_slice(samples);
        for at in 0..FEATURES {
            self.feature(at);
        }
        &self.features
    }

    /// Forgets what was heard.
    pub fn reset(&mut self) {
        self.heard.fill(0.0);
        self.means.fill(0.0);
    }

    fn feature(&mut self, at: usize) {
        let heard = &self.heard[at * HOP..at * HOP + WINDOW];
        for ((slot, sample), weight) in self.input.iter_mut().zip(heard).zip(&self.window) {
            *slot = sample * weight;
        }
        self.input[WINDOW..].fill(0.0);
        self.fft
            .process_with_scratch(&mut self.input, &mut self.spectrum, &mut self.scratch)
            .expect("the buffers are the plan's own");
        for ((band, mean), feature) in self
            .bands
            .iter()
            .zip(&mut self.means)
            .zip(&mut self.features[at])
        {
            let bins = &self.spectrum[band.from..];
            let energy: f32 = bins
                .iter()
                .zip(&band.weights)
                .map(|(bin, weight)| bin.norm_sqr() * weight)
                .sum();
            *mean += (energy - *mean) * SLOW;
            *feature = (SCALE * energy / (*mean + FLOOR)).ln_1p();
        }
    }
}

impl Default for Frontend {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Frontend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frontend").finish_non_exhaustive()
    }
}

/// Triangles of height 1 that overlap by halves.
fn bands() -> Vec<Band> {
    const LOW: f64 = 60.0;
    const HIGH: f64 = 7_600.0;
    let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let step = (mel(HIGH) - mel(LOW)) / (BANDS + 1) as f64;
    let edge = |at: usize| 700.0 * (10_f64.powf((mel(LOW) + step * at as f64) / 2595.0) - 1.0);
    let weight = |bin: usize, band: usize| {
        let hz = bin as f64 * f64::from(SAMPLE_RATE) / FFT as f64;
        let (low, top, high) = (edge(band), edge(band + 1), edge(band + 2));
        let rising = (hz - low) / (top - low);
        rising.min((high - hz) / (high - top)).max(0.0) as f32
    };
    (0..BANDS)
        .map(|band| {
            let counts = |bin: &usize| weight(*bin, band) > 0.0;
            let from = (0..=FFT / 2).find(counts).unwrap_or(0);
            let to = (0..=FFT / 2).rev().find(counts).map_or(0, |last| last + 1);
            Band {
                from,
                weights: (from..to).map(|bin| weight(bin, band)).collect(),
            }
        })
        .collect()
}
