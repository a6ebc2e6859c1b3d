"""Writing so that a file stays readable when the process dies or the disk is full."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import RunError


def replace(path: Path, data: bytes) -> None:
    """The whole file or the old one: written beside it, then renamed."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def append(path: Path, data: bytes) -> None:
    """All of it or nothing, whatever the disk says.

    One write, which the kernel copies page by page (4 KiB) and abandons between two pages when a SIGKILL arrives just then:
    a window of about a microsecond, after which the last line may be half a line. Whoever continues a file cuts it off.
    """
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        extend(fd, data)
    finally:
        os.close(fd)


def extend(fd: int, data: bytes) -> None:
    """`append` to an open file."""
    size = os.fstat(fd).st_size
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        os.ftruncate(fd, size)
        raise


def failed(who: str, path: Path, error: OSError, what: str) -> RunError:
    """The one line for a full disk and its relatives."""
    return RunError(
        f"{who}: {path}: cannot write {what}: {error.strerror}; what came before is complete; "
        "free space, or choose another --out?"
    )
