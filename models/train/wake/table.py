"""table.py PHRASE OUT: exports DATA/wake/SLUG/net.pt to OUT.onnx and writes OUT.toml, the table of what its scores mean.

The two values come from held-out voices (held.py), never from the recordings that a model is judged by:
  threshold  the least score with no false accept on anything held out, sound-alikes left aside, and a margin of 1 in log odds on it
  propose    below the score that all but 1 % of the held-out phrases reach, by a margin of 1 for people, who sound less like it than the
             voices do; and at most half of the threshold's odds"""
import glob
import hashlib
import math
import os
import sys
import wave

import numpy as np
import torch

import phrases  # puts the folder above on the path
import graph
import frontend
import net as nets
import vocab


def read(path):
    with wave.open(path) as w:
        return np.frombuffer(w.readframes(w.getnframes()), np.int16).astype(np.float32) / 32768


@torch.no_grad()
def best(net, folder, pad=0):
    out = []
    for path in sorted(glob.glob(os.path.join(folder, "*.wav"))):
        y = frontend.features(np.pad(read(path), (0, pad)))
        out.append(float(net(torch.from_numpy(y)[None]).max()))
    return np.array(out)


def score(z):
    return 1 / (1 + math.exp(-z))


def main():
    phrase, out = sys.argv[1].lower(), sys.argv[2]
    torch.set_num_threads(1)
    folder = os.path.join(vocab.DATA, "wake", phrases.slug(phrase))
    net = nets.load(os.environ.get("NET") or os.path.join(folder, "net.pt"))
    yes = best(net, os.path.join(folder, "held-yes"), 9600)
    no = best(net, os.path.join(vocab.DATA, "wake", "held-no"))
    like = best(net, os.path.join(folder, "held-no"))
    threshold = float(no.max()) + 1
    propose = min(float(np.quantile(yes, .01)) - 1, threshold - math.log(2))
    measured = "held-out voices, %d phrases and %d min without: at propose %.1f %% missed; at threshold %.1f %% missed, 0 false accepts" % (
        len(yes), len(no), 100 * (yes < propose).mean(), 100 * (yes < threshold).mean())
    graph.save(net, out + ".onnx")
    digest = hashlib.sha256(open(out + ".onnx", "rb").read()).hexdigest()
    with open(out + ".toml", "w") as f:
        f.write('# What the scores of %s.onnx mean; made by models/train/wake/table.py.\nphrase = "%s"\npropose = %.4f\nthreshold = %.4f\nsha256 = "%s"\nmeasured = "%s"\n'
                % (os.path.basename(out), phrase, score(propose), score(threshold), digest, measured))
    print(measured)
    for z in np.unique(np.concatenate([np.linspace(-4, 9, 14), [threshold, propose]])):
        print("%6.2f (%.4f): missed %5.1f %%, minutes with a false accept %3d of %d, groups of 30 sound-alikes %d of %d"
              % (z, score(z), 100 * (yes < z).mean(), (no >= z).sum(), len(no), (like >= z).sum(), len(like)))


if __name__ == "__main__":
    main()
