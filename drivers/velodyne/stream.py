"""From packets to frames: what the live and the recorded driver share.

out  points       (N, 4) float32   x y z [m, velodyne frame], intensity 0..1; points without a return are left out
     point_rings  (N,) uint8       beam of each point, 0 = the highest
     point_times  (N,) float32     [s] from the frame's stamp on: 0 for the last firing, else negative
stamp_ns: time of the last firing of the scan. Facts of `points`: clock (whose time the stamp is), packets, packets_lost,
dual_return.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from drivers.calibration import latched
from drivers.clock import Name as ClockName
from drivers.clock import SensorClock
from drivers.datagram import Datagram
from drivers.velodyne.calibration import calibration_of
from drivers.velodyne.decode import Decoder, room
from drivers.velodyne.models import MODELS, Model, Name
from drivers.velodyne.position import POSITION_BYTES
from drivers.velodyne.scans import HOUR_NS, Scan, Scans
from operators.streams import MAX_POINTS, POINT_RINGS, POINT_TIMES, POINTS
from pipeline.frame import Reading
from pipeline.operator import Source
from pipeline.schema import Port, Schema

OUTPUTS: dict[str, Schema | Port] = {
    "points": POINTS, "point_rings": POINT_RINGS, "point_times": POINT_TIMES, **latched.PORTS,
}  # fmt: skip
FAR_NS = 1_000_000_000
"""A locked clock that differs by more from the host's: one of them is not locked."""


@dataclass(frozen=True)
class ScanConfig:
    """The keys of both drivers. Without slots: the live one has another base that has some."""

    model: Name | Literal["auto"] = "auto"  # auto: as the packets say; an HDL-64E does not say whether it is an S3
    lasers: str = ""  # file of the unit's own laser table, YAML of the ROS driver; "": the manual's; an HDL-64E needs it
    cut_angle_deg: float = 0.0  # azimuth at which a scan ends, clockwise from the sensor's 0, which is ahead; 180: behind
    partial_scans: bool = False  # also those at the start and the end, which are no whole turn
    min_range_m: float = 0.0
    max_range_m: float = 300.0
    rate_hz: float = 10.0  # turns per second that the sensor is set to, for the sizes of slots; the packets decide
    reorder_packets: int = 8  # how many later packets a missing one is waited for
    clock: ClockName = "sensor"  # whose time the stamps are; gps, ptp: the sensor's clock is locked to UTC, as the host's
    port: int = 0  # of a capture file: only packets to this port; 0: to all
    sender: str = ""  # only packets from this address; "": from all
    calibration: str = ""  # rig file, see docs/calibration.md
    calibration_camera: str = ""  # which camera of it; "" = the only one
    calibration_lidar: str = "velodyne"  # frame of the points there

    def __post_init__(self) -> None:
        if not -360 <= self.cut_angle_deg <= 360:
            raise ValueError(f"cut_angle_deg: needs -360..360, got {self.cut_angle_deg:g}")
        if not 0 <= self.min_range_m < self.max_range_m:
            raise ValueError(f"min_range_m: needs 0 or more, below max_range_m {self.max_range_m:g}, got {self.min_range_m:g}")
        if not 1 <= self.rate_hz <= 50:
            raise ValueError(f"rate_hz: needs 1..50, got {self.rate_hz:g}")
        if not 0 <= self.reorder_packets <= 256:
            raise ValueError(f"reorder_packets: needs 0..256, got {self.reorder_packets}")
        if not 0 <= self.port < 65_536:
            raise ValueError(f"port: needs 0..65535, got {self.port}")
        latched.check_config(self)


def model_of(config: ScanConfig) -> Model | None:
    """None: as the packets say."""
    return None if config.model == "auto" else MODELS[config.model]


def check(config: ScanConfig) -> None:
    """Raises InputError if the laser table is missing or wrong."""
    model = model_of(config)
    if model is not None:
        calibration_of(model, config.lasers)


