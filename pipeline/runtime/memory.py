"""Memory of a process: its size, and keeping freed memory in the process.

By default glibc returns large freed blocks to the kernel and gets new ones, page by page, for the next frame. A fresh page
costs 1-3 us here: allocating a detector's activations took ten times as long as computing them.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_MOST = 2**31 - 1


def keep_freed() -> None:
    """Keep freed memory, for the rest of the process's life; may be called again. Without glibc: no effect."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _MOST)


def rss_mb(pid: int) -> float:
    """Resident memory of a process [MB], 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGESIZE") / 1e6
