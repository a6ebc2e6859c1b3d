"""Ends an inline run between two steps, so that a sink's files and the books agree; and a call that takes too long, within it.

A call is broken off by KeyboardInterrupt in the main thread. That reaches Python code and system calls, but no computation in C.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.runtime import signals

PATIENCE_S = 0.2
"""A step that takes longer after a signal is broken off; a second signal breaks it off at once."""
AGAIN_S = 0.2
"""A call that goes on nevertheless is broken off again."""


class Interrupt:
    """number: the first signal that asked the run to stop, 0 = none; the loop checks it between two steps."""

    def __init__(self) -> None:
        self.number = 0
        self._main: int | None = None  # the main thread, inside `caught`
        self._lock = threading.Lock()
        self._alarm: threading.Event | None = None  # set: the present alarm is off
        self._rang: threading.Event | None = None  # the alarm that has sent the signal on its way
        self._held = self._late = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handles the signals inside the block. Outside the main thread it does nothing: signals never arrive there."""
        with signals.caught(self._came):
            if threading.current_thread() is threading.main_thread():
                self._main = threading.get_ident()
            try:
                yield
            finally:
                self.disarm()
                self._main = None

    def arm(self, after_s: float) -> None:
        """Break off what the main thread does after this time, instead of at the time set before."""
        self.disarm()
        if self._main is not None:
            self._alarm = threading.Event()
            threading.Thread(target=self._ring, args=(self._alarm, self._main, after_s), name="alarm", daemon=True).start()

    def disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.set()
            with self._lock:  # a signal that is being sent is on its way now, and `_came` ignores it
                self._alarm = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """The block is not broken off; what comes meanwhile acts at its end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._late:
            self._late = False
            raise KeyboardInterrupt

    def _ring(self, off: threading.Event, main: int, after_s: float) -> None:
        while not off.wait(after_s):
            after_s = AGAIN_S
            with self._lock:
                if not off.is_set():
                    self._rang = off
                    signal.pthread_kill(main, signal.SIGINT)  # unlike interrupt_main(), this ends a system call

    def _came(self, number: int) -> None:
        rang, self._rang = self._rang, None
        if rang is not None:
            if not rang.is_set():
                self._break_off()
        elif self.number:
            self._break_off()
        else:
            self.number = number
            self.arm(PATIENCE_S)

    def _break_off(self) -> None:
        if self._held:
            self._late = True
        else:
            raise KeyboardInterrupt
