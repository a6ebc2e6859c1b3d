"""PQ, SQ and RQ of a net on frames that are not trained on, fused as fuse.panoptic does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from operators.fuse.panoptic_fusion import Fusion, Objects, Rules
from operators.nets.efficientps import EfficientPS, FindConfig
from operators.nets.efficientps_config import EfficientPSConfig
from operators.nets.region_proposals import ProposalConfig
from operators.score.panoptic import panoptic_quality
from operators.streams import VOID
from operators.train.panoptic.clips import Frame

MIN_STUFF = 1 / 1024
"""Least area of a stuff class, of the picture: 2048 of 1024 x 2048 pixels, as the paper has it."""
_MOST = 2**15  # instances of a class


class Score(NamedTuple):
    pq: float
    sq: float
    rq: float


@torch.inference_mode()
def judge(net: EfficientPS, frames: Sequence[Frame], config: EfficientPSConfig, device: torch.device) -> Score:
    """net: in eval()."""
    width, height = config.image_size
    fusion = Fusion(Rules(min_stuff_px=round(MIN_STUFF * width * height)), torch.get_num_threads())
    is_thing = np.array([name in config.things for name in config.class_names], bool)
    find = FindConfig(least_score=0.5, proposals=ProposalConfig(500, 200))

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for frame in frames:
            semantic, (found,) = net(torch.from_numpy(frame.image)[None].to(device), find)
            planes = np.array(config.thing_indices, np.int64)[found.things.cpu().numpy()]
            boxes, scores, masks = (t.cpu().numpy() for t in (found.boxes - 0.5, found.scores, found.masks))
            out = np.empty((height, width), np.int32)
            segments = fusion.fuse(semantic[0].cpu().numpy(), 1, is_thing, Objects(boxes, scores, planes, masks), out)
            codes = np.concatenate([[VOID * _MOST], segments.planes * _MOST])
            codes[1:][segments.rows >= 0] += np.flatnonzero(segments.rows >= 0)
            yield truth_of(frame, is_thing), codes[out]

    try:
        found = panoptic_quality(pairs(), len(config.class_names), VOID, _MOST)
    finally:
        fusion.close()
    return Score(float(found["pq"]), float(found["sq"]), float(found["rq"]))


def truth_of(frame: Frame, is_thing: np.ndarray) -> np.ndarray:
    """(H, W) int64: class * _MOST + number of the instance, 0 of stuff; void: VOID * _MOST"""
    codes = frame.classes.astype(np.int64) * _MOST
    counted = (frame.classes != VOID) & np.isin(frame.classes, np.flatnonzero(is_thing))
    codes[counted] += np.flatnonzero(counted)
    return codes[frame.segments]
