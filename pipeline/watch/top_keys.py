"""Single keys of a terminal, without Enter. The terminal's settings are restored, however the block is left."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from typing import Any

UP, DOWN, ENTER, ESCAPE = "up", "down", "enter", "escape"
_NAMES = {"\x1b[A": UP, "\x1bOA": UP, "\x1b[B": DOWN, "\x1bOB": DOWN, "\r": ENTER, "\n": ENTER, "\x1b": ESCAPE}
_KEY = re.compile(r"\x1b\[[0-9;]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)


def keys_of(text: str) -> list[str]:
    """Letters, and names of special keys; sequences that no name is given to are left out."""
    found = [_NAMES.get(key, key) for key in _KEY.findall(text)]
    return [key for key in found if key in _NAMES.values() or (len(key) == 1 and key.isprintable())]


class Keys:
    """`with Keys() as keys`. Without a terminal as standard input there are no keys; Ctrl-C and Ctrl-Z stay signals."""

    def __init__(self) -> None:
        self._fd = -1
        self._saved: list[Any] = []

    def __enter__(self) -> Keys:
        if sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty():
            self._fd = sys.stdin.fileno()
            self._saved = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(self, *raised: object) -> None:
        if self._fd >= 0:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)
            self._fd = -1

    def wait(self, seconds: float) -> list[str]:
        """The keys pressed by then; returns with the first."""
        if self._fd < 0:
            time.sleep(seconds)
            return []
        if not select.select([self._fd], [], [], max(0.0, seconds))[0]:
            return []
        pressed = os.read(self._fd, 256)
        if not pressed:  # the terminal has been closed
            raise EOFError
        return keys_of(pressed.decode(errors="replace"))
