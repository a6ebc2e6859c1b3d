"""Encoder and decoder over the cells of one map.   Sources: Carion et al. 2020 (DETR); Zhu et al. 2021 (deformable attention);
Wang et al. 2021 (PVT: keys of pooled cells)

Maps are (B, D, h, w), tokens (B, T, D), boxes (B, N, 4) centre x, centre y, width, height, 0..1 of the picture. Norms stand after
the residual sum, as in DETR.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_TEMPERATURE = 10_000.0


def sine_position(rows: int, columns: int, width: int) -> Tensor:
    """(width, rows, columns): DETR's 2D sine encoding, normalised; the first half of the channels is of the row."""
    halves = []
    for axis, num in enumerate((rows, columns)):
        at = (torch.arange(num, dtype=torch.float32) + 1) / num * 2 * math.pi
        waves = sine(at, width // 2)  # (num, width / 2)
        shape = (rows, columns, width // 2)
        halves.append((waves[:, None] if axis == 0 else waves[None]).expand(shape))
    return torch.cat(halves, 2).permute(2, 0, 1).contiguous()


def sine(at: Tensor, width: int) -> Tensor:
    """(...) angles -> (..., width), sine and cosine in turns, of falling frequency."""
    k = torch.arange(width // 2, dtype=torch.float32, device=at.device)
    angles = at[..., None] / _TEMPERATURE ** (2 * k / width)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)


def inverse_sigmoid(x: Tensor) -> Tensor:
    x = x.clamp(1e-4, 1 - 1e-4)
    return (x / (1 - x)).log()


class Attention(nn.Module):
    """Multi-head attention; query, key, value (B, ., D)."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(4))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        y: Tensor = self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y


class DeformableAttention(nn.Module):
    """Each query reads `points` places per head, around its box."""

    def __init__(self, hidden: int, heads: int, points: int) -> None:
        super().__init__()
        self.heads, self.points = heads, points
        self.value, self.out = nn.Conv2d(hidden, hidden, 1), nn.Linear(hidden, hidden)
        self.offsets, self.shares = nn.Linear(hidden, heads * points * 2), nn.Linear(hidden, heads * points)
        angles = torch.arange(heads) * (2 * math.pi / heads)  # a direction per head, farther with each point
        ring = torch.stack([angles.cos(), angles.sin()], -1)
        ring = (ring / ring.abs().amax(1, keepdim=True))[:, None] * torch.arange(1, points + 1)[:, None] / points
        for layer in (self.offsets, self.shares):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.offsets.bias.copy_(ring.flatten())

    def forward(self, query: Tensor, boxes: Tensor, memory: Tensor) -> Tensor:
        """query (B, N, D), boxes (B, N, 4), memory (B, D, h, w) -> (B, N, D)"""
        batch, num = query.shape[:2]
        rows, columns = memory.shape[2:]
        values = self.value(memory).reshape(batch * self.heads, -1, rows, columns)
        offsets = self.offsets(query).view(batch, num, self.heads, self.points, 2)
        shares = self.shares(query).view(batch, num, self.heads, self.points).softmax(-1)
        at = boxes[:, :, None, None, :2] + offsets * boxes[:, :, None, None, 2:] * 0.5  # offset 1: the box's edge
        grid = (2 * at - 1).transpose(1, 2).flatten(0, 1)  # (B * heads, N, points, 2)
        read = functional.grid_sample(values, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        mixed = (read * shares.transpose(1, 2).flatten(0, 1)[:, None]).sum(-1)  # (B * heads, D / heads, N)
        y: Tensor = self.out(mixed.reshape(batch, -1, num).transpose(1, 2))
        return y


class FeedForward(nn.Module):
    def __init__(self, hidden: int, wide: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(hidden, wide), nn.Linear(wide, hidden)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(functional.relu(self.first(x)))
        return y


class EncoderLayer(nn.Module):
    """pool: keys and values are means over pool x pool cells."""

    def __init__(self, hidden: int, heads: int, wide: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.attention, self.feedforward = Attention(hidden, heads), FeedForward(hidden, wide)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))

    def forward(self, x: Tensor, position: Tensor, grid: tuple[int, int]) -> Tensor:
        """x (B, T, D), position (1, T, D), T = rows * columns of the grid"""
        placed = x + position
        key, value = placed, x
        if self.pool > 1:
            key, value = (
                functional.avg_pool2d(t.transpose(1, 2).unflatten(2, grid), self.pool).flatten(2).transpose(1, 2)
                for t in (placed, x)
            )
        x = self.norms[0](x + self.attention(placed, key, value))
        y: Tensor = self.norms[1](x + self.feedforward(x))
        return y


class DecoderLayer(nn.Module):
    """points 0: the queries attend to all cells; more: deformable attention around their boxes."""

    def __init__(self, hidden: int, heads: int, wide: int, points: int) -> None:
        super().__init__()
        self.own, self.feedforward = Attention(hidden, heads), FeedForward(hidden, wide)
        self.cross = DeformableAttention(hidden, heads, points) if points else Attention(hidden, heads)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3))

    def forward(self, x: Tensor, place: Tensor, boxes: Tensor, memory: Tensor, position: Tensor) -> Tensor:
        """x, place (B, N, D): queries and their positions; boxes (B, N, 4); memory (B, D, h, w); position (1, T, D)"""
        placed = x + place
        x = self.norms[0](x + self.own(placed, placed, x))
        if isinstance(self.cross, DeformableAttention):
            read = self.cross(x + place, boxes, memory)
        else:
            tokens = memory.flatten(2).transpose(1, 2)
            read = self.cross(x + place, tokens + position, tokens)
        x = self.norms[1](x + read)
        y: Tensor = self.norms[2](x + self.feedforward(x))
        return y


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
