"""Greedy decoding in PyTorch and word errors: a quick look during training. What counts is evaluate.py, on the exported file."""
import torch

import data
import features
import vocab

QUICK = ["known-espeak-default", "known-espeak-held", "known-rhvoice-held", "known-piper-held", "held-rhvoice", "held-espeak-variant"]


def word_errors(reference, heard):
    a, b = reference.split(), heard.split()
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        left, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            left, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, left + (x != y))
    return row[-1], len(a)


@torch.no_grad()
def transcribe(net, mel, ids, limit=24):
    pos = {t: i for i, t in enumerate(ids)}
    eot = pos[vocab.EOT]
    source = net.encoder(mel)
    x = torch.tensor([[pos[vocab.SOT], pos[vocab.NO_TIMESTAMPS]]] * len(mel), device=mel.device)
    done = torch.zeros(len(mel), dtype=torch.bool, device=mel.device)
    for _ in range(limit):
        n = net.decoder(x, source)[:, -1].argmax(-1)
        n[done] = eot
        x = torch.cat([x, n[:, None]], 1)
        done |= n == eot
        if done.all():
            break
    out = []
    for row in x[:, 2:].tolist():
        row = row[:row.index(eot)] if eot in row else row
        out.append(b"".join(vocab.TOKEN_BYTES.get(ids[t], b"") for t in row).decode(errors="replace").replace(".", "").strip())
    return out


def quick_eval(net, tables, count=24):
    """Word error rate in per cent by test set."""
    device = next(net.parameters()).device
    c, result = data.Clips("test-*"), {}
    for name in QUICK:
        shards = c.groups.get(name)
        if not shards:
            continue
        _, samples, rows = shards[0]
        rows, e, n = rows[:count], 0, 0
        for k in range(0, len(rows), 12):
            part = rows[k:k + 12]
            waves = [samples[at:at + m].astype("float32") / 32768 for at, m, _ in part]
            frames = 256 if max(len(w) for w in waves) < 256 * 320 else 512
            heard = transcribe(net, features.log_mel(features.mel_power(waves, 2 * frames)).to(device), tables["ids"])
            for (_, _, text), h in zip(part, heard):
                d, m = word_errors(text, h)
                e, n = e + d, n + m
        result[name] = round(100 * e / n, 1)
    return result
