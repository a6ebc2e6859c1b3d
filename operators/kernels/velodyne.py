"""Packets of a Velodyne scan to points: one pass over their bytes, straight into the slot.

A packet has 12 blocks of 100 bytes: bank of lasers (2), azimuth [0.01 degrees] (2), 32 times distance (2) and reflectivity (1).
The azimuth of a point is that of its block plus the share of the turn to the next block that its laser fires later, rounded to
0.01 degrees as other decoders do, in integers. A distance of 0 is no return. In dual packets each column comes twice; where both
distances are equal, the second is left out.
"""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCKS, BLOCK_BYTES, HEAD_BYTES, RETURN_BYTES = 12, 100, 4, 3
TURN = 36_000
NEAR_M = 25.0
"""Beyond, the far correction holds alone."""
MAX_STEP = 300
"""Azimuth from block to block of a sensor that turns 20 times a second and of one that leaves sectors out: less, more."""

ROT, COS, SIN, FAR, FAR_X, FAR_Y, UP, SIDE, LEAST, MOST, FOCAL, SLOPE, TWO_POINT, RING = range(14)
"""Columns of `lasers`: azimuth correction [rad], cosine and sine of the elevation, distance corrections (far, near along x and y)
and offsets of the optical centre [m], limits of the intensity, focal offset and slope, 1 if the near ones count, ring."""


@njit(nogil=True, cache=True)
def steps_of(packet: np.ndarray, stride: int, steps: np.ndarray) -> None:
    """steps (12,) int64: azimuth from each block to that of the following column [0.01 degrees]; the last has the one before it.

    packet (1206,) uint8; stride: blocks that share a column. A step over a sector that is left out has that of a neighbour.
    """
    last = -1
    for b in range(0, BLOCKS - stride, stride):
        at, to = BLOCK_BYTES * b + 2, BLOCK_BYTES * (b + stride) + 2
        step = (packet[to] + 256 * packet[to + 1] - packet[at] - 256 * packet[at + 1]) % TURN
        if step > MAX_STEP:
            step = last
        elif last < 0:
            for before in range(b):
                steps[before] = step
        last = step
        for k in range(stride):
            steps[b + k] = step
    for k in range(BLOCKS - stride, BLOCKS):
        steps[k] = last
    for k in range(BLOCKS):
        steps[k] = max(steps[k], 0)


@njit(nogil=True, cache=True)
def decode(
    packets: np.ndarray,
    starts_ns: np.ndarray,
    duals: np.ndarray,
    first: int,
    stop: int,
    blocks: int,
    halves: int,
    ticks: np.ndarray,
    tick_ns: float,
    cycle: int,
    distance_m: float,
    calibrated: bool,
    lasers: np.ndarray,
    turn: np.ndarray,
    least_m: float,
    most_m: float,
    points: np.ndarray,
    rings: np.ndarray,
    times: np.ndarray,
) -> tuple[int, int]:
    """-> points written, points for which there was no room.

    packets (P, 1206) uint8; starts_ns (P,) int64: first firing of each, from the stamp on; duals (P,) bool; first, stop: columns
    of the first packet before `first`, and of the last from `stop` on, belong to other scans; blocks: of one column; halves:
    columns of one block; ticks (32,) int64, cycle: when a laser fires, and the next block [tick_ns]; lasers (L, 14) float64;
    turn (36000, 2) float64: cosine and sine of each azimuth; calibrated: the columns of `lasers` from FAR on count.
    points (N, 4) float32; rings (N,) uint8 and times (N,) float32 [s, from the stamp on], or (0,): not wanted.
    """
    n = lost = 0
    room, ringed, timed = points.shape[0], rings.shape[0] > 0, times.shape[0] > 0
    per_half = 32 // halves
    steps = np.zeros(BLOCKS, np.int64)
    for p in range(packets.shape[0]):
        packet = packets[p]
        stride = blocks * (2 if duals[p] else 1)
        steps_of(packet, stride, steps)
        for b in range(BLOCKS):
            group = b // stride
            other = -1
            if duals[p] and b % stride >= blocks:
                other = BLOCK_BYTES * (b - blocks) + HEAD_BYTES
            at = BLOCK_BYTES * b
            azimuth = packet[at + 2] + 256 * packet[at + 3]
            bank = 32 * (b % blocks)
            at += HEAD_BYTES
            for j in range(32):
                column = group * halves + j // per_half
                if (p == 0 and column < first) or (p == packets.shape[0] - 1 and column >= stop):
                    continue
                k = at + RETURN_BYTES * j
                count = packet[k] + 256 * packet[k + 1]
                if count == 0:
                    continue
                if other >= 0:
                    k2 = other + RETURN_BYTES * j
                    if count == packet[k2] + 256 * packet[k2 + 1]:
                        continue
                laser = lasers[j % per_half + bank]
                away = count * distance_m + laser[FAR]
                if away < least_m or away > most_m:
                    continue
                if n == room:
                    lost += 1
                    continue
                angle = (azimuth + (2 * steps[b] * ticks[j] + cycle) // (2 * cycle)) % TURN
                cos, sin = turn[angle, 0], turn[angle, 1]
                if laser[ROT] != 0.0:
                    c, s = np.cos(laser[ROT]), np.sin(laser[ROT])
                    cos, sin = cos * c + sin * s, sin * c - cos * s
                strength = np.float64(packet[k + 2])
                if calibrated:
                    flat = away * laser[COS]
                    more_x = more_y = 0.0
                    if laser[TWO_POINT] > 0 and count * distance_m < NEAR_M:
                        # calibrated at 25.04 m, and at 2.4 m along x, 1.93 m along y
                        side, ahead = abs(flat * sin - laser[SIDE] * cos), abs(flat * cos + laser[SIDE] * sin)
                        more_x = (laser[FAR] - laser[FAR_X]) * (side - 2.4) / (25.04 - 2.4) + laser[FAR_X] - laser[FAR]
                        more_y = (laser[FAR] - laser[FAR_Y]) * (ahead - 1.93) / (25.04 - 1.93) + laser[FAR_Y] - laser[FAR]
                    right = (away + more_x) * laser[COS] * sin - laser[SIDE] * cos
                    ahead = (away + more_y) * laser[COS] * cos + laser[SIDE] * sin
                    up = (away + (more_x + more_y) / 2) * laser[SIN] + laser[UP]
                    near = 1.0 - count / 65535.0
                    strength += 256.0 * laser[SLOPE] * abs(laser[FOCAL] - near * near)
                    strength = min(max(strength, laser[LEAST]), laser[MOST])
                else:
                    right, ahead, up = away * laser[COS] * sin, away * laser[COS] * cos, away * laser[SIN]
                points[n, 0], points[n, 1], points[n, 2] = ahead, -right, up
                points[n, 3] = strength / 255.0
                if ringed:
                    rings[n] = np.uint8(laser[RING])
                if timed:
                    times[n] = (starts_ns[p] + (group * cycle + ticks[j]) * tick_ns) * 1e-9
                n += 1
    return n, lost
