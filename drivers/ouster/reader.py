"""Ouster sensors on the network: every model and UDP profile that ouster-sdk knows.       Packets, frames, intensity: README.md

out  points       (N, 4) float32  x y z [m, the sensor frame of the metadata: x forward, y left, z up], intensity 0..1
                  facts           clock: sensor, gps or ptp; packets; packets_lost; whole: false if the connection began or ended
                                  in the scan; dual_return; thinned: points beyond max_points; scan: the sensor's number of it
     point_times  (N,) float32    seconds from stamp_ns on: 0 for the last column, the others before
     point_rings  (N,) uint8      beam, 0 = the highest
Points come in the order of time. stamp_ns: host time of the last column. A turn without a return: N = 0.
State: turns under way. A turn of which a packet is missing is sent when 8 packets of the next ones have come.
Tested with recorded and generated packets over loopback; no sensor was here. The request for metadata follows Ouster's documents.
"""

from __future__ import annotations

import http.client
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass

from drivers.calibration import latched
from drivers.clock import SAYS
from drivers.live import Live, LiveConfig, Lost
from drivers.ouster import scans
from drivers.ouster.frames import Turn
from drivers.ouster.scans import ScanConfig, Scans
from drivers.ouster.sdk import MAX_METADATA_BYTES, Misfit, Sensor, need_sdk, read_metadata
from drivers.udp import Receiver, check_port
from operators import folders
from pipeline.errors import RunError
from pipeline.frame import Reading, Static
from pipeline.operator import Found, Source

_METADATA_URL = "http://{}/api/v1/sensor/metadata"
_ANSWER_S = 5.0
MOST_MISFITS = 128
"""In a row: no stray datagrams, but another sensor or another profile."""
SILENT_TURNS = 2.0
"""So long without a packet, and the turn under way is sent as it is."""


@dataclass(frozen=True, slots=True)
class OusterConfig(LiveConfig, ScanConfig):
    source: str = "udp://0.0.0.0:7502"  # where the sensor sends ranges to (its udp_port_lidar), or a multicast group
    address: str = ""  # of the sensor, a name or a number: asked for metadata where config.metadata names no file
    buffer_mb: float = 16.0  # receive buffer to ask the kernel for: a sensor sends up to 42 MB/s

    def __post_init__(self) -> None:
        LiveConfig.__post_init__(self)
        ScanConfig.__post_init__(self)
        port_of(self.source)
        if not self.metadata and not self.address:
            raise ValueError("metadata: needs the sensor's json file, or config.address of the sensor, got neither")
        if not 0 < self.buffer_mb <= 1024:
            raise ValueError(f"buffer_mb: needs more than 0, at most 1024, got {self.buffer_mb:g}")


