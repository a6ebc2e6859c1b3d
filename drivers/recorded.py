"""The skeleton of a driver whose items are all on disk before the run starts.

A driver derives from `Recorded` and `Source`. It implements `list_items` (all items, from names only), `load` (the values
of an item), and if needed `check`, `check_served`, `check_wanted`, `enter`, `statics`, `close`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline.frame import Reading
from pipeline.operator import Found


class Item(NamedTuple):
    """What one call of `read` returns."""

    part: int
    """Index into `Listing.parts`."""
    key: Any
    """Frame number within the part, or a file."""
    name: str
    """The data set's own name of it."""
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    parts: Sequence[Any]
    """Sequences, drives, ...: what is entered once and then read item by item."""
    items: Sequence[Item]
    rate_hz: float


class Recorded:
    name: str
    config: Any
    wanted: frozenset[str]
    needed: frozenset[str]
    listing: Listing

    @classmethod
    def list_items(cls, config: Any) -> Listing:
        """All items in playing order, from names and sizes of files. Raises InputError."""
        raise NotImplementedError(f"{cls.__name__}.list_items")

    @classmethod
    def check(cls, config: Any, listing: Listing) -> None:
        """Reads the files that must be right before the run starts. Raises InputError."""

    def check_served(self) -> None:
        """Raises InputError if a needed port has no file. Called before the run and at `open`."""

    def check_wanted(self) -> None:
        """Raises InputError if files of a wanted port are wrong. Called before the run."""

    def enter(self, part: Any) -> None:
        """Loads the data shared by the items of a part, before the first of them."""

    def load(self, part: Any, key: Any, reading: Reading) -> None:
        """Fills `reading.values` and `reading.meta`; ports without a file are left out."""
        raise NotImplementedError(f"{type(self).__name__}.load")

    @classmethod
    def find(cls, config: Any) -> Found:
        listing = cls.list_items(config)
        cls.check(config, listing)
        stamps_ns = np.array([item.stamp_ns for item in listing.items], np.int64)
        return Found(len(stamps_ns), listing.rate_hz, stamps_ns)

    @classmethod
    def check_ports(cls, name: str, config: Any, wanted: frozenset[str], needed: frozenset[str]) -> None:
        source = cls()
        source.name, source.config, source.wanted, source.needed = name, config, wanted, needed
        source.listing = cls.list_items(config)
        source.check_served()
        source.check_wanted()

    def open(self, start: int = 0) -> None:
        self.listing = self.list_items(self.config)
        self.check_served()
        self._next, self._entered = start, -1

    def read(self) -> Reading | None:
        if self._next >= len(self.listing.items):
            return None
        item = self.listing.items[self._next]
        self._next += 1  # before reading, so an unreadable item is skipped by the next call
        part = self.listing.parts[item.part]
        if item.part != self._entered:
            self._entered = item.part
            self.enter(part)
        reading = Reading({}, item.name, item.stamp_ns)
        self.load(part, item.key, reading)
        return reading
