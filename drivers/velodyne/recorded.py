"""Packets of a Velodyne LiDAR from a capture file (pcap, pcapng) or a rosbag2 recording, scan by scan.      Packets: README.md

Ports and facts: stream.py. Stamps are times of the host that recorded.
A file that ends within a record plays what is whole; a partial scan at the start and the end is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivers.calibration import latched
from drivers.velodyne import packets, stream
from drivers.velodyne.calibration import calibration_of
from drivers.velodyne.models import PACKET_BYTES, WrongModel, check_model, model_of
from drivers.velodyne.stream import ScanConfig, Stream
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Found, Source

_LOOK = 10_000
"""Datagrams among which the first packet must be."""


@dataclass(frozen=True)
class RecordedConfig(ScanConfig):
    file: str = ""  # a capture file, or a rosbag2 recording: its .db3 file or its folder


class Recorded(Source):
    Config, outputs = RecordedConfig, stream.OUTPUTS

    config: RecordedConfig

    @classmethod
    def find(cls, config: RecordedConfig) -> Found:
        stream.check(config)
        if not config.file:
            raise InputError("velodyne.recorded: config.file: needs a capture file or a rosbag2 recording, got none")
        check_file(config, config.file)
        return Found(None, config.rate_hz)

    @classmethod
    def check_ports(cls, name: str, config: RecordedConfig, wanted: frozenset[str], needed: frozenset[str]) -> None:
        latched.check_ports(name, config, needed)

    @classmethod
    def slot_bytes(cls, config: RecordedConfig) -> dict[str, int]:
        return stream.slot_bytes(config)

    def open(self, start: int = 0) -> None:
        config = self.config
        self._packets = packets.file_of(config.file, config.port, config.sender)
        self._iterator = iter(self._packets)
        self._stream = Stream(self, config)
        self._stream.prepare()
        self._number, self._over = 0, False
        while self._number < start and self._stream_on():
            self._stream.drop()
            self._number += 1

    def statics(self) -> Iterable[Static]:
        return latched.statics(self)

    def read(self) -> Reading | None:
        if not self._stream_on():
            return None
        self._number += 1
        return self._stream.take(self._number - 1)

    def _stream_on(self) -> bool:
        """Reads on until a scan is complete; False at the end."""
        while not self._stream.ready():
            if self._over:
                return False
            datagram = next(self._iterator, None)
            if datagram is None:
                self._over = True
                self._stream.scans.flush()
                self._say()
                continue
            try:
                self._stream.push(datagram)
            except WrongModel as error:
                raise InputError(f"{self.config.file}: {error}") from None
        return True

    def _say(self) -> None:
        """At the end: what was not there, or not right."""
        self._stream.ready()
        of, scans = self._stream, self._stream.scans
        counts = (
            (scans.lost, "packets lost"), (scans.late, "packets too late"),
            (scans.wrong, f"malformed packets ({scans.why_wrong})"),
            (of.partial, "partial scans left out"), (of.without_room, "points without room"),
        )  # fmt: skip
        texts = [f"{count} {what}" for count, what in counts if count]
        if end := packets.cut_of(self._packets):
            texts.append(end)
        if texts:
            self.log.warning("%s", "; ".join(texts))
            self.status("; ".join(texts))


def check_file(config: ScanConfig, name: str) -> None:
    """Are there packets, of the right model? Raises InputError."""
    given = packets.file_of(name, config.port, config.sender)
    for n, datagram in enumerate(given):
        if len(datagram.data) == PACKET_BYTES:
            try:
                model = stream.model_of(config) or model_of(datagram.data)
                check_model(model, datagram.data)
            except WrongModel as error:
                raise InputError(f"{name}: {error}") from None
            calibration_of(model, config.lasers)
            return
        if n > _LOOK:
            break
    raise InputError(f"{name}: needs packets of {PACKET_BYTES} bytes, got none; is config.port or config.sender another?")
