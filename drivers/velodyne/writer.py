"""Write scans as the packets of a Velodyne, in a capture file that `pipe send` plays: for rehearsals without a sensor.

in   points  (N, 4) float32  x y z [m, velodyne frame], intensity 0..1, as if the sensor stood at the origin
DIR/<node>/packets.pcap: UDP datagrams to `port`, one return. The first scan begins at second 0 behind the sensor; the scans
follow each other without a pause at `rate_hz`, whatever their stamps say: the pause of a missing frame is left out.

Each point goes to the laser of the nearest elevation, and to the firing of the nearest azimuth: it moves by at most half of both
steps. Of two points of one firing the nearer one stays. Points more than half of a step above or below all lasers are lost.
State: the columns of the packet that is not full yet; a crash loses them.   Empty scan: packets without returns.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np

from drivers.velodyne.encode import encode
from drivers.velodyne.models import BLOCKS, LASERS_OF_BLOCK, MODELS, TURN, Model
from operators.streams import POINTS
from operators.write.folder import Folder, Write
from pipeline.operator import Operator

FILE = "packets.pcap"
_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
_HOUR_US = 3_600_000_000
_SENDER, _RECEIVER = bytes([192, 168, 1, 201]), bytes([255, 255, 255, 255])


@dataclass(frozen=True, slots=True)
class WriterConfig:
    model: Literal["HDL-32E", "VLP-16", "Puck Hi-Res"] = "HDL-32E"  # its elevations
    rate_hz: float = 10.0  # turns per second
    port: int = 2368

    def __post_init__(self) -> None:
        if not 5 <= self.rate_hz <= 20:
            raise ValueError(f"rate_hz: needs 5..20, as the sensors turn, got {self.rate_hz:g}")
        if not 0 < self.port < 65_536:
            raise ValueError(f"port: needs 1..65535, got {self.port}")


class Turns:
    """Scans -> packets, without the engine."""

    def __init__(self, model: Model, rate_hz: float) -> None:
        self._model, self._rate_hz = model, rate_hz
        self._turns = self._columns = 0
        """Scans and columns until now; the columns of full packets are gone."""
        lasers = np.argsort(model.vertical_deg)
        self._lasers, self._elevations = lasers, np.array(model.vertical_deg)[lasers]
        self._late = np.array(model.ticks[: model.lasers]) * model.tick_ns / model.column_ns  # in columns
        self._rest = np.zeros((0, 2, model.lasers), np.uint16)

    def push(self, points: np.ndarray) -> list[tuple[float, bytes]]:
        """-> (time of the last firing [s], packet) of each packet that is full."""
        model, first = self._model, self._columns
        self._turns += 1
        self._columns = round(self._turns / self._rate_hz * 1e9 / model.column_ns)
        fired = np.concatenate([self._rest, self._fire(points, first, self._columns - first)])
        size, begin = model.columns(False), first - len(self._rest)
        whole = len(fired) // size
        self._rest = fired[whole * size :]
        return [self._packet(begin + k * size, fired[k * size : (k + 1) * size]) for k in range(whole)]

    def _fire(self, points: np.ndarray, first: int, count: int) -> np.ndarray:
        """(count, 2, lasers) uint16: distances and strengths of the columns from `first` on."""
        model = self._model
        out = np.zeros((count, 2, model.lasers), np.uint16)
        x, y, z = points[:, :3].T.astype(np.float64)
        away = np.sqrt(x * x + y * y + z * z)
        up_deg = np.degrees(np.arctan2(z, np.hypot(x, y)))
        near = np.searchsorted((self._elevations[1:] + self._elevations[:-1]) / 2, up_deg)
        step_deg = np.diff(self._elevations).min()
        laser = self._lasers[near]
        # clockwise from behind, in columns; a laser fires `late` columns after the first one
        begin = (self._turns - 1) / self._rate_hz * 1e9 / model.column_ns
        share = (0.5 - np.arctan2(y, x) / (2 * np.pi)) % 1.0
        per_turn = 1e9 / self._rate_hz / model.column_ns
        column = np.rint(begin + share * per_turn - self._late[laser]).astype(np.int64) - first
        counts = np.rint(away / model.distance_m)
        kept = (np.abs(self._elevations[near] - up_deg) <= step_deg / 2) & (counts > 0) & (counts < 65_536)
        order = np.flatnonzero(kept)[np.argsort(-counts[kept], kind="stable")]  # the nearest is written last
        column = np.clip(column[order], 0, count - 1)
        out[column, 0, laser[order]] = counts[order]
        out[column, 1, laser[order]] = np.rint(np.clip(points[order, 3], 0, 1) * 255)
        return out

    def _packet(self, first: int, fired: np.ndarray) -> tuple[float, bytes]:
        model = self._model
        seconds = first * model.column_ns * 1e-9
        blocks = fired.reshape(BLOCKS, model.halves, 2, model.lasers).transpose(0, 2, 1, 3).reshape(BLOCKS, 2, LASERS_OF_BLOCK)
        turned = (first + np.arange(BLOCKS) * model.halves) * model.column_ns * 1e-9 * self._rate_hz
        azimuths = np.rint((turned + 0.5) * TURN).astype(np.int64) % TURN
        data = encode(model, round(seconds * 1e6) % _HOUR_US, azimuths, blocks[:, 0], blocks[:, 1])
        return seconds + model.packet_ns(False) * 1e-9, data


class Writer(Operator):
    Config, inputs = WriterConfig, {"points": POINTS}

    def open(self) -> None:
        self.folder = Folder(self.name, self.out_dir, self.resume)
        self.turns = Turns(MODELS[self.config.model], self.config.rate_hz)
        self.begun = (self.out_dir / FILE).exists()

    def process(self, points: np.ndarray) -> None:
        data = b"" if self.begun else _HEADER
        data += b"".join(_record(seconds, packet, self.config.port) for seconds, packet in self.turns.push(points))
        self.begun = True
        self.folder.write(self.header, [Write(FILE, data, "append")])

    def close(self) -> None:
        self.folder.close()


def _record(seconds: float, payload: bytes, port: int) -> bytes:
    """A frame of Ethernet with IPv4 and UDP, without checksums, as a network card leaves them."""
    udp = struct.pack(">4H", port, port, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + _SENDER + _RECEIVER + udp
    frame = bytes(12) + b"\x08\x00" + ip
    whole, us = divmod(round(seconds * 1e6), 1_000_000)
    return struct.pack("<4I", whole, us, len(frame), len(frame)) + frame
