"""The network: features in, one logit for each frame of 32 ms; looks only backwards, so it can be run as the sound comes in.

Written as products of matrices over stacked frames: on a CPU that trains three times as fast as convolutions. graph.py exports the same as
convolutions."""
import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH, DILATIONS = 72, (1, 2, 3, 4, 5, 6)  # 113,000 weights; it looks back 1.4 s
STACK = 8  # features that the first layer sees at once, four of them new


class Wake(nn.Module):
    def __init__(self, bands=40, width=WIDTH):
        super().__init__()
        self.front = nn.Linear(STACK * bands, width)
        self.blocks = nn.ModuleList([nn.Linear(3 * width, width) for _ in DILATIONS])
        self.head = nn.Linear(width, 1)
        for b in self.blocks:
            nn.init.normal_(b.weight, std=.5 * (2 / (3 * width)) ** .5)
            nn.init.zeros_(b.bias)

    def forward(self, x):
        """[n, features, bands] -> [n, frames]"""
        n, steps, bands = x.shape
        x = x[:, :steps // 4 * 4].reshape(n, steps // 4, 4 * bands)
        y = self.front(torch.cat([F.pad(x, (0, 0, 1, 0))[:, :-1], x], 2))
        t = y.shape[1]
        for b, d in zip(self.blocks, DILATIONS):
            z = torch.relu(y)
            past = F.pad(z, (0, 0, 2 * d, 0))
            y = y + b(torch.cat([past[:, :t], past[:, d:d + t], z], 2))
        return self.head(torch.relu(y))[..., 0]
