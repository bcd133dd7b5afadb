"""train.py: trains the starter model for MINUTES of wall time and writes DATA/run/last.pt (to resume) and DATA/run/ema.pt (to export).

Environment: MINUTES (100) or END (epoch seconds), D, HEADS, ENCODER, DECODER, LR, FRAMES (encoder frames a batch), SEED.
--resume goes on with DATA/run/last.pt and its schedule; --init FILE starts a new schedule from the weights of a .pt or of an exported .bin."""
import argparse
import copy
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import data
import vocab
from decode import quick_eval
from model import Whisper
from muon import Muon

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
RUN = os.path.join(vocab.DATA, "run")


def losses(net, batch, pos):
    mel, x, y, phones, phone_n, zeros, frames = batch
    with torch.autocast(DEVICE, torch.bfloat16, enabled=os.environ.get("BF16", "1") == "1"):
        source = net.encoder(mel, zeros)
        by_phone = net.ctc(source)
        logits = net.decoder(x, source, zeros)
    spoken = phone_n > 0
    each = F.ctc_loss(by_phone.float().log_softmax(-1).transpose(0, 1), phones, frames, phone_n, zero_infinity=True, reduction="none")
    ctc = (each / phone_n.clamp_min(1))[spoken].mean() if spoken.any() else each.sum() * 0
    logits = logits.float()
    ce = F.cross_entropy(logits.flatten(0, 1), y.masked_fill(y == data.SILENT, -100).flatten(), ignore_index=-100, label_smoothing=.05)
    silent = y == data.SILENT
    if silent.any():
        # whisper.cpp by default forbids an empty transcript, so silence has a way out: "." less likely than the end
        lp = logits[silent].log_softmax(-1)
        ce = ce - (.62 * lp[:, pos[vocab.EOT]] + .38 * lp[:, pos[vocab.DOT]]).sum() / (y != -100).sum()
    return ce, ctc


def optimizers(net, lr):
    matrices = [p for n, p in net.named_parameters() if ".blocks." in n and p.ndim == 2]
    ids = {id(p) for p in matrices}
    rest = [p for p in net.parameters() if id(p) not in ids]
    adam = torch.optim.AdamW([{"params": [p for p in rest if p.ndim > 1], "weight_decay": .02}, {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0}],
                             lr=lr, betas=(.9, .98), fused=True)
    if os.environ.get("MUON", "1") == "0":
        return [torch.optim.AdamW(net.parameters(), lr=lr, betas=(.9, .98), weight_decay=.02, fused=True)]
    return [Muon(matrices, lr=float(os.environ.get("MUON_LR", "0.01"))), adam]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--resume", action="store_true")
    ap.add_argument("--init")
    args = ap.parse_args()
    env = os.environ.get
    torch.manual_seed(int(env("SEED", "1")))
    torch.set_num_threads(1)  # on a shared machine more threads only wait for each other
    tables = vocab.load()
    pos = {t: i for i, t in enumerate(tables["ids"])}
    os.makedirs(RUN, exist_ok=True)
    net = Whisper(len(tables["ids"]), len(tables["phones"]), int(env("D", "160")), int(env("HEADS", "5")), int(env("ENCODER", "6")), int(env("DECODER", "2")))
    if args.init:
        from weights import load_into
        load_into(net, args.init, tables["ids"])
    net.to(DEVICE)
    ema = copy.deepcopy(net)
    opts = optimizers(net, float(env("LR", "2e-3")))
    base = [[g["lr"] for g in o.param_groups] for o in opts]
    step = clips = 0
    done = 0.
    if args.resume:
        c = torch.load(os.path.join(RUN, "last.pt"), map_location=DEVICE)
        net.load_state_dict(c["net"])
        ema.load_state_dict(c["ema"])
        for o, s in zip(opts, c["opts"]):
            o.load_state_dict(s)
        step, clips, done = c["step"], c["clips"], c["done"]
    start = time.time()
    budget = float(env("END")) - start if env("END") else float(env("MINUTES", "100")) * 60 * (1 - done)
    frames = int(env("FRAMES", "24000" if GPU else "2600"))
    stream = data.Batches(tables, frames, int(env("SEED", "1")) + step)
    workers = int(env("WORKERS", "12" if GPU else "1"))
    loader = iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=6,
                                              worker_init_fn=lambda i: (os.nice(10), setattr(stream, "seed", stream.seed + 1000003 * i))))
    log = open(os.path.join(RUN, "log.jsonl"), "a")
    sums, last, cpu, next_eval, next_save = [], time.time(), time.process_time(), float(env("EVAL_EVERY", "600")), 240.
    net.train()
    progress = done
    while progress < 1:
        t = time.time()
        batch = next(loader)
        waited = time.time() - t
        if GPU:
            batch = tuple(b.to(DEVICE) if torch.is_tensor(b) else b for b in batch)
        factor = min(1, (step + 1) / 150) * (.5 + .5 * math.cos(math.pi * progress)) + 1e-4
        for o, b in zip(opts, base):
            for g, lr in zip(o.param_groups, b):
                g["lr"] = lr * factor
        ce, ctc = losses(net, batch, pos)
        share = .6 if progress < .35 else .6 - .3 * min(1, (progress - .35) / .3)
        for o in opts:
            o.zero_grad(set_to_none=True)
        ((1 - share) * ce + share * ctc).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.)
        for o in opts:
            o.step()
        step += 1
        clips += len(batch[0])
        progress = done + (time.time() - start) / budget * (1 - done)
        if step % 10 == 0:
            with torch.no_grad():
                keep = min(.99, step / (step + 100))  # about the last 1000 steps
                for a, b in zip(ema.parameters(), net.parameters()):
                    a.lerp_(b, 1 - keep)
        sums.append((ce.item(), ctc.item(), waited))
        if step % 50 == 0:
            now, a = time.time(), np.mean(sums, 0)
            row = {"minute": round((now - start) / 60, 2), "step": step, "clips": clips, "ce": round(a[0], 3), "ctc": round(a[1], 3),
                   "step_s": round((now - last) / 50, 3), "cpu_s": round((time.process_time() - cpu) / 50, 3), "waited_s": round(a[2], 3)}
            print(json.dumps(row), flush=True)
            log.write(json.dumps(row) + "\n")
            log.flush()
            sums, last, cpu = [], now, time.process_time()
        if time.time() - start > next_save or progress >= 1:
            next_save = time.time() - start + 240
            meta = {"config": net.config, "ids": tables["ids"]}
            for name, content in (("last.pt", {"net": net.state_dict(), "ema": ema.state_dict(), "opts": [o.state_dict() for o in opts],
                                               "step": step, "clips": clips, "done": progress}), ("ema.pt", {"net": ema.state_dict()})):
                torch.save({**meta, **content}, os.path.join(RUN, name + ".tmp"))
                os.replace(os.path.join(RUN, name + ".tmp"), os.path.join(RUN, name))
        if time.time() - start > next_eval:
            next_eval = time.time() - start + float(env("EVAL_EVERY", "600"))
            row = {"eval": quick_eval(ema, tables), "minute": round((time.time() - start) / 60, 1), "step": step, "clips": clips}
            print(json.dumps(row), flush=True)
            log.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
