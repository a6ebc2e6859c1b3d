import tracemalloc
from typing import NamedTuple

import pytest

from drivers.recorded import Item, Listing, Numbered, Recorded
from pipeline.errors import InputError


def driver(parts, start=0):
    """Reads part by part; reading key "bad" fails"""

    class Letters(Recorded):
        entered = []

        @classmethod
        def list_items(cls, config):
            items = [Item(i, k, f"{i}/{k}", 10 * n) for n, (i, k) in enumerate((i, k) for i, p in enumerate(parts) for k in p)]
            return Listing(parts, items, 10.0)

        def enter(self, part):
            self.entered.append(part)

        def load(self, part, key, reading):
            if key == "bad":
                raise InputError("bad")
            reading.values["letter"] = key

    node = Letters()
    node.config, node.wanted, node.needed = None, frozenset(), frozenset()
    node.open(start)
    return node


def read_all(node):
    readings = []
    while (reading := node.read()) is not None:
        readings.append((reading.item, reading.stamp_ns, reading.values["letter"]))
    return readings


def test_nothing_is_found_and_read():
    node = driver([])
    found = node.find(None)
    assert (found.frames, found.rate_hz, found.stamps_ns.tolist(), node.read()) == (0, 10.0, [], None)


def test_one():
    node = driver(["a"])
    assert read_all(node) == [("0/a", 0, "a")] and node.entered == ["a"] and node.read() is None


@pytest.mark.parametrize(("start", "entered"), [(0, ["ab", "cd"]), (1, ["ab", "cd"]), (2, ["cd"]), (4, [])])
def test_many_from_any_start_enter_each_part_once(start, entered):
    node = driver(["ab", "cd"], start)
    whole = [("0/a", 0, "a"), ("0/b", 10, "b"), ("1/c", 20, "c"), ("1/d", 30, "d")]
    assert read_all(node) == whole[start:] and node.entered == entered
    assert node.find(None).stamps_ns.tolist() == [0, 10, 20, 30]


def test_after_an_unreadable_item_comes_the_next_one():
    node = driver([["a", "bad", "c"]])
    node.read()
    with pytest.raises(InputError, match="bad"):
        node.read()
    assert read_all(node) == [("0/c", 20, "c")]


@pytest.mark.parametrize(
    ("wanted", "needed", "message"),
    [
        ("", "", None),
        ("ab", "", "wanted a b"),
        ("ab", "a", "x: a is connected, but it has no file; add what is missing or disconnect x.a"),
    ],
)
def test_ports_are_checked_before_the_run(wanted, needed, message):
    """As in the run: `needed` first, then the files of the wanted ones."""

    class Ports(Recorded):
        @classmethod
        def list_items(cls, config):
            return Listing([config], [], 10.0)

        def lacks(self, ports):
            return {port: "it has no file" for port in ports if port in self.listing.parts[0]}

        def check_wanted(self):
            if self.wanted:
                raise InputError("wanted " + " ".join(sorted(self.wanted)))

    if message is None:
        Ports.check_ports("x", "a", frozenset(wanted), frozenset(needed))
        return
    with pytest.raises(InputError, match=f"^{message}$"):
        Ports.check_ports("x", "a", frozenset(wanted), frozenset(needed))


class Part(NamedTuple):
    name: str
    frames: list[int] | range

    def stamp_ns(self, frame):
        return 10 * frame


MANY = [Part("a", [3, 9]), Part("b", []), Part("c", range(4))]


@pytest.mark.parametrize("parts", [[], [Part("a", [])], [Part("a", [7])], MANY])
def test_numbered_items_are_those_of_a_list(parts):
    items = Numbered(parts)
    every = [Item(i, k, f"{p.name}/{k:06d}", 10 * k) for i, p in enumerate(parts) for k in p.frames]
    assert list(items) == every == items[:] == [items[i - len(every)] for i in range(len(every))]
    assert len(items) == len(every) and items[1:3] == every[1:3]
    assert list(items.stamps_ns()) == [item.stamp_ns for item in every]
    for index in (len(every), -len(every) - 1):
        with pytest.raises(IndexError):
            items[index]


def test_a_long_sequence_takes_no_memory():
    tracemalloc.start()
    items = Numbered([Part("a", range(10**9))])
    assert items[10**9 - 1].name == "a/999999999"
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
