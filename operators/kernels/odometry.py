"""ICP of a scan against a map of the scans before: thinning, a voxel map of bounded memory, weighted point-to-point steps.

All loops are serial, in input order: the same input gives the same bits. Positions are float64; a map point is stored as its
float32 offset from the corner of its cell, so that its precision does not depend on the distance driven.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

EMPTY = -1


class VoxelMap(NamedTuple):
    """V cells with up to K points each.

    table   (S,) int32        row of a cell, EMPTY; S: a power of two above V; open addressing, linear probing
    cells   (V, 3) int32      floor(position / edge), x y z
    counts  (V,) int32        points in the cell, 1..K
    points  (V, K, 3) float32 position - edge * cell [m]
    num     (1,) int64        rows in use
    """

    table: np.ndarray
    cells: np.ndarray
    counts: np.ndarray
    points: np.ndarray
    num: np.ndarray


def make_map(max_cells: int, max_points: int) -> VoxelMap:
    """An empty map; its memory is allocated once and never grows."""
    table = np.full(_table_size(max_cells), EMPTY, np.int32)
    cells, counts = np.zeros((max_cells, 3), np.int32), np.zeros(max_cells, np.int32)
    return VoxelMap(table, cells, counts, np.zeros((max_cells, max_points, 3), np.float32), np.zeros(1, np.int64))


def make_table(max_points: int) -> np.ndarray:
    """Scratch of `thin` for scans of up to max_points."""
    return np.empty(_table_size(max_points), np.int32)


def _table_size(entries: int) -> int:
    return 1 << (2 * max(entries, 1) - 1).bit_length()


@njit(nogil=True, cache=True)
def _start(x: int, y: int, z: int, mask: int) -> int:
    """Where the search for a cell begins in a table of mask + 1 entries."""
    h = (np.uint64(x) * np.uint64(0x9E3779B97F4A7C15)) ^ (np.uint64(y) * np.uint64(0xD1B54A32D192ED03))
    h = (h ^ (np.uint64(z) * np.uint64(0x8CB92BA72F3D8DD7))) * np.uint64(0x94D049BB133111EB)
    return np.int64(h >> np.uint64(32)) & mask


@njit(nogil=True, cache=True)
def crop(points: np.ndarray, nearest_m: float, farthest_m: float, kept: np.ndarray) -> int:
    """kept (N, 3) float32: the finite points (N, 4) float32 within the two distances from the sensor. -> their number"""
    num, low, high = 0, nearest_m * nearest_m, farthest_m * farthest_m
    for i in range(points.shape[0]):
        x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        square = x * x + y * y + z * z
        if low <= square <= high:  # false for NaN
            kept[num, 0], kept[num, 1], kept[num, 2] = points[i, 0], points[i, 1], points[i, 2]
            num += 1
    return num


@njit(nogil=True, cache=True)
def thin(points: np.ndarray, edge_m: float, table: np.ndarray, kept: np.ndarray) -> int:
    """kept (N, 3) float32: the first point of each cube of edge_m, in input order. -> their number

    points (N, 3) float32 [m], may be `kept` itself; table: scratch of `make_table(N)`.
    """
    table[:] = EMPTY
    mask, num = table.shape[0] - 1, 0
    for i in range(points.shape[0]):
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        x, y, z = int(np.floor(px / edge_m)), int(np.floor(py / edge_m)), int(np.floor(pz / edge_m))
        at = _start(x, y, z, mask)
        while table[at] != EMPTY:
            k = table[at]
            same = int(np.floor(kept[k, 0] / edge_m)) == x and int(np.floor(kept[k, 1] / edge_m)) == y
            if same and int(np.floor(kept[k, 2] / edge_m)) == z:
                break
            at = (at + 1) & mask
        if table[at] == EMPTY:
            table[at] = num
            kept[num, 0], kept[num, 1], kept[num, 2] = px, py, pz
            num += 1
    return num


@njit(nogil=True, cache=True)
def _find(voxels: VoxelMap, x: int, y: int, z: int) -> int:
    """Row of a cell; EMPTY - 1 - place in the table where it would be entered, if it is not there."""
    table, cells = voxels.table, voxels.cells
    mask = table.shape[0] - 1
    at = _start(x, y, z, mask)
    while True:
        row = table[at]
        if row == EMPTY:
            return EMPTY - 1 - at
        if cells[row, 0] == x and cells[row, 1] == y and cells[row, 2] == z:
            return np.int64(row)
        at = (at + 1) & mask


@njit(nogil=True, cache=True)
def insert(points: np.ndarray, T: np.ndarray, edge_m: float, apart_m: float, voxels: VoxelMap) -> int:
    """Adds points (N, 3) float32, moved by T (4, 4), to the map. -> points lost, since all V cells are in use

    A cell takes a point if it has fewer than K and none of them is nearer than apart_m.
    """
    lost, most, apart = 0, voxels.points.shape[1], np.float64(apart_m * apart_m)
    for i in range(points.shape[0]):
        px, py, pz = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        wx = T[0, 0] * px + T[0, 1] * py + T[0, 2] * pz + T[0, 3]
        wy = T[1, 0] * px + T[1, 1] * py + T[1, 2] * pz + T[1, 3]
        wz = T[2, 0] * px + T[2, 1] * py + T[2, 2] * pz + T[2, 3]
        x, y, z = int(np.floor(wx / edge_m)), int(np.floor(wy / edge_m)), int(np.floor(wz / edge_m))
        ox, oy, oz = wx - x * edge_m, wy - y * edge_m, wz - z * edge_m
        row = _find(voxels, x, y, z)
        if row < 0:
            if voxels.num[0] == voxels.counts.shape[0]:
                lost += 1
                continue
            at, row = EMPTY - 1 - row, voxels.num[0]
            voxels.table[at] = row
            voxels.cells[row, 0], voxels.cells[row, 1], voxels.cells[row, 2] = x, y, z
            voxels.counts[row] = 0
            voxels.num[0] += 1
        count = voxels.counts[row]
        free = count < most
        for k in range(count):
            dx, dy, dz = voxels.points[row, k, 0] - ox, voxels.points[row, k, 1] - oy, voxels.points[row, k, 2] - oz
            free = free and dx * dx + dy * dy + dz * dz >= apart
        if free:
            voxels.points[row, count, 0], voxels.points[row, count, 1], voxels.points[row, count, 2] = ox, oy, oz
            voxels.counts[row] = count + 1
    return lost


@njit(nogil=True, cache=True)
def prune(voxels: VoxelMap, x: float, y: float, z: float, farthest_m: float, edge_m: float) -> None:
    """Drops the cells whose centre is farther than farthest_m from x y z [m, world]. The others keep their order."""
    num, limit, table = 0, farthest_m * farthest_m, voxels.table
    for row in range(voxels.num[0]):
        dx = (voxels.cells[row, 0] + 0.5) * edge_m - x
        dy = (voxels.cells[row, 1] + 0.5) * edge_m - y
        dz = (voxels.cells[row, 2] + 0.5) * edge_m - z
        if dx * dx + dy * dy + dz * dz <= limit:
            if num != row:
                voxels.cells[num], voxels.counts[num] = voxels.cells[row], voxels.counts[row]
                voxels.points[num, : voxels.counts[row]] = voxels.points[row, : voxels.counts[row]]
            num += 1
    voxels.num[0] = num
    table[:] = EMPTY
    mask = table.shape[0] - 1
    for row in range(num):
        at = _start(voxels.cells[row, 0], voxels.cells[row, 1], voxels.cells[row, 2], mask)
        while table[at] != EMPTY:
            at = (at + 1) & mask
        table[at] = row


@njit(nogil=True, cache=True)
def _outside(offset: float, step: int, edge_m: float) -> float:
    """Distance along one axis from a point at `offset` in its cell to the cell `step` further: 0 for its own."""
    if step == 0:
        return 0.0
    return offset if step < 0 else edge_m - offset


@njit(nogil=True, cache=True)
def nearest(voxels: VoxelMap, edge_m: float, wx: float, wy: float, wz: float, limit: float) -> tuple[float, float, float, float]:
    """Of the map's points in the cell of w [m, world] and in its 26 neighbours the nearest one within sqrt(limit).

    -> squared distance, and w minus the point; limit where there is none. Of equal ones the first: own cell, then by x, y, z.
    """
    x, y, z = int(np.floor(wx / edge_m)), int(np.floor(wy / edge_m)), int(np.floor(wz / edge_m))
    ox, oy, oz = wx - x * edge_m, wy - y * edge_m, wz - z * edge_m
    best, rx, ry, rz = limit, 0.0, 0.0, 0.0
    for turn in range(28):
        i, j, k = (turn - 1) // 9 - 1, (turn - 1) // 3 % 3 - 1, (turn - 1) % 3 - 1
        if turn == 0:
            i, j, k = 0, 0, 0
        elif turn == 14:
            continue
        ax, ay, az = _outside(ox, i, edge_m), _outside(oy, j, edge_m), _outside(oz, k, edge_m)
        if ax * ax + ay * ay + az * az >= best:
            continue
        row = _find(voxels, x + i, y + j, z + k)
        if row < 0:
            continue
        bx, by, bz = ox - i * edge_m, oy - j * edge_m, oz - k * edge_m
        for n in range(voxels.counts[row]):
            dx, dy, dz = bx - voxels.points[row, n, 0], by - voxels.points[row, n, 1], bz - voxels.points[row, n, 2]
            square = dx * dx + dy * dy + dz * dz
            if square < best:
                best, rx, ry, rz = square, dx, dy, dz
    return best, rx, ry, rz


@njit(nogil=True, cache=True)
def gather(
    source: np.ndarray,
    T: np.ndarray,
    voxels: VoxelMap,
    edge_m: float,
    farthest_m: float,
    scale_m: float,
    A: np.ndarray,
    b: np.ndarray,
) -> tuple[int, float]:
    """The normal equations A (6, 6), b (6,) of one step, for the unknowns: shift x y z [m], turn x y z [rad].

    Each point q of source (N, 3) float32 has p = R q, the residual r = p + t - its nearest map point (at most farthest_m away)
    and the Jacobian [I, -[p]x]: the turn is about the sensor, so A keeps its condition far from the world's origin.
    Weight: (k / (k + |r|^2))^2 with k = scale_m^2 (Geman-McClure). -> points matched, sum of the weighted |r|^2
    """
    limit, k = farthest_m * farthest_m, scale_m * scale_m
    matched, total = 0, 0.0
    w0 = px0 = py0 = pz0 = xx = xy = xz = yy = yz = zz = 0.0
    rx0 = ry0 = rz0 = tx0 = ty0 = tz0 = 0.0
    for i in range(source.shape[0]):
        x, y, z = np.float64(source[i, 0]), np.float64(source[i, 1]), np.float64(source[i, 2])
        px = T[0, 0] * x + T[0, 1] * y + T[0, 2] * z
        py = T[1, 0] * x + T[1, 1] * y + T[1, 2] * z
        pz = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z
        square, rx, ry, rz = nearest(voxels, edge_m, px + T[0, 3], py + T[1, 3], pz + T[2, 3], limit)
        if square >= limit:
            continue
        w = k / (k + square)
        w *= w
        matched += 1
        total += w * square
        w0 += w
        px0, py0, pz0 = px0 + w * px, py0 + w * py, pz0 + w * pz
        xx, xy, xz = xx + w * px * px, xy + w * px * py, xz + w * px * pz
        yy, yz, zz = yy + w * py * py, yz + w * py * pz, zz + w * pz * pz
        rx0, ry0, rz0 = rx0 + w * rx, ry0 + w * ry, rz0 + w * rz
        tx0, ty0, tz0 = tx0 + w * (py * rz - pz * ry), ty0 + w * (pz * rx - px * rz), tz0 + w * (px * ry - py * rx)
    A[:] = 0.0
    A[0, 0] = A[1, 1] = A[2, 2] = w0
    A[0, 4], A[0, 5], A[1, 3], A[1, 5], A[2, 3], A[2, 4] = pz0, -py0, -pz0, px0, py0, -px0
    A[4, 0], A[5, 0], A[3, 1], A[5, 1], A[3, 2], A[4, 2] = pz0, -py0, -pz0, px0, py0, -px0
    A[3, 3], A[4, 4], A[5, 5] = yy + zz, xx + zz, xx + yy
    A[3, 4] = A[4, 3] = -xy
    A[3, 5] = A[5, 3] = -xz
    A[4, 5] = A[5, 4] = -yz
    b[0], b[1], b[2], b[3], b[4], b[5] = rx0, ry0, rz0, tx0, ty0, tz0
    return matched, total


@njit(nogil=True, cache=True)
def solve(A: np.ndarray, b: np.ndarray, x: np.ndarray) -> bool:
    """x (6,) = -A^-1 b by Cholesky; A (6, 6), symmetric, is overwritten. False: A is singular, x is untouched."""
    n = b.shape[0]
    largest = 0.0
    for i in range(n):
        largest = max(largest, A[i, i])
    for i in range(n):
        for j in range(i + 1):
            s = A[i, j]
            for k in range(j):
                s -= A[i, k] * A[j, k]
            if i != j:
                A[i, j] = s / A[j, j]
            elif s > 1e-12 * largest:
                A[i, i] = np.sqrt(s)
            else:
                return False
    for i in range(n):
        s = -b[i]
        for k in range(i):
            s -= A[i, k] * x[k]
        x[i] = s / A[i, i]
    for i in range(n - 1, -1, -1):
        s = x[i]
        for k in range(i + 1, n):
            s -= A[k, i] * x[k]
        x[i] = s / A[i, i]
    return True


@njit(nogil=True, cache=True)
def turn(v: np.ndarray, R: np.ndarray) -> None:
    """R (3, 3): the rotation by |v| about v (3,) [rad]. Source: Rodrigues' formula"""
    square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2]
    angle = np.sqrt(square)
    a = np.sin(angle) / angle if angle > 1e-4 else 1.0 - square / 6.0
    c = (1.0 - np.cos(angle)) / square if angle > 1e-4 else 0.5 - square / 24.0
    x, y, z = v[0], v[1], v[2]
    R[0, 0], R[0, 1], R[0, 2] = 1.0 - c * (y * y + z * z), c * x * y - a * z, c * x * z + a * y
    R[1, 0], R[1, 1], R[1, 2] = c * x * y + a * z, 1.0 - c * (x * x + z * z), c * y * z - a * x
    R[2, 0], R[2, 1], R[2, 2] = c * x * z - a * y, c * y * z + a * x, 1.0 - c * (x * x + y * y)


