"""train.py PHRASE: trains on scenes of DATA/wake/SLUG/bank.npz for STEPS steps (1500), or until END (epoch seconds) where that is set,
on top of DATA/wake/trunk.pt, which stays as it is, and writes DATA/wake/SLUG/net.pt. SEED is the draw, SHARE (1) how much of the phrase's clips is used, for the
learning curve. A second process makes the scenes."""
import copy
import json
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

import phrases  # puts the folder above on the path
import muon
import scene
import vocab
from net import Trunk, Wake


def loss_of(z, label):
    yes = (label == 1).any(1)
    inside = z[yes].masked_fill(label[yes] != 1, -30)
    ring = F.softplus(-inside.topk(3, 1).values).mean(1)
    still = F.softplus(z) * (label == 0)
    tempted = still.topk(5, 1).values.mean(1)
    everywhere = still.sum(1) / (label == 0).sum(1).clamp_min(1)
    # without the last term the surest mistakes grow for ever
    return ring.mean() + (tempted + 2 * everywhere).mean() + .003 * (z * z).mean()


def main():
    phrase = sys.argv[1].lower()
    env = os.environ.get
    seed = int(env("SEED", "3"))
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    steps, end = int(env("STEPS", "1500")), env("END")
    out = env("NET") or os.path.join(vocab.DATA, "wake", phrases.slug(phrase), "net.pt")
    s = scene.Scenes(phrase, seed, float(env("SHARE", "1")))
    batches = iter(torch.utils.data.DataLoader(s, batch_size=None, num_workers=1, prefetch_factor=6))
    state = torch.load(env("TRUNK") or os.path.join(vocab.DATA, "wake", "trunk.pt"))
    trunk = Trunk(len(state["phones.bias"]) - 1)
    trunk.load_state_dict(state)
    net = Wake(trunk.requires_grad_(False))
    ema = copy.deepcopy(net)
    print(json.dumps({"weights": sum(p.numel() for p in net.parameters() if p.requires_grad), "clips": len(s.own), "talk": len(s.other)}), flush=True)
    matrices = [b.weight for b in net.blocks]
    rest = [p for p in net.parameters() if p.requires_grad and not any(p is m for m in matrices)]
    opts = [muon.Muon(matrices, lr=float(env("MUON_LR", "0.01"))), torch.optim.AdamW(rest, lr=float(env("LR", "3e-3")), betas=(.9, .98), weight_decay=.02)]
    base = [o.param_groups[0]["lr"] for o in opts]
    start, sums = time.time(), []
    last, waited = time.time(), 0.
    step, progress = 0, 0.
    while progress < 1:
        t = time.time()
        x, label, ids = next(batches)
        waited += time.time() - t
        progress = (time.time() - start) / (float(end) - start) if end else (step + 1) / steps
        for o, lr in zip(opts, base):
            o.param_groups[0]["lr"] = lr * (min(1, (step + 1) / 200) * (.5 + .5 * math.cos(math.pi * min(1, progress))) + 1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                y = trunk(x)
            # what the trunk hears goes missing now and then, channel by channel, so that no single cue of a voice decides
            kept = torch.rand(len(y), 1, y.shape[2]) > float(env("DROPPED", "0.2"))
            z = net.after_trunk(F.dropout(y * kept, .1))
        z = z.float()
        loss = loss_of(z, label)
        for o in opts:
            o.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.)
        for o in opts:
            o.step()
        step += 1
        with torch.no_grad():
            top = z.masked_fill(label != 0, -30).amax(1)
            some = (ids >= 0) & (label == 0).all(1)
            s.tempting[ids[some]] = s.tempting[ids[some]] * .5 + top[some] * .5
            if step % 5 == 0:
                keep = min(.99, step / (step + 100))
                for a, b in zip(ema.parameters(), net.parameters()):
                    a.lerp_(b, 1 - keep)
        sums.append(loss.item())
        if step % 200 == 0:
            with torch.no_grad():
                ringing = (z.masked_fill(label != 1, -30).amax(1))[(label == 1).any(1)]
                still = top[(label == 0).all(1)]
            print(json.dumps({"step": step, "loss": round(float(np.mean(sums)), 4), "minute": round((time.time() - start) / 60, 1),
                              "step_s": round((time.time() - last) / 200, 3), "waited_s": round(waited / 200, 3), "yes_below_2": round(float((ringing < 2).float().mean()), 2),
                              "no_top": round(float(still.max()), 1)}), flush=True)
            sums, last, waited = [], time.time(), 0.
            torch.save(ema.state_dict(), out + ".part")
            os.replace(out + ".part", out)
    torch.save(ema.state_dict(), out)


if __name__ == "__main__":
    main()
