"""Intended failures, for test.fault and test.fault_source."""

from __future__ import annotations

import ctypes
import os
import time

FOREVER_S = 10**6


def misbehave(kind: str, who: str, hang_in_c: bool = False, hold_gil: bool = False) -> None:
    """Raise, hang or exit. `hang_in_c`: Python signal handlers do not run; `hold_gil`: other threads do not run either."""
    if kind == "raise":
        raise ValueError(f"{who}: raised on purpose")
    if kind == "exit":
        os._exit(7)
    if kind == "hang":
        if hold_gil or hang_in_c:
            (ctypes.PyDLL(None) if hold_gil else ctypes.CDLL(None)).sleep(FOREVER_S)
        while True:
            time.sleep(FOREVER_S)
