"""What the training files of all nets have in common: keys, and their checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from operators.streams import CLASSES
from pipeline.settings import suggest


@dataclass(frozen=True, slots=True)
class StartConfig:
    """Tensors of another training to start with (start.py)."""

    weights: str  # path of a .safetensors file of the same architecture, of any config
    only: tuple[str, ...] = ()  # beginnings of the names that are copied; none: all


@dataclass(frozen=True, slots=True)
class PicturesConfig:
    """A driver with pictures and the port truth. Truth beyond these limits is ignored: neither object nor background."""

    driver: str
    config: dict[str, Any] = field(default_factory=dict)
    min_height_px: float = 8.0  # of a box, in the net's picture
    max_occluded: int = 1
    max_truncated: float = 0.5
    min_visible: float = 0.3  # share of a box that no nearer box covers

    def __post_init__(self) -> None:
        for key in ("max_truncated", "min_visible"):
            within(self, key, 0, 1)


def check_names(classes: Mapping[str, Iterable[str]], class_names: Sequence[str]) -> None:
    """classes: of the model -> labels of the data. Raises ValueError."""
    if set(classes) != set(class_names):
        needs = ", ".join(class_names)
        raise ValueError(f"classes: needs labels for {needs}, as in model.class_names, got {', '.join(classes)}")
    for name, labels in classes.items():
        check_labels(name, labels)


def check_labels(name: str, labels: Iterable[str]) -> None:
    for label in labels:
        if label not in CLASSES:
            raise ValueError(f"classes: {name}: {label} is no label of the streams{suggest(label, CLASSES)}")


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
