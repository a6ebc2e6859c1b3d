"""The net of fuse.gate: a backbone per modality, their fusion, a transformer encoder and decoder, classes and boxes per query.

Sources: sec. 5.2 of the report (D2); Carion et al. 2020 (DETR). No anchors, no suppression of boxes.
`decoder: dense` is DETR: learned queries that attend to all cells. `decoder: deformable` takes its queries from the best cells of
the encoder (Zhu et al. 2021, two-stage; Lv et al. 2023, RT-DETR), and each layer improves the boxes of the one before. Why:
docs/decisions/020-fusion-net.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from operators.nets.fusion_backbones import Light, ResNet50
from operators.nets.fusion_config import FusionNetConfig
from operators.nets.fusion_schemes import Fused, Fusion, Parts
from operators.nets.fusion_transformer import DecoderLayer, EncoderLayer, inverse_sigmoid, mlp, sine, sine_position

_RARE = 0.01  # score of every cell before training (Lin et al. 2017)
_FIRST_CELLS = 3.0  # width and height of a cell's first box, in cells


class Found(NamedTuple):
    """What the decoder says. logits (L, B, N, classes + 1), the last class = no object; boxes (L, B, N, 4) centre x, centre y,
    width, height, 0..1; L layers, the last one is the result. cell_logits (B, T, classes), cell_boxes (B, T, 4): of the encoder's
    cells, None where the queries are learned; cell_boxes also outside of training. cells (B, N) int64: cell of each query."""

    logits: Tensor
    boxes: Tensor
    cell_logits: Tensor | None
    cell_boxes: Tensor | None
    cells: Tensor | None


class FusionNet(nn.Module):
    position: Tensor
    cells: Tensor

    def __init__(self, config: FusionNetConfig) -> None:
        super().__init__()
        self.config = config
        self.backbones = nn.ModuleList(_backbone(config, name) for name in config.modalities)
        self.fusion = Fusion(config)
        hidden, (rows, columns) = config.hidden, config.grid
        self.project = nn.Conv2d(self.fusion.channels, hidden, 1)
        self.project_norm = nn.LayerNorm(hidden)  # a map of share 0.5 each is half as large as one of share 1
        self.encoder = nn.ModuleList(
            EncoderLayer(hidden, config.heads, config.feedforward, config.key_pool) for _ in range(config.encoder_layers)
        )
        self.selects = config.decoder == "deformable"
        points = config.points if self.selects else 0
        self.decoder = nn.ModuleList(
            DecoderLayer(hidden, config.heads, config.feedforward, points) for _ in range(config.decoder_layers)
        )
        position = sine_position(rows, columns, hidden)
        self.register_buffer("position", position.flatten(1).t()[None].contiguous(), persistent=False)
        classes = len(config.class_names)
        heads = config.decoder_layers if self.selects else 1  # DETR shares the heads of its layers
        self.classify = nn.ModuleList(nn.Linear(hidden, classes + 1) for _ in range(heads))
        self.place = nn.ModuleList(mlp(hidden, hidden, 4) for _ in range(heads))
        if self.selects:
            self.cell_classify, self.cell_place = nn.Linear(hidden, classes), mlp(hidden, hidden, 4)
            self.content, self.content_norm = nn.Linear(hidden, hidden), nn.LayerNorm(hidden)
            self.query_place = mlp(2 * hidden, hidden, hidden)
            nn.init.constant_(self.cell_classify.bias, math.log(_RARE / (1 - _RARE)))
            for box_head in (self.cell_place, *self.place):  # before training, a box stays where it is
                nn.init.zeros_(box_head[-1].weight)
                nn.init.zeros_(box_head[-1].bias)
            self.register_buffer("cells", _cells(rows, columns), persistent=False)
        else:
            self.queries = nn.Embedding(config.queries, hidden)

    # ---- pictures -> maps -> one map

    def maps(self, pictures: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Per modality (B, H, W, 3) RGB or (B, H, W) uint8, None = absent -> (B, C, h, w); None, without computing, if absent."""
        return [
            None if picture is None else backbone(normal(picture, backbone))
            for picture, backbone in zip(pictures, self.backbones, strict=True)
        ]

    def parts(self, pictures: Sequence[Tensor | None]) -> Parts:
        return self.fusion.parts(self.maps(pictures))

    # ---- one map -> objects

    def detect(self, features: Tensor) -> Found:
        """features as in Fused"""
        memory = self.project_norm(self.project(features).flatten(2).transpose(1, 2))  # (B, T, D)
        grid = self.config.grid
        for layer in self.encoder:
            memory = layer(memory, self.position, grid)
        as_map = memory.transpose(1, 2).unflatten(2, grid)
        cell_logits = cell_boxes = cells = None
        if self.selects:
            cell_logits = self.cell_classify(memory)
            cells = cell_logits.amax(2).topk(self.config.queries, 1).indices
            best = cells[:, :, None]
            chosen = memory.gather(1, best.expand(-1, -1, memory.shape[2]))
            first = self.cells.expand(len(memory), -1, -1).gather(1, best.expand(-1, -1, 4))
            boxes = (self.cell_place(chosen) + first).sigmoid().detach()
            if self.training:  # every cell learns a box; of the others nobody reads it
                cell_boxes = (self.cell_place(memory) + self.cells).sigmoid()
            x = self.content_norm(self.content(chosen))
        else:
            x = torch.zeros_like(self.queries.weight)[None].expand(len(memory), -1, -1)
            boxes = features.new_full((len(memory), self.config.queries, 4), 0.5)
        logits, placed = [], []
        for k, layer in enumerate(self.decoder):
            place = self._place_of(boxes) if self.selects else self.queries.weight[None].expand_as(x)
            x = layer(x, place, boxes, as_map, self.position)
            head = k if self.selects else 0
            new = (self.place[head](x) + inverse_sigmoid(boxes)).sigmoid()
            logits.append(self.classify[head](x))
            placed.append(new)
            if self.selects:
                boxes = new.detach()
        return Found(torch.stack(logits), torch.stack(placed), cell_logits, cell_boxes, cells)

    def _place_of(self, boxes: Tensor) -> Tensor:
        """(B, N, 4) -> (B, N, D)"""
        waves = sine(boxes * 2 * math.pi, self.config.hidden // 2)  # (B, N, 4, D / 2)
        y: Tensor = self.query_place(waves.flatten(2))
        return y

    def forward(self, pictures: Sequence[Tensor | None]) -> tuple[Found, Fused]:
        fused = self.fusion(self.maps(pictures))
        return self.detect(fused.features), fused


def corners(boxes: Tensor) -> Tensor:
    """(..., 4) centre x, centre y, width, height -> x1 y1 x2 y2"""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def _backbone(config: FusionNetConfig, modality: str) -> nn.Module:
    if config.backbone == "resnet50":
        return ResNet50(3)
    return Light(3 if modality == "image" else 1, config.stage_channels, config.map_channels, config.map_stride)


def normal(picture: Tensor, backbone: nn.Module) -> Tensor:
    """uint8 -> (B, channels, H, W) float32 about 0; a picture of one channel is repeated where the backbone takes three."""
    x = picture.to(torch.float32, copy=True).sub_(127.5).mul_(1 / 64)
    if x.ndim == 3:
        x = x[..., None].expand(-1, -1, -1, 3) if isinstance(backbone, ResNet50) else x[..., None]
    return x.permute(0, 3, 1, 2)  # channels lie last


def _cells(rows: int, columns: int) -> Tensor:
    """(1, T, 4): logits of the first box of each cell, around its centre."""
    y = (torch.arange(rows) + 0.5) / rows
    x = (torch.arange(columns) + 0.5) / columns
    yy, xx = torch.meshgrid(y, x, indexing="ij")
    w, h = torch.full_like(xx, min(_FIRST_CELLS / columns, 0.5)), torch.full_like(xx, min(_FIRST_CELLS / rows, 0.5))
    return inverse_sigmoid(torch.stack([xx, yy, w, h], -1).flatten(0, 1))[None]


def num_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
