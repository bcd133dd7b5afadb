"""The features of the wake models: log-mel energies with a slow gain control per band, four a frame of 512 samples (32 ms).

src/hearing/wake/frontend.rs computes the same, value for value; tests/data/wake-features.json, made by golden.py, holds both to it.

A feature is taken every 128 samples from the last 400 (Hann window), so nothing is looked at before it has sounded. Each band's
energy E is divided by its own slow mean M: y = ln(1 + 4 E / (M + 1e-5)), M += (E - M) / 64. Loudness, distance and the colour of a
microphone go out; y lies between 0 and ln 257, and digital silence gives 0."""
import numpy as np
from scipy.signal import lfilter

RATE, FRAME, HOP, WINDOW, FFT, BANDS = 16000, 512, 128, 400, 512, 40
LOW, HIGH = 60., 7600.
FLOOR, SLOW, SCALE = 1e-5, 1 / 64, 4.


def mel(f):
    return 2595 * np.log10(1 + f / 700)


def filters():
    """[257, 40]: triangles that are evenly wide in mel, of height 1."""
    edges = 700 * (10 ** (np.linspace(mel(LOW), mel(HIGH), BANDS + 2) / 2595) - 1)
    f = np.arange(FFT // 2 + 1) * RATE / FFT
    up = (f[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - f[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(up, down)).astype(np.float32)


FILTERS = filters()
HANN = (.5 - .5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


def energies(x):
    """[4 x frames, 40] of a signal from its start (before it: zeros); what does not fill a frame at its end is left out."""
    n = len(x) // FRAME * (FRAME // HOP)
    x = np.concatenate([np.zeros(WINDOW - HOP, np.float32), x[:n * HOP].astype(np.float32)])
    rows = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP][:n]
    s = np.fft.rfft(rows * HANN, FFT)
    return (s.real ** 2 + s.imag ** 2).astype(np.float32) @ FILTERS


def normalised(e):
    m = lfilter([SLOW], [1, SLOW - 1], e, axis=0)
    return np.log1p(SCALE * e / (m + FLOOR)).astype(np.float32)


def features(x):
    return normalised(energies(x))

