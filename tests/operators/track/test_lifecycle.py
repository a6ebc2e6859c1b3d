import numpy as np
import pytest

from operators.track.lifecycle import Table


def born(n, first_id=1):
    labels, scores = np.arange(n, dtype=np.int32), np.arange(n, dtype=np.float32)
    return Table.born(np.arange(10.0 * n).reshape(n, 10), np.zeros((n, 10, 10)), labels, scores, first_id)


def test_empty():
    table = Table.empty()
    table.missed(1)
    table.hit(np.empty(0, int), np.empty(0, np.float32))
    assert len(table) == 0 and len(table.join(Table.empty())) == 0
    assert table.track_ids.dtype == np.int64 and table.labels.dtype == np.int32 and table.scores.dtype == np.float32
    assert table.alive(np.empty(0, int)).shape == table.shown(np.empty(0, int), 1).shape == (0,)


def test_births_are_numbered_in_order_and_count_as_the_first_hit():
    table = Table.empty().join(born(2, 5)).join(born(1, 7))
    assert table.track_ids.tolist() == [5, 6, 7]
    assert table.hits.tolist() == [1, 1, 1] and table.time_since_update.tolist() == [0, 0, 0]
    assert table.track_ids.dtype == np.int64 and table.labels.dtype == np.int32 and table.scores.dtype == np.float32


def test_hits_and_misses():
    table = born(3)
    table.missed(2)
    table.hit(np.array([2]), np.array([9.0], np.float32))
    assert table.hits.tolist() == [1, 1, 2] and table.time_since_update.tolist() == [2, 2, 0]
    assert table.scores.tolist() == [0, 1, 9]


def test_keep_takes_whole_rows():
    table = born(3).keep(np.array([True, False, True]))
    assert table.track_ids.tolist() == [1, 3] and table.labels.tolist() == [0, 2] and table.x[:, 0].tolist() == [0, 20]
    assert table.P.shape == (2, 10, 10)


@pytest.mark.parametrize(("misses", "max_age", "alive"), [(0, 1, True), (1, 1, False), (1, 2, True), (2, 2, False), (3, 4, True)])
def test_death(misses, max_age, alive):
    table = born(1)
    table.missed(misses)
    assert table.alive(np.array([max_age])).tolist() == [alive]


@pytest.mark.parametrize(
    ("hits", "frame", "shown", "why"),
    [
        (1, 3, True, "the first three frames of a recording"),
        (1, 4, False, "not confirmed"),
        (2, 4, False, "not yet"),
        (3, 4, True, "confirmed"),
    ],
)
def test_who_is_shown_with_min_hits_3(hits, frame, shown, why):
    table = born(1)
    for _ in range(hits - 1):
        table.hit(np.array([0]), np.zeros(1, np.float32))
    assert table.shown(np.array([3]), frame).tolist() == [shown], why
