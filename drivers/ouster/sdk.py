"""A sensor as its metadata describe it, and its packets: the one file that knows the package ouster-sdk (extra `ouster`).

The package decodes all packet formats (UDP profiles) of all firmware versions, and knows how each beam points. Its own sockets
and readers of captures are not used. It is loaded when a node first needs it, never at import.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drivers.clock import Name
from drivers.live import Malformed
from drivers.ouster.frames import Packet
from operators import textfile
from pipeline.errors import InputError
from pipeline.outside import parse_json

_CLOCKS: dict[str, Name] = {"TIME_FROM_PTP_1588": "ptp", "TIME_FROM_SYNC_PULSE_IN": "gps"}
MAX_METADATA_BYTES = 4 << 20


class Misfit(Malformed):
    """A datagram that this sensor's metadata do not describe."""


def need_sdk(who: str) -> None:
    """Raises InputError naming the extra if the package is not installed; does not load it."""
    try:
        found = importlib.util.find_spec("ouster.sdk") is not None
    except ModuleNotFoundError:  # no package ouster at all
        found = False
    if not found:
        raise InputError(f"{who}: needs ouster-sdk, which is not installed; pip install 'perception-pipe[ouster]'")


def read_metadata(path: Path) -> str:
    """The text of a sensor's json file. Raises InputError."""
    return textfile.read(path, MAX_METADATA_BYTES).decode(errors="backslashreplace")


class Fields(NamedTuple):
    """One turn, column by column, of W columns and H beams, the highest first; R returns.

    ranges        (R, W, H) uint32 [mm], 0 = no return
    strengths     (R, W, H) uint16, reflectivity or signal
    stamps_ns     (W,) int64, by the sensor's clock
    columns       (C,) int64: those that came, in the order of their stamps
    """

    ranges: np.ndarray
    strengths: np.ndarray
    stamps_ns: np.ndarray
    columns: np.ndarray


