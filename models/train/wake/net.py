"""The network: features in, one logit for each frame of 32 ms; looks only backwards, so it can be run frame by frame."""
import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH, DILATIONS, REACH = 64, (1, 1, 2, 2, 1), 7


class Causal(nn.Module):
    """A convolution over time that sees the past only, and its normalisation."""

    def __init__(self, a, b, k, stride=1, dilation=1, groups=1):
        super().__init__()
        self.past = (k - 1) * dilation if stride == 1 else k - stride
        self.conv = nn.Conv1d(a, b, k, stride, 0, dilation, groups, bias=False)
        self.norm = nn.BatchNorm1d(b)

    def forward(self, x):
        return self.norm(self.conv(F.pad(x, (self.past, 0))))

    def folded(self):
        """Weight and bias with the normalisation in them."""
        n = self.norm
        g = n.weight / torch.sqrt(n.running_var + n.eps)
        return self.conv.weight * g[:, None, None], n.bias - n.running_mean * g


class Block(nn.Module):
    def __init__(self, width, dilation):
        super().__init__()
        self.time = Causal(width, width, REACH, dilation=dilation, groups=width)
        self.mix = Causal(width, width, 1)

    def forward(self, x):
        return torch.relu(x + self.mix(torch.relu(self.time(x))))


class Wake(nn.Module):
    def __init__(self, bands=40, width=WIDTH):
        super().__init__()
        self.front = nn.ModuleList([Causal(bands, 48, 5, 2), Causal(48, width, 5, 2)])
        self.blocks = nn.ModuleList([Block(width, d) for d in DILATIONS])
        self.head = nn.Conv1d(width, 1, 3)

    def forward(self, x):
        """[n, features, bands] -> [n, frames]"""
        x = x.transpose(1, 2)
        for f in self.front:
            x = torch.relu(f(x))
        for b in self.blocks:
            x = b(x)
        return self.head(F.pad(x, (2, 0)))[:, 0]
