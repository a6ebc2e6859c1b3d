"""The full memory fence between two processes: a store is visible before the next load. Orders stores on weakly ordered CPUs.

`fence()` is needed where a side stores a word and then loads the other side's word: without it both could miss the other's
store, and a sleeper would not be woken. On x86-64 a lock is a full fence; elsewhere the kernel's membarrier is, if available.

ORDERED  stores become visible in program order (x86-64); elsewhere the code calls `fence()` before it stores a head
SURE     `fence()` is a full fence on this machine; if not, a sleeping thread checks again after LOOK_S
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from threading import Lock

LOOK_S = 0.1

_MEMBARRIER = {"x86_64": 324, "aarch64": 283}
_GLOBAL_EXPEDITED, _REGISTER_GLOBAL_EXPEDITED = 2, 4

ORDERED = platform.machine() in ("x86_64", "AMD64")

LOCK = Lock()


def by_lock() -> None:
    """Taking a lock is a full fence on x86-64, and almost one elsewhere."""
    with LOCK:
        pass


def by_kernel(machine: str = platform.machine()) -> Callable[[], None] | None:
    """Linux's membarrier: a fence in every thread of every registered process. None if the system has none."""
    number = _MEMBARRIER.get(machine)
    if number is None:
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    if syscall(number, _REGISTER_GLOBAL_EXPEDITED, 0, 0) != 0 or syscall(number, _GLOBAL_EXPEDITED, 0, 0) != 0:
        return None

    def fence() -> None:
        syscall(number, _GLOBAL_EXPEDITED, 0, 0)

    return fence


_kernel = None if ORDERED else by_kernel()
SURE = ORDERED or _kernel is not None
fence: Callable[[], None] = _kernel or by_lock
