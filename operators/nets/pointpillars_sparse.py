"""PointPillars on a CPU where the scene is not empty: same function as pointpillars_inference.py, a sixth of its products.

A scan of KITTI fills 1 to 3 % of the grid. Where no point is near, a map of the net is that of an empty scene, which is computed
once. For each frame a layer computes the sites that see an active site of the map before it: 7 % of the map after the first
convolution, 70 % after the last one. Convolutions of stride 1 take Winograd's F(4x4, 3x3) on tiles of 4x4 sites
(operators/kernels/winograd.py).

in   pillars (P, K, 4) or packed (R, 1, 4) float32, counts (P,), cells (P, 2)     arrays, as PointPillars
out  class_logits (A, C) float32
The bits of the result depend neither on the number of threads nor on the frames before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operators.kernels.active import TILE, list_sites, list_tiles, reach, restore
from operators.kernels.patches import add_parts, gather, gather_sites, rectify_rows, scatter_sites
from operators.kernels.pillar_features import add_taps, by_residue, pillar_features, rectify
from operators.kernels.winograd import WEIGHT_TRANSFORM, from_products, to_products
from operators.nets.pointpillars import PointPillars
from operators.nets.pointpillars_config import PointPillarsConfig
from operators.nets.pointpillars_inference import gain_and_shift

CHUNK = 1 << 18
"""Values of a matrix that one thread fills at a time: 1 MB, about a core's cache."""

TILES = 96
"""Least number of tiles: the weights of wide layers do not fit into the cache, so fewer tiles would wait for them."""


