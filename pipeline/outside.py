"""What is read from outside (recordings, saved frames, weights): any bytes, and no more memory than a file of that size needs."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any

_UNPACKED_BYTES, _UNPACKED_TIMES = 64 << 20, 255
"""Compressed data may be unpacked to so many bytes, or so many times their size. Sensor data do not reach half of it."""


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file. Raises OSError; for a pipe, too, where `open` would wait for whoever writes into it."""
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    kind = os.fstat(fd).st_mode
    if not stat.S_ISREG(kind):
        os.close(fd)
        what = "a folder" if stat.S_ISDIR(kind) else "a pipe" if stat.S_ISFIFO(kind) else "a device"
        raise OSError(errno.EINVAL, f"it is {what}, not a file", str(path))
    return fd


def lock(fd: int) -> bool:
    """Lock a file until its descriptor is closed. False if another process has locked it; True where files cannot be locked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno != errno.EWOULDBLOCK
    return True


def parse_json(text: str | bytes) -> Any:
    """Raises ValueError for anything that is no JSON, however deep its brackets are."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its brackets are too deep") from None


def unpacked_limit(packed_bytes: int) -> int:
    """The most bytes that data of this size may claim to have unpacked."""
    return max(_UNPACKED_BYTES, _UNPACKED_TIMES * packed_bytes)
