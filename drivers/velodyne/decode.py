"""A scan -> points, rings and times in arrays that the caller owns: the shell around operators/kernels/velodyne.py."""

from __future__ import annotations

import numpy as np

from drivers.velodyne.calibration import Calibration, turns
from drivers.velodyne.models import BLOCKS, LASERS_OF_BLOCK, PACKET_BYTES, Model
from drivers.velodyne.scans import Scan
from operators.kernels import velodyne as kernel

_NO_RINGS, _NO_TIMES = np.empty(0, np.uint8), np.empty(0, np.float32)


class Decoder:
    """least_m, most_m: points at other distances are left out."""

    def __init__(self, model: Model, calibration: Calibration, least_m: float = 0.0, most_m: float = 1000.0) -> None:
        self.model, self._calibration = model, calibration
        self._least_m, self._most_m = least_m, most_m
        self._turn, self._ticks = turns(), np.array(model.ticks, np.int64)
        nothing = np.zeros((1, PACKET_BYTES), np.uint8)  # compile now, before any scan waits
        self._fill(nothing, np.zeros(1, np.int64), np.zeros(1, bool), 0, 0, np.empty((0, 4), np.float32), _NO_RINGS, _NO_TIMES)

    def fill(
        self, scan: Scan, points: np.ndarray, rings: np.ndarray | None = None, times: np.ndarray | None = None
    ) -> tuple[int, int]:
        """-> number of points, number of those for which there was no room.

        points (N, 4) float32 x y z [m, velodyne frame], intensity 0..1; rings (N,) uint8, 0 = the highest; times (N,) float32 [s]
        from the last firing of the scan on, 0 or less. N = `room(scan)` is always enough.
        """
        return self._fill(
            scan.packets, scan.starts_ns - scan.end_ns, scan.duals, scan.first, scan.stop, points,
            _NO_RINGS if rings is None else rings, _NO_TIMES if times is None else times,
        )  # fmt: skip

    def _fill(
        self,
        packets: np.ndarray,
        starts_ns: np.ndarray,
        duals: np.ndarray,
        first: int,
        stop: int,
        points: np.ndarray,
        rings: np.ndarray,
        times: np.ndarray,
    ) -> tuple[int, int]:
        model, calibration = self.model, self._calibration
        return kernel.decode(
            packets, starts_ns, duals, first, stop, model.blocks, model.halves, self._ticks, model.tick_ns, model.cycle,
            calibration.distance_m, calibration.exact, calibration.lasers, self._turn, self._least_m, self._most_m,
            points, rings, times,
        )  # fmt: skip


def room(scan: Scan) -> int:
    """Points that the packets of a scan can hold."""
    return len(scan.packets) * BLOCKS * LASERS_OF_BLOCK
