import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from track_files import random_scene, scene

from operators.score import identity


@pytest.mark.parametrize(
    ("data", "expected", "why"),
    [
        (scene(), (0, 0, 0), "no frames"),
        (scene(([1], [], []), ([1], [], [])), (0, 2, 0), "no tracks"),
        (scene(([], [5], [])), (0, 0, 1), "no truth"),
        (scene(([1], [5], [[0.5]])), (1, 0, 0), "exactly the threshold"),
        (scene(([1], [5], [[0.49]])), (0, 1, 1), "less"),
        (scene(*[([1], [5], [[0.9]])] * 3, *[([1], [6], [[0.9]])] * 2), (3, 2, 2), "of two tracks the longer one"),
        (
            scene(*[([1, 2], [5, 6], [[0.9, 0.6], [0.6, 0]])] * 2, ([1], [5], [[0.9]])),
            (4, 1, 1),
            "1-6 and 2-5 have 4 frames together, 1-5 alone only 3",
        ),
    ],
)
def test_by_hand(data, expected, why):
    got = identity.identity(data)
    assert tuple(got[key] for key in identity.COUNTS) == expected, why
    tp, fn, fp = expected
    assert got["IDF1"] == pytest.approx(2 * tp / max(1, 2 * tp + fn + fp))


def test_combined_is_the_sum():
    one, two = identity.identity(scene(([1], [5], [[0.9]]))), identity.identity(scene(([1], [], [])))
    both = identity.combine([one, two])
    assert (both["IDTP"], both["IDFN"], both["IDF1"], both["IDR"], both["IDP"]) == (1, 1, 1 / 1.5, 1 / 2, 1)
    assert identity.combine([])["IDF1"] == 0


@given(st.integers(0, 10_000))
def test_no_pairing_of_ids_has_more_frames(seed):
    data = random_scene(np.random.default_rng(seed), frames=6, objects=3, tracks=4)
    common = np.zeros((data.G, data.T))
    at = 0
    for f in range(data.frames):
        for g in data.truth_ids[data.truth_starts[f] : data.truth_starts[f + 1]]:
            for t in data.track_ids[data.track_starts[f] : data.track_starts[f + 1]]:
                common[g, t] += data.similarity[at] >= 0.5
                at += 1
    wide = np.zeros((data.G, max(data.G, data.T)))
    wide[:, : data.T] = common
    most = max(sum(wide[g, t] for g, t in enumerate(order)) for order in itertools.permutations(range(wide.shape[1]), data.G))
    assert identity.identity(data)["IDTP"] == most
