"""Clips, augmentation and batches. The worker process reads the shards that exist and looks for new ones now and then, so that synthesis
may go on beside training."""
import glob
import json
import os
import random

import numpy as np
import torch
from scipy.signal import oaconvolve

import features
import noise
import sounds
import vocab

MIX = {"espeak-default": .15, "espeak-plain": .16, "espeak-variant": .29, "rhvoice": .22, "flite": .12, "festival": .06}
SILENCE = .13  # share of clips without speech
SILENT = -200  # target of the first token when nothing is said: see train.loss


class Clips:
    """Groups of clips by voice. Shards are memory-mapped."""

    def __init__(self, pattern):
        self.pattern, self.shards = pattern, {}
        self.refresh()

    def refresh(self):
        self.groups = {}
        for index in sorted(glob.glob(os.path.join(vocab.DATA, "clips", self.pattern + ".jsonl"))):
            size = os.path.getsize(index)
            old = self.shards.get(index)
            if old is None or old[0] != size:
                pcm = index[:-6] + ".pcm"
                if os.path.getsize(pcm) == 0:
                    continue
                samples = np.memmap(pcm, np.int16, "r")
                rows = [json.loads(l) for l in open(index).read().split("\n")[:-1] if l.endswith("}")]
                old = self.shards[index] = (size, samples, [(e["at"], e["n"], e["text"]) for e in rows if e["at"] + e["n"] <= len(samples)])
            name = os.path.basename(index)[:-6].split("-", 1)[1]
            key = name.rsplit("-", 1)[0] if name[-1].isdigit() else name
            self.groups.setdefault(key, []).append(old)
        self.groups = {k: [s for s in v if s[2]] for k, v in self.groups.items()}
        self.groups = {k: v for k, v in self.groups.items() if v}

    def pick(self, r):
        names = list(self.groups)
        g = self.groups[r.choices(names, [MIX.get(n, .1) for n in names])[0]]
        _, samples, rows = r.choices(g, [len(s[2]) for s in g])[0]
        at, n, text = r.choice(rows)
        return samples[at:at + n].astype(np.float32) / 32768, text


def speech(x, r, rng):
    """Speed and pitch together, half the time moving within the clip (the voices are flatter than people); breath and hoarseness."""
    if r.random() < .8:
        rate = r.uniform(.82, 1.2)
        if r.random() < .5:
            bends = max(3, int(len(x) / 16000 * r.uniform(1, 7)))
            speed = rate * np.exp(np.interp(np.arange(len(x)), np.linspace(0, len(x), bends), rng.normal(0, .06, bends)))
            at = np.cumsum(np.clip(speed, .7, 1.4))
            at = at[at < len(x) - 1]
        else:
            at = np.arange(0, len(x) - 1, rate)
        x = np.interp(at, np.arange(len(x)), x).astype(np.float32)
    if r.random() < .25:
        envelope = np.sqrt(np.convolve(x * x, np.full(240, 1 / 240, np.float32), "same"))
        breath = np.diff(rng.standard_normal(len(x) + 1)).astype(np.float32) * envelope * r.uniform(.05, .5)
        x = x * r.choice([1, 1, .6, .15]) + breath
    return x


def padded(x, r):
    if r.random() < .15:
        x = x[800:]  # the clip starts with the first sound (shards keep 50 ms before it)
        lead = 0
    else:
        lead = r.uniform(0, .35) if r.random() < .8 else r.uniform(.3, 1)
    tail = r.uniform(0, .3) if r.random() < .85 else r.uniform(.3, 1)
    return np.pad(x, (int(lead * 16000), int(tail * 16000)))


def room(x, r, rng):
    n = int(16000 * r.uniform(.08, .8))
    h = rng.standard_normal(n).astype(np.float32) * np.exp(-6.9 * np.arange(n) / n).astype(np.float32) * r.uniform(.02, .35)
    h[:32] = 0
    h[0] = 1
    for _ in range(r.randint(0, 6)):  # the first walls
        h[r.randint(16, min(n - 1, 640))] += r.uniform(-.6, .6)
    return oaconvolve(x, h)[:len(x)].astype(np.float32)


def piece(bank, n, r):
    z = r.choice(bank)
    at = r.randrange(len(z) - n) if n < len(z) else 0
    return np.resize(z[at:at + n], n)


def finish(x, text, r, rng, bank, clips):
    n = len(x)
    if text:
        level = float(np.sqrt((x ** 2).mean())) + 1e-6
        if r.random() < .4:
            x = room(x, r, rng)
        if r.random() < .75:
            x = x + piece(bank, n, r) * level * 10 ** (-r.uniform(3, 40) / 20)
        if r.random() < .06:
            x = x + np.resize(clips.pick(r)[0], n) * 10 ** (-r.uniform(14, 28) / 20)
        if r.random() < .04:
            top = float(np.abs(x).max())
            x = np.clip(x, -top * r.uniform(.2, .7), top * r.uniform(.2, .7))
        return (x / max(.05, float(np.abs(x).max())) * 10 ** (-r.triangular(0, 34, 4) / 20) * .95).astype(np.float32)
    k = r.random()
    if k < .08:
        return x
    if k < .26:  # many voices at once are noise, and so are a few that talk backwards
        backwards = r.random() < .4
        for _ in range(r.randint(1, 4) if backwards else r.randint(5, 9)):
            y = speech(clips.pick(r)[0], r, rng)
            x = x + np.roll(np.resize(y[::-1] if backwards else y, n), r.randrange(16000)) * r.uniform(.4, 1)
        x = room(x, r, rng) if r.random() < .7 else x
    else:
        x = piece(bank, n, r) + (piece(bank, n, r) * r.uniform(0, 1) if r.random() < .4 else 0)
    return (x / max(1e-3, float(np.abs(x).max())) * 10 ** (-r.uniform(0, 60) / 20)).astype(np.float32)


