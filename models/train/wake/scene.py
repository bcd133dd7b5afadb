"""Scenes: what a microphone in a room has, put together from the banks while training runs, no two alike.

All of it happens on energies per band, which costs a twentieth of the same on samples: sounds that are not in step add their energies; a
room's echoes are a decaying mean of what sounded; another vocal tract moves the bands; a microphone weighs them."""
import glob
import os
import random

import numpy as np
import torch
from scipy.signal import lfilter

import phrases  # puts the folder above on the path
import bank
import data
import frontend
import vocab

STEPS = 368  # features of a scene: 2.9 s
FRAMES = STEPS // 4
BANDS = frontend.BANDS


# How often each kind of voice says the phrase; those made from recordings of people count for more than their number.
MIX = {"espeak-default": .05, "espeak-plain": .12, "espeak-variant": .23, "rhvoice": .3, "flite": .18, "festival": .12}


def throats(rng, count):
    """Matrices that move the bands: a length of the vocal tract (-18 .. 18 %), and each resonance a little on its own."""
    mels = np.linspace(frontend.mel(frontend.LOW), frontend.mel(frontend.HIGH), BANDS + 2)
    centres, middle = 700 * (10 ** (mels / 2595) - 1), mels[1:-1]
    out = []
    for _ in range(count):
        f = np.exp(rng.uniform(-.17, .17) + np.interp(middle, np.linspace(mels[0], mels[-1], 6), rng.normal(0, .06, 6)))
        at = np.interp(np.minimum(centres[1:-1] * f, centres[-2]), centres[1:-1], np.arange(BANDS))
        lo = np.minimum(at.astype(int), BANDS - 2)
        m = np.zeros((BANDS, BANDS), np.float32)
        m[lo, np.arange(BANDS)] = 1 - (at - lo)
        m[lo + 1, np.arange(BANDS)] += at - lo
        out.append(m)
    return out


class Bank:
    def __init__(self, *paths):
        z = [np.load(p) for p in paths]
        self.x = [a["x"] for a in z]
        self.ends = [a["ends"] for a in z]
        self.where = [(i, int(a), int(b)) for i, e in enumerate(self.ends) for a, b in zip(np.concatenate([[0], e[:-1]]), e)]
        for name in ("text", "voice", "kind", "end"):
            if all(name in a.files for a in z):
                setattr(self, name, np.concatenate([a[name] for a in z]))

    def __len__(self):
        return len(self.where)

    def clip(self, i):
        part, a, b = self.where[i]
        return self.x[part][a:b]


