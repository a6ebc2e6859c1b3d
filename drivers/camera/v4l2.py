"""What a V4L2 device says of itself: its name, what it is, pixel formats and sizes. By ioctl, without opening a stream.

Source: Linux, include/uapi/linux/videodev2.h (structures, numbers), Documentation/userspace-api/media/v4l.
A device can be asked while another program streams from it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CAPABILITY, FORMAT, SIZE = struct.Struct("16s32s32s6I"), struct.Struct("3I32s2I3I"), struct.Struct("3I6I2I")
"""v4l2_capability, v4l2_fmtdesc, v4l2_frmsizeenum; native order."""
_CAPTURE, _DEVICE_CAPS = 0x1 | 0x1000, 0x80000000  # single- or multi-planar; device_caps is valid
_VIDEO_CAPTURE, _VIDEO_CAPTURE_MPLANE = 1, 9
_DISCRETE = 1
_MOST = 64  # formats of a device, sizes of a format: a driver that never says EINVAL must not hang the check


def _number(direction: int, number: int, size: int) -> int:
    """_IOC of linux/ioctl.h; direction 2: read, 3: read and write."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


QUERYCAP = _number(2, 0, CAPABILITY.size)
ENUM_FMT = _number(3, 2, FORMAT.size)
ENUM_FRAMESIZES = _number(3, 74, SIZE.size)


@dataclass(frozen=True)
class Offer:
    """One pixel format of a device. fourcc: without blanks at its end; sizes: "640x480", or "up to 1920x1080"."""

    fourcc: str
    sizes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.fourcc} ({', '.join(self.sizes)})" if self.sizes else self.fourcc


@dataclass(frozen=True)
class Device:
    """captures: False for a node of metadata or of output, as most USB cameras have one beside that of the pictures."""

    card: str
    driver: str
    captures: bool
    offers: tuple[Offer, ...] = ()

    def __str__(self) -> str:
        return f"{self.card}: {', '.join(map(str, self.offers)) or 'no formats'}"


def parse_capability(data: bytes) -> Device:
    driver, card, _, _, caps, device_caps, *_ = CAPABILITY.unpack(data)
    caps = device_caps if caps & _DEVICE_CAPS else caps
    return Device(_text(card), _text(driver), bool(caps & _CAPTURE))


def parse_format(data: bytes) -> int:
    """The pixel format as a number; `fourcc` makes text of it."""
    return int(FORMAT.unpack(data)[4])


def parse_size(data: bytes) -> tuple[str, bool]:
    """The size as text, and whether there may be more of the format."""
    _, _, kind, *sizes = SIZE.unpack(data)
    if kind == _DISCRETE:
        return f"{sizes[0]}x{sizes[1]}", True
    return f"up to {sizes[1]}x{sizes[4]}", False  # min, max, step of the width, then of the height


def fourcc(number: int) -> str:
    return struct.pack("<I", number & 0x7FFFFFFF).decode("latin-1").rstrip(" ")


def ask(path: Path, ioctl: Callable[[int, int, bytes], bytes] | None = None) -> Device:
    """Raises OSError if there is no such device, if it may not be used, or if it is none of V4L2 (ENOTTY)."""
    call = ioctl or fcntl.ioctl
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = parse_capability(call(fd, QUERYCAP, bytes(CAPABILITY.size)))
        return Device(found.card, found.driver, found.captures, tuple(_offers(fd, call)) if found.captures else ())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(fd)


def _offers(fd: int, call: Callable[[int, int, bytes], bytes]) -> list[Offer]:
    offers = []
    for kind in (_VIDEO_CAPTURE, _VIDEO_CAPTURE_MPLANE):
        for index in range(_MOST):
            data = _listed(call, fd, ENUM_FMT, FORMAT.pack(index, kind, 0, b"", 0, 0, 0, 0, 0))
            if data is None:
                break
            number = parse_format(data)
            offers.append(Offer(fourcc(number), tuple(_sizes(fd, call, number))))
    return offers


def _sizes(fd: int, call: Callable[[int, int, bytes], bytes], number: int) -> list[str]:
    sizes = []
    for index in range(_MOST):
        data = _listed(call, fd, ENUM_FRAMESIZES, SIZE.pack(index, number, 0, *[0] * 8))
        if data is None:
            break
        text, more = parse_size(data)
        sizes.append(text)
        if not more:
            break
    return sizes


def _listed(call: Callable[[int, int, bytes], bytes], fd: int, request: int, data: bytes) -> bytes | None:
    """None at the end of a list, and for a list that the driver does not have."""
    try:
        return call(fd, request, data)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY):
            return None
        raise


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace").strip()


def user_of(path: Path, proc: Path = Path("/proc")) -> str:
    """`process 1234 (cheese)` that has the device open; "" if none is seen (those of other users cannot be)."""
    for folder in sorted(proc.glob("[0-9]*")):
        if folder.name == str(os.getpid()):
            continue
        try:
            links = [os.readlink(fd) for fd in (folder / "fd").iterdir()]
            if str(path) in links:
                return f"process {folder.name} ({(folder / 'comm').read_text().strip()})"
        except OSError:  # gone, or another user's
            continue
    return ""
