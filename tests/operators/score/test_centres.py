import numpy as np
import pytest

from operators.score.centres import Centres, Counts, pair


def points(*xs):
    return np.array([[x, 0.0] for x in xs]).reshape(-1, 2)


def add(centres, truth, found, truth_forgiven=(), found_forgiven=(), labels=None):
    t, d = points(*truth), points(*found)
    centres.add(
        t,
        d,
        np.zeros(len(t), int) if labels is None else np.array(labels),
        np.zeros(len(d), int),
        np.isin(np.arange(len(t)), truth_forgiven),
        np.isin(np.arange(len(d)), found_forgiven),
    )
    return centres


@pytest.mark.parametrize(
    ("truth", "found", "counts", "recall", "precision"),
    [
        ([], [], Counts(0, 0, 0, 0), None, None),
        ([5], [], Counts(0, 1, 0, 0), 0.0, None),
        ([], [5], Counts(0, 0, 0, 1), None, 0.0),
        ([5], [7], Counts(1, 0, 1, 0), 1.0, 1.0),
        ([5], [7.01], Counts(0, 1, 0, 1), 0.0, 0.0),
        ([5, 20], [5, 6, 21], Counts(2, 0, 2, 1), 1.0, 2 / 3),
    ],
)
def test_one_frame(truth, found, counts, recall, precision):
    got = add(Centres(), truth, found).counts()
    assert (got, got.recall, got.precision) == (counts, recall, precision)


def test_as_many_pairs_as_there_can_be():
    """Matching the nearest pair first would leave one of each unmatched."""
    assert pair(points(0, 1.9), points(1.5, 3.8), 2.0).tolist() == [[0, 0], [1, 1]]
    assert pair(points(0, 2, 4), points(2, 4, 6), 2.0).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert pair(points(0, 2), points(2, 50), 2.0).tolist() == [[1, 0]]


def test_forgiven():
    """Forgiven truth removes its detection too. A forgiven detection may be right, never wrong."""
    assert add(Centres(), [5], [5], truth_forgiven=[0]).counts() == Counts(0, 0, 0, 0)
    assert add(Centres(), [], [5], found_forgiven=[0]).counts() == Counts(0, 0, 0, 0)
    assert add(Centres(), [5], [5], found_forgiven=[0]).counts() == Counts(1, 0, 1, 0)


def test_parts_add_up():
    centres = Centres()
    add(centres, [5, 15], [5, 25], labels=[0, 3])
    add(centres, [25], [25], labels=[3])
    assert centres.counts() == Counts(2, 1, 2, 1)
    assert centres.counts(0, 10) == Counts(1, 0, 1, 0)
    assert centres.counts(10, 20) == Counts(0, 1, 0, 0)
    assert centres.counts(20) == Counts(1, 0, 1, 1)
    assert centres.counts(labels=[3]) == Counts(1, 1, 0, 0)
