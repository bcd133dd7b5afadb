"""Sounds that are not speech, made from nothing: for mixing under speech and as clips whose transcript is empty."""
import numpy as np

RATE = 16000


def unit(x):
    return (x / (x.std() + 1e-9)).astype(np.float32)


def coloured(rng, seconds=12):
    n = RATE * seconds
    f = np.fft.rfft(rng.standard_normal(n))
    k = np.arange(len(f)) / len(f) + 3e-4
    shape = k ** (-rng.uniform(0, 2.2) / 2) * np.exp(np.interp(k, np.linspace(0, 1, 24), rng.normal(0, .7, 24)))
    x = np.fft.irfft(f * shape, n)
    if rng.random() < .5:  # slow swelling, as wind and traffic have
        x = x * np.exp(np.interp(np.arange(n), np.linspace(0, n, seconds * 3), rng.normal(0, .8, seconds * 3)))
    return unit(x)


def hum(rng, seconds=12):
    t = np.arange(RATE * seconds) / RATE
    f = rng.choice([50, 60, 100, 120]) * rng.uniform(.99, 1.01)
    x = sum(np.sin(2 * np.pi * f * k * t + rng.uniform(0, 6)) * rng.uniform(.1, 1) / k for k in range(1, 12))
    return unit(x + .05 * rng.standard_normal(len(t)))


def clicks(rng, seconds=12):
    """Keys, cutlery, drops, knocks: short decaying rings."""
    n = RATE * seconds
    x = rng.standard_normal(n) * .003
    for _ in range(rng.integers(6, 60)):
        m = int(RATE * rng.uniform(.01, .25))
        t = np.arange(m) / RATE
        ring = sum(np.sin(2 * np.pi * rng.uniform(200, 6000) * t) for _ in range(4)) + rng.standard_normal(m)
        at = rng.integers(0, n - m)
        x[at:at + m] += ring * np.exp(-t * rng.uniform(20, 300)) * rng.uniform(.1, 1)
    return unit(x)


def tones(rng, t0, m, f, bend=0.):
    t = np.arange(m) / RATE
    phase = 2 * np.pi * f * (t + bend * t * t)
    rich = rng.uniform(.8, 2.5)
    return sum(np.sin(k * phase) / k ** rich for k in range(1, 9) if f * k < 7500)


def music(rng, seconds=12):
    """Chords, a melody and a beat."""
    n = RATE * seconds
    x = np.zeros(n)
    root, beat = rng.integers(40, 60), rng.uniform(.25, .7)
    scale = [0, 2, 4, 5, 7, 9, 11] if rng.random() < .5 else [0, 2, 3, 5, 7, 8, 10]
    for part, chance, octave in ((0, .9, 0), (1, .8, 12), (2, .6, -12)):
        t = 0.
        while t < seconds - 2:
            length = beat * rng.choice([1, 2, 4] if part == 0 else [.5, 1, 1, 2])
            if rng.random() < chance:
                m = int(RATE * min(length * rng.uniform(.8, 1.5), 1.9))
                notes = rng.choice(7, 3 if part == 0 else 1)
                env = np.minimum(1, np.arange(m) / RATE * rng.uniform(15, 200)) * np.exp(-np.arange(m) / RATE * rng.uniform(.5, 6))
                for k in notes:
                    f = 440 * 2 ** ((root + octave + scale[k] - 57) / 12)
                    at = int(t * RATE)
                    x[at:at + m] += tones(rng, 0, m, f)[:n - at] * env[:n - at] * rng.uniform(.3, 1)
            t += length
    if rng.random() < .6:
        for k in range(int(seconds / beat) - 1):
            m = int(RATE * .12)
            at = int(k * beat * RATE)
            x[at:at + m] += rng.standard_normal(m) * np.exp(-np.arange(m) / RATE * rng.uniform(30, 80)) * rng.uniform(.5, 2)
    return unit(x)


def cries(rng, seconds=12):
    """Gliding harmonic calls with pauses: animals, sirens, squeaks."""
    n = RATE * seconds
    x = rng.standard_normal(n) * .01
    at = 0
    while at < n - RATE * 2:
        m = int(RATE * rng.uniform(.06, 1.2))
        env = np.sin(np.pi * np.arange(m) / m) ** rng.uniform(.3, 2)
        f = 10 ** rng.uniform(2.1, 3.4)
        y = tones(rng, 0, m, f, rng.uniform(-.35, .5)) if rng.random() < .6 else rng.standard_normal(m)
        x[at:at + m] += y * env
        at += m + int(RATE * rng.uniform(.05, .9))
    return unit(x)


KINDS = [coloured] * 3 + [hum, clicks, music, music, cries]


def bank(rng, each=5):
    return [k(rng) for k in KINDS for _ in range(each)]
