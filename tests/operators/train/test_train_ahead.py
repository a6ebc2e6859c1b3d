"""Items made ahead in a thread arrive in order, followed by the error that ends them."""

import itertools
import threading
import time

import pytest

from operators.train.ahead import Ahead


@pytest.mark.parametrize("size", [1, 4])
def test_items_come_in_order(size):
    ahead = Ahead(itertools.count(), size)
    assert [ahead.get() for _ in range(20)] == list(range(20))
    ahead.close()


def test_it_is_at_most_so_many_items_ahead():
    made = []
    ahead = Ahead((made.append(k) or k for k in itertools.count()), 3)
    assert ahead.get() == 0
    until = time.monotonic() + 10
    while len(made) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(made) == 5  # one taken, three waiting, one made but without room
    ahead.close()


@pytest.mark.parametrize("before", [0, 1, 3])
def test_an_error_comes_after_the_items_before_it(before):
    def items():
        yield from range(before)
        raise ValueError("broken")

    ahead = Ahead(items(), 2)
    assert [ahead.get() for _ in range(before)] == list(range(before))
    with pytest.raises(ValueError, match=r"^broken$"):
        ahead.get()
    ahead.close()


def test_closing_ends_the_thread():
    num = threading.active_count()
    ahead = Ahead(itertools.count(), 1)
    ahead.close()
    assert threading.active_count() == num
