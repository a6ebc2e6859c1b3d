"""Packets as the manuals describe them, from numbers, for tests, benches and rehearsals: no sensor sent them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from drivers.velodyne.models import BLOCKS, DUAL, LASERS_OF_BLOCK, LOWER, TURN, UPPER, Model

_BLOCK = np.dtype([("bank", "<u2"), ("azimuth", "<u2"), ("returns", [("count", "<u2"), ("strength", "u1")], LASERS_OF_BLOCK)])
SINGLE = 0x37


def encode(
    model: Model, us: int, azimuths: np.ndarray, counts: np.ndarray, strengths: np.ndarray, mode: int = SINGLE, factory: int = 0
) -> bytes:
    """A packet. azimuths (12,) [0.01 degrees]; counts (12, 32): distances [model.distance_m], 0 = no return; strengths (12, 32)
    0..255; factory: 0 = the model's own byte."""
    blocks = np.zeros(BLOCKS, _BLOCK)
    blocks["bank"] = np.where(np.arange(BLOCKS) % model.blocks == 0, UPPER, LOWER)
    blocks["azimuth"], blocks["returns"]["count"], blocks["returns"]["strength"] = azimuths, counts, strengths
    return blocks.tobytes() + struct.pack("<IBB", us, mode, factory or model.factory or 0)


def turning(
    model: Model,
    turns: float,
    rate_hz: float = 10.0,
    dual: bool = False,
    start_us: int = 0,
    start_deg: float = 0.0,
    seed: int = 0,
) -> Iterator[tuple[int, bytes]]:
    """(time of the first firing [ns], packet) of a sensor that turns so often, with random returns: a fifth of the firings have
    none, and half of the second returns equal the first."""
    rng = np.random.default_rng(seed)
    stride = model.blocks * (2 if dual else 1)
    group = np.arange(BLOCKS) // stride
    for n in range(round(turns / rate_hz / (model.packet_ns(dual) * 1e-9))):
        start_ns = start_us * 1000 + n * model.packet_ns(dual)
        turned_ns = n * model.packet_ns(dual) + group * model.cycle * model.tick_ns
        azimuths = np.rint(turned_ns * 1e-9 * rate_hz * TURN + start_deg * 100).astype(np.int64) % TURN
        counts = rng.integers(300, 40_000, (BLOCKS, LASERS_OF_BLOCK)) * (rng.random((BLOCKS, LASERS_OF_BLOCK)) < 0.8)
        if dual:
            second = np.arange(BLOCKS) % stride >= model.blocks
            same = second[:, None] & (rng.random(counts.shape) < 0.5)
            counts = np.where(same, np.roll(counts, model.blocks, 0), counts)
        us = int(start_ns // 1000) % 3_600_000_000
        data = encode(model, us, azimuths, counts, rng.integers(0, 256, counts.shape), DUAL if dual else SINGLE)
        yield round(start_ns), data
