"""train.py PHRASE: trains on DATA/wake/SLUG/bank-*.npz and DATA/wake/general-*.npz for STEPS steps (1500), or until END (epoch
seconds) where that is set, and writes DATA/wake/SLUG/net.pt. INIT names weights to start from.

Negatives are chosen in part by how much the network is tempted by them: every EVERY steps a part of the general bank is listened to. SHARE
(1) uses only that share of the phrase's clips, for the learning curve; VOICES names the voices that are used."""
import copy
import glob
import json
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

import phrases  # puts the folder above on the path
import bank
import vocab
from net import Wake

EVERY = 150


class Sampler:
    def __init__(self, phrase, rng):
        parts = []
        for path in sorted(glob.glob(os.path.join(vocab.DATA, "wake", "general-*.npz"))):
            g = np.load(path)
            parts.append(g["x"][np.array([not phrases.contains(t, phrase) for t in g["text"]])])
        self.general = np.concatenate(parts)
        paths = sorted(glob.glob(os.path.join(vocab.DATA, "wake", phrases.slug(phrase), "bank-*.npz")))
        self.x, end, kind = (np.concatenate(a) for a in zip(*((p["x"], p["end"], p["kind"]) for p in map(np.load, paths))))
        self.end = end.astype(int)
        keep = rng.random(len(kind)) < float(os.environ.get("SHARE", "1"))
        self.yes, self.no, self.run = (np.nonzero((kind == k) & keep)[0] for k in (bank.YES, bank.NO, bank.RUN))
        self.rng, self.hard = rng, np.arange(len(self.general))
        self.no_hard = self.no

    def batch(self):
        """Features, and for each frame: 1 it must ring somewhere among these, 0 it must not ring, -1 no matter."""
        r = self.rng
        yes, run, no = r.choice(self.yes, 18), r.choice(self.run, 6), r.choice(self.no_hard if r.random() < .5 else self.no, 12)
        rows = [self.x[i] for i in (*yes, *run, *no)] + [self.general[i] for i in r.choice(len(self.general), 10)] + [self.general[i] for i in r.choice(self.hard, 14)]
        x = torch.from_numpy(np.stack(rows).astype(np.float32)) * (bank.TOP / 255)
        label = torch.zeros(len(rows), bank.STEPS // 4)
        for j, i in enumerate((*yes, *run)):
            e = self.end[i]
            # the phrase may already be certain shortly before its end; one said in one breath ends somewhere near
            a, b, off = (e - 3, e + 9, 22) if j < len(yes) else (e - 9, e + 14, 30)
            label[j, max(0, e - off):e + 22] = -1
            label[j, max(0, a):b] = 1
        shift = int(r.integers(0, 9))
        x, label = x[:, 4 * shift:4 * shift + 368], label[:, shift:shift + 92]
        return self.masked(x), label

    def masked(self, x):
        r = self.rng
        for row in x:
            if r.random() < .5:
                a, n = r.integers(0, 36), r.integers(1, 8)
                row[:, a:a + n] = float(r.uniform(0, 1.7))
            if r.random() < .3:
                a, n = r.integers(0, 350), r.integers(2, 12)
                row[a:a + n] = float(r.uniform(0, 1.7))
        return x + torch.randn_like(x) * .05

    @torch.no_grad()
    def listen(self, net):
        """Chooses what tempts it most."""
        net.eval()
        def top(x):
            return np.concatenate([net(torch.from_numpy(x[i:i + 256].astype(np.float32)) * (bank.TOP / 255)).amax(1).numpy() for i in range(0, len(x), 256)])
        some = self.rng.choice(len(self.general), min(2000, len(self.general)), replace=False)  # all would cost as much as the training
        score = top(self.general[some])
        self.hard = some[np.argsort(-score)[:max(100, len(score) // 12)]]
        no, yes = self.rng.choice(self.no, min(400, len(self.no)), replace=False), self.rng.choice(self.yes, min(400, len(self.yes)), replace=False)
        of_no, of_yes = top(self.x[no]), top(self.x[yes])
        self.no_hard = no[np.argsort(-of_no)[:max(50, len(of_no) // 3)]]
        net.train()
        limit = np.sort(score)[-max(1, len(score) // 2000)]
        return {"general_top_0.05%": round(float(limit), 2), "yes_below": round(float((of_yes < limit).mean()), 4), "no_above": round(float((of_no > limit).mean()), 4)}


def loss_of(z, label):
    yes = (label == 1).any(1)
    inside = z[yes].masked_fill(label[yes] != 1, -30)
    ring = F.softplus(-inside.topk(3, 1).values).mean(1)
    still = F.softplus(z) * (label == 0)
    tempted = still.topk(5, 1).values.mean(1)
    everywhere = still.sum(1) / (label == 0).sum(1).clamp_min(1)
    return ring.mean() + (tempted + 2 * everywhere).mean()


def main():
    phrase = sys.argv[1].lower()
    torch.manual_seed(3)
    torch.set_num_threads(1)
    rng = np.random.default_rng(3)
    steps = int(os.environ.get("STEPS", "1500"))
    out = os.environ.get("OUT") or os.path.join(vocab.DATA, "wake", phrases.slug(phrase), "net.pt")
    s = Sampler(phrase, rng)
    net = Wake()
    if os.environ.get("INIT"):
        net.load_state_dict(torch.load(os.environ["INIT"]))
    ema = copy.deepcopy(net)
    print(json.dumps({"parameters": sum(p.numel() for p in net.parameters()), "yes": len(s.yes), "run": len(s.run), "no": len(s.no), "general": len(s.general)}), flush=True)
    opt = torch.optim.AdamW(net.parameters(), lr=1, betas=(.9, .98), weight_decay=.02)
    start, sums = time.time(), []
    net.train()
    step, progress, end = -1, 0., os.environ.get("END")
    while progress < 1:
        step += 1
        progress = (time.time() - start) / (float(end) - start) if end else (step + 1) / steps
        for g in opt.param_groups:
            g["lr"] = 4e-3 * min(1, (step + 1) / 100) * (.5 + .5 * math.cos(math.pi * min(1, progress))) + 1e-5
        loss = loss_of(*(lambda x, l: (net(x), l))(*s.batch()))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.)
        opt.step()
        sums.append(loss.item())
        if step % 5 == 0:
            with torch.no_grad():
                keep = min(.97, step / (step + 50))
                for a, b in zip(ema.state_dict().values(), net.state_dict().values()):
                    a.lerp_(b, 1 - keep) if a.is_floating_point() else a.copy_(b)
        if step % 50 == 49:
            print(json.dumps({"step": step + 1, "loss": round(float(np.mean(sums)), 4), "minute": round((time.time() - start) / 60, 1), "cpu_minute": round(time.process_time() / 60, 1)}), flush=True)
            sums = []
        if step % EVERY == EVERY - 1:
            print(json.dumps({"step": step + 1, **s.listen(ema)}), flush=True)
            torch.save(ema.state_dict(), out)
    torch.save(ema.state_dict(), out)


if __name__ == "__main__":
    main()
