"""What the training files of all nets have in common: keys, and their checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StartConfig:
    """Tensors of another training to start with (start.py)."""

    weights: str  # path of a .safetensors file of the same architecture, of any config
    only: tuple[str, ...] = ()  # beginnings of the names that are copied; none: all


def check_loop(config: Any, counts: Iterable[str] = (), shares: Iterable[str] = ()) -> None:
    """Raises ValueError naming the key of the loop that is wrong. counts, shares: further keys, 1 or more, 0..1."""
    for key in ("steps", "batch", "threads", "epoch_steps", *counts):
        at_least(config, key, 1)
    for key in ("ema", *shares):
        within(config, key, 0, 1)
    for key in ("lr", "clip", "minutes"):
        value = getattr(config, key)
        if value is not None and not value > 0:
            raise ValueError(f"{key}: needs more than 0, got {value}")


def at_least(config: Any, key: str, least: int) -> None:
    if getattr(config, key) < least:
        raise ValueError(f"{key}: needs {least} or more, got {getattr(config, key)}")


def within(config: Any, key: str, low: float, high: float) -> None:
    """None is within every range."""
    value = getattr(config, key)
    if value is not None and not low <= value <= high:
        raise ValueError(f"{key}: needs {low}..{high}, got {value}")
