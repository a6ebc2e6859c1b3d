"""Ctrl-C of a run inline: a step that has begun comes to its end, so that what a sink wrote and what the books say agree."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 0.5
"""A step that takes longer after Ctrl-C is broken off; so is one at the second Ctrl-C."""


class Interrupt:
    """`requested` is set at the first SIGINT; the loop looks at it between two steps."""

    def __init__(self) -> None:
        self.requested = False
        self._timer: threading.Timer | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """SIGINT is ours in here. In a thread that is not the main one nothing changes: signals do not come there."""
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
