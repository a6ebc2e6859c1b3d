import pytest

from drivers.recorded import Item, Listing, Recorded
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
    node.config = None
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
        ("ab", "a", "x: a has no file"),
    ],
)
def test_ports_are_checked_before_the_run(wanted, needed, message):
    """As in the run: `needed` first, then the files of the wanted ones."""

    class Ports(Recorded):
        @classmethod
        def list_items(cls, config):
            return Listing([config], [], 10.0)

        def check_served(self):
            if self.needed & set(self.listing.parts[0]):
                raise InputError(f"{self.name}: a has no file")

        def check_wanted(self):
            if self.wanted:
                raise InputError("wanted " + " ".join(sorted(self.wanted)))

    if message is None:
        Ports.check_ports("x", "a", frozenset(wanted), frozenset(needed))
        return
    with pytest.raises(InputError, match=f"^{message}$"):
        Ports.check_ports("x", "a", frozenset(wanted), frozenset(needed))
