"""evaluate.py MODEL.bin [OTHER.bin ...]: word error rates through whisper.cpp itself, as a Markdown table; one column per model.

Greedy, one thread, no temperature fallback, audio context fitted to the clip (a multiple of 256). Sets: the synthetic test sets of
generate.sh, sounds without speech made by noise.py, and recordings of people where SPEECH names a folder with a manifest.csv
(never used for training). For sounds without speech the number is words put in.

COUNT clips a set (60); NEW=1 leaves out texts that training also has; ONLY names a part of a set's name; SHOW prints such a set's texts."""
import csv
import glob
import os
import re
import sys
import time

import _pywhispercpp as wc
import numpy as np

import data
import espeak
import noise
import voices
from decode import word_errors

COUNT = int(os.environ.get("COUNT", "60"))
SHOW = os.environ.get("SHOW")


class Model:
    def __init__(self, path):
        self.ctx = wc.whisper_init_from_file_with_params(path, wc.whisper_context_default_params())
        self.seconds = self.clips = 0

    def __call__(self, x):
        # a clip shorter than 1 s is filled up: whisper.cpp wants some frames
        x = np.pad(x, (0, max(0, 16000 - len(x)))).astype(np.float32)[:16000 * 29]
        p = wc.whisper_full_default_params(wc.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
        p.n_threads, p.no_timestamps, p.single_segment, p.no_context = 1, True, True, True
        p.print_progress = p.print_realtime = p.print_timestamps = p.print_special = False
        p.temperature_inc = 0
        p.language = "en"
        p.audio_ctx = min(1500, 256 * -(-(len(x) // 320 + 1) // 256))
        t = time.perf_counter()
        wc.whisper_full(self.ctx, p, x, len(x))
        self.seconds += time.perf_counter() - t
        self.clips += 1
        text = b"".join(wc.whisper_full_get_segment_text(self.ctx, i) for i in range(wc.whisper_full_n_segments(self.ctx)))
        return normal(text.decode(errors="replace"))


def normal(s):
    s = re.sub(r"[^a-z' ]+", " ", s.lower().replace("-", " ").replace("’", "'"))
    return " ".join(w.strip("'") for w in s.split() if w.strip("'"))


def synthetic():
    groups = data.Clips("test-*").groups
    seen = {t for g in data.Clips("train-*").groups.values() for s in g for _, _, t in s[2]} if os.environ.get("NEW") else ()
    for name in sorted(groups, key=lambda n: (not n.startswith("known"), n)):
        _, samples, rows = groups[name][0]
        yield name, [(samples[a:a + n].astype(np.float32) / 32768, t) for a, n, t in rows[:COUNT] if t not in seen]


# what the repository's demo and tests say, with the voices as the program ships them
PHRASES = """what time is it|set a timer for five minutes|what is twelve plus thirty|what day is it today|tell me a joke|turn the volume up
stop|yes|no|never mind|repeat that|what can you do|and tomorrow|cancel the timer|hey hark what time is it|computer what time is it|thank you
tell me about the moon|who was albert einstein|open the calculator|what is the weather tomorrow|add milk to my shopping list|take a note call my mother
set an alarm for seven in the morning|good morning|what is nine times eight|turn it down|hello|cancel|remember that the keys are in the kitchen""".replace("\n", "|").split("|")


def demo():
    for voice in ("en-us", "en"):
        yield "demo phrases, espeak-ng " + {"en": "en-gb"}.get(voice, voice), [(voices.resampled(espeak.say(t, voice), espeak.RATE), t) for t in PHRASES]


def made_noise():
    rng = np.random.default_rng(99)
    sounds = [k(rng, 4) * .05 for k in (noise.coloured, noise.hum, noise.clicks, noise.music, noise.cries) for _ in range(8)]
    yield "no speech: synthetic noise and music", [(x.astype(np.float32), "") for x in sounds]
    yield "no speech: silence", [(np.zeros(16000 * s, np.float32), "") for s in (1, 2, 3, 5)]


def recordings():
    folder = os.environ.get("SPEECH")
    if not folder:
        return
    import soundfile
    rows = list(csv.DictReader(open(os.path.join(folder, "manifest.csv"))))
    for category, label in (("command", "people: command"), ("sentence", "people: sentence"), ("noise", "no speech: recorded noise"),
                            ("music", "no speech: recorded music")):
        clips = []
        for row in rows:
            path = os.path.join(folder, row["file"])
            if row["category"] != category or not os.path.exists(path):
                continue
            x, rate = soundfile.read(path, dtype="float32")
            text = normal(row["text"]) if category in ("command", "sentence") else ""
            pieces = [x] if text else [x[i:i + rate * 5] for i in range(0, len(x) - rate, rate * 5)]  # long sounds in pieces
            clips += [(p, text) for p in pieces[:12]]
        yield label, clips


def main():
    models = [Model(p) for p in sys.argv[1:]]
    names = [os.path.basename(p) for p in sys.argv[1:]]
    print("| set | clips | " + " | ".join(names) + " |\n|---|---|" + "---|" * len(names))
    only = os.environ.get("ONLY", "")
    for source in (demo, synthetic, made_noise, recordings):
        for name, clips in source():
            if only not in name:
                continue
            cells = []
            for m in models:
                wrong = total = exact = 0
                for x, text in clips:
                    heard = m(x)
                    e, n = word_errors(text, heard)
                    wrong, total, exact = wrong + e, total + n, exact + (heard == text)
                    if SHOW and SHOW in name:
                        print("   ", repr(text), "->", repr(heard))
                cells.append("%.1f %% (exact %.0f %%)" % (100 * wrong / total, 100 * exact / len(clips)) if total
                             else "%d words in %d of %d clips" % (wrong, len(clips) - exact, len(clips)))
            print("| %s | %d | %s |" % (name, len(clips), " | ".join(cells)), flush=True)
    # time of a 3 s utterance at context 256
    x = np.random.default_rng(1).standard_normal(48000).astype(np.float32) * .01
    groups = data.Clips("test-known-espeak-default*").groups
    for _, samples, rows in next(iter(groups.values()), []):
        x[:] = np.resize(samples[:48000].astype(np.float32) / 32768, 48000)
    cells = []
    for m in models:
        times = []
        for _ in range(15):
            m.seconds = 0
            m(x)
            times.append(m.seconds * 1000)
        cells.append("%.0f ms (least %.0f)" % (np.median(times), min(times)))
    print("| time for 3 s of speech, one thread | 15 | %s |" % " | ".join(cells))


if __name__ == "__main__":
    main()
