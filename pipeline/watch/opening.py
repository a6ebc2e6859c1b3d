"""Says which nodes the run waits for before the first frame. The first run on a machine compiles kernels, for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

FIRST_S, NEXT_S = 1.5, 5.0


class Opening(threading.Thread):
    """Says every few seconds which nodes are opening, until `stop`.

    A thread, because inline `open()` keeps the main one busy.
    """

    def __init__(self, opening: Callable[[], Sequence[str]], say: Callable[[str], None]) -> None:
        """opening: names of the nodes that are in open() now; say: shows one line."""
        super().__init__(name="opening", daemon=True)
        self._opening, self._say = opening, say
        self._ended = threading.Event()

    def run(self) -> None:
        wait_s = FIRST_S
        while not self._ended.wait(wait_s):
            try:
                self._say(waiting_text(self._opening()))
            except (OSError, ValueError):  # a full disk or a closed pipe under standard output
                return
            wait_s = NEXT_S

    def stop(self) -> None:
        self._ended.set()
        self.join()


def waiting_text(names: Sequence[str]) -> str:
    if not names:
        return "waiting for the processes to import their nodes"
    return f"waiting for {', '.join(names)} to open (kernels compile once per machine, cached afterwards)"
