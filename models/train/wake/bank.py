"""bank.py talk PART PARTS | bank.py noise | bank.py PHRASE: what scenes are made of, as energies per band (before the gain control).

talk: speech of all training voices (the speech model's clips), each once, at another speed and pitch: DATA/wake/talk-PART.npz.
noise: noise, music, animals, machines: DATA/wake/noise.npz. Both serve every phrase.
PHRASE: clips of the phrase ("yes"), of what is near it ("no"), of sentences that begin with it ("run"): DATA/wake/SLUG/bank.npz.

x: uint8 [all frames of 8 ms, 40], half decibels above -80 dB, 0 for nothing; ends: where each clip ends in it; end: the frame in which the
phrase ends; kind, text, voice: one for each clip."""
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

NO, YES, RUN = 0, 1, 2


def packed(e):
    return np.clip(np.rint(2 * (10 * np.log10(np.maximum(e, 1e-12)) + 80)), 0, 255).astype(np.uint8)


UNPACK = (10 ** ((np.arange(256) / 2 - 80) / 10)).astype(np.float32)
UNPACK[0] = 0


def energies(x):
    """To the last sample."""
    return packed(frontend.energies(np.pad(x, (0, -len(x) % frontend.FRAME))))


class Writer:
    def __init__(self):
        self.x, self.rest = [], []

    def add(self, x, **rest):
        self.x.append(x)
        self.rest.append(rest)

    def save(self, path):
        np.savez(path, x=np.concatenate(self.x), ends=np.cumsum([len(x) for x in self.x]), **{k: np.array([r[k] for r in self.rest]) for k in self.rest[0]})
        print(path, len(self.x), "clips,", os.path.getsize(path) >> 20, "MB", flush=True)


def talk(part, parts, count):
    r, rng = random.Random(50 + part), np.random.default_rng(50 + part)
    clips, w = data.Clips("train-*"), Writer()
    for _ in range(count // parts):
        x, text = clips.pick(r)
        w.add(energies(data.speech(x, r, rng)), text=text)
    w.save(os.path.join(vocab.DATA, "wake", "talk-%d.npz" % part))


def noises(count):
    r, rng, w = random.Random(49), np.random.default_rng(49), Writer()
    for _ in range(count):
        x = r.choice([noise, sounds]).KINDS
        w.add(energies(r.choice(x)(rng) * .1), text="")
    w.save(os.path.join(vocab.DATA, "wake", "noise.npz"))


def ended(x):
    """The sample at which the speech ends."""
    loud = np.nonzero(np.abs(x) > .02 * max(.2, np.abs(x).max()))[0]
    return int(loud[-1]) + 1 if len(loud) else len(x)


def of_phrase(phrase, times):
    folder = os.path.join(vocab.DATA, "wake", phrases.slug(phrase))
    r, rng, w = random.Random(60), np.random.default_rng(60), Writer()
    for kind, name in ((YES, "yes"), (NO, "no")):
        for voice in data.MIX:
            z = np.load(os.path.join(folder, "%s-%s.npz" % (name, voice)))
            samples, ends = z["samples"], z["ends"]
            for a, b in zip(np.concatenate([[0], ends[:-1]]), ends):
                for _ in range(times if kind == YES else max(1, times // 2)):
                    x = data.speech(samples[a:b].astype(np.float32) / 32768, r, rng)
                    w.add(energies(x), end=ended(x) // frontend.HOP, kind=kind, voice=voice)
    clips = data.Clips("train-*")
    found = [(voice, s, at, n, t) for voice, g in clips.groups.items() for _, s, rows in g for at, n, t in rows
             if t.startswith(phrase + " ") and len(t) > len(phrase) + 5]
    r.shuffle(found)
    for voice, s, at, n, t in found[:1200]:
        x = data.speech(s[at:at + n].astype(np.float32) / 32768, r, rng)
        # its end is guessed by its share of the letters
        w.add(energies(x), end=(800 + int((len(x) - 2400) * len(phrase) / len(t))) // frontend.HOP, kind=RUN, voice=voice)
    w.save(os.path.join(folder, "bank.npz"))


def main():
    what = sys.argv[1].lower()
    vocab.load()
    scale = float(os.environ.get("SCALE", "1"))
    if what == "talk":
        talk(int(sys.argv[2]), int(sys.argv[3]), int(14000 * scale))
    elif what == "noise":
        noises(int(400 * scale))
    else:
        of_phrase(what, 4)  # each at four speeds and pitches


if __name__ == "__main__":
    main()