class Ouster(Live, Source):
    Config, outputs = OusterConfig, scans.OUTPUTS

    config: OusterConfig

    @classmethod
    def find(cls, config: OusterConfig) -> Found:
        need_sdk("ouster")
        if not config.metadata:
            return Found()
        return Found(rate_hz=Scans(_described(config), config).sensor.rate_hz)

    @classmethod
    def check_ports(cls, name: str, config: OusterConfig, wanted: frozenset[str], needed: frozenset[str]) -> None:
        check_port(f"{name}.config.source", *port_of(config.source))
        latched.check_ports(name, config, needed)

    @classmethod
    def slot_bytes(cls, config: OusterConfig) -> dict[str, int]:
        return scans.slot_bytes(config)

    def open(self, start: int = 0) -> None:
        self._receiver: Receiver | None = None
        self._scans: Scans | None = None
        self._seen: dict[str, int] = {}
        self._next = start
        super().open(start)
        scans.compile_kernel()
        if self.config.metadata:
            self._enter(_described(self.config))

    def statics(self) -> Iterable[Static]:
        return latched.statics(self)

    def connect(self) -> None:
        config = self.config
        if not config.metadata:
            self._enter(Sensor(_ask(config.address), config.address))
        port, host = port_of(config.source)
        self._receiver = Receiver(port, host, config.sender or _number_of(config.address), round(config.buffer_mb * 1e6))
        self.note("buffer", self._receiver.shortage)
        self._misfits, self._heard_ns = 0, time.monotonic_ns()

    def receive(self, timeout_s: float) -> Reading | None:
        assert self._receiver is not None and self._scans is not None
        turns: list[Turn] = []
        datagrams = self._receiver.receive(timeout_s)
        for datagram in datagrams:
            try:
                turns += self._scans.take(datagram)
                self._misfits = 0
            except Misfit as error:
                self._misfit(str(error))
        now_ns = time.monotonic_ns()
        if datagrams:
            self._heard_ns = now_ns
        elif now_ns - self._heard_ns > SILENT_TURNS * 1e9 / self._scans.sensor.rate_hz:
            turns = self._scans.flush()
        if not turns:
            return None
        self._say_losses()
        if len(turns) > 1:
            self.skipped(len(turns) - 1)  # the newest wins
        self._next += len(turns)
        return self._scans.reading(turns[-1], f"{self._next - 1:06d}", self.alloc)

    def disconnect(self) -> None:
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None

    def _enter(self, sensor: Sensor) -> None:
        self._scans = Scans(sensor, self.config, self._stepped)
        self.note("clock", SAYS[sensor.clock])

    def _stepped(self, step_ns: int) -> None:
        self.log.warning("the sensor's clock was set by %+.3f s", step_ns * 1e-9)
        self._count("steps of the sensor's clock", 1)

    def _misfit(self, text: str) -> None:
        """Raises Lost if the sensor can be asked what it sends now, RunError if only the user can know."""
        self.malformed(text)
        self._misfits += 1
        if self._misfits >= MOST_MISFITS:
            if not self.config.metadata:
                raise Lost(f"{text}; the sensor has another configuration now")
            raise RunError(f"{self.name}: {text}; set config.metadata to the file of this sensor and profile")

    def _say_losses(self) -> None:
        assert self._receiver is not None and self._scans is not None
        for what, now in (
            ("packets lost", self._scans.lost),
            ("packets too late or doubled", self._scans.frames.late),
            ("partial scans left out", self._scans.partial),
            ("packets that the host had no room for", self._receiver.lost),
        ):
            seen = self._seen.get(what, 0)
            if now != seen:
                self._count(what, now - seen if now > seen else now)  # less: a new connection
                self._seen[what] = now


def port_of(source: str) -> tuple[int, str]:
    """Number and address, "" = all. Raises ValueError."""
    match = re.fullmatch(r"udp://([^:/]*):(\d{1,5})", source)
    if match is None or not int(match[2]) < 65_536:
        raise ValueError(f"source: needs udp://HOST:PORT, got {source!r}; a capture file: driver ouster.recorded")
    return int(match[2]), "" if match[1] == "0.0.0.0" else match[1]


def _described(config: OusterConfig) -> Sensor:
    path = folders.at(config.metadata)
    return Sensor(read_metadata(path), str(path))


def _ask(address: str) -> str:
    """The metadata that the sensor tells. Raises Lost."""
    url = _METADATA_URL.format(address)
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:
            text: bytes = answer.read(MAX_METADATA_BYTES)
    except urllib.error.HTTPError as error:
        hint = "; firmware before 2.1 has no such page: set config.metadata" if error.code == 404 else ""
        raise Lost(f"{url}: needs the sensor's metadata, got {error.code} {error.reason}{hint}") from None
    except urllib.error.URLError as error:
        raise Lost(f"{url}: {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Lost(f"{url}: {error or type(error).__name__}") from None
    return text.decode(errors="backslashreplace")


def _number_of(address: str) -> str:
    """What the datagrams of a sensor carry; "" where any is taken. Raises Lost."""
    if not address:
        return ""
    try:
        return socket.gethostbyname(address)
    except OSError as error:
        raise Lost(f"config.address {address}: {error.strerror or error}") from None