class Sensor:
    """model      such as "OS-0-128 122150000150, RNG15_RFL8_NIR8, 1024x10"
    packet_bytes  of a packet of ranges
    shape         columns of a turn, beams
    rate_hz       turns per second
    clock         what its stamps follow
    returns       per beam, 1 or 2
    columns       first column of each packet of a turn, in the order of sending; `columns_per_packet` in each
    max_frame_id  number of a turn before it is 0 again
    direction, offset  (W, H, 3) float64: p = range * direction + offset [mm -> m], x forward (away from the connector), y left,
                  z up, from the middle of the sensor's base
    """

    def __init__(self, metadata: str, where: str) -> None:
        """where: file or address of the metadata, for errors. Raises InputError."""
        need_sdk(where)
        try:
            given = parse_json(metadata)
        except ValueError as error:
            raise InputError(f"{where}: needs the sensor's metadata as JSON, got: {error}; copied incompletely?") from None
        if not isinstance(given, dict):
            raise InputError(f"{where}: needs the sensor's metadata, a JSON object, got other JSON")
        _known_profile(given, where)
        self._core = core = importlib.import_module("ouster.sdk.core")
        try:
            self._info = info = core.SensorInfo(metadata)
            self._format = core.PacketFormat(info)
            table = core.XYZLut(info, False)
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
            reason = " ".join(str(error).replace("ERROR:", "").split())
            raise InputError(f"{where}: needs the metadata of an Ouster sensor, got: {reason}") from None
        packet, layout = self._format, info.format
        width, beams, each = info.w, info.h, packet.columns_per_packet
        if not 1 <= each <= width or width % each or not 1 <= beams <= 255:
            raise InputError(
                f"{where}: needs 1 to 255 beams and columns_per_packet that divides columns_per_frame, "
                f"got {beams} beams, {each} of {width} columns"
            )
        profile = str(layout.udp_profile_lidar)
        self.shape, self.columns_per_packet, self.packet_bytes = (width, beams), each, packet.lidar_packet_size
        self.rate_hz = float(layout.fps or 10)
        self.model = f"{info.prod_line} {info.sn or ''}".strip() + f", {profile}, {width}x{self.rate_hz:g}"
        self.clock: Name = _CLOCKS.get(_time_mode(given), "sensor")
        self._others = {packet.imu_packet_size, packet.zone_packet_size}
        first = layout.column_window[0] // each
        count, num = width // each, layout.lidar_packets_per_frame()
        self.columns = tuple((first + k) % count * each for k in range(min(num, count)))
        self.max_frame_id = int(packet.max_frame_id)
        fields = {kind.name for kind in core.get_field_types(info)}
        self.returns = 2 if "RANGE2" in fields else 1
        self._strengths = {key: key.upper() for key in ("reflectivity", "signal") if key.upper() in fields}
        if "RANGE" not in fields:
            raise InputError(f"{where}: needs a UDP profile with ranges, got {profile}")
        self.direction, self.offset = (
            np.ascontiguousarray(np.asarray(part, np.float64).reshape(beams, width, 3).transpose(1, 0, 2))
            for part in (table.direction, table.offset)
        )
        self.serial = int(info.sn or 0)

    @property
    def strengths(self) -> tuple[str, ...]:
        """Of reflectivity and signal, what the packets have."""
        return tuple(self._strengths)

    def head(self, data: bytes, stamp_ns: int) -> Packet | None:
        """None: a packet without ranges, or without a valid column. Raises Misfit."""
        if len(data) != self.packet_bytes:
            if len(data) in self._others:
                return None
            raise Misfit(f"needs packets of {self.packet_bytes} bytes ({self.model}), got {len(data)} bytes")
        packet = self._packet(data, stamp_ns)
        if (serial := packet.prod_sn()) and self.serial and serial != self.serial:
            raise Misfit(f"needs packets of sensor {self.serial}, of which the metadata are, got those of {serial}")
        headers = self._core.ColHeader
        valid = self._format.packet_header(headers.STATUS, packet.buf) & 1
        if not valid.any():
            return None
        k = int(valid.argmax())
        column = int(self._format.packet_header(headers.MEASUREMENT_ID, packet.buf)[k]) - k
        if column not in self.columns:
            raise Misfit(f"needs a packet that begins at one of {len(self.columns)} columns, such as 0, got column {column}")
        return Packet(packet.frame_id(), column, stamp_ns, data)

    def decode(self, packets: Sequence[Packet], strength: str) -> Fields:
        """packets: of one turn, as from `head`; strength: one of `strengths`."""
        frame, batcher = self._core.LidarFrame(self._info), self._core.FrameBatcher(self._info)
        for packet in packets:
            batcher.batch(self._packet(packet.data, packet.stamp_ns), frame)
        numbers = ("", "2")[: self.returns]
        ranges, strengths = (
            np.ascontiguousarray(np.stack([frame.field(f"{name}{n}").T for n in numbers]), dtype)
            for name, dtype in (("RANGE", np.uint32), (self._strengths[strength], np.uint16))
        )
        stamps_ns = frame.timestamp.astype(np.int64)
        columns = np.flatnonzero(frame.status & 1)
        return Fields(ranges, strengths, stamps_ns, columns[np.argsort(stamps_ns[columns], kind="stable")])

    def _packet(self, data: bytes, stamp_ns: int) -> Any:
        packet = self._core.LidarPacket(self._format)
        packet.buf[:] = np.frombuffer(data, np.uint8)
        packet.host_timestamp = stamp_ns
        return packet


def _known_profile(given: dict[str, Any], where: str) -> None:
    """The package takes an unknown profile for LEGACY, and would decode nonsense."""
    layout = given.get("data_format", given.get("lidar_data_format"))
    profile = layout.get("udp_profile_lidar", "LEGACY") if isinstance(layout, dict) else "LEGACY"
    core = importlib.import_module("ouster.sdk.core")
    if not isinstance(profile, str) or core.UDPProfileLidar.from_string(profile) is None:
        raise InputError(f"{where}: needs a UDP profile that ouster-sdk knows, got {profile!r}; a newer ouster-sdk?")


def _time_mode(given: dict[str, Any]) -> str:
    """Of the `config_params` of the metadata, where newer files have it, and of the top of older ones."""
    config = given.get("config_params")
    found = config.get("timestamp_mode") if isinstance(config, dict) else given.get("timestamp_mode")
    return found if isinstance(found, str) else ""
