"""Sounds that voices, animals, things and instruments make without saying a word, by source and filter: they lie nearer to speech than
noise.py's and so are what draws words out of a recogniser. All have the transcript "nothing"."""
import numpy as np
from scipy.signal import lfilter, oaconvolve

RATE = 16000


def unit(x):
    return (x / (x.std() + 1e-9)).astype(np.float32)


def curve(rng, n, points, spread):
    """A smooth random curve around 0 with about `points` bends."""
    k = max(2, int(points))
    return np.interp(np.linspace(0, k - 1, n), np.arange(k), rng.normal(0, spread, k))


def resonances(rng, x, low=250, high=5500, count=None):
    """The sound through a few random formants in series."""
    for f in np.sort(10 ** rng.uniform(np.log10(low), np.log10(high), count or rng.integers(2, 5))):
        width = rng.uniform(60, 400)
        a = np.exp(-np.pi * width / RATE)
        c = 2 * a * np.cos(2 * np.pi * min(f, 7500) / RATE)
        x = lfilter([1 - c + a * a], [1, -c, a * a], x) + .1 * x
    return x


def voiced(rng, m, f0, bend):
    """Pulses with a moving pitch: what a throat makes before the mouth forms it."""
    f = f0 * 2 ** (curve(rng, m, 2 + m / RATE * 6, bend))
    phase = np.cumsum(f / RATE)
    pulses = np.diff(np.floor(phase), prepend=0) * (1 + rng.normal(0, .1, m))
    return lfilter([1], [1, -rng.uniform(.8, .97)], pulses) + rng.standard_normal(m) * 10 ** rng.uniform(-3, -1)


def shaped(rng, m):
    """A rise and a fall."""
    a, b = rng.uniform(.02, .5), rng.uniform(.1, .7)
    k = np.arange(m) / m
    return np.minimum(1, k / a) * np.minimum(1, (1 - k) / b) ** rng.uniform(.5, 2)


def calls(rng, seconds=12):
    """Babies, laughter, dogs, cats, birds, coughs: voiced or hoarse calls, single or in rows."""
    n = RATE * seconds
    x = rng.standard_normal(n) * 10 ** rng.uniform(-3.5, -1.5)
    at = 0
    while at < n - RATE * 2:
        f0, bend = 10 ** rng.uniform(1.9, 3.2), rng.uniform(.03, .5)
        row, gap = (1, 0) if rng.random() < .5 else (rng.integers(2, 9), rng.uniform(.02, .2))
        length = rng.uniform(.05, .3) if row > 1 else rng.uniform(.1, 1.8)
        hoarse = rng.random() < .3
        state = np.random.default_rng(rng.integers(1 << 30))  # calls of a row are alike
        shape = state.integers(1 << 30)
        for _ in range(row):
            m = int(RATE * length * rng.uniform(.85, 1.15))
            if at + m >= n:
                break
            source = rng.standard_normal(m) if hoarse else voiced(rng, m, f0 * rng.uniform(.9, 1.1), bend)
            y = resonances(np.random.default_rng(shape), source) * shaped(rng, m)
            x[at:at + m] += y / (np.abs(y).max() + 1e-9) * rng.uniform(.4, 1)
            at += m + int(RATE * gap * rng.uniform(.8, 1.2))
        at += int(RATE * rng.uniform(.05, 1.2))
    return unit(x)


def hummed(rng, seconds=12):
    """Humming, a choir, wind instruments, strings: held notes with formants and vibrato, in rooms."""
    n = RATE * seconds
    x = np.zeros(n)
    for _ in range(rng.integers(1, 5)):
        at, shape, base = 0, rng.integers(1 << 30), rng.integers(36, 76)
        while at < n - RATE // 2:
            m = min(n - at, int(RATE * 10 ** rng.uniform(-.9, .4)))
            f = 440 * 2 ** ((base + rng.choice([0, 2, 4, 5, 7, 9, 12]) - 69) / 12)
            t = np.arange(m) / RATE
            phase = 2 * np.pi * np.cumsum(f * (1 + rng.uniform(0, .02) * np.sin(2 * np.pi * rng.uniform(4, 7) * t))) / RATE
            y = np.sum([np.sin(k * phase + rng.uniform(0, 6)) / k ** rng.uniform(.5, 2) for k in range(1, 14) if k * f < 7800], 0)
            y = resonances(np.random.default_rng(shape), y, count=3) if rng.random() < .7 else y
            x[at:at + m] += unit(y) * shaped(rng, m) * rng.uniform(.3, 1)
            at += int(m * rng.uniform(.7, 1.3))
    return unit(hall(rng, x) if rng.random() < .6 else x)


