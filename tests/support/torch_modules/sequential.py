"""Networks over tokens and time: ViT, Swin, and a recogniser with an LSTM.

In: nothing. Out: modules with random weights; widths are small, structure and operators are the published ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from support.torch_modules.convolutional import conv_norm


class Attention(nn.Module):
    """Multi-head self-attention, by hand as timm writes it or by PyTorch's fused function."""

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        batch, tokens, width = x.shape
        each = width // self.heads
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, each).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        else:
            weights = (q * each**-0.5) @ k.transpose(-2, -1)
            weights = weights if bias is None else weights + bias
            mixed = weights.softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    """A transformer block with the norm in front (Dosovitskiy et al. 2020)."""

    def __init__(self, width: int, heads: int, *, fused: bool, gelu: str) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, fused=fused)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate=gelu), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Patches, a class token, positions, two blocks: attention by hand and fused, both forms of GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 48, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 48))
        self.places = nn.Parameter(torch.randn(1, 17, 48))
        self.blocks = nn.Sequential(
            Block(48, 3, fused=False, gelu="none"), Block(48, 3, fused=True, gelu="tanh"), nn.LayerNorm(48)
        )
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.blocks(x)[:, 0])


class SwinBlock(nn.Module):
    """A shifted window block (Liu et al. 2021): roll, windows, gathered relative bias, mask, back."""

    def __init__(self, width: int = 32, heads: int = 2, window: int = 4) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, fused=False)
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        steps = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        apart = (steps[:, :, None] - steps[:, None, :] + window - 1).permute(1, 2, 0)
        self.register_buffer("index", apart[..., 0] * (2 * window - 1) + apart[..., 1])

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        size, shift = self.window, self.window // 2
        y = torch.roll(self.norm(x), (-shift, -shift), (1, 2))
        y = y.view(batch, height // size, size, width // size, size, channels).permute(0, 1, 3, 2, 4, 5)
        y = y.reshape(-1, size * size, channels)
        bias = self.table[self.index.view(-1)].view(size * size, size * size, -1).permute(2, 0, 1)
        y = self.attention(y, bias.unsqueeze(0))
        y = y.view(batch, height // size, width // size, size, size, channels).permute(0, 1, 3, 2, 4, 5)
        y = torch.roll(y.reshape(batch, height, width, channels), (shift, shift), (1, 2))
        return x + y


class Swin(nn.Module):
    """Patches, a block, patch merging, a block."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, 4)
        self.first, self.second = SwinBlock(32), SwinBlock(64)
        self.norm, self.merge = nn.LayerNorm(128), nn.Linear(128, 64, bias=False)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.patches(x).permute(0, 2, 3, 1))
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        x = self.second(self.merge(self.norm(torch.cat(parts, -1))))
        return self.head(x.mean([1, 2]))


class Recogniser(nn.Module):
    """Convolutions that flatten the height, a two-layer bidirectional LSTM over the width, classes a step (CRNN)."""

    def __init__(self, classes: int = 20) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(1, 16), nn.ReLU(), nn.MaxPool2d(2, 2), conv_norm(16, 32), nn.ReLU(), nn.MaxPool2d((2, 1), (2, 1)),
            nn.Conv2d(32, 48, (8, 1)), nn.ReLU(),
        )  # fmt: skip
        self.rnn = nn.LSTM(48, 24, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(48, 24, batch_first=True)
        self.head = nn.Linear(24, classes)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.features(x).squeeze(2).permute(0, 2, 1)
        return self.head(self.gru(self.rnn(steps)[0])[0]).log_softmax(-1)
