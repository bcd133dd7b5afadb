"""synth.py NAME VOICE KIND N SEED: N clips by VOICE (a key of voices.TRAIN or voices.HELD) of texts of KIND (texts.draw), appended to
DATA/clips/NAME.pcm (16 kHz int16, one after the other) and NAME.jsonl while they are made, so that training can start on the first ones."""
import json
import os
import random
import sys
import zlib

import numpy as np

import texts
import vocab
import voices


def trimmed(x):
    level = np.abs(x)
    top = level.max() if len(x) else 0
    if top < 1e-3:
        return None
    i = np.nonzero(level > top * .01)[0]
    return x[max(0, i[0] - 800):i[-1] + 1600] / top * .7


def clips(voice, kind, n, r):
    say = voices.TRAIN.get(voice) or voices.HELD[voice]
    if getattr(say, "batch", False):
        for k in range(0, n, 60):
            yield from say(r, [texts.draw(r, kind) for _ in range(min(60, n - k))])
        return
    for _ in range(n):
        t = texts.draw(r, kind)
        try:
            yield (t, *say(r, t))
        except Exception as e:
            print(voice, repr(t), repr(e), file=sys.stderr)


def main():
    name, voice, kind, n, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    vocab.load()
    r = random.Random(seed * 1000003 + zlib.crc32(name.encode()))
    folder = os.path.join(vocab.DATA, "clips")
    os.makedirs(folder, exist_ok=True)
    made = 0
    with open(os.path.join(folder, name + ".pcm"), "ab") as pcm, open(os.path.join(folder, name + ".jsonl"), "a") as index:
        for text, who, x in clips(voice, kind, n, r):
            x = trimmed(x)
            if x is None or not 3000 < len(x) < 16000 * 9:
                continue
            at = pcm.tell() // 2
            pcm.write((x * 32767).astype(np.int16).tobytes())
            made += 1
            index.write(json.dumps({"at": at, "n": len(x), "voice": who, "text": text}) + "\n")
            if made % 50 == 0:
                pcm.flush()
                index.flush()
    print(name, made, "clips of", n)


if __name__ == "__main__":
    main()
