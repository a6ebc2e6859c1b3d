"""What Linux offers to processes by prctl(2), and Python does not."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator

_SET_PDEATHSIG, _SET_NAME, _SET_CHILD_SUBREAPER, _GET_CHILD_SUBREAPER = 1, 15, 36, 37


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies in any way."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before the line above


def set_name(name: str) -> None:
    """The name in `top`, up to 15 bytes."""
    _prctl(_SET_NAME, ctypes.c_char_p(os.fsencode(name)[:15]))


def is_reaper_of_orphans() -> bool:
    flag = ctypes.c_int()
    _prctl(_GET_CHILD_SUBREAPER, ctypes.byref(flag))
    return bool(flag.value)


@contextlib.contextmanager
def reaper_of_orphans() -> Iterator[None]:
    """Inside the block an orphan among the descendants of this process becomes its child. Raises OSError."""
    was = is_reaper_of_orphans()
    _prctl(_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        _prctl(_SET_CHILD_SUBREAPER, int(was))


def _prctl(option: int, value: object) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