def slot_bytes(config: ScanConfig) -> dict[str, int]:
    """Of a scan with two returns; of an unknown model the schema's limit holds."""
    model = model_of(config)
    if model is None:
        return {}
    points = -(-min(round(1.05 * model.points_per_s / config.rate_hz), MAX_POINTS) // 64) * 64
    return {"points": 16 * points, "point_rings": points, "point_times": 4 * points}


class Stream:
    """Datagrams in, frames out.

    on_step       called with each step of the sensor's clock [ns]
    partial       scans left out because they are no whole turn
    without_room  points left out because the slot was full
    far_s         by how much a locked clock differs from the host's, 0 below FAR_NS
    """

    def __init__(self, node: Source, config: ScanConfig, on_step: Callable[[int], None] | None = None) -> None:
        self._node, self.config = node, config
        self._clock = SensorClock(on_step=on_step)
        self.scans = Scans(model_of(config), config.cut_angle_deg, config.reorder_packets, self._clock.host_ns)
        self.partial = self.without_room = self.lost = 0
        self.far_s = 0.0
        self._decoder: Decoder | None = None
        self._stamp_ns = 0

    def prepare(self) -> None:
        """Compiles, and makes the tables of a model that is known."""
        self._decoder = self._decoder_of(self.scans.model)

    def push(self, datagram: Datagram) -> None:
        """Raises WrongModel, InputError."""
        if len(datagram.data) != POSITION_BYTES:
            self.scans.push(datagram.data, datagram.stamp_ns)

    def ready(self) -> int:
        """Number of scans that can be taken."""
        while self.scans.ready and not (self.scans.ready[0].whole or self.config.partial_scans):
            self.partial += 1
            self.lost += self.scans.ready.popleft().lost
        return len(self.scans.ready)

    def drop(self) -> None:
        """The oldest scan."""
        self.lost += self.scans.ready.popleft().lost

    def take(self, number: int) -> Reading:
        """The oldest scan as a frame. number: of the frame, for its item."""
        scan = self.scans.ready.popleft()
        self.lost += scan.lost
        if self._decoder is None or self._decoder.model is not scan.model:
            self._decoder = self._decoder_of(scan.model)
        values, wanted = dict[str, Any](), self._node.wanted
        limit = min(room(scan), slot_bytes(self.config).get("points", 16 * MAX_POINTS) // 16)
        points = self._node.alloc("points", "points", (limit, 4), "float32")
        rings = self._node.alloc("point_rings", "point_rings", (limit,), "uint8") if "point_rings" in wanted else None
        times = self._node.alloc("point_times", "point_times", (limit,), "float32") if "point_times" in wanted else None
        num, without_room = self._decoder.fill(scan, points, rings, times)
        self.without_room += without_room
        for port, array in (("points", points), ("point_rings", rings), ("point_times", times)):
            if port in wanted and array is not None:
                values[port] = array[:num]
        facts = {
            "clock": self.config.clock, "packets": len(scan.packets), "packets_lost": scan.lost, "dual_return": scan.dual,
        }  # fmt: skip
        return Reading(values, f"{number:06d}", self._stamp(scan), scan.arrival_ns, {"points": facts})

    def _decoder_of(self, model: Model | None) -> Decoder:
        config, known = self.config, model or MODELS["VLP-16"]
        return Decoder(known, calibration_of(known, config.lasers if model else ""), config.min_range_m, config.max_range_m)

    def _stamp(self, scan: Scan) -> int:
        """Of the last firing; grows from scan to scan."""
        name = self.config.clock
        if name == "sensor":
            stamp_ns = min(self._clock.at(scan.end_ns), scan.arrival_ns)  # later: the clock was set since
        elif name == "arrival":
            stamp_ns = scan.arrival_ns
        else:  # the hour is the host's
            stamp_ns = scan.arrival_ns + (scan.end_ns - scan.arrival_ns + HOUR_NS // 2) % HOUR_NS - HOUR_NS // 2
            away_ns = stamp_ns - scan.arrival_ns
            self.far_s = away_ns * 1e-9 if abs(away_ns) > FAR_NS else 0.0
        self._stamp_ns = max(stamp_ns, self._stamp_ns + 1)
        return self._stamp_ns
