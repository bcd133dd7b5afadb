"""The model file of whisper.cpp: writing it (f16, q8_0 or q5_1) and reading trained weights back out of it.

Tokens that were never trained must not be chosen, and must not spoil the probabilities either. So the last column of the embedding is
reserved: the decoder's last layer norm gives exactly 1 there, rows of trained tokens hold 0 and all others only -30."""
import struct

import numpy as np
import torch

import features
import vocab

TYPES = {"f16": (1, 1), "q8_0": (2007, 8), "q5_1": (2009, 7)}  # name: file type, tensor type
KEEP_F32 = ("conv1.bias", "conv2.bias", "positional_embedding")


def quantise(x, kind):
    b = x.astype(np.float32).reshape(-1, 32)
    if kind == "q8_0":
        scale = np.abs(b).max(1, keepdims=True) / 127
        q = b / np.where(scale > 0, scale, 1)
        q = np.trunc(q + np.copysign(.5, q)).astype(np.int8)
        return np.concatenate([scale.astype("<f2").view(np.uint8).reshape(-1, 2), q.view(np.uint8)], 1)
    low = b.min(1, keepdims=True)
    scale = (b.max(1, keepdims=True) - low) / 31
    q = np.minimum((b - low) / np.where(scale > 0, scale, 1) + .5, 31).astype(np.uint8)
    high = ((q >> 4).astype(np.uint32) << np.arange(32, dtype=np.uint32)).sum(1, dtype=np.uint32)
    return np.concatenate([scale.astype("<f2").view(np.uint8).reshape(-1, 2), low.astype("<f2").view(np.uint8).reshape(-1, 2),
                           high.astype("<u4").view(np.uint8).reshape(-1, 4), (q[:, :16] & 15) | (q[:, 16:] & 15) << 4], 1)


def dequantise(raw, kind):
    if kind == 8:
        b = raw.reshape(-1, 34)
        return b[:, 2:].view(np.int8).astype(np.float32) * b[:, :2].copy().view("<f2").astype(np.float32)
    b = raw.reshape(-1, 24)
    scale, low = (b[:, i:i + 2].copy().view("<f2").astype(np.float32) for i in (0, 2))
    high = (b[:, 4:8].copy().view("<u4") >> np.arange(32, dtype=np.uint32) & 1).astype(np.uint8)
    return (np.concatenate([b[:, 8:] & 15, b[:, 8:] >> 4], 1) | high << 4) * scale + low


def write(path, state, config, ids, kind):
    d, heads = config["d"], config["heads"]
    state = {n: t.float().cpu() for n, t in state.items() if not n.startswith("ctc")}
    rows = torch.zeros(vocab.ROWS, d)
    rows[:, -1] = -30
    trained = state["decoder.token_embedding.weight"].clone()
    trained[:, -1] = 0
    rows[torch.tensor(ids)] = trained
    state["decoder.token_embedding.weight"] = rows
    for name, value in (("weight", 0), ("bias", 1)):
        state["decoder.ln." + name] = state["decoder.ln." + name].clone()
        state["decoder.ln." + name][-1] = value
    file_type, tensor_type = TYPES[kind]
    with open(path, "wb") as f:
        def ints(*x):
            f.write(struct.pack("<%di" % len(x), *x))
        ints(0x67676d6c, vocab.ROWS, 1500, d, heads, config["encoder"], 448, d, heads, config["decoder"], 80, file_type)
        ints(*features.FILTERS.shape)
        f.write(features.FILTERS.astype("<f4").tobytes())
        ints(len(vocab.RANK))
        for i in sorted(vocab.TOKEN_BYTES):
            ints(len(vocab.TOKEN_BYTES[i]))
            f.write(vocab.TOKEN_BYTES[i])
        for name, t in state.items():
            a = t.numpy()
            if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
                a = a.reshape(-1, 1)
            full = a.ndim < 2 or name.endswith(KEEP_F32)
            packed = not full and a.ndim == 2 and kind != "f16"
            ints(a.ndim, len(name), 0 if full else tensor_type if packed else 1)
            ints(*a.shape[::-1])
            f.write(name.encode())
            f.write((quantise(a, kind) if packed else np.ascontiguousarray(a, "<f4" if full else "<f2")).tobytes())


def read(path):
    """(header as a dict, tensors in float32) of a file that write() or whisper.cpp's tools made."""
    data = open(path, "rb").read()
    head = struct.unpack_from("<12i", data)
    if head[0] != 0x67676d6c:
        raise ValueError(path + " is not a model file of whisper.cpp")
    at = 48
    m, n = struct.unpack_from("<2i", data, at)
    at += 8 + 4 * m * n
    count, = struct.unpack_from("<i", data, at)
    at += 4
    for _ in range(count):
        at += 4 + struct.unpack_from("<i", data, at)[0]
    tensors = {}
    while at < len(data):
        dims, length, kind = struct.unpack_from("<3i", data, at)
        shape = struct.unpack_from("<%di" % dims, data, at + 12)[::-1]
        at += 12 + 4 * dims
        name = data[at:at + length].decode()
        at += length
        size = int(np.prod(shape))
        nbytes = {0: 4 * size, 1: 2 * size, 8: size // 32 * 34, 7: size // 32 * 24}[kind]
        raw = np.frombuffer(data, np.uint8, nbytes, at)
        at += nbytes
        x = raw.view("<f4") if kind == 0 else raw.view("<f2").astype(np.float32) if kind == 1 else dequantise(raw, kind)
        tensors[name] = torch.from_numpy(np.array(x, np.float32).reshape(shape))
    return {"d": head[3], "heads": head[4], "encoder": head[5], "decoder": head[9]}, tensors


def load_into(net, path, ids):
    """Starts from earlier weights: a checkpoint of train.py or an exported file (whose rows of these tokens are taken). What is missing
    or has another shape keeps its fresh start."""
    if path.endswith(".bin"):
        _, state = read(path)
        state["decoder.token_embedding.weight"] = rows = state["decoder.token_embedding.weight"][torch.tensor(ids)].clone()
        fresh = rows[:, -1] < -15  # tokens that the file's model did not know
        rows[fresh] = torch.randn(int(fresh.sum()), rows.shape[1]) * .06
        for k in ("encoder.conv1.bias", "encoder.conv2.bias"):
            state[k] = state[k].reshape(-1)
    else:
        c = torch.load(path, map_location="cpu")
        state = c.get("ema") or c["net"]
        old = {t: i for i, t in enumerate(c["ids"])}
        rows = net.state_dict()["decoder.token_embedding.weight"].clone()
        for i, t in enumerate(ids):
            if t in old:
                rows[i] = state["decoder.token_embedding.weight"][old[t]]
        state["decoder.token_embedding.weight"] = rows
    own = net.state_dict()
    taken = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    net.load_state_dict(taken, strict=False)
    with torch.no_grad():
        for k, v in net.named_parameters():
            if ".blocks." in k and k not in taken and k.rsplit(".", 1)[0].endswith(("attn.out", "mlp.2")):
                v.zero_()
    print("taken from", path + ":", len(taken), "of", len(own), "tensors")
