import numpy as np
import pytest

from naive import stretched
from operators.kernels.counts import NUM_COUNTS, count_at, distribution, stretch


def filled(counts):
    bins = np.full(NUM_COUNTS, 7, np.int32)
    distribution(counts, bins)
    return bins


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (1, 1), (7, 13), (512, 640)])
def test_distribution(shape):
    counts = np.random.default_rng(1).integers(0, NUM_COUNTS, shape, np.uint16)
    assert np.array_equal(filled(counts), np.bincount(counts.ravel(), minlength=NUM_COUNTS))


def test_ranks_are_those_of_the_sorted_pixels():
    counts = np.random.default_rng(2).integers(20_000, 20_050, (9, 11), np.uint16)
    bins = filled(counts)
    assert [count_at(bins, rank) for rank in range(99)] == np.sort(counts.ravel()).tolist()
    assert count_at(bins, 99) == counts.max()
    assert count_at(filled(counts[:0]), 0) == 0


@pytest.mark.parametrize(("low", "high"), [(0, 65535), (21_000, 22_000), (21_500.25, 21_500.75), (-40.0, 24.0), (64_000, 70_000)])
def test_stretch(low, high):
    counts = np.random.default_rng(3).integers(0, NUM_COUNTS, (31, 17), np.uint16)
    counts[0] = np.clip(np.linspace(low, high, 17), 0, 65535)
    out = np.empty(counts.shape, np.uint8)
    stretch(counts, low, high, out)
    assert np.array_equal(out, stretched(counts, low, high))
