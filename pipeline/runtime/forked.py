"""A node may fork (`multiprocessing.Pool`): the child must not act as the process of the run that it is a copy of.

Whoever changes the state of the process, such as a signal's handler, registers how a forked child undoes the change.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that stop a run."""
_undo: list[Callable[[], object]] = []
_forking = threading.local()


def in_child(undo: Callable[[], object]) -> None:
    """Call `undo` in each child forked from now on, the latest registered first."""
    _undo.append(undo)


@contextmanager
def undone_in_child(undo: Callable[[], object]) -> Iterator[None]:
    """`in_child` for the time of a block."""
    _undo.append(undo)
    try:
        yield
    finally:
        if undo in _undo:  # else this is a child
            _undo.remove(undo)


def _before() -> None:
    """A signal to a child that has not undone the handlers yet waits until it has."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS if _undo else ())


def _in_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _in_child() -> None:
    while _undo:
        _undo.pop()()
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
