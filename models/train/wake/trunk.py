"""trunk.py: trains the half of the network that all phrases share, to hear the phonemes of the talk bank's clips, for STEPS steps (4500), or
until END (epoch seconds) where that is set; writes DATA/wake/trunk.pt."""
import copy
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import phrases  # puts the folder above on the path
import muon
import scene
import vocab
from net import Trunk


def main():
    torch.manual_seed(1)
    torch.set_num_threads(1)
    env = os.environ.get
    tables = vocab.load()
    steps, end = int(env("STEPS", "4500")), env("END")
    out = env("TRUNK") or os.path.join(vocab.DATA, "wake", "trunk.pt")
    batches = iter(torch.utils.data.DataLoader(scene.Said(tables), batch_size=None, num_workers=1, prefetch_factor=6))
    net = Trunk(len(tables["phones"]))
    if env("INIT"):
        net.load_state_dict(torch.load(env("INIT")))
    ema = copy.deepcopy(net)
    matrices = [net.front.weight] + [b.weight for b in net.blocks]
    rest = [p for p in net.parameters() if not any(p is m for m in matrices)]
    opts = [muon.Muon(matrices, lr=float(env("MUON_LR", "0.015"))), torch.optim.AdamW(rest, lr=4e-3, betas=(.9, .98), weight_decay=.02)]
    base = [o.param_groups[0]["lr"] for o in opts]
    start, sums, last, step, progress = time.time(), [], time.time(), 0, 0.
    while progress < 1:
        x, phones, count = next(batches)
        progress = (time.time() - start) / (float(end) - start) if end else (step + 1) / steps
        for o, lr in zip(opts, base):
            o.param_groups[0]["lr"] = lr * (min(1, (step + 1) / 100) * (.5 + .5 * math.cos(math.pi * min(1, progress))) + 1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            z = net.spoken(x)
        z = z.float().log_softmax(-1).transpose(0, 1)
        each = F.ctc_loss(z, phones, torch.full((len(x),), len(z)), count, zero_infinity=True, reduction="none")
        loss = (each / count.clamp_min(1)).mean()
        for o in opts:
            o.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.)
        for o in opts:
            o.step()
        step += 1
        if step % 5 == 0:
            with torch.no_grad():
                keep = min(.99, step / (step + 100))
                for a, b in zip(ema.parameters(), net.parameters()):
                    a.lerp_(b, 1 - keep)
        sums.append(loss.item())
        if step % 100 == 0:
            print(json.dumps({"step": step, "per_phoneme": round(float(np.mean(sums)), 3), "minute": round((time.time() - start) / 60, 1),
                              "step_s": round((time.time() - last) / 100, 3)}), flush=True)
            sums, last = [], time.time()
            torch.save(ema.state_dict(), out + ".part")
    torch.save(ema.state_dict(), out + ".part")
    os.replace(out + ".part", out)


if __name__ == "__main__":
    main()
