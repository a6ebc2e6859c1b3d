"""`pipe bench align`: fuse.align and fuse.health at 640 x 512, on one core; the warp in turns with cv2.warpPerspective.

Frames of the generated world, warped by a homography; also from twice the size. Thermal: the image, inverted. CPU time of the
thread, which other load slows down less than the clock; medians over the frames. Differences: grey levels between both warps, of
the same size, where OpenCV's own map is rounded to 1/32 pixel too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from bench.common import header, quantile
from drivers.synthetic.world import SyntheticWorld
from operators.fuse.align import tables, warp
from operators.fuse.sensor_faults import HealthConfig, Judge, Seen
from pipeline.testing import run_source

SIZE, ROUNDS, FRAMES = (640, 512), 30, 6
H = np.array([[1.03, 0.02, -11.0], [-0.01, 1.02, 6.0], [1e-5, -1e-5, 1.0]])


def main() -> dict[str, Any]:
    config = {"frames": FRAMES, "camera": {"width": SIZE[0], "height": SIZE[1]}}
    images = [reading.values["image"] for reading in run_source(SyntheticWorld, config, wanted=["image"])]
    about = header("pipe bench align", f"{FRAMES} generated frames of {SIZE[0]} x {SIZE[1]}, {ROUNDS} rounds")
    cv2.setNumThreads(1)
    figures = _warps(images) | _health(images)
    for name, ms in figures.items():
        print(f"{name:>32} {ms:8.3f}")
    return {"about": about, "figures": figures}


def _warps(images: list[np.ndarray]) -> dict[str, float]:
    out, other = (np.empty((SIZE[1], SIZE[0], 3), np.uint8) for _ in range(2))
    same = tables(H, SIZE, SIZE)
    large = [cv2.resize(image, (2 * SIZE[0], 2 * SIZE[1])) for image in images]
    half = tables(H @ np.diag([0.5, 0.5, 1.0]), (2 * SIZE[0], 2 * SIZE[1]), SIZE)
    took: dict[str, list[float]] = {"align.ms": [], "warpPerspective.ms": [], "align, twice the size.ms": []}
    for _ in range(ROUNDS):
        for image, twice in zip(images, large, strict=True):
            took["align.ms"].append(_ms(partial(warp, image, same, out)))
            took["warpPerspective.ms"].append(_ms(partial(cv2.warpPerspective, image, H, SIZE, dst=other)))
            took["align, twice the size.ms"].append(_ms(partial(warp, twice, half, other)))
    warp(images[-1], same, out)
    apart = cv2.absdiff(out, cv2.warpPerspective(images[-1], H, SIZE))
    return {name: quantile(ms, 0.5) for name, ms in took.items()} | {"difference.p99": float(np.percentile(apart, 99))}


def _health(images: list[np.ndarray]) -> dict[str, float]:
    judge, took, number = Judge(HealthConfig()), [], 0
    thermals = [255 - cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    for _ in range(ROUNDS):
        for image, thermal in zip(images, thermals, strict=True):
            number += 1
            seen = {"image": Seen(image, number, 0.0), "thermal": Seen(thermal, number, 0.0)}
            took.append(_ms(partial(judge.step, seen)))
    return {"health.ms": quantile(took, 0.5), "health.p99_ms": quantile(took, 0.99)}


def _ms(call: Callable[[], Any]) -> float:
    start = time.thread_time()
    call()
    return (time.thread_time() - start) * 1e3
