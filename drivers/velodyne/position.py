"""The packets that a sensor sends to port 8308: is its clock locked to GPS?       Source: VLP-16 manual 63-9243, appendix C

512 bytes: at 198 microseconds past the hour (uint32), at 202 the state of the pulse per second, at 206 the last NMEA sentence.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

POSITION_BYTES = 512
PPS = ("absent", "synchronizing", "locked", "error")
_US, _PPS, _NMEA = 198, 202, 206


class Position(NamedTuple):
    """us  microseconds past the hour; pps  of PPS; nmea  the sentence, "" without a receiver; valid  it has a fix"""

    us: int
    pps: str
    nmea: str
    valid: bool

    @property
    def locked(self) -> bool:
        return self.pps == "locked" and self.valid

    def text(self) -> str:
        """For the status."""
        fix = "fix" if self.valid else "no fix" if self.nmea else "no receiver"
        return f"GPS: pulse {self.pps}, {fix}"


def read(data: bytes) -> Position:
    """data: POSITION_BYTES. Bytes that no manual explains give "error" and ""."""
    (us,) = struct.unpack_from("<I", data, _US)
    pps = PPS[data[_PPS]] if data[_PPS] < len(PPS) else "error"
    text = data[_NMEA:].split(b"\0", 1)[0].split(b"\r", 1)[0].decode("ascii", "replace").strip()
    nmea = text if text.startswith("$") and _checked(text) else ""
    return Position(us, pps, nmea, _fix(nmea.partition("*")[0].split(",")))


def _checked(text: str) -> bool:
    """Is the sum after the * that of the characters before it?"""
    body, star, given = text[1:].partition("*")
    total = 0
    for character in body.encode("ascii", "replace"):
        total ^= character
    return bool(star) and given[:2].upper() == f"{total:02X}"


def _fix(fields: list[str]) -> bool:
    kind = fields[0][3:]
    if kind == "RMC":
        return len(fields) > 2 and fields[2] == "A"
    return kind == "GGA" and len(fields) > 6 and fields[6] not in ("", "0")
