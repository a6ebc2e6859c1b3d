"""Result files: writing that survives a crash or a full disk, frame numbers, exact decimals."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pipeline.errors import RunError


def replace(path: Path, data: bytes) -> None:
    """Writes a temporary file beside `path` and renames it: readers see the old file or the whole new one."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def append(path: Path, data: bytes) -> None:
    """Appends all of `data` or nothing, also when the disk is full.

    The kernel copies a write page by page (4 KiB). A SIGKILL between two pages leaves half a line at the end; the window is about
    a microsecond. A writer that continues a file truncates that line.
    """
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        extend(fd, data)
    finally:
        os.close(fd)


def extend(fd: int, data: bytes) -> None:
    """`append`, for an open file."""
    size = os.fstat(fd).st_size
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        os.ftruncate(fd, size)
        raise


def patch(path: Path, at: int, data: bytes) -> None:
    """Overwrites from byte `at` on; the file may grow. All of `data` or nothing, also when the disk is full.

    As with `append`, a SIGKILL between two pages leaves a part; a writer that continues the file takes it back.
    """
    fd = os.open(path, os.O_RDWR)
    try:
        size = os.fstat(fd).st_size
        before = os.pread(fd, len(data), at)
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(fd, data[done:], at + done)
        except OSError:
            os.pwrite(fd, before, at)
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


def failed(who: str, path: Path, error: OSError, what: str) -> RunError:
    """The error for a failed write, e.g. on a full disk."""
    return RunError(
        f"{who}: {path}: cannot write {what}: {error.strerror}; what came before is complete; "
        "free space, or choose another --out?"
    )


def exact_decimals(values: np.ndarray) -> np.ndarray:
    """float32 -> float64 with the shortest decimals of the same float32: 16.1234 of a detection file is written as 16.123400
    again, not as 16.123401. Evaluators compare means of scores, where ties are frequent."""
    return values.astype("U").astype(np.float64)


def frame_number(item: str, frame_id: int) -> int:
    """The number in the data set's name of the frame; frame_id if the name is not a number."""
    name = item.rpartition("/")[2]
    return int(name) if name.isdecimal() else frame_id
