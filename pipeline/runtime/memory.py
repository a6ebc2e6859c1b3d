"""Memory of a process: how much it has, and that what it frees stays with it.

By default glibc hands large blocks back to the kernel when they are freed, and gets them anew, page by page, for the next
frame. A fresh page costs 1-3 us here: a detector's activations took ten times as long to come by as to compute.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_MOST = 2**31 - 1


def keep_freed() -> None:
    """For the whole process, as long as it lives; harmless when called again. Without glibc: no effect."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _MOST)


def rss_mb(pid: int) -> float:
    """Resident memory of a process [MB], 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGESIZE") / 1e6
