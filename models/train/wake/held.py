"""held.py PHRASE: recordings for `hark bench wake`, by the voices that no model has heard: DATA/wake/SLUG/held-yes/*.wav, the phrase in rooms
and noise (5 to 25 dB), half of them with a question after it; DATA/wake/SLUG/held-no/*.wav, what sounds like it, in minutes on end; and
DATA/wake/held-no/*.wav, for every phrase: HOURS (2) of speech of these voices, babble, noise and music."""
import glob
import os
import random
import sys
import wave

import numpy as np

import phrases  # puts the folder above on the path
import data
import noise
import sounds
import vocab

RATE = 16000


def save(path, x):
    with wave.open(path, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(RATE)
        w.writeframes(np.clip(np.rint(x * 32767), -32768, 32767).astype(np.int16).tobytes())


def spoken(folder, kind):
    for path in sorted(glob.glob(os.path.join(folder, kind + "-*-held.npz"))):
        z = np.load(path)
        starts = np.concatenate([[0], z["ends"][:-1]])
        for i, (a, b) in enumerate(zip(starts, z["ends"])):
            yield os.path.basename(path)[len(kind) + 1:-4], i, z["samples"][a:b].astype(np.float32) / 32768


def scene(x, r, rng, bank, low=5, high=25):
    level = float(np.sqrt((x[np.abs(x) > .02] ** 2).mean())) if (np.abs(x) > .02).any() else .1
    if r.random() < .5:
        x = data.room(x, r, rng)
    x = x + data.piece(bank, len(x), r) * level * 10 ** (-r.uniform(low, high) / 20)
    return x / max(.05, float(np.abs(x).max())) * .9 * 10 ** (-r.triangular(0, 36, 8) / 20)


def minute(make):
    parts, n = [], 0
    while n < 60 * RATE:
        x = make()
        parts.append(x)
        n += len(x)
    return np.concatenate(parts)[:60 * RATE]


def general(folder, r, rng, bank, clips, phrase):
    os.makedirs(folder, exist_ok=True)
    minutes = int(60 * float(os.environ.get("HOURS", "2")))

    def talk():
        while True:
            x, t = clips.pick(r)
            if not any(w in t for w in ("hark", "computer")):
                return np.concatenate([x, np.zeros(int(RATE * r.uniform(0, .8)), np.float32)])
    for i in range(minutes):
        path = os.path.join(folder, "%03d.wav" % i)
        if os.path.exists(path):
            continue
        k = i % 10
        if k < 6:
            x = minute(lambda: scene(talk(), r, rng, bank, 0, 30))
        elif k < 7:
            x = sum(minute(talk) for _ in range(r.randint(2, 6)))
        else:
            x = minute(lambda: r.choice(noise.KINDS + sounds.KINDS)(rng)[:RATE * r.randint(4, 12)])
        save(path, x / np.abs(x).max() * 10 ** (-r.uniform(1, 30) / 20))


def main():
    phrase = sys.argv[1].lower()
    vocab.load()
    r, rng = random.Random("held " + phrase), np.random.default_rng(99)
    bank = noise.bank(rng, 3) + sounds.bank(rng, 3)
    clips = data.Clips("test-*")
    clips.groups = {k: v for k, v in clips.groups.items() if k.endswith("-held")}
    folder = os.path.join(vocab.DATA, "wake", phrases.slug(phrase))
    os.makedirs(os.path.join(folder, "held-yes"), exist_ok=True)
    os.makedirs(os.path.join(folder, "held-no"), exist_ok=True)
    for voice, i, x in spoken(folder, "yes"):
        if r.random() < .5:
            x = np.concatenate([x[:-1400], np.zeros(int(RATE * r.uniform(.02, .4)), np.float32), clips.pick(r)[0]])
        x = np.pad(x, (int(RATE * r.uniform(.3, 1.5)), int(RATE * r.uniform(.3, 1))))
        save(os.path.join(folder, "held-yes", "%s-%03d.wav" % (voice, i)), scene(x, r, rng, bank))
    near = [np.pad(x, (int(RATE * r.uniform(.1, .8)), int(RATE * r.uniform(.1, .8)))) for _, _, x in spoken(folder, "no")]
    r.shuffle(near)
    for i in range(0, len(near), 30):
        save(os.path.join(folder, "held-no", "%03d.wav" % (i // 30)), np.concatenate([scene(x, r, rng, bank) for x in near[i:i + 30]]))
    general(os.path.join(vocab.DATA, "wake", "held-no"), r, rng, bank, clips, phrase)


if __name__ == "__main__":
    main()