@njit(nogil=True, cache=True)
def align(
    source: np.ndarray,
    T: np.ndarray,
    voxels: VoxelMap,
    edge_m: float,
    farthest_m: float,
    scale_m: float,
    max_steps: int,
    least: int,
    epsilon: float,
) -> tuple[int, int, float]:
    """T (4, 4), T_world_sensor, is improved step by step until a step is smaller than epsilon (m and rad together).

    -> steps, points matched in the last one, its weighted sum of |r|^2. Matched < least, or singular: matched 0, T stays.
    """
    A, b, x, R, turned = np.zeros((6, 6)), np.zeros(6), np.zeros(6), np.zeros((3, 3)), np.zeros((3, 3))
    matched, total = 0, 0.0
    for step in range(max_steps):
        matched, total = gather(source, T, voxels, edge_m, farthest_m, scale_m, A, b)
        if matched < least or not solve(A, b, x):
            return step, 0, total
        turn(x[3:], R)
        for i in range(3):
            for j in range(3):
                turned[i, j] = R[i, 0] * T[0, j] + R[i, 1] * T[1, j] + R[i, 2] * T[2, j]
        T[:3, :3] = turned
        size = 0.0
        for i in range(3):
            T[i, 3] += x[i]
            size += x[i] * x[i] + x[i + 3] * x[i + 3]
        if size < epsilon * epsilon:
            return step + 1, matched, total
    return max_steps, matched, total
