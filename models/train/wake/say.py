"""say.py PHRASE: the phrase and what sounds like it, by every voice that may be used: DATA/wake/SLUG/{yes,no}-VOICE.npz, and the same by
the voices that are held out (yes-held-..., no-held-...). An npz holds the samples (int16, one clip after the other) and where each ends."""
import os
import random
import sys

import numpy as np

import phrases  # puts the folder above on the path
import synth
import vocab
import voices

# clips of the phrase, clips of what is near it
COUNTS = {"espeak-default": (200, 150), "espeak-plain": (700, 500), "espeak-variant": (1800, 1200), "rhvoice": (1400, 600),
          "flite": (1000, 450), "festival": (500, 240),
          "espeak-held": (120, 120), "rhvoice-held": (80, 60), "flite-held": (80, 60), "festival-held": (80, 60), "mbrola-held": (80, 60),
          "piper-held": (60, 40)}


def clips(voice, texts, r):
    say = voices.TRAIN.get(voice) or voices.HELD[voice]
    if getattr(say, "batch", False):
        for k in range(0, len(texts), 60):
            for _, _, x in say(r, texts[k:k + 60]):
                yield x
        return
    for t in texts:
        try:
            yield say(r, t)[1]
        except Exception as e:
            print(voice, repr(t), repr(e), file=sys.stderr)


def make(path, voice, texts, r):
    if os.path.exists(path):
        return
    out = []
    for x in clips(voice, texts, r):
        x = synth.trimmed(x)
        if x is not None and 2400 < len(x) < 16000 * 4:
            out.append((x * 32767).astype(np.int16))
    if out:
        np.savez(path + ".part.npz", samples=np.concatenate(out), ends=np.cumsum([len(x) for x in out]))
        os.replace(path + ".part.npz", path)
    print(os.path.basename(path), len(out), flush=True)


def main():
    phrase = sys.argv[1].lower()
    scale = float(os.environ.get("SCALE", "1"))
    folder = os.path.join(vocab.DATA, "wake", phrases.slug(phrase))
    os.makedirs(folder, exist_ok=True)
    vocab.load()
    for voice, (yes, no) in COUNTS.items():
        r = random.Random("%s %s" % (phrase, voice))
        try:
            make(os.path.join(folder, "yes-%s.npz" % voice), voice, [phrases.spoken(r, phrase) for _ in range(int(yes * scale))], r)
            make(os.path.join(folder, "no-%s.npz" % voice), voice, [phrases.against(r, phrase) for _ in range(int(no * scale))], r)
        except Exception as e:
            if not voice.endswith("-held"):
                raise
            print("no clips of", voice + ":", repr(e), file=sys.stderr)  # MBROLA and Piper are optional


if __name__ == "__main__":
    main()
