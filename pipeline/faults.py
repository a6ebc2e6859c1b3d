"""Named steps of a frame's life where a test can make the process kill itself: `--inject NODE:STEP[@N]`.

The steps are those of docs/decisions/001-frame-life.md. Without `--inject` a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from pipeline.errors import GraphError

STEPS = ("allocated", "written", "committed", "sent", "received", "processing", "processed", "released", "reading")

_armed: Fault | None = None


@dataclass
class Fault:
    """Kill the process of `node` at the `count`-th passing of `step`."""

    node: str
    step: str
    count: int

    @classmethod
    def parse(cls, text: str) -> Fault:
        node, colon, rest = text.partition(":")
        step, _, count = rest.partition("@")
        if not colon or step not in STEPS or not (count or "1").isdigit():
            raise GraphError(
                f"--inject {text}: needs NODE:STEP[@N] with STEP one of {', '.join(STEPS)}; e.g. tracker:processing@10"
            )
        return cls(node, step, int(count or 1))


def arm(fault: Fault | None) -> None:
    global _armed
    _armed = fault


def point(step: str) -> None:
    """A frame passes this step here and now."""
    if _armed is not None and _armed.step == step:
        _armed.count -= 1
        if _armed.count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
