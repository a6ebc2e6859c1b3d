"""Datagrams of one sensor -> readings: what the live driver and the one of captures share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from drivers.calibration import latched
from drivers.clock import SensorClock
from drivers.datagram import Datagram
from drivers.ouster.frames import Frames, Turn
from drivers.ouster.kernel import cloud
from drivers.ouster.sdk import Fields, Sensor
from operators.streams import MAX_POINTS, POINT_RINGS, POINT_TIMES, POINTS
from pipeline.errors import InputError
from pipeline.frame import Reading
from pipeline.schema import Port, Schema

PORTS = {"points": POINTS, "point_times": POINT_TIMES, "point_rings": POINT_RINGS}
OUTPUTS: dict[str, Schema | Port] = {**PORTS, **latched.PORTS}
STRONGEST = {"reflectivity": 255.0, "signal": 4095.0}
"""Value that becomes intensity 1. Reflectivity: 1..100 is the reflectance of a diffuse surface in percent, 101..255 is of
retroreflectors and logarithmic, like Velodyne's and so KITTI's. Signal counts photons and falls with the distance."""
Alloc = Callable[[str, str, tuple[int, ...], Any], np.ndarray]


@dataclass(frozen=True)
class ScanConfig:
    """The keys of both drivers. Without slots: the live one has another base that has some."""

    metadata: str = ""  # the sensor's json file
    intensity: Literal["reflectivity", "signal"] = "reflectivity"
    intensity_max: float | None = None  # value that becomes 1, as larger ones; None: 255 of reflectivity, 4095 of signal
    max_points: int = MAX_POINTS  # of a scan; of more, so many spread evenly are kept
    partial_scans: bool = True  # also those in which the connection, or the file, begins or ends
    sender: str = ""  # only packets from this address; "": from all
    calibration: str = ""  # rig file, see docs/calibration.md
    calibration_camera: str = ""  # which camera of it; "": the only one
    calibration_lidar: str = "velodyne"  # frame of the points there

    def __post_init__(self) -> None:
        most = self.intensity_max
        if most is not None and not (most > 0 and math.isfinite(most)):
            raise ValueError(f"intensity_max: needs a number above 0, got {most}")
        if not 1 <= self.max_points <= MAX_POINTS:
            raise ValueError(f"max_points: needs 1 .. {MAX_POINTS}, got {self.max_points}")
        latched.check_config(self)


def slot_bytes(config: ScanConfig) -> dict[str, int]:
    """Of the largest frame of each port."""
    points = -(-config.max_points // 64) * 64
    return {"points": 16 * points, "point_times": 4 * points, "point_rings": points}


def compile_kernel() -> None:
    """As `Scans.reading` calls it."""
    no = np.zeros((1, 1, 1), np.uint32), np.zeros((1, 1, 1), np.uint16)
    table, times = np.zeros((1, 1, 3)), np.zeros(1, np.float32)
    cloud(*no, np.zeros(0, np.int64), times, table, table, 1.0, 0, *arrays(lambda _, __, s, d: np.empty(s, d), 0))


def arrays(alloc: Alloc, num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, times, rings of one scan, in the slots of their ports."""
    return (
        alloc("points", "points", (num, 4), np.float32),
        alloc("point_times", "point_times", (num,), np.float32),
        alloc("point_rings", "point_rings", (num,), np.uint8),
    )


class Scans:
    """on_step: called with each step of the sensor's clock [ns].

    lost     packets that never came, of all turns until now
    partial  turns left out because they were not whole
    """

    def __init__(self, sensor: Sensor, config: ScanConfig, on_step: Callable[[int], None] | None = None) -> None:
        """Raises InputError."""
        if config.intensity not in sensor.strengths:
            raise InputError(
                f"config.intensity: needs a UDP profile with {config.intensity}, got {sensor.model}; "
                f"it has {' and '.join(sensor.strengths) or 'neither'}"
            )
        self.sensor, self.config = sensor, config
        self._strongest = STRONGEST[config.intensity] if config.intensity_max is None else config.intensity_max
        self.frames = Frames(sensor.columns, sensor.max_frame_id)
        self._clock = SensorClock(on_step=on_step)
        self._lost = self.partial = 0

    @property
    def lost(self) -> int:
        return self._lost + self.frames.missed

    def take(self, datagram: Datagram) -> list[Turn]:
        """The turns that this datagram completes. Raises Misfit."""
        packet = self.sensor.head(datagram.data, datagram.stamp_ns)
        return [] if packet is None else self._counted(self.frames.add(packet))

    def flush(self) -> list[Turn]:
        """What is there of the turns under way."""
        return self._counted(self.frames.flush())

    def reading(self, turn: Turn, item: str, alloc: Alloc) -> Reading:
        """Its points; stamp_ns: host time of its last column."""
        fields = self.sensor.decode(turn.packets, self.config.intensity)
        stamp_ns = self._stamp_ns(turn, fields)
        times_s = np.zeros(len(fields.stamps_ns), np.float32)
        columns = fields.columns
        times_s[columns] = (fields.stamps_ns[columns] - fields.stamps_ns[columns[-1]]) * 1e-9 if len(columns) else 0
        total = int(np.count_nonzero(fields.ranges[:, columns]))
        made = arrays(alloc, min(total, self.config.max_points))
        table = self.sensor.direction, self.sensor.offset
        cloud(fields.ranges, fields.strengths, columns, times_s, *table, self._strongest, total, *made)
        facts = {
            "clock": self.sensor.clock, "packets": len(turn.packets), "packets_lost": turn.lost, "whole": turn.whole,
            "dual_return": self.sensor.returns == 2, "thinned": total - len(made[0]), "scan": turn.frame_id,
        }  # fmt: skip
        return Reading(
            dict(zip(PORTS, made, strict=True)),
            item,
            stamp_ns,
            recv_ns=max(packet.stamp_ns for packet in turn.packets),
            meta={"points": facts},
        )

    def _counted(self, turns: list[Turn]) -> list[Turn]:
        self._lost += sum(turn.lost for turn in turns)
        kept = [turn for turn in turns if turn.whole or self.config.partial_scans]
        self.partial += len(turns) - len(kept)
        return kept

    def _stamp_ns(self, turn: Turn, fields: Fields) -> int:
        """Teaches the clock the last column of each packet, but for those that were overtaken: they were late."""
        each = self.sensor.columns_per_packet
        stamp_ns, newest = 0, -1
        for packet in sorted(turn.packets, key=lambda packet: packet.stamp_ns):
            sensor_ns = int(fields.stamps_ns[packet.column : packet.column + each].max())
            if sensor_ns > newest:
                stamp_ns, newest = self._clock.host_ns(sensor_ns, packet.stamp_ns), sensor_ns
        return stamp_ns