def plucked(rng, seconds=12):
    """Strings and keys that are struck and ring (a noise burst in a comb filter), with a beat."""
    n = RATE * seconds
    x = np.zeros(n)
    beat, base = rng.uniform(.12, .5), rng.integers(36, 64)
    for k in range(int(seconds / beat)):
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            f = 440 * 2 ** ((base + rng.choice([0, 3, 4, 7, 10, 12, 15, 16, 19, 24]) - 69) / 12)
            period, at = max(2, int(RATE / f)), int(k * beat * RATE)
            m = min(n - at, int(RATE * rng.uniform(.3, 2)))
            burst = np.zeros(m)
            burst[:min(period, m)] = rng.standard_normal(min(period, m))
            a = np.zeros(period + 2)
            a[0], a[period], a[period + 1] = 1, -.5 * rng.uniform(.985, .9995), -.5 * rng.uniform(.985, .9995)
            x[at:at + m] += lfilter([1], a, burst) * rng.uniform(.2, 1)
        if rng.random() < .5:
            m, at = int(RATE * rng.uniform(.03, .2)), int(k * beat * RATE)
            drum = rng.standard_normal(m) if rng.random() < .5 else np.sin(2 * np.pi * rng.uniform(45, 200) * np.arange(m) / RATE)
            x[at:at + m] += (drum * np.exp(-np.arange(m) / m * 5) * rng.uniform(.5, 3))[:n - at]
    return unit(hall(rng, x) if rng.random() < .5 else x)


def machines(rng, seconds=12):
    """Motors, saws, vacuum cleaners, typing, clocks: noise and a buzz beaten by a rate that may drift."""
    n = RATE * seconds
    rate = 10 ** rng.uniform(.2, 2.2) * 2 ** curve(rng, n, 3, rng.uniform(0, .5))
    beat = (.5 + .5 * np.cos(2 * np.pi * np.cumsum(rate) / RATE)) ** rng.uniform(.5, 12)
    x = resonances(rng, rng.standard_normal(n), 100, 6500) * (beat + rng.uniform(0, .3))
    if rng.random() < .5:
        x = unit(x) + unit(resonances(rng, voiced(rng, n, 10 ** rng.uniform(1.6, 2.6), .1))) * rng.uniform(.1, 1)
    if rng.random() < .5:
        x = x * np.exp(curve(rng, n, seconds * rng.uniform(.5, 4), rng.uniform(.3, 1.6)))
    return unit(x)


def drops(rng, seconds=12):
    """Rain, water, fire, footsteps, glass: short resonant knocks, sparse to dense."""
    n = RATE * seconds
    x = np.where(rng.random(n) < 10 ** rng.uniform(-4.2, -1.5), rng.standard_normal(n) ** 3, 0)
    x = resonances(rng, x, 300, 7000)
    return unit(unit(x) + rng.standard_normal(n) * 10 ** rng.uniform(-3, -.5))


def hall(rng, x):
    """A long reverberation."""
    m = int(RATE * rng.uniform(.4, 2))
    h = rng.standard_normal(m) * np.exp(-6.9 * np.arange(m) / m)
    return (unit(x) * rng.uniform(.2, 1) + unit(oaconvolve(x, h)[:len(x)])).astype(np.float32)


KINDS = [calls] * 4 + [hummed] * 3 + [plucked] * 2 + [machines] * 2 + [drops]


def bank(rng, each=5):
    return [k(rng) for k in KINDS for _ in range(each)]
