"""Standard streams that are closed or full, as those of a daemon are."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable

TYPE_CHECKING = False  # every command imports this file, and importing typing costs 5 ms
if TYPE_CHECKING:
    from typing import TextIO


def reserve() -> None:
    """Open /dev/null for each standard stream that is closed. Else memory and files of a run would get the numbers 0 to 2, which
    its processes use for their own streams, and a library that prints would write into them."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest free number, and those below are taken
            os.set_inheritable(null, True)
    # Python has made no objects of streams that were closed when it started.
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def show(lines: Iterable[str], *, error: bool = False) -> None:
    """Print to standard output or error. If it is closed, full, or a pipe that nobody reads, the lines are lost, nothing else."""
    stream: TextIO | None = sys.stderr if error else sys.stdout
    if stream is None:  # closed when Python started
        return
    try:
        for line in lines:
            print(line, file=stream)
        stream.flush()
    except (OSError, ValueError):
        _discard(stream)


def _discard(stream: TextIO) -> None:
    """Send what is left in the stream's buffer nowhere: at its end Python would try again, and fail."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
