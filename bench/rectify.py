"""`pipe bench rectify`: camera.rectify and fuse.paint on one core, each in turns with OpenCV's functions.

A smooth picture of 1600 x 900 through a lens of radtan and of fisheye. cv2.undistort and cv2.fisheye.undistortImage make their
maps for every picture. Points: 120,000 around the car, a sixth of them in the picture; cv2.projectPoints takes those in front
of the camera, then the pixels are read as in fuse.paint. CPU time of the thread, medians over the rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from bench.common import header, quantile
from operators.camera.rectify import rectify
from operators.fuse.paint import PaintConfig, cells, seen
from operators.geometry import lens as lenses
from operators.streams import Calibration, Lens

SIZE, POINTS, ROUNDS = (1600, 900), 120_000, 30
K = np.array([[1266.4, 0, 816.3], [0, 1266.4, 491.5], [0, 0, 1]])
COEFFICIENTS = {"radtan": (-0.31, 0.11, 0.0004, -0.0002, 0.0), "fisheye": (0.02, -0.01, 0.002, -0.0005)}
T_CAM_VELO = np.array([[0, -1, 0, 0.02], [0, 0, -1, -0.3], [1, 0, 0, -0.7], [0, 0, 0, 1.0]])


def main() -> dict[str, Any]:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
    about = header("pipe bench rectify", f"{SIZE[0]} x {SIZE[1]}, {POINTS} points, {ROUNDS} rounds")
    figures = _lenses(image) | _points(image, rng)
    for name, value in figures.items():
        print(f"{name:>36} {value:9.3f}")
    return {"about": about, "figures": figures}


def _lenses(image: np.ndarray) -> dict[str, float]:
    figures: dict[str, float] = {}
    for model, coefficients in COEFFICIENTS.items():
        fisheye, D = model == "fisheye", lenses.padded(coefficients)
        size = np.array(SIZE, np.int32)
        lens = Lens(K, D, np.array([fisheye]), size, np.eye(3), K, size)
        start = time.thread_time()
        maps = lenses.maps(lens, SIZE)
        figures[f"{model}, maps once.ms"] = (time.thread_time() - start) * 1e3
        other: Callable[[], Any] = (
            partial(cv2.fisheye.undistortImage, image, K, D[:4], Knew=K) if fisheye else partial(cv2.undistort, image, K, D)
        )
        out = np.empty_like(image)
        figures |= _turns({f"{model}, camera.rectify.ms": partial(rectify, image, maps, out), f"{model}, OpenCV.ms": other})
        apart = cv2.absdiff(out, other())
        figures[f"{model}, grey levels apart p99"] = float(np.percentile(apart, 99))
    return figures


def _points(image: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    points = rng.uniform([-60, -60, -2, 0], [60, 60, 4, 1], (POINTS, 4)).astype(np.float32)
    calibration = Calibration(np.c_[K, np.zeros(3)], T_CAM_VELO, np.array(SIZE, np.int32))

    def ours(config: PaintConfig) -> np.ndarray:
        where = seen(points, calibration, config)
        colors = np.zeros((POINTS, 3), np.uint8)
        colors[where.rows] = image[cells(where, image.shape[:2])]
        return colors

    def opencvs() -> np.ndarray:
        cam = points[:, :3].astype(np.float64) @ T_CAM_VELO[:3, :3].T + T_CAM_VELO[:3, 3]
        rows = np.flatnonzero(cam[:, 2] >= 0.1)
        uv = cv2.projectPoints(cam[rows], np.zeros(3), np.zeros(3), K, np.zeros(5))[0][:, 0]
        column, row = np.floor(uv + 0.5).T
        inside = (column >= 0) & (column < SIZE[0]) & (row >= 0) & (row < SIZE[1])
        colors = np.zeros((POINTS, 3), np.uint8)
        colors[rows[inside]] = image[row[inside].astype(np.intp), column[inside].astype(np.intp)]
        return colors

    plain, hiding = partial(ours, PaintConfig()), partial(ours, PaintConfig(occlusion_px=8))
    figures = _turns({"fuse.paint.ms": plain, "fuse.paint, occlusion.ms": hiding, "paint with cv2.projectPoints.ms": opencvs})
    figures["points in the picture"] = float(len(seen(points, calibration, PaintConfig()).rows))
    figures["points of another colour"] = float((plain() != opencvs()).any(1).sum())
    return figures


def _turns(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.thread_time()
            call()
            took[name].append((time.thread_time() - start) * 1e3)
    return {name: quantile(ms, 0.5) for name, ms in took.items()}
