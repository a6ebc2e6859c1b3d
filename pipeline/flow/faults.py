"""Named steps of a frame's life where a test can make the process kill itself: `--inject NODE:STEP[@N[+]]`.

The steps are those of docs/decisions/001-frame-life.md. In a group (`place:`) frames of all members count. Without `--inject`
a step costs one check of an empty table.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.errors import GraphError
from pipeline.graph.fault import STEPS


def is_step(text: str) -> bool:
    """Does a text of `--inject` name a step, NODE:STEP[@N[+]], and not a fault?"""
    return text.partition(":")[2].partition("@")[0] in STEPS


armed: dict[str, int] = {}
"""Step -> passings left. The data path calls `point` only if this is not empty."""


@dataclass(frozen=True)
class Fault:
    """Kill the process of `node` at the `count`-th passing of `step`: once, or with `again` also after each restart."""

    node: str
    step: str
    count: int
    again: bool = False

    @classmethod
    def parse(cls, text: str) -> Fault:
        node, colon, rest = text.partition(":")
        step, at, when = rest.partition("@")
        number = re.fullmatch(r"(\d+)(\+?)", when if at else "1")
        if not colon or step not in STEPS or not number or not int(number[1]):
            raise GraphError(
                f"--inject {text}: needs NODE:STEP[@N[+]] with STEP one of {', '.join(STEPS)}; "
                "e.g. tracker:processing@10 (once), tracker:sent@30+ (at the 30th passing of each life)"
            )
        return cls(node, step, int(number[1]), bool(number[2]))


def arm(faults: Iterable[Fault]) -> None:
    """Arm the faults of this life of this process; of two at one step, the one with fewer passings left counts."""
    armed.clear()
    for fault in faults:
        armed[fault.step] = min(fault.count, armed.get(fault.step, fault.count))


def point(step: str) -> None:
    """A frame passes this step now."""
    if step in armed:
        armed[step] -= 1
        if armed[step] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
