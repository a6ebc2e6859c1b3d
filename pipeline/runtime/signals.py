"""The signals that stop a run: Ctrl-C, SIGTERM, SIGHUP. All other signals are left to the program that called `pipeline.run`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.runtime import forked
from pipeline.runtime.forked import STOPS


@contextmanager
def caught(came: Callable[[int], None]) -> Iterator[None]:
    """Inside the block `came(number)` is called in the main thread. In another thread: no effect, signals never arrive there.

    A shell starts jobs with `&` with SIGINT ignored, and that SIGINT still counts; nohup ignores SIGHUP, and that is respected.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {s: signal.getsignal(s) for s in STOPS}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not installed by Python

    with forked.undone_in_child(restore):
        for number in before:
            signal.signal(number, lambda number, _: came(number))
        try:
            yield
        finally:
            restore()
