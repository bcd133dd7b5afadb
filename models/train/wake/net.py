"""The network: features in, one logit for each frame of 32 ms; looks only backwards, so it can be run as the sound comes in.

Its first half, the trunk, learns to hear phonemes (trunk.py) in everything that all the voices say, once for all phrases, and then stays as it
is; the second half learns the phrase from what the trunk hears. Without that, the network learns the few voices by heart: trained at once on
the phrase, it came to miss twice as many phrases of unknown voices as it did after half the time.

Written as products of matrices over stacked frames: on a CPU that trains three times as fast as convolutions. graph.py exports the same as
convolutions."""
import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH = 64
TRUNK, PHRASE = (1, 1, 2, 3), (4, 4, 6)  # dilations; it looks back half a second, then 1.4 s in all
STACK = 8  # features that the first layer sees at once, four of them new


def block(y, b, d):
    z = torch.relu(y)
    past, t = F.pad(z, (0, 0, 2 * d, 0)), y.shape[1]
    return y + b(torch.cat([past[:, :t], past[:, d:d + t], z], 2))


def layers(n, width):
    out = nn.ModuleList([nn.Linear(3 * width, width) for _ in range(n)])
    for b in out:
        nn.init.normal_(b.weight, std=.5 * (2 / (3 * width)) ** .5)
        nn.init.zeros_(b.bias)
    return out


class Trunk(nn.Module):
    def __init__(self, phones, bands=40, width=WIDTH):
        super().__init__()
        self.front = nn.Linear(STACK * bands, width)
        self.blocks = layers(len(TRUNK), width)
        self.phones = nn.Linear(width, phones + 1)  # only to train with

    def forward(self, x):
        """[n, features, bands] -> [n, frames, width]"""
        n, steps, bands = x.shape
        x = x[:, :steps // 4 * 4].reshape(n, steps // 4, 4 * bands)
        y = self.front(torch.cat([F.pad(x, (0, 0, 1, 0))[:, :-1], x], 2))
        for b, d in zip(self.blocks, TRUNK):
            y = block(y, b, d)
        return y

    def spoken(self, x):
        return self.phones(torch.relu(self(x)))


class Wake(nn.Module):
    def __init__(self, trunk, width=WIDTH):
        super().__init__()
        self.trunk = trunk
        self.blocks = layers(len(PHRASE), width)
        self.head = nn.Linear(width, 1)

    def after_trunk(self, y):
        for b, d in zip(self.blocks, PHRASE):
            y = block(y, b, d)
        z = F.pad(torch.relu(y), (0, 0, 2, 0))
        t = y.shape[1]
        return self.head((z[:, :t] + z[:, 1:t + 1] + z[:, 2:]) / 3)[..., 0]  # the mean of three frames: single ones ring too easily

    def forward(self, x):
        """[n, features, bands] -> [n, frames]"""
        return self.after_trunk(self.trunk(x))


def load(path):
    """A whole network as train.py writes it."""
    state = torch.load(path)
    net = Wake(Trunk(len(state["trunk.phones.bias"]) - 1))
    net.load_state_dict(state)
    return net.eval()