class Batches(torch.utils.data.IterableDataset):
    def __init__(self, tables, frames, seed, pattern="train-*"):
        self.t, self.frames, self.seed, self.pattern = tables, frames, seed, pattern
        self.pos = {t: i for i, t in enumerate(tables["ids"])}
        self.phone = {p: i + 1 for i, p in enumerate(tables["phones"])}
        self.warps = features.warps()
        self.replaced = float(os.environ.get("REPLACED", ".18"))

    def __iter__(self):
        torch.set_num_threads(1)
        r, rng = random.Random(self.seed), np.random.default_rng(self.seed)
        clips, bank = Clips(self.pattern), noise.bank(rng) + sounds.bank(rng)
        while True:
            clips.refresh()
            pool = []
            for _ in range(6):
                bank[r.randrange(len(bank))] = r.choice(noise.KINDS + sounds.KINDS)(rng)
            for _ in range(400):
                if r.random() < SILENCE:
                    pool.append((np.zeros(int(16000 * r.uniform(.4, 4.5)), np.float32), ""))
                    continue
                x, text = clips.pick(r)
                x = speech(x, r, rng)
                if len(x) < 36000 and r.random() < .15:  # two utterances in one clip
                    y, more = clips.pick(r)
                    if len(y) < 40000:
                        x, text = np.concatenate([x, np.zeros(int(16000 * r.uniform(0, .3)), np.float32), speech(y, r, rng)]), text + " " + more
                pool.append((padded(x, r), text))
            pool.sort(key=lambda p: len(p[0]))
            batches, i = [], 0
            while i < len(pool):
                longest = len(pool[min(i + 30, len(pool) - 1)][0]) // 320 + 1
                k = r.random()
                if k < .02:
                    frames = 1500 if r.random() < .5 else r.choice([512, 768, 1024])
                    n = max(2, self.frames // frames)
                elif k < .2 and longest < 250:
                    frames = 256
                    n = self.frames // 256
                else:
                    frames, n = 0, max(4, min(56, self.frames // (longest + 16)))
                part = pool[i:i + n]
                i += n
                need = max(len(x) for x, _ in part) // 320 + 1
                # few different lengths: the matrix library prepares itself for each
                batches.append((part, max(frames, 16 * -(-(need + r.randint(0, 24)) // 16))))
            r.shuffle(batches)
            for part, frames in batches:
                yield self.collate([finish(x, t, r, rng, bank, clips) for x, t in part], [t for _, t in part], min(1500, frames), r, rng)

    def collate(self, waves, texts, frames, r, rng):
        power = features.mel_power(waves, 2 * frames)
        eq = np.zeros((len(waves), 80), np.float32)
        axis = np.linspace(-1, 1, 80)
        for i in range(len(waves)):
            if r.random() < .5:
                power[i] = power[i] @ r.choice(self.warps)
            if r.random() < .6:
                eq[i] += axis * r.uniform(-.7, .7) + np.interp(axis, np.linspace(-1, 1, 7), rng.normal(0, .25, 7))
            if r.random() < .12:
                eq[i, r.randint(55, 78):] -= r.uniform(1, 4)
            if r.random() < .15:
                eq[i, :r.randint(2, 12)] -= r.uniform(.5, 3)
        m = features.log_mel(power * torch.from_numpy(10 ** eq)[:, None])
        for i, w in enumerate(waves):
            floor, n = m[i].min(), min(2 * frames, len(w) // 160 + 1)
            if r.random() < .4:
                a = r.randint(0, 70)
                m[i, :, a:a + r.randint(1, 10)] = floor
            if r.random() < .35 and n > 40:
                a = r.randint(0, n - 12)
                m[i, a:a + r.randint(1, 11)] = floor
        p, start = self.pos, [vocab.SOT] if r.random() < .1 else [vocab.SOT, vocab.NO_TIMESTAMPS]
        start = [p[x] for x in start]
        eot, rows = p[vocab.EOT], []
        for t in texts:
            ids = [p[x] for x in vocab.encode(t)] + [eot]
            rows.append((ids[:-1], ids) if t else ([p[vocab.DOT]], [SILENT, eot]))
        n = max(len(b) for _, b in rows) + len(start) - 1
        x, y = torch.full((len(rows), n), eot), torch.full((len(rows), n), -100)
        for i, (a, b) in enumerate(rows):
            # wrong words now and then among the words so far: the next word must come from the sound
            a = [r.randrange(len(p) - 4) if r.random() < self.replaced else q for q in a]
            x[i, :len(start) + len(a)] = torch.tensor(start + a)
            y[i, len(start) - 1:len(start) - 1 + len(b)] = torch.tensor(b)
        phones = [[self.phone[q] for w in t.split() for q in self.t["lexicon"][w]] for t in texts]
        zeros = r.choice([0, 0, 36, r.randint(0, 60), r.randint(0, 200)])
        return (m, x, y, torch.tensor([q for s in phones for q in s], dtype=torch.long), torch.tensor([len(s) for s in phones]), zeros,
                torch.tensor([min(frames, len(w) // 320 + 2) for w in waves]))