class Map:
    """size: R, C; the arrays as in operators/kernels/active.py."""

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        rows, columns = (-(-n // TILE) * TILE + 2 for n in size)
        self.size, self.columns = size, columns - 2
        self.field, self.empty = (np.zeros((rows, columns, channels), np.float32) for _ in range(2))
        self.active, self.before = (np.zeros((rows, columns), np.uint8) for _ in range(2))

    def turn(self) -> None:
        """Begin a frame: no site is active."""
        self.active, self.before = self.before, self.active
        self.active[:] = 0

    def restore(self) -> None:
        """The sites of the frame before that are not active become those of an empty scene."""
        restore(self.before, self.active, self.empty, self.field)

    def activate(self) -> None:
        self.active[1 : self.size[0] + 1, 1 : self.size[1] + 1] = 1


class Scratch:
    """Memory of one thread: three tensors at a time."""

    def __init__(self) -> None:
        self._memory = [torch.empty(0)] * 3

    def take(self, which: int, *shape: int) -> Tensor:
        """float32, uninitialised; valid until the next call with this number."""
        size = math.prod(shape)
        if size > self._memory[which].numel():
            self._memory[which] = torch.empty(size)
        return self._memory[which][:size].view(shape)


class PillarWeights:
    """The linear layer of a point's values: weight (9 or 10, F), bias (F,); as operators/kernels/pillar_features.py takes it."""

    def __init__(self, weight: Tensor, bias: Tensor, config: PointPillarsConfig) -> None:
        grid = np.array(config.centre_grid_m or (*config.cell_m, *config.range_m[:2]))
        self.cell, self.first_centre = grid[:2], grid[2:] + grid[:2] / 2
        of_point = weight[:4].clone()
        of_point[:3] += weight[4:7]
        of_point[:2] += weight[7:9]
        self.least, self.depth = torch.relu(bias).numpy(), config.max_points if config.padded_maximum else 0
        if config.features == 10:  # the offset to the middle of the range in z
            of_point[2] += weight[9]
            bias = bias - weight[9] * (config.range_m[2] + config.range_m[5]) / 2
        self.of_point, self.of_pillar, self.bias = of_point.numpy(), torch.cat([weight[:2], -weight[4:7]]).numpy(), bias.numpy()

    def run(self, pillars: np.ndarray, counts: np.ndarray, cells: np.ndarray, place: np.ndarray, out: np.ndarray) -> None:
        weights = self.of_point, self.of_pillar, self.bias, self.least, self.depth
        pillar_features(pillars, counts, cells, self.first_centre, self.cell, *weights, place, out)


class Conv:
    """3x3 convolution, bias, ReLU, from map to map. weight (C', C, 3, 3), bias (C',)"""

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, before: Map, after: Map) -> None:
        self.before, self.after, self.stride, self.bias = before, after, stride, bias
        self.items = np.empty(after.active.size, np.int32)
        self.wide, self.channels = weight.shape[:2]
        if stride == 1:
            transform = torch.from_numpy(WEIGHT_TRANSFORM)
            domain = torch.einsum("ia,ncab,jb->ijcn", transform, weight.double(), transform)
            self.weight = domain.reshape(36, self.channels, self.wide).float().contiguous()
            self.chunk = max(CHUNK // (36 * max(self.channels, self.wide)), TILES)
        else:
            self.weight = weight.permute(2, 3, 1, 0).reshape(9 * self.channels, self.wide).contiguous()
            self.chunk = max(CHUNK // (9 * max(self.channels, self.wide)), 1)

    def find(self) -> np.ndarray:
        """What this frame changes: tiles, or sites if the stride is not 1."""
        self.after.turn()
        reach(self.before.active, self.stride, self.after.size, self.after.active)
        self.after.restore()
        return self.items[: (list_tiles if self.stride == 1 else list_sites)(self.after.active, self.items)]

    def run(self, items: np.ndarray, scratch: Scratch) -> None:
        num, before, after = len(items), self.before, self.after
        if self.stride == 1:
            seen = scratch.take(0, 36, num, self.channels)
            products = scratch.take(1, 36, num, self.wide)
            to_products(before.field, items, scratch.take(2, 6, 6 * self.channels).numpy(), seen.numpy())
            torch.bmm(seen, self.weight, out=products)
            from_products(
                products.numpy(), self.bias.numpy(), items, after.active, scratch.take(2, 28, self.wide).numpy(), after.field
            )
        else:
            patches = scratch.take(0, num, 9 * self.channels)
            rows = scratch.take(1, num, self.wide)
            gather(before.field, items, after.columns, self.stride, patches.numpy())
            torch.mm(patches, self.weight, out=rows)
            scatter_sites(rows.numpy(), self.bias.numpy(), items, after.field)


class Level:
    """Transposed convolution of one block and its share of the class head: s x s locations of each site."""

    def __init__(self, up: Any, head: Tensor, step: int, field: Map) -> None:
        gain, shift = gain_and_shift(up.norm)
        weight = up.conv.weight.detach() * gain[:, None, None]  # (C, U, s, s)
        self.weight = weight.permute(0, 2, 3, 1).reshape(len(weight), -1).contiguous()  # (C, s * s * U)
        self.bias, self.head, self.step, self.map = shift.repeat(step * step), head.T.contiguous(), step, field
        self.width = len(shift)
        self.items = np.empty(field.active.size, np.int32)
        self.chunk = max(CHUNK // self.weight.shape[1], 1)

    def find(self) -> np.ndarray:
        return self.items[: list_sites(self.map.active, self.items)]

    def parts(self, items: np.ndarray, scratch: Scratch) -> np.ndarray:
        """(n, s, s, values of a location)"""
        num, step = len(items), self.step
        sites = scratch.take(2, num, self.map.field.shape[2])
        gather_sites(self.map.field, items, sites.numpy())
        up, part = scratch.take(0, num, self.weight.shape[1]), scratch.take(1, num * step * step, self.head.shape[1])
        torch.mm(sites, self.weight, out=up)
        rectify_rows(up.numpy(), self.bias.numpy())
        torch.mm(up.view(num * step * step, -1), self.head, out=part)
        return part.view(num, step, step, -1).numpy()

    def features(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Locations (n,), (n,) -> (n, U)"""
        step, field = self.step, torch.from_numpy(self.map.field)
        sites = field[rows // step + 1, columns // step + 1]
        weights = self.weight.view(len(self.weight), step * step, self.width).transpose(0, 1)
        return torch.relu(_by_group(sites, rows % step * step + columns % step, weights) + self.bias[: self.width])


class SparsePointPillars:
    """Made from a trained net, which is not changed."""

    def __init__(self, net: PointPillars, threads: int) -> None:
        self.config = net.config
        self.threads = max(threads, 1)
        alone: dict[str, Any] = {"initializer": torch.set_num_threads, "initargs": (1,)}
        self._pool = ThreadPoolExecutor(self.threads - 1, **alone) if self.threads > 1 else None
        with torch.no_grad():
            self._build(net)
        with _one_thread():
            self._find_empty()

    def _build(self, net: PointPillars) -> None:
        config = self.config
        gain, shift = gain_and_shift(net.pillar_norm)
        self.pillars = PillarWeights((net.pillar_linear.weight * gain[:, None]).T, shift, config)
        size = config.head_grid
        blocks: Any = net.blocks
        weight, self.first_bias = _folded(blocks[0][0])
        self.first = Map(size, config.block_channels[0])
        self.taps = _taps(weight, config.first_stride)
        self.convs, self.levels, field, start = [], [], self.first, 0
        for b, (block, up) in enumerate(zip(blocks, net.ups, strict=True)):
            for i, layer in enumerate(block):
                if b == i == 0:
                    continue
                stride = config.strides[b] if i == 0 else 1
                size = size[0] // stride, size[1] // stride
                after = Map(size, config.block_channels[b])
                self.convs.append(Conv(*_folded(layer), stride, field, after))
                field = after
            width = config.up_channels[b]
            self.levels.append(Level(up, net.class_head.weight[:, start : start + width, 0, 0], 1 << b, field))
            start += width
        bias: Any = net.class_head.bias
        self.class_bias = bias.clone()
        per_location = config.anchors_per_location
        both: list[tuple[Any, int]] = [(net.box_head, 7), (net.direction_head, 2)]
        # (anchors of a location, sum of U, 9), (anchors of a location, 9)
        self.box_weight = torch.cat([head.weight.reshape(per_location, n, start) for head, n in both], 1).transpose(1, 2)
        self.box_bias = torch.cat([head.bias.view(per_location, n) for head, n in both], 1)
        self._scratch = [Scratch() for _ in range(self.threads)]

    def _find_empty(self) -> None:
        """The maps and logits of an empty scene."""
        rows, columns = self.config.head_grid
        first = self.first
        first.activate()
        first.field[1 : rows + 1, 1 : columns + 1] = torch.relu(self.first_bias).numpy()
        self._run_convs()
        self._logits = self.class_bias.repeat(rows, columns, 1).numpy().copy()
        self._parts = []
        for level in self.levels:
            shape = (level.map.active.size, level.step, level.step, len(self.class_bias))
            usual, sites = np.zeros(shape, np.float32), level.find().copy()

            def keep(items: np.ndarray, scratch: Scratch, level: Level = level, usual: np.ndarray = usual) -> None:
                usual[items] = level.parts(items, scratch)

            self._share(sites, level.chunk, keep)
            add_parts(usual[sites], np.zeros_like(usual), sites, level.map.columns, self._logits)
            self._parts.append(usual)
        self._empty_logits = self._logits.copy()
        for field in self._maps():
            field.empty[:] = field.field
            field.active[:] = 0

    def _maps(self) -> list[Map]:
        return [self.first, *(conv.after for conv in self.convs)]

    def __call__(self, pillars: np.ndarray, counts: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """-> class_logits (A, C); the next call overwrites them."""
        with _one_thread(), torch.inference_mode():
            self._run(pillars, counts, cells)
        return self._logits.reshape(self.config.num_anchors, -1)

    def _run(self, pillars: np.ndarray, counts: np.ndarray, cells: np.ndarray) -> None:
        self._run_first(pillars, counts, cells)
        self._run_convs()
        self._logits[:] = self._empty_logits
        for level, usual in zip(self.levels, self._parts, strict=True):

            def add(items: np.ndarray, scratch: Scratch, level: Level = level, usual: np.ndarray = usual) -> None:
                add_parts(level.parts(items, scratch), usual, items, level.map.columns, self._logits)

            self._share(level.find(), level.chunk, add)

    def boxes(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Anchors (n,) int64 of the last scene -> box residuals (n, 7), direction logits (n, 2)."""
        location, kind = (torch.from_numpy(x) for x in np.divmod(at, self.config.anchors_per_location))
        rows, columns = location // self.config.head_grid[1], location % self.config.head_grid[1]
        with _one_thread(), torch.inference_mode():
            features = torch.cat([level.features(rows, columns) for level in self.levels], 1)  # (n, sum of U)
            out = _by_group(features, kind, self.box_weight) + self.box_bias[kind]
            return out[:, :7].numpy(), out[:, 7:].numpy()

    def _run_first(self, pillars: np.ndarray, counts: np.ndarray, cells: np.ndarray) -> None:
        config, stride = self.config, self.config.first_stride
        place, starts = np.empty(len(cells), np.int64), np.empty(stride * stride + 1, np.int64)
        self.first.turn()
        by_residue(cells, stride, place, starts)
        scratch = self._scratch[0]  # fresh memory costs more than these products
        features = scratch.take(0, len(cells), config.pillar_channels)
        self.pillars.run(pillars, counts, cells, place, features.numpy())
        field, empty = self.first, self.first_bias.numpy()
        for g, (taps, matrix) in enumerate(self.taps):
            start, stop = starts[g], starts[g + 1]
            if len(taps) and stop > start:
                products = scratch.take(1, stop - start, matrix.shape[1])
                torch.mm(features[start:stop], matrix, out=products)
                add_taps(products.numpy(), cells, place, start, taps, stride, field.size, empty, field.field, field.active)
        rectify(field.active, field.field)
        field.restore()

    def _run_convs(self) -> None:
        for conv in self.convs:
            self._share(conv.find(), conv.chunk, conv.run)

    def _share(self, items: np.ndarray, chunk: int, work: Callable[[np.ndarray, Scratch], None]) -> None:
        """work(items, scratch) on all items, a chunk at a time, in all threads."""
        numbers = itertools.count()  # next() is atomic

        def some(scratch: Scratch) -> None:
            with torch.inference_mode():
                while (start := next(numbers) * chunk) < len(items):
                    work(items[start : start + chunk], scratch)

        with torch.inference_mode():
            others = (
                [self._pool.submit(_inferring, some, s) for s in self._scratch[1:]] if self._pool and len(items) > chunk else []
            )
            some(self._scratch[0])
        for other in others:
            other.result()


def _inferring(some: Callable[[Scratch], None], scratch: Scratch) -> None:
    with torch.inference_mode():
        some(scratch)


@contextmanager
def _one_thread() -> Iterator[None]:
    """For one matrix product: a layer's products are shared out among threads. With more, a product has other last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _by_group(rows: Tensor, group: Tensor, weights: Tensor) -> Tensor:
    """Row i times weights[group[i]]: rows (n, C), group (n,), weights (groups, C, U) -> (n, U)"""
    order = torch.argsort(group, stable=True)
    parts = rows.index_select(0, order).split(torch.bincount(group, minlength=len(weights)).tolist())
    out = torch.cat([part @ weight for part, weight in zip(parts, weights, strict=True)])
    return torch.empty_like(out).index_copy_(0, order, out)


def _folded(layer: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with the batch norm behind it."""
    gain, shift = gain_and_shift(layer.norm)
    return layer.conv.weight.detach() * gain[:, None, None, None], shift


def _taps(weight: Tensor, stride: int) -> list[tuple[np.ndarray, Tensor]]:
    """For each residue of a pillar's row and column: the taps (T, 2) that see it, and their weights (F, T * C)."""
    out = []
    for row, column in itertools.product(range(stride), repeat=2):
        taps = [(i, j) for i in range(3) for j in range(3) if (row + 1 - i) % stride == 0 and (column + 1 - j) % stride == 0]
        matrix = torch.cat([weight[:, :, i, j].T for i, j in taps], 1) if taps else weight.new_empty((weight.shape[1], 0))
        out.append((np.array(taps, np.int64).reshape(-1, 2), matrix.contiguous()))
    return out
