"""Triangles onto one grid of pixels: the buffers of operators/kernels/raster.py, and its rows shared among threads.

Buffers are kept between pictures: one grid belongs to one caller at a time. Cameras of one calibration may share it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from operators.kernels import raster


class Bands:
    """Calls work(first, end) over all rows: in one call, or in four bands per thread."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def __call__(self, rows: int, work: Callable[[int, int], None]) -> None:
        if self._pool is None:
            work(0, rows)
            return
        edges = np.linspace(0, rows, 4 * self._threads + 1).astype(int).tolist()
        bands = list(pairwise(edges))
        futures = [self._pool.submit(work, *band) for band in bands[1::2]]
        for band in bands[::2]:
            work(*band)
        for future in futures:
            future.result()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


class Grid:
    """values (H, W) float32 and index (H, W) int32 as of raster.fill, boxes (T, BOX) int32 as of raster.set_up; valid until the
    next `fill`. indexed: whether the index is wanted."""

    def __init__(self, size: tuple[int, int], bands: Bands, indexed: bool = True) -> None:
        self.size, self.bands = size, bands
        self.values = np.empty(size, np.float32)
        self.index = np.empty(size if indexed else (0, 0), np.int32)
        self._make_room(1024)
        self.boxes = self._boxes[:0]

    def fill(
        self, triangles: np.ndarray, materials: np.ndarray, view: np.ndarray, near: float, cull: int, nothing: float
    ) -> None:
        """triangles (T, 3, 3) float64, materials (T,) int32; view, near, cull: of raster.set_up; `nothing` is the value of
        pixels without a triangle."""
        count = len(triangles)
        if count > len(self._planes):
            self._make_room(count + count // 4)  # scenes grow slowly
        planes, limits, boxes = self._planes[:count], self._limits[:count], self._boxes[:count]
        self.boxes = boxes
        raster.set_up(triangles, materials, view, near, cull, *self.size, planes, limits, boxes)

        def draw(first: int, end: int) -> None:
            self.values[first:end] = nothing
            self.index[first:end] = raster.NOTHING
            raster.fill(planes, limits, boxes, first, end, self.values, self.index)

        self.bands(self.size[0], draw)

    def _make_room(self, size: int) -> None:
        """Makes buffers for `size` triangles."""
        self._planes, self._limits = np.empty((size, raster.PLANES, 3)), np.empty((size, 2))
        self._boxes = np.empty((size, raster.BOX), np.int32)
