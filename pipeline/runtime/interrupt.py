"""Ctrl-C in an inline run: a step that has begun is finished, so that a sink's files and the books agree."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 0.5
"""A step that takes longer after Ctrl-C is interrupted; a second Ctrl-C interrupts it at once."""


class Interrupt:
    """`requested` is set at the first SIGINT; the loop checks it between two steps."""

    def __init__(self) -> None:
        self.requested = False
        self._timer: threading.Timer | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handles SIGINT inside the block. Outside the main thread it does nothing: signals never arrive there."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._came)
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
            signal.signal(signal.SIGINT, before)

    def _came(self, *_: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._timer = threading.Timer(PATIENCE_S, _thread.interrupt_main)
        self._timer.daemon = True
        self._timer.start()
