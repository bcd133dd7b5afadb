"""golden.py OUT.json: what frontend.py makes of a sound that any program can make for itself, for the test of the Rust front end."""
import json
import sys

import numpy as np

import frontend


def sound(n):
    """A tone that glides over noise from a 32-bit generator; nothing at first."""
    state, noise = 1, np.zeros(n)
    for i in range(n):
        state = (state * 1664525 + 1013904223) % 2 ** 32
        noise[i] = state / 2 ** 31 - 1
    t = np.arange(n) / frontend.RATE
    x = .3 * np.sin(2 * np.pi * (200 * t + 900 * t * t)) + .02 * noise
    x[:1000] = 0
    return x.astype(np.float32)


if __name__ == "__main__":
    y = frontend.features(sound(12 * frontend.FRAME))
    rows = [[round(float(v), 4) for v in row] for row in y[::3]]
    json.dump({"every": 3, "features": rows}, open(sys.argv[1], "w"), separators=(",", ":"))
