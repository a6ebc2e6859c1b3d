"""The skeleton of a driver whose items are all on disk before the run starts.

A driver derives from `Recorded` and `Source`. It implements `list_items` (all items, from names only), `load` (the values
of an item), and if needed `check`, `lacks`, `check_wanted`, `enter`, `statics`, `close`. `parts_key` is the config key that plays
one part alone, by its `name`.
"""

from __future__ import annotations

import bisect
import itertools
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, overload

import numpy as np

from pipeline.errors import InputError
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


class Numbered(Sequence[Item]):
    """The frames of parts, one part after another, as PART/000007. An item is made when it is asked for: a long sequence with few
    files takes no memory. A part has name, frames (numbers) and stamp_ns(number)."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts = parts
        self._ends = list(itertools.accumulate(len(part.frames) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def stamps_ns(self) -> Iterator[int]:
        return (part.stamp_ns(number) for part in self._parts for number in part.frames)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        at = bisect.bisect_right(self._ends, index)
        part = self._parts[at]
        number = part.frames[index - self._ends[at]]  # from the end of the part
        return Item(at, number, f"{part.name}/{number:06d}", part.stamp_ns(number))


class Recorded:
    name: str
    config: Any
    wanted: frozenset[str]
    needed: frozenset[str]
    log: logging.Logger
    status: Callable[[str], None]
    listing: Listing
    parts_key: ClassVar[str] = ""
    instead: ClassVar[Mapping[str, str]] = {}  # port -> end of the message without it: what else could give its values
    _said: tuple[str, ...] = ()

    @classmethod
    def list_items(cls, config: Any) -> Listing:
        """All items in playing order, from names and sizes of files. Raises InputError."""
        raise NotImplementedError(f"{cls.__name__}.list_items")

    @classmethod
    def check(cls, config: Any, listing: Listing) -> None:
        """Reads the files that must be right before the run starts. Raises InputError."""

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        """Those of the ports that have nothing to send -> what is missing."""
        return {}

    def check_served(self) -> None:
        """Raises InputError if a needed port has nothing to send: its readers would wait for ever without a message. Called
        before the run and at `open`."""
        for port, missing in self.lacks(self.needed).items():
            raise InputError(
                f"{self.name}: {port} is connected, but {missing}; add what is missing or disconnect {self.name}.{port}"
                f"{self.instead.get(port, '')}"
            )

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
        items = listing.items
        stamps = items.stamps_ns() if isinstance(items, Numbered) else (item.stamp_ns for item in items)
        stamps_ns = np.fromiter(stamps, np.int64, len(items))
        parts = tuple(part.name for part in listing.parts) if cls.parts_key else ()
        return Found(len(stamps_ns), listing.rate_hz, stamps_ns, parts, cls.parts_key)

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
        for port, missing in self.lacks(self.wanted - self.needed).items():
            self.say(f"no {port}: {missing}")
        self._next, self._entered = start, -1

    def say(self, text: str) -> None:
        """Tells the user once what is left out: in the log, the display and the report."""
        if text and text not in self._said:
            self._said = (*self._said, text)
            self.log.warning("%s", text)
            self.status("; ".join(self._said))

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
