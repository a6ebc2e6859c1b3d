"""EfficientPS on enlarged, reduced and mirrored copies of a picture, as the paper tests.      Source: Mohan and Valada 2021

Semantic logits are averaged at the picture's size. All copies propose regions; each copy classifies, moves and masks all of them,
and class probabilities, offsets, mask logits and embeddings are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from operators.nets.efficientps import Dense, EfficientPS, FindConfig, Found, chosen
from operators.nets.efficientps_config import COARSEST, STRIDE
from operators.nets.region_proposals import proposals, suppressed
from operators.nets.semantic_head import enlarged

SCALES = (0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


class _Copy(NamedTuple):
    """factor: x y of a pixel of the picture in the copy; height, width: of the copy [px]"""

    dense: Dense
    factor: Tensor
    height: int
    width: int
    mirrored: bool

    def there(self, boxes: Tensor) -> Tensor:
        """Boxes of the picture -> of the copy."""
        boxes = boxes * self.factor.repeat(2)
        return _mirrored(boxes, self.width) if self.mirrored else boxes

    def back(self, boxes: Tensor) -> Tensor:
        return (_mirrored(boxes, self.width) if self.mirrored else boxes) / self.factor.repeat(2)


def at_scales(
    net: EfficientPS, image: Tensor, scales: Sequence[float], mirror: bool, config: FindConfig | None = None
) -> tuple[Tensor, Found]:
    """image (1, H, W, 3) uint8 -> semantic logits (1, classes, H, W), instances, both in pixels of the picture.

    With scales (1.0,) and no mirror this is `net(image)`.
    """
    config = config or FindConfig()
    height, width = image.shape[1:3]
    copies = [_copy(net, image, scale, mirrored) for scale in scales for mirrored in ((False, True) if mirror else (False,))]
    semantic = torch.stack([_semantic(c, height, width) for c in copies]).mean(0)
    regions, scores = [], []
    for c in copies:
        boxes, score = proposals(c.dense.objects[0], c.dense.offsets[0], c.dense.anchors, c.height, c.width, config.proposals)
        regions.append(c.back(boxes))
        scores.append(score)
    region = torch.cat(regions)
    if len(copies) > 1:
        groups = torch.zeros(len(region), dtype=torch.long, device=region.device)
        region = region[suppressed(region, torch.cat(scores), groups, config.proposals.max_iou, config.proposals.after)]
    each = [net.classified(c.dense.maps, c.there(region)) for c in copies]
    probabilities = torch.stack([logits.softmax(1) for logits, _ in each]).mean(0)
    offsets = torch.stack([_offsets(moves, c.mirrored) for (_, moves), c in zip(each, copies, strict=True)]).mean(0)
    boxes, score, things = chosen(region, probabilities, offsets, height, width, config)
    described = [net.described(c.dense.maps, c.there(boxes), things) for c in copies]
    masks = torch.stack([m.flip(2) if c.mirrored else m for (m, _), c in zip(described, copies, strict=True)]).mean(0)
    return semantic, Found(boxes, score, things, masks, torch.stack([looks for _, looks in described]).mean(0))


def _copy(net: EfficientPS, image: Tensor, scale: float, mirrored: bool) -> _Copy:
    height, width = image.shape[1:3]
    rows, columns = (max(round(side * scale / COARSEST), 1) * COARSEST for side in (height, width))
    picture = image
    if (rows, columns) != (height, width):
        enlarged = functional.interpolate(image.permute(0, 3, 1, 2).float(), (rows, columns), mode="bilinear", antialias=True)
        picture = enlarged.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    if mirrored:
        picture = picture.flip(2)
    factor = torch.tensor((columns / width, rows / height), device=image.device)
    return _Copy(net.dense(picture), factor, rows, columns, mirrored)


def _semantic(c: _Copy, height: int, width: int) -> Tensor:
    logits = enlarged(c.dense.semantic.flip(3) if c.mirrored else c.dense.semantic, STRIDE)
    return logits if logits.shape[2:] == (height, width) else functional.interpolate(logits, (height, width), mode="bilinear")


def _mirrored(boxes: Tensor, width: int) -> Tensor:
    return torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)


def _offsets(offsets: Tensor, mirrored: bool) -> Tensor:
    """Of a mirrored copy: the change of x goes the other way."""
    return offsets * offsets.new_tensor((-1, 1, 1, 1)) if mirrored else offsets