class Scenes(torch.utils.data.IterableDataset):
    """Where they are put together. Batches of (features [n, STEPS, 40], labels [n, FRAMES], ids [n]). Labels: 1 it must ring somewhere among these, 0 it must not, -1 no
    matter. tempting: scores of the clips by id, shared with the trainer: what rings by mistake is drawn more often."""

    def __init__(self, phrase, seed=1, share=1., counts=(24, 6, 8, 26)):
        self.prepare(seed)
        folder = os.path.join(vocab.DATA, "wake")
        self.own = Bank(os.path.join(folder, phrases.slug(phrase), "bank.npz"))
        self.other = np.array([i for i, t in enumerate(self.talk.text) if not phrases.contains(t, phrase)])
        keep = np.random.default_rng(7).random(len(self.own)) < share
        self.kinds = {k: {v: np.nonzero((self.own.kind == k) & (self.own.voice == v) & keep)[0] for v in MIX} for k in (bank.YES, bank.NO, bank.RUN)}
        self.kinds = {k: {v: a for v, a in g.items() if len(a)} for k, g in self.kinds.items()}
        self.tempting = torch.zeros(len(self.talk) + len(self.own)).share_memory_()
        self.counts = counts

    def prepare(self, seed):
        folder = os.path.join(vocab.DATA, "wake")
        self.talk = Bank(*sorted(glob.glob(os.path.join(folder, "talk-*.npz"))))
        self.noise = Bank(os.path.join(folder, "noise.npz"))
        self.warps = throats(np.random.default_rng(5), 600)
        at = np.linspace(0, 6, BANDS)
        self.curves = np.maximum(0, 1 - np.abs(at[None] - np.arange(7)[:, None])).astype(np.float32)
        self.other, self.tempting, self.seed = np.arange(len(self.talk)), torch.zeros(len(self.talk)), seed

    def __iter__(self):
        torch.set_num_threads(1)
        self.r, self.rng = random.Random(self.seed), np.random.Generator(np.random.SFC64(self.seed))
        white = frontend.energies(self.rng.standard_normal(128 * 40000).astype(np.float32))
        self.speckle = white / white.mean(0)
        while True:
            yield self.batch()

    def choose(self, among, rounds, offset):
        """One of them; of `rounds`, the one that tempts most."""
        picks = among[self.rng.integers(0, len(among), rounds)]
        return int(picks[np.argmax(self.tempting.numpy()[picks + offset])]) if rounds > 1 else int(picks[0])

    def of_kind(self, kind, rounds=1):
        groups = self.kinds[kind]
        names = list(groups)
        return self.choose(groups[self.r.choices(names, [MIX[v] for v in names])[0]], rounds, len(self.talk))

    def sound(self, b, i, end=None):
        """The clip by another throat, at a tempo that changes within it, some sounds stronger and others weaker; and where in it `end` is.
        The voices are few and flat: this is what makes many people of them."""
        r, q = self.r, b.clip(i)
        bends = 2 + len(q) // 25
        speed = r.uniform(.8, 1.2) * np.exp(np.interp(np.arange(len(q) + 40), np.linspace(0, len(q) + 40, bends), self.rng.normal(0, .16, bends)))
        at = np.cumsum(speed)
        at = at[at < len(q) - 1].astype(int)
        e = bank.UNPACK[q[at]]
        if r.random() < .85:
            e = e @ self.warps[r.randrange(len(self.warps))]
        if r.random() < .6 and len(e):
            e = e * self.uneven(len(e))
        return (e, len(e) if end is None else int(np.searchsorted(at, end)))

    def uneven(self, n):
        """Smooth random gains over time and bands, some decibels up and down."""
        k = max(2, n // 20)
        rough = self.rng.normal(0, self.r.uniform(.5, 3.5), (k, 7)) @ self.curves
        a = np.linspace(0, k - 1.001, n)
        i, f = a.astype(int), (a % 1)[:, None]
        return (10 ** ((rough[i] * (1 - f) + rough[np.minimum(i + 1, k - 1)] * f) / 10)).astype(np.float32)

    def speech(self, n, rounds=1):
        """n features of somebody talking, cut out anywhere; and the clip that most of it is."""
        r, parts, have, first = self.r, [], 0, None
        skip = None
        while have < n:
            i = self.choose(self.other, rounds if first is None else 1, 0)
            e, _ = self.sound(self.talk, i)
            if first is None:
                first = i
                skip = r.randrange(max(1, len(e) // 3))
                e = e[skip:]
            else:
                e = e * 10 ** (r.uniform(-5, 5) / 10)
            gap = r.randrange(60) if r.random() < .7 else 0
            parts += [e, np.zeros((gap, BANDS), np.float32)]
            have += len(e) + gap
        return np.concatenate(parts)[:n], first

    def level(self, e):
        t = e.sum(1)
        return float(np.quantile(t, .8)) + 1e-9 if len(t) else 1e-9

    def around(self, e, end):
        """The clip in a scene, with something before and after it; and where it ends there."""
        r, out = self.r, np.zeros((STEPS, BANDS), np.float32)
        level = self.level(e[:end])
        at = r.randint(min(max(80, end), STEPS - 60), STEPS - 56)
        start = at - end
        if r.random() < .35 and start > 30:
            n = start - r.randrange(min(60, start - 10))
            talk, _ = self.speech(n)
            out[:n] = talk[::1] * (level / self.level(talk) * 10 ** (r.uniform(-5, 5) / 10))
        if r.random() < .45:  # a question follows
            e = e[:end + 2]
            a = at + r.randint(2, 45)
            if a < STEPS:
                talk, _ = self.speech(STEPS - a)
                out[a:] += talk * (level / self.level(talk) * 10 ** (r.uniform(-5, 5) / 10))
        cut = max(0, -start)
        piece = e[cut:cut + STEPS - max(0, start)]
        out[max(0, start):max(0, start) + len(piece)] += piece
        return out, at, level

    def noise_of(self, level):
        """A stretch of noise whose mean energy is `level`."""
        q = self.noise.clip(self.r.randrange(len(self.noise)))
        a = self.r.randrange(len(q) - STEPS)
        e = bank.UNPACK[q[a:a + STEPS]]
        return e * (level / (e.sum(1).mean() + 1e-9))

    def steady(self, level):
        r = self.r
        shape = 10 ** ((np.linspace(1, -1, BANDS) * r.uniform(-6, 14) + np.interp(np.arange(BANDS), np.linspace(0, 39, 6), self.rng.normal(0, 3, 6))) / 10)
        return (self.piece() * (shape * level / shape.sum())).astype(np.float32)

    def piece(self):
        a = self.r.randrange(len(self.speckle) - STEPS)
        return self.speckle[a:a + STEPS]

    def heard(self, e, level, quietest):
        """Through the room into the microphone. level: of the speech, for the noise beside it."""
        r = self.r
        if r.random() < .5:
            fall = 10 ** (-6 * .008 / r.uniform(.12, 1.))
            echo = lfilter(np.float32([0, 1 - fall]), np.float32([1, -fall]), e, axis=0)
            e = e + echo * self.piece() * 10 ** (-r.uniform(-4, 14) / 10)
        if r.random() < .6:  # where the voice comes from, and how bright
            e = e * 10 ** ((np.linspace(-1, 1, BANDS) * r.uniform(-8, 6) + np.interp(np.arange(BANDS), np.linspace(0, 39, 8), self.rng.normal(0, 2.5, 8))) / 10)
        if r.random() < .8:
            e = e + self.noise_of(level * 10 ** (-r.triangular(quietest, 40, 12) / 10))
        if r.random() < .6:
            e = e + self.steady(level * 10 ** (-r.uniform(12, 60) / 10))
        if r.random() < .1:
            talk, _ = self.speech(STEPS)
            e = e + talk * (level / self.level(talk) * 10 ** (-r.uniform(8, 25) / 10))
        return self.microphone(e, 34 - r.triangular(0, 44, 8))

    def microphone(self, e, loudest):
        r = self.r
        if r.random() < .25:
            gain = np.ones(BANDS, np.float32)
            if r.random() < .6:
                gain[r.randint(26, 38):] = 10 ** -r.uniform(.5, 4)
            else:
                gain[:r.randint(1, 9)] = 10 ** -r.uniform(.5, 3)
            e = e * gain
        return e * np.float32(10 ** (loudest / 10) / (e.sum(1).max() + 1e-9))

    def batch(self):
        r, talks = self.r, len(self.talk)
        yes, run, no, general = self.counts
        x, label, ids = [], np.zeros((sum(self.counts), FRAMES), np.float32), []
        for j in range(yes + run + no):
            kind = bank.YES if j < yes else bank.RUN if j < yes + run and self.kinds[bank.RUN] else bank.NO
            i = self.of_kind(kind, 1 if kind != bank.NO or r.random() < .5 else 3)
            e, end = self.sound(self.own, i, self.own.end[i])
            e, at, level = self.around(e, end)
            x.append(self.heard(e, level, 0))
            ids.append(talks + i)
            if kind != bank.NO:
                f = at // 4
                # it may be certain shortly before its end; where a phrase in one breath ends is only guessed
                a, b, off = (f - 2, f + 8, 20) if kind == bank.YES else (f - 9, f + 12, 30)
                label[j, max(0, f - off):f + 20] = -1
                label[j, max(0, a):b] = 1
        for j in range(general):
            k, i = r.random(), -1
            if k < .78:
                e, i = self.speech(STEPS, 1 if r.random() < .35 else 8)
                e = self.heard(e, self.level(e), -2)
            elif k < .84:
                e = sum(self.speech(STEPS)[0] * 10 ** (-r.uniform(0, 8) / 10) for _ in range(r.randint(2, 5)))
                e = self.heard(e, self.level(e), 0)
            elif k < .97:
                e = self.noise_of(1.) + (self.noise_of(10 ** -r.uniform(0, 2)) if r.random() < .5 else 0)
                e = self.microphone(e + self.steady(10 ** -r.uniform(0, 5)), 38 - r.uniform(0, 60))
            else:
                e = self.microphone(self.steady(1.), r.uniform(-60, 20))
            x.append(e)
            ids.append(i)
        e = np.stack(x).astype(np.float32)
        return torch.from_numpy(self.masked(self.controlled(e))), torch.from_numpy(label), torch.tensor(ids)

    def controlled(self, e):
        """The gain control, which may have heard something before."""
        slow = np.float32(frontend.SLOW)
        before = e.mean(1, keepdims=True) * self.rng.uniform(0, 1.5, (len(e), 1, 1)) * (self.rng.random((len(e), 1, 1)) < .6)
        m, _ = lfilter(np.array([slow]), np.array([1, slow - 1], np.float32), e, axis=1, zi=((1 - slow) * before).astype(np.float32))
        return np.log1p(frontend.SCALE * e / (m + np.float32(frontend.FLOOR)))

    def masked(self, x):
        r = self.r
        for row in x:
            if r.random() < .4:
                a, n = r.randrange(36), r.randint(1, 7)
                row[:, a:a + n] = r.uniform(0, 1.7)
            if r.random() < .25:
                a, n = r.randrange(350), r.randint(2, 12)
                row[a:a + n] = r.uniform(0, 1.7)
        return x


class Said(Scenes):
    """Batches of (features, phonemes of all one after the other, their numbers): whole clips of the talk bank, for trunk.py."""

    def __init__(self, tables, seed=1, rows=48):
        self.prepare(seed)
        self.rows = rows
        number = {p: i + 1 for i, p in enumerate(tables["phones"])}
        self.phones = [[number[q] for w in t.split() for q in tables["lexicon"][w]] for t in self.talk.text]
        self.short = np.array([i for i, (_, a, b) in enumerate(self.talk.where) if b - a < STEPS * .95])

    def batch(self):
        r, x, phones = self.r, [], []
        while len(x) < self.rows:
            i = self.choose(self.short, 1, 0)
            e, _ = self.sound(self.talk, i)
            if len(e) > STEPS - 12 or not self.phones[i] or len(self.phones[i]) > len(e) // 5:
                continue
            out = np.zeros((STEPS, BANDS), np.float32)
            a = r.randrange(STEPS - len(e) - 10)
            out[a:a + len(e)] = e
            x.append(self.heard(out, self.level(e), 2))
            phones.append(self.phones[i])
        e = np.stack(x).astype(np.float32)
        return (torch.from_numpy(self.masked(self.controlled(e))), torch.tensor([q for p in phones for q in p]), torch.tensor([len(p) for p in phones]))
