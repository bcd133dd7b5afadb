"""Log-mel as whisper.cpp computes it (reflected on the left, zeros on the right)."""
import os

import numpy as np
import torch

import vocab

FILTERS = np.load(os.path.join(vocab.ASSETS, "mel_filters.npz"))["mel_80"].astype(np.float32)
_filters = torch.from_numpy(FILTERS).T.contiguous()
_window = torch.hann_window(400)


def mel_power(waves, frames):
    x = np.zeros((len(waves), frames * 160 + 400), np.float32)
    for i, w in enumerate(waves):
        w = w[:frames * 160]
        x[i, 200:200 + len(w)] = w
        x[i, :200] = w[1:201][::-1]
    s = torch.stft(torch.from_numpy(x), 400, 160, window=_window, center=False, return_complex=True)[..., :frames]
    return (s.real ** 2 + s.imag ** 2).transpose(1, 2) @ _filters


def log_mel(power):
    x = power.clamp_min(1e-10).log10()
    return (torch.maximum(x, x.amax((1, 2), keepdim=True) - 8) + 4) / 4


def warps():
    """Vocal tract lengths: matrices that stretch the mel axis by -12 .. 12 %, so that the resonances move and the pitch stays."""
    hz = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 80) / 2595) - 1)
    out = []
    for f in np.linspace(.88, 1.12, 13):
        source = np.interp(np.minimum(hz * f, 8000), hz, np.arange(80))
        lo = np.minimum(source.astype(int), 78)
        m = np.zeros((80, 80), np.float32)
        m[lo, np.arange(80)] = 1 - (source - lo)
        m[lo + 1, np.arange(80)] += source - lo
        out.append(torch.from_numpy(m))
    return out
