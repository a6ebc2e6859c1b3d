"""Ouster sensors in a capture file (pcap, pcapng): all scans of it, one after another.     Packets, frames, intensity: README.md

out  as `ouster`. stamp_ns: time of the last column on the clock of the machine that captured.
Packets of more than 1,500 bytes are IP fragments in the file: they are put together. Scans with lost packets are sent.
Tested with a recorded scan of an OS-0-128 and with generated packets of the other profiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from drivers.calibration import latched
from drivers.ouster import scans
from drivers.ouster.frames import Turn
from drivers.ouster.scans import ScanConfig, Scans
from drivers.ouster.sdk import Misfit, Sensor, need_sdk, read_metadata
from drivers.pcap import Pcap
from operators import folders
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Found, Source

_LOOK = 4096
"""Datagrams in which a packet of the sensor must be: 3 s of the fastest."""


@dataclass(frozen=True)
class RecordedConfig(ScanConfig):
    file: str = ""  # the capture; without config.metadata the json file beside it, of the same name
    port: int = 0  # only packets to this port; 0: to all

    def __post_init__(self) -> None:
        ScanConfig.__post_init__(self)
        if not self.file:
            raise ValueError("file: needs a capture file, got none")


class Recorded(Source):
    Config, outputs = RecordedConfig, scans.OUTPUTS

    config: RecordedConfig

    @classmethod
    def find(cls, config: RecordedConfig) -> Found:
        need_sdk("ouster.recorded")
        made = _scans(config)
        sensor, wrong, num = made.sensor, "", 0
        for num, datagram in enumerate(_capture(config), 1):
            try:
                if sensor.head(datagram.data, datagram.stamp_ns) is not None:
                    return Found(rate_hz=sensor.rate_hz)
            except Misfit as error:
                wrong = f"{error} on port {datagram.port}"
            if num == _LOOK:
                break
        wrong = wrong or f"needs packets of {sensor.model}, got none in {num} datagrams"
        raise InputError(f"{config.file}: {wrong}; is {_metadata(config)} of this sensor, and config.port right?")

    @classmethod
    def check_ports(cls, name: str, config: RecordedConfig, wanted: frozenset[str], needed: frozenset[str]) -> None:
        latched.check_ports(name, config, needed)

    @classmethod
    def slot_bytes(cls, config: RecordedConfig) -> dict[str, int]:
        return scans.slot_bytes(config)

    def open(self, start: int = 0) -> None:
        scans.compile_kernel()
        self._scans = _scans(self.config)
        self._capture = _capture(self.config)
        self._turns = self._all()
        self._count = self._misfits = 0
        self._why = ""
        for _ in range(start):
            self.read()  # teaches the clock

    def statics(self) -> Iterable[Static]:
        return latched.statics(self)

    def read(self) -> Reading | None:
        turn = next(self._turns, None)
        if turn is None:
            return None
        self._count += 1
        reading = self._scans.reading(turn, f"{self._count - 1:06d}", self.alloc)
        reading.recv_ns = 0  # now: latencies count from here, not from the day of the capture
        return reading

    def _all(self) -> Iterator[Turn]:
        for datagram in self._capture:
            try:
                yield from self._scans.take(datagram)
            except Misfit as error:
                self._misfits, self._why = self._misfits + 1, self._why or str(error)
        yield from self._scans.flush()
        self._say()

    def _say(self) -> None:
        """What users must know of the file, once, at its end."""
        parts = [self._capture.cut] if self._capture.cut else []
        for count, text in (
            (self._scans.lost, "packets lost"),
            (self._scans.frames.late, "packets too late or doubled"),
            (self._capture.incomplete, "packets with a fragment missing"),
            (self._scans.partial, "partial scans left out"),
            (self._misfits, f"packets of something else: {self._why}"),
        ):
            parts += [f"{count} {text}"] if count else []
        if parts:
            self.log.warning("%s", "; ".join(parts))
            self.status("; ".join(parts))


def _metadata(config: RecordedConfig) -> Path:
    return folders.at(config.metadata) if config.metadata else folders.at(config.file).with_suffix(".json")


def _scans(config: RecordedConfig) -> Scans:
    path = _metadata(config)
    sensor = Sensor(read_metadata(path), str(path))
    return Scans(sensor, config)


def _capture(config: RecordedConfig) -> Pcap:
    return Pcap(folders.at(config.file), config.port or None, config.sender)
