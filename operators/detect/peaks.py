"""Maps of FairMOT's heads -> boxes: peaks of the heatmap, their size and offset.    Source: Zhou et al. 2019 (Objects as points)

A peak is a cell that no cell of its 3x3 neighbourhood exceeds. There is no other suppression. Torch, on the device of the maps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from operators.nets.fairmot import Maps, at_places
from operators.nets.fairmot_config import STRIDE


class Peaks(NamedTuple):
    """Objects of one picture, best first: boxes (N, 4) x1 y1 x2 y2 [px of the net's picture], scores (N,), classes (N,) int64,
    looks (N, E): embeddings of unit length."""

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    looks: Tensor


def peaks(maps: Maps, picture: int, max_boxes: int, min_score: float) -> Peaks:
    """picture: index in the batch. At most `max_boxes` peaks with a score of `min_score` or more. No peaks: N = 0."""
    heat = maps.heat[picture].sigmoid()
    tops = functional.max_pool2d(heat[None], 3, 1, 1)[0]
    flat = torch.where(heat == tops, heat, 0.0).flatten()
    scores, places = flat.topk(min(max_boxes, len(flat)))
    kept = scores >= min_score
    scores, places = scores[kept], places[kept]
    rows, columns = heat.shape[1:]
    row, column = places % (rows * columns) // columns, places % columns
    where = torch.stack([torch.full_like(row, picture), row, column], 1)
    centre = torch.stack([column, row], 1) + at_places(maps.offset, where)
    half = at_places(maps.size, where).clamp(min=0.25) / 2
    boxes = STRIDE * torch.cat([centre - half, centre + half], 1)
    return Peaks(boxes, scores, places // (rows * columns), functional.normalize(at_places(maps.looks, where), dim=1))
