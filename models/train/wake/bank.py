"""bank.py general N PART | bank.py PHRASE PART PARTS: windows of 3.2 s with everything that happens to sound in a room, as features, ready to train on.

general: speech of all training voices (from the speech model's clips), babble, noise, music, silence; one bank serves every phrase.
PHRASE: the phrase at a known place with sound before and after it ("yes"), what is near it in the same way ("no"), and clips of the
speech model that begin with the phrase ("run": said in one breath with a question, so its end is only known roughly).

Written to DATA/wake/general-PART.npz and DATA/wake/SLUG/bank-PART.npz: x uint8 [n, 400, 40] (y = x / 255 * TOP), end int16 [n] (frame of 32 ms in
which the phrase ends; -1 where there is none), kind, text."""
import os
import random
import sys

import numpy as np

import phrases  # puts the folder above on the path
import data
import frontend
import noise
import sounds
import vocab

STEPS = 400
SAMPLES = STEPS * frontend.HOP
TOP = float(np.log1p(frontend.SCALE / frontend.SLOW))
YES, NO, RUN = 1, 2, 3


class Room:
    """Where a window sounds: what every window goes through."""

    def __init__(self, seed):
        self.r, self.rng = random.Random(seed), np.random.default_rng(seed)
        self.clips = data.Clips("train-*")
        self.bank = noise.bank(self.rng) + sounds.bank(self.rng)
        self.warps = frontend.warps()

    def renew(self):
        self.bank[self.r.randrange(len(self.bank))] = self.r.choice(noise.KINDS + sounds.KINDS)(self.rng)

    def features(self, x, quietest, noisy=.8):
        """The window as a microphone would have it. quietest: the least ratio of speech to noise, in dB."""
        r = self.r
        x = x[:SAMPLES]
        level = float(np.sqrt((x[np.abs(x) > .02] ** 2).mean())) if (np.abs(x) > .02).any() else .1
        x = np.pad(x, (0, SAMPLES - len(x)))
        if r.random() < .45:
            x = data.room(x, r, self.rng)
        if r.random() < noisy:
            x = x + data.piece(self.bank, SAMPLES, r) * level * 10 ** (-r.triangular(quietest, 40, 12) / 20)
        if r.random() < .08:
            y, _ = self.clips.pick(r)
            x = x + np.resize(np.roll(y, r.randrange(len(y))), SAMPLES) * 10 ** (-r.uniform(8, 25) / 20)
        if r.random() < .05:
            top = float(np.abs(x).max())
            x = np.clip(x, -top * r.uniform(.2, .7), top * r.uniform(.2, .7))
        x = x / max(.05, float(np.abs(x).max())) * .95 * 10 ** (-r.triangular(0, 44, 8) / 20)
        return self.quantised(x, r.random() < .7)

    def quantised(self, x, warp):
        r = self.r
        e = frontend.energies(x.astype(np.float32))
        if warp:
            e = e @ r.choice(self.warps)
        if r.random() < .2:  # a microphone that ends early, at either side
            gain = np.ones(frontend.BANDS, np.float32)
            if r.random() < .6:
                gain[r.randint(27, 38):] = 10 ** -r.uniform(.5, 4)
            else:
                gain[:r.randint(1, 8)] = 10 ** -r.uniform(.5, 3)
            e = e * gain
        y = frontend.normalised(e)
        return np.clip(np.rint(y / TOP * 255), 0, 255).astype(np.uint8)

    def talk(self, n, avoid=None):
        """n samples of somebody talking, cut out anywhere, with its texts."""
        parts, texts, have = [], [], 0
        while have < n:
            x, t = self.clips.pick(self.r)
            if avoid and phrases.contains(t, avoid):
                continue
            x = data.speech(x, self.r, self.rng)
            gap = int(16000 * self.r.uniform(0, .5) * (self.r.random() < .7))
            parts += [x, np.zeros(gap, np.float32)]
            texts.append(t)
            have += len(x) + gap
        return np.concatenate(parts), texts


def general(room):
    r = room.r
    k = r.random()
    if k < .66:
        x, texts = room.talk(SAMPLES + 16000)
        at = r.randrange(len(x) - SAMPLES)
        return room.features(x[at:], -2), " | ".join(texts)
    if k < .76:  # babble
        x, texts = np.zeros(SAMPLES, np.float32), []
        for _ in range(r.randint(2, 6)):
            y, t = room.talk(SAMPLES)
            x, texts = x + y[:SAMPLES] * r.uniform(.3, 1), texts + t
        return room.features(x, 0), " | ".join(texts)
    if k < .96:
        x = data.piece(room.bank, SAMPLES, r) + (data.piece(room.bank, SAMPLES, r) * r.uniform(0, 1) if r.random() < .5 else 0)
        if r.random() < .3:
            x = data.room(x, r, room.rng)
        return room.quantised(x / np.abs(x).max() * 10 ** (-r.uniform(0, 50) / 20), r.random() < .5), ""
    return room.quantised(room.rng.standard_normal(SAMPLES) * 10 ** (-r.uniform(50, 110) / 20), False), ""


