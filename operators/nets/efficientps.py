"""EfficientPS: semantic logits and instances of one picture from shared features.      Source: Mohan and Valada 2021; report, C2

With a tracking head it is PanopticTrackNet, each instance with an embedding (Hurtado et al. 2020; report, B3). Fusion to one map
is no part of the net: fuse.panoptic. Boxes are x1 y1 x2 y2 [px] between pixel edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from operators.nets.activated import normalised, xavier
from operators.nets.efficientnet import EfficientNet, tap_channels
from operators.nets.efficientps_config import MASK, STRIDE, EfficientPSConfig
from operators.nets.fpn2way import TwoWayFpn
from operators.nets.instance_head import BOX_CELLS, MASK_CELLS, BoxHead, MaskHead, TrackingHead
from operators.nets.region_proposals import (
    Anchors,
    ProposalConfig,
    Rpn,
    anchors_of,
    clipped,
    in_rows,
    moved,
    proposals,
    suppressed,
)
from operators.nets.roi_align import align
from operators.nets.semantic_head import SemanticHead, enlarged


class Dense(NamedTuple):
    """What the net computes everywhere. maps: P4, P8, P16, P32 (B, channels, h, w); semantic (B, classes, H / 4, W / 4) logits;
    of all anchors: objects (B, A) logits, offsets (B, A, 4)"""

    maps: list[Tensor]
    semantic: Tensor
    objects: Tensor
    offsets: Tensor
    anchors: Anchors


class Found(NamedTuple):
    """Instances of one picture, best first: boxes (M, 4) [px], scores (M,), things (M,) int64, masks (M, 28, 28) logits,
    embeddings (M, E); E = 0 without a tracking head"""

    boxes: Tensor
    scores: Tensor
    things: Tensor
    masks: Tensor
    embeddings: Tensor


class FindConfig(NamedTuple):
    """Which instances are found: their least score, at most `most`, IoU above which the better one of a class stays."""

    least_score: float = 0.05
    most: int = 100
    max_iou: float = 0.5
    proposals: ProposalConfig = ProposalConfig()


class EfficientPS(nn.Module):
    def __init__(self, config: EfficientPSConfig) -> None:
        super().__init__()
        self.config = config
        channels, things = config.channels, len(config.things)
        self.backbone = EfficientNet(config.width, config.depth)
        self.pyramid = TwoWayFpn(tap_channels(config.width), channels, config.layout)
        self.semantic = SemanticHead(channels, config.semantic_channels, len(config.class_names))
        self.rpn = Rpn(channels, len(config.anchor_ratios), config.rpn_layout)
        self.boxes = BoxHead(channels, config.hidden, things)
        self.masks = MaskHead(channels, things, config.layout)
        self.looks = TrackingHead(channels, things, config.embedding) if config.embedding else None
        xavier(self)

    def dense(self, image: Tensor) -> Dense:
        """image (B, H, W, 3) uint8 RGB, H and W multiples of 32."""
        maps = self.pyramid(self.backbone(normalised(image)))
        semantic = self.semantic(maps)
        objects, offsets = zip(*(self.rpn(x) for x in maps), strict=True)
        sizes = [(x.shape[2], x.shape[3]) for x in maps]
        anchors = anchors_of(sizes, self.config.anchor_scale, self.config.anchor_ratios, image.device)
        return Dense(maps, semantic, in_rows(objects, 1)[..., 0], in_rows(offsets, 4), anchors)

    def forward(self, image: Tensor, config: FindConfig | None = None) -> tuple[Tensor, list[Found]]:
        """In eval(): semantic logits (B, classes, H, W) and the instances of each picture."""
        dense, config = self.dense(image), config or FindConfig()
        return enlarged(dense.semantic, STRIDE), [self.find(dense, number, config) for number in range(len(image))]

    def find(self, dense: Dense, number: int, config: FindConfig) -> Found:
        """The instances of picture `number`."""
        maps = [x[number : number + 1] for x in dense.maps]
        height, width = (STRIDE * side for side in maps[0].shape[2:])
        regions, _ = proposals(dense.objects[number], dense.offsets[number], dense.anchors, height, width, config.proposals)
        logits, offsets = self.classified(maps, regions)
        boxes, scores, things = chosen(regions, logits.softmax(1), offsets, height, width, config)
        return Found(boxes, scores, things, *self.described(maps, boxes, things))

    def classified(self, maps: Sequence[Tensor], regions: Tensor) -> tuple[Tensor, Tensor]:
        """One picture, regions (R, 4) -> logits (R, things + 1), offsets (R, things, 4)"""
        if len(regions) == 0:
            things = len(self.config.things)
            return regions.new_zeros((0, things + 1)), regions.new_zeros((0, things, 4))
        return self.boxes(align(maps, [regions], BOX_CELLS, self.config.whole_px))

    def described(self, maps: Sequence[Tensor], boxes: Tensor, things: Tensor) -> tuple[Tensor, Tensor]:
        """One picture, boxes (M, 4), things (M,) -> masks (M, 28, 28) logits, embeddings (M, E)"""
        if len(boxes) == 0:
            return boxes.new_zeros((0, MASK, MASK)), boxes.new_zeros((0, self.config.embedding))
        cells = align(maps, [boxes], MASK_CELLS, self.config.whole_px)
        masks = self.masks(cells)[torch.arange(len(boxes), device=boxes.device), things]
        if self.looks is None:
            return masks, boxes.new_zeros((len(boxes), 0))
        return masks, self.looks.of_things(self.looks(cells, masks), things)


def chosen(
    regions: Tensor, probabilities: Tensor, offsets: Tensor, height: int, width: int, config: FindConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """regions (R, 4), probabilities (R, things + 1), offsets (R, things, 4) -> boxes (M, 4), scores (M,), things (M,).

    Best first. Every class of a region may become an instance."""
    row, thing = (probabilities[:, :-1] >= config.least_score).nonzero(as_tuple=True)
    scores = probabilities[row, thing]
    boxes = clipped(moved(regions[row], offsets[row, thing]), height, width)
    there = ((boxes[:, 2:] - boxes[:, :2]).amin(1) >= config.proposals.least) & boxes.isfinite().all(1)
    boxes, scores, thing = boxes[there], scores[there], thing[there]
    kept = suppressed(boxes, scores, thing, config.max_iou, config.most)
    return boxes[kept], scores[kept], thing[kept]
