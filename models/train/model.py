"""Whisper's architecture, small, with its tensor names.

Two things are fitted to whisper.cpp: keys and values can get zero rows appended, because its flash attention pads them to a multiple of
256 without a mask; and the last column of the embedding is reserved (see export.py: it silences the tokens that are not trained)."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def sinusoids(n, d):
    inv = torch.exp(-math.log(10000) / (d // 2 - 1) * torch.arange(d // 2))
    t = torch.arange(n)[:, None] * inv[None]
    return torch.cat([t.sin(), t.cos()], 1)


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = nn.Linear(d, d), nn.Linear(d, d, bias=False), nn.Linear(d, d), nn.Linear(d, d)

    def forward(self, x, source=None, causal=False, zeros=0):
        y = x if source is None else source
        b, n, d = x.shape

        def split(t):
            return t.view(b, -1, self.heads, d // self.heads).transpose(1, 2)
        q, k, v = split(self.query(x)), split(self.key(y)), split(self.value(y))
        if zeros:
            k, v = F.pad(k, (0, 0, 0, zeros)), F.pad(v, (0, 0, 0, zeros))
        # written out: on a CPU, for these short sequences, the fused kernel makes a training step a quarter slower
        scores = (q * (d // self.heads) ** -.5) @ k.transpose(-1, -2)
        if causal:
            scores = scores + torch.full((n, n), -1e4, device=x.device, dtype=scores.dtype).triu(1)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, d))


class Block(nn.Module):
    def __init__(self, d, heads, cross):
        super().__init__()
        self.attn, self.attn_ln = Attention(d, heads), nn.LayerNorm(d)
        if cross:
            self.cross_attn, self.cross_attn_ln = Attention(d, heads), nn.LayerNorm(d)
        self.mlp, self.mlp_ln = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU("tanh"), nn.Linear(4 * d, d)), nn.LayerNorm(d)

    def forward(self, x, source=None, zeros=0):
        if source is None:
            x = x + self.attn(self.attn_ln(x), zeros=zeros)
        else:
            x = x + self.attn(self.attn_ln(x), causal=True)
            x = x + self.cross_attn(self.cross_attn_ln(x), source, zeros=zeros)
        return x + self.mlp(self.mlp_ln(x))


class Encoder(nn.Module):
    def __init__(self, d, heads, layers):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(80, d, 3, padding=1), nn.Conv1d(d, d, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", sinusoids(1500, d))
        self.blocks = nn.ModuleList(Block(d, heads, False) for _ in range(layers))
        self.ln_post = nn.LayerNorm(d)

    def forward(self, mel, zeros=0):  # mel [B, frames, 80], two mel frames per encoder frame
        x = F.gelu(self.conv1(mel.transpose(1, 2)), approximate="tanh")
        x = F.gelu(self.conv2(x), approximate="tanh").transpose(1, 2)
        x = x.float() + self.positional_embedding[:x.shape[1]]
        for b in self.blocks:
            x = b(x, zeros=zeros)
        return self.ln_post(x)


class Decoder(nn.Module):
    def __init__(self, d, heads, layers, tokens):
        super().__init__()
        self.token_embedding = nn.Embedding(tokens, d)
        self.positional_embedding = nn.Parameter(torch.randn(448, d) * .02)
        self.blocks = nn.ModuleList(Block(d, heads, True) for _ in range(layers))
        self.ln = nn.LayerNorm(d)
        nn.init.normal_(self.token_embedding.weight, std=.06)
        open_columns = torch.ones(d)
        open_columns[-1] = 0
        self.register_buffer("open_columns", open_columns, persistent=False)

    def forward(self, tokens, source, zeros=0):
        e = self.token_embedding.weight * self.open_columns
        x = F.embedding(tokens, e) + self.positional_embedding[:tokens.shape[1]]
        for b in self.blocks:
            x = b(x, source, zeros)
        return F.linear(self.ln(x) * self.open_columns, e)


class Whisper(nn.Module):
    def __init__(self, tokens, phones, d=160, heads=5, encoder=4, decoder=2):
        super().__init__()
        self.config = dict(tokens=tokens, phones=phones, d=d, heads=heads, encoder=encoder, decoder=decoder)
        self.encoder, self.decoder = Encoder(d, heads, encoder), Decoder(d, heads, decoder, tokens)
        self.ctc = nn.Linear(d, phones + 1)  # helps the encoder to learn; not exported
