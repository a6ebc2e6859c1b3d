"""A bad network, repeatably: items that are left out, items that overtake each other. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Timed = tuple[float, Item]
"""When [s], what."""


class Faults:
    """lost, swapped: how many until now. The same seed makes the same faults."""

    def __init__(self, loss: float = 0.0, reorder: float = 0.0, seed: int = 0) -> None:
        self._loss, self._reorder, self._random = loss, reorder, random.Random(seed)
        self.lost = self.swapped = 0

    def __call__(self, items: Iterable[Timed[Item]]) -> Iterator[Timed[Item]]:
        """Leaves out each item with probability `loss`; sends it after the one that follows it with probability `reorder`."""
        if not self._loss and not self._reorder:
            yield from items
            return
        held: Item | None = None
        due = 0.0
        for due, item in items:
            if self._random.random() < self._loss:
                self.lost += 1
                continue
            if held is None and self._random.random() < self._reorder:
                held = item
                continue
            yield due, item
            if held is not None:
                self.swapped += 1
                yield due, held
                held = None
        if held is not None:
            yield due, held
