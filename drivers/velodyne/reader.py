"""A Velodyne LiDAR, live: VLP-16, Puck LITE, Puck Hi-Res, VLP-32C, HDL-32E, HDL-64E.     Packets: README.md

Ports and facts: stream.py. The newest scan wins: older ones that wait are dropped and counted.
`config.source` is a UDP port, or a recording that is played at its own pace and ends the stream at its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivers import udp
from drivers.calibration import latched
from drivers.clock import SAYS
from drivers.datagram import Datagram
from drivers.live import Live, LiveConfig
from drivers.udp import Receiver
from drivers.velodyne import packets, position, stream
from drivers.velodyne.models import WrongModel
from drivers.velodyne.recorded import check_file
from drivers.velodyne.stream import ScanConfig, Stream
from pipeline.errors import RunError
from pipeline.frame import Reading, Static
from pipeline.operator import Found, Source


@dataclass(frozen=True, slots=True)
class VelodyneConfig(LiveConfig, ScanConfig):
    source: str = "udp://0.0.0.0:2368"  # or a capture file, or a rosbag2 recording (.db3, or its folder)
    position_port: int = 8308  # of the sensor's GPS packets, for the status; 0: none
    buffer_mb: float = 8.0  # receive buffer to ask the kernel for

    def __post_init__(self) -> None:
        LiveConfig.__post_init__(self)
        ScanConfig.__post_init__(self)
        packets.port_of(self.source)
        if not 0 <= self.position_port < 65_536:
            raise ValueError(f"position_port: needs 0..65535, got {self.position_port}")
        if not 0 < self.buffer_mb <= 1024:
            raise ValueError(f"buffer_mb: needs more than 0, at most 1024, got {self.buffer_mb:g}")


class Velodyne(Live, Source):
    Config, outputs = VelodyneConfig, stream.OUTPUTS

    config: VelodyneConfig

    @classmethod
    def find(cls, config: VelodyneConfig) -> Found:
        stream.check(config)
        if packets.port_of(config.source) is None:
            check_file(config, config.source)
        return Found(None, config.rate_hz)

    @classmethod
    def check_ports(cls, name: str, config: VelodyneConfig, wanted: frozenset[str], needed: frozenset[str]) -> None:
        latched.check_ports(name, config, needed)
        if (port := packets.port_of(config.source)) is not None:
            udp.check_port(f"{name}: config.source", port.number, port.host)

    @classmethod
    def slot_bytes(cls, config: VelodyneConfig) -> dict[str, int]:
        return stream.slot_bytes(config)

    def open(self, start: int = 0) -> None:
        super().open(start)
        self._turn = start  # number of the next scan, dropped ones included
        self.input: Receiver | packets.Played | None = None
        self._positions: Receiver | None = None
        self._stream = Stream(self, self.config, lambda step_ns: self._count("steps of the sensor's clock", 1))
        self._stream.prepare()
        self._seen = dict.fromkeys(("lost", "late", "wrong", "partial", "without_room", "unreceived"), 0)
        self.note("clock", SAYS[self.config.clock])

    def statics(self) -> Iterable[Static]:
        return latched.statics(self)

    def connect(self) -> None:
        config = self.config
        port = packets.port_of(config.source)
        if port is None:
            self.input = packets.Played(packets.file_of(config.source, config.port, config.sender))
            return
        self.input = Receiver(port.number, port.host, config.sender, round(config.buffer_mb * 1e6))
        self._seen["unreceived"] = 0
        self.note("buffer", self.input.shortage)
        if config.position_port:
            try:
                self._positions = Receiver(config.position_port, port.host, config.sender)
            except OSError as error:
                self.note("gps", f"no position packets: port {config.position_port}: {error.strerror}")

    def disconnect(self) -> None:
        for receiver in (self.input, self._positions):
            if receiver is not None:
                receiver.close()
        self.input = self._positions = None
        self._stream.scans.flush()

    def receive(self, timeout_s: float) -> Reading | None:
        given = self.input
        assert given is not None
        if not self._stream.ready():
            for datagram in given.receive(timeout_s):
                self._push(datagram)
            if isinstance(given, packets.Played) and given.over:
                self._stream.scans.flush()
                self.ending = True
            if self._positions is not None:
                for datagram in self._positions.receive(0.0):
                    self._push(datagram)
            self._count_all(given.lost)
        waiting = self._stream.ready()
        if not waiting:
            return None
        for _ in range(waiting - 1):
            if not self.ending:
                self._stream.drop()
                self.skipped()
                self._turn += 1
        self._turn += 1
        return self._stream.take(self._turn - 1)

    def _push(self, datagram: Datagram) -> None:
        if len(datagram.data) == position.POSITION_BYTES:
            found = position.read(datagram.data)
            self.note("gps", found.text())
            return
        try:
            self._stream.push(datagram)
        except WrongModel as error:
            raise RunError(f"{self.name}: {error}") from None

    def _count_all(self, unreceived: int) -> None:
        """Counts what has been lost since the last call, for the status."""
        of, scans = self._stream, self._stream.scans
        if scans.wrong > self._seen["wrong"]:
            self.malformed(scans.why_wrong, scans.wrong - self._seen["wrong"])
        for key, what, now in (
            ("lost", "packets lost", scans.lost),
            ("late", "packets too late", scans.late),
            ("partial", "partial scans left out", of.partial),
            ("without_room", "points without room", of.without_room),
            ("unreceived", "packets that the host had no room for", unreceived),
        ):
            if now > self._seen[key]:
                self._count(what, now - self._seen[key])
            self._seen[key] = now
        self._seen["wrong"] = scans.wrong
        if scans.model is not None:
            self.note("model", scans.model.name)
        if of.far_s:
            self.note("far", f"the sensor's time is {of.far_s:+.0f} s from the host's")