def around(room, x, end, avoid):
    """The clip, which the phrase (or what is like it) ends at sample `end` of, with something before and after it; and where it ends."""
    r = room.r
    after = np.zeros(0, np.float32)
    if r.random() < .45:
        after = np.concatenate([np.zeros(int(16000 * r.uniform(0, .35)), np.float32), room.talk(16000, avoid)[0]])
        x = x[:end + int(16000 * .02)]
    at = int(16000 * r.uniform(max(1.0, end / 16000), 2.75))
    lead = at - end
    k = r.random()
    before = np.zeros(lead, np.float32)
    if k < .3 and lead > 4000:
        y = room.talk(lead, avoid)[0][-lead:]
        gap = int(16000 * r.uniform(0, .5))
        before = np.concatenate([y[gap:], np.zeros(min(gap, lead), np.float32)])[:lead]
    return np.concatenate([before, x, after])[:SAMPLES], lead + end


def of_phrase(room, phrase, folder, per_voice, share):
    """Windows of "yes" and "no" clips of the training voices; share (k, n): every n-th clip from the k-th on."""
    for kind, name in ((YES, "yes"), (NO, "no")):
        for voice in data.MIX:
            z = np.load(os.path.join(folder, "%s-%s.npz" % (name, voice)))
            ends = z["ends"]
            samples, starts = z["samples"], np.concatenate([[0], ends[:-1]])
            for i in range(share[0], len(ends), share[1]):
                for _ in range(per_voice.get(voice, 2) if kind == YES else 1):
                    x = samples[starts[i]:ends[i]].astype(np.float32) / 32768
                    x = data.speech(x, room.r, room.rng)
                    loud = np.nonzero(np.abs(x) > .02)[0]
                    x, end = around(room, x, int(loud[-1]) + 1, phrase)
                    yield room.features(x, 0), min(end // frontend.FRAME, STEPS // 4 - 1), kind


def running(room, phrase, most):
    """Clips that begin with the phrase; its end is guessed by its share of the letters."""
    found = [(s, at, n, t) for g in room.clips.groups.values() for _, s, rows in g for at, n, t in rows
             if t.startswith(phrase + " ") and len(t) > len(phrase) + 5]
    room.r.shuffle(found)
    for s, at, n, t in found[:most]:
        x = data.speech(s[at:at + n].astype(np.float32) / 32768, room.r, room.rng)
        speech = len(x) - 2400
        end = 800 + int(speech * len(phrase) / len(t))
        x, end = around(room, x, end, phrase) if room.r.random() < .3 else (np.pad(x, (int(16000 * room.r.uniform(.1, 1.2)), 0)), end)
        lead = 0 if end > 16000 else len(x)
        yield room.features(x, 0), min(end // frontend.FRAME, STEPS // 4 - 1), RUN


def main():
    what = sys.argv[1].lower()
    vocab.load()
    scale = float(os.environ.get("SCALE", "1"))
    if what == "general":
        path = os.path.join(vocab.DATA, "wake", "general-%s.npz" % sys.argv[3])
        room, rows, texts = Room(50 + int(sys.argv[3])), [], []
        for i in range(int(int(sys.argv[2]) * scale)):
            if i % 100 == 0:
                room.renew()
            x, t = general(room)
            rows.append(x)
            texts.append(t)
        np.savez(path, x=np.stack(rows), text=np.array(texts))
    else:
        folder = os.path.join(vocab.DATA, "wake", phrases.slug(what))
        part, parts = int(sys.argv[2]), int(sys.argv[3])
        path = os.path.join(folder, "bank-%d.npz" % part)
        room = Room(60 + part)
        rows = list(of_phrase(room, what, folder, {"espeak-variant": 1, "rhvoice": 3, "flite": 3, "festival": 3}, (part - 1, parts)))
        rows += running(room, what, int(1500 * scale / parts))
        x, end, kind = zip(*rows)
        np.savez(path, x=np.stack(x), end=np.array(end, np.int16), kind=np.array(kind, np.int8))
    print(path, os.path.getsize(path) >> 20, "MB")


if __name__ == "__main__":
    main()
