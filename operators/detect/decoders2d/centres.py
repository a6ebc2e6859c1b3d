"""Peaks of a heatmap per class, with size and offset: CenterNet.         Source: Zhou et al. 2019 (Objects as points)

outputs  heatmap (1, C, H, W), size (1, 2, H, W) width height, offset (1, 2, H, W) of the centre, x y [cells] (may be absent)
A peak is a cell that no cell of its 3x3 neighbourhood exceeds; there is no other suppression. Stride: input width / W.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from operators.detect.decoders2d.found import Decoder, Found, Threshold, activate, logit
from operators.detect.decoders2d.rows import Shapes, listed


@dataclass(frozen=True, slots=True)
class CentresOutputs:
    """Names of the outputs; "": the shapes and the usual names say."""

    heatmap: str = ""
    size: str = ""
    offset: str = ""


@dataclass(frozen=True, slots=True)
class CentresConfig:
    activation: Literal["none", "sigmoid"] = "sigmoid"  # of the heatmap; none: the net has done it
    size_unit: Literal["cells", "input"] = "cells"  # of width and height; input: px of the input
    outputs: CentresOutputs = field(default_factory=CentresOutputs)


def fit(config: CentresConfig, shapes: Shapes, num_classes: int, size: tuple[int, int]) -> Decoder:
    named = config.outputs
    for name in (named.heatmap, named.size, named.offset):
        if name and name not in shapes:
            raise ValueError(f"outputs: needs names of outputs ({', '.join(shapes)}), got {name}")
    maps = {n: s for n, s in shapes.items() if len(s) == 4 and s[0] == 1}
    heat = [named.heatmap] if named.heatmap else [n for n, s in maps.items() if s[1] == num_classes]
    pairs = {n: s for n, s in maps.items() if s[1] == 2 and n not in (heat if len(heat) == 1 else ())}
    offset = named.offset or next((n for n in pairs if any(w in n.lower() for w in ("off", "reg")) and n != named.size), "")
    sizes = [named.size] if named.size else [n for n in pairs if n != offset]
    if (
        len(heat) != 1
        or len(sizes) != 1
        or len({maps[n][2:] for n in (*heat, *sizes, *filter(None, [offset])) if n in maps}) != 1
    ):
        raise ValueError(
            f"needs heatmap (1, {num_classes}, H, W), size (1, 2, H, W) and offset (1, 2, H, W) or none, got {listed(shapes)}; "
            "set centres.outputs if the names do not say which is which"
        )

    def run(arrays: Mapping[str, np.ndarray], threshold: Threshold) -> Found:
        return decode(config, arrays[heat[0]][0], arrays[sizes[0]][0], arrays[offset][0] if offset else None, size, threshold)

    return Decoder(run)


def decode(
    config: CentresConfig,
    heat: np.ndarray,
    sizes: np.ndarray,
    offsets: np.ndarray | None,
    size: tuple[int, int],
    threshold: Threshold,
) -> Found:
    """heat (C, H, W), sizes (2, H, W), offsets (2, H, W) or None."""
    height, width = heat.shape[1:]
    least = threshold.score if config.activation == "none" else logit(threshold.score)
    classes, rows, columns = np.nonzero(heat > least)
    values = heat[classes, rows, columns]
    edged = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    peak = np.ones(len(values), bool)
    for down in range(3):
        for right in range(3):
            peak &= values >= edged[classes, rows + down, columns + right]
    classes, rows, columns, values = classes[peak], rows[peak], columns[peak], values[peak]
    stride = np.array([size[0] / width, size[1] / height], np.float32)
    centre = np.stack([columns, rows], 1).astype(np.float32)
    if offsets is not None:
        centre = centre + offsets[:, rows, columns].T
    half = sizes[:, rows, columns].T.astype(np.float32) / 2
    centre = centre * stride
    half = half * stride if config.size_unit == "cells" else half
    boxes = np.concatenate([centre - half, centre + half], 1).astype(np.float32)
    return Found(boxes, activate(values, config.activation), classes)
