"""track.panoptic: ids that last, by embeddings, by boxes, by a separate tracker."""

from itertools import permutations

import numpy as np
import pytest

from operators.streams import Instances, Tracks2D
from operators.track.panoptic import NO_ID, TrackPanoptic, TrackPanopticConfig, Tracks, distances, pairs
from pipeline.errors import FrameError, GraphError
from pipeline.testing import run_operator

CAR, PERSON = 2, 3


def frame(*objects, embeddings=True):
    """objects: (class, score, x, embedding of 2) -> the inputs of a frame; boxes of 10 x 10 at x."""
    labels = np.array([o[0] for o in objects], np.int32)
    boxes = np.array([[o[2], 0, o[2] + 10, 10] for o in objects], np.float32).reshape(-1, 4)
    scores = np.array([o[1] for o in objects], np.float32)
    out = {"instances": Instances(boxes, scores, labels, np.zeros((len(objects), 28, 28), np.float32))}
    if embeddings:
        out["embeddings"] = np.array([o[3] for o in objects], np.float32).reshape(-1, 2)
    return out


def ids(frames, **config):
    return [out.tolist() for out in run_operator(TrackPanoptic, frames, config)]


def test_no_instance():
    assert ids([frame(), frame()]) == [[], []]
    assert ids([frame((CAR, 0.9, 0, (1, 0))), frame(), frame((CAR, 0.9, 0, (1, 0)))]) == [[1], [], [1]]


def test_perfect_embeddings_never_switch():
    """Ten frames, four objects of two classes that cross, in another order each frame."""
    rng = np.random.default_rng(3)
    looks = {"a": (CAR, (1, 0)), "b": (CAR, (0, 1)), "c": (PERSON, (1, 0)), "d": (PERSON, (0.5, 0.5))}
    orders, frames = [], []
    for k in range(10):
        order = rng.permutation(list(looks)).tolist()
        orders.append(order)
        frames.append(frame(*((looks[n][0], 0.9, 3 * k * (1 if n in "ac" else -1), looks[n][1]) for n in order)))
    of_names = [dict(zip(order, got, strict=True)) for order, got in zip(orders, ids(frames), strict=True)]
    assert all(named == of_names[0] for named in of_names) and len(set(of_names[0].values())) == 4


@pytest.mark.parametrize(("hidden", "again"), [(0, 1), (1, 1), (3, 1), (4, 2), (9, 2)])
def test_an_object_keeps_its_id_while_hidden_for_at_most_three_frames(hidden, again):
    seen = frame((CAR, 0.9, 0, (1, 0)))
    assert ids([seen, *[frame()] * hidden, seen])[-1] == [again]


def test_hidden_counts_for_each_object():
    one, two = (CAR, 0.9, 0, (1, 0)), (CAR, 0.9, 50, (0, 1))
    assert ids([frame(one, two), *[frame(two)] * 3, frame(one, two)])[-1] == [1, 2]
    assert ids([frame(one, two), *[frame(two)] * 4, frame(one, two)])[-1] == [3, 2]


def test_every_sure_instance_without_a_track_gets_a_fresh_id():
    first = frame((CAR, 0.9, 0, (1, 0)), (CAR, 0.5, 20, (0, 1)), (PERSON, 0.51, 40, (1, 0)))
    assert ids([first]) == [[1, NO_ID, 2]]  # 0.5 is not above 0.5
    second = frame((CAR, 0.9, 0, (1, 0)), (CAR, 0.9, 20, (0, 9)), (CAR, 0.8, 20, (9, 0)), (PERSON, 0.9, 40, (1, 0)))
    assert ids([first, second])[1] == [1, 3, 4, 2]


def test_classes_never_share_an_id():
    assert ids([frame((CAR, 0.9, 0, (1, 0))), frame((PERSON, 0.9, 0, (1, 0)))]) == [[1], [2]]


def test_a_limit_of_the_distance():
    frames = [frame((CAR, 0.9, 0, (1, 0))), frame((CAR, 0.9, 0, (1, 0.4)))]
    assert ids(frames) == [[1], [1]]
    assert ids(frames, max_distance=0.3) == [[1], [2]]


def test_the_pairs_are_those_of_least_total_distance():
    rng = np.random.default_rng(1)
    for _ in range(20):
        rows, columns = rng.normal(size=(3, 2)), rng.normal(size=(4, 2))
        cost = distances(rows, columns)
        best = min(sum(cost[r, c] for r, c in enumerate(p)) for p in permutations(range(4), 3))
        assert sum(cost[r, c] for r, c in pairs(cost, 1e6)) == pytest.approx(best)


def test_boxes_instead_of_embeddings():
    one, two = (CAR, 0.9, 0), (CAR, 0.8, 30)
    frames = [frame(one, two, embeddings=False), frame((CAR, 0.9, 31), (CAR, 0.8, 2), embeddings=False)]
    assert ids(frames, association="iou") == [[1, 2], [2, 1]]
    far = [frame(one, embeddings=False), frame((CAR, 0.9, 8), embeddings=False)]
    assert ids(far, association="iou") == [[1], [2]]
    assert ids(far, association="iou", min_iou=0.1) == [[1], [1]]


def test_ids_of_a_separate_tracker():
    tracks = Tracks2D(
        np.array([[1, 0, 11, 10], [30, 0, 40, 10], [0, 0, 10, 10]], np.float32),
        np.ones(3, np.float32),
        np.array([CAR, CAR, PERSON], np.int32),
        np.array([7, 8, 9]),
    )
    given = frame((CAR, 0.9, 0), (CAR, 0.9, 90), (CAR, 0.3, 30), embeddings=False) | {"tracks2d": tracks}
    assert ids([given], association="tracks") == [[7, NO_ID, NO_ID]]
    none = Tracks2D(*(array[:0] for array in tracks))
    assert ids([given | {"tracks2d": none}], association="tracks") == [[NO_ID] * 3]


def test_another_recording_ends_all_tracks_and_ids_go_on():
    tracks = Tracks(TrackPanopticConfig(), 1)
    labels, looks = np.zeros(1, np.int32), np.ones((1, 2), np.float32)
    assert tracks.step(labels, looks, 1).tolist() == [1] == tracks.step(labels, looks, 1).tolist()
    tracks.restart()
    assert tracks.step(labels, looks, 1).tolist() == [2]


@pytest.mark.parametrize(
    ("given", "config", "message"),
    [
        (frame((CAR, 0.9, 0), embeddings=False), {}, "needs the input embeddings for association: embedding, got none"),
        (frame((CAR, 0.9, 0, (1, 0))), {"association": "tracks"}, "needs the input tracks2d for association: tracks, got none"),
        (frame((CAR, 0.9, 0, (0, 0))), {}, r"needs finite numbers, not all 0, got \[0.0, 0.0\].. in row 0; .*association: iou"),
        (frame((CAR, 0.9, 0, (np.nan, 0))), {}, "needs finite numbers"),
        (
            frame((CAR, 0.9, 0, (1, 0))) | {"embeddings": np.ones((3, 2), np.float32)},
            {},
            "needs a row for each of 1 instances, got 3; of another net",
        ),
    ],
)
def test_wrong_frames(given, config, message):
    with pytest.raises(FrameError, match=message):
        ids([given], **config)


def test_embeddings_of_another_width():
    wide = frame((CAR, 0.9, 0, (1, 0))) | {"embeddings": np.ones((1, 5), np.float32)}
    with pytest.raises(FrameError, match="needs width 2, as this recording began with, got 5"):
        ids([frame((CAR, 0.9, 0, (1, 0))), wide])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"association": "looks"}, "association"),
        ({"min_score": 2}, r"min_score: needs 0..1, got 2"),
        ({"window": -1}, "window: needs 0 or more frame periods, got -1"),
        ({"max_distance": 0.0}, "max_distance: needs more than 0, got 0"),
        ({"max_gap": 0}, "max_gap: needs 1 or more"),
    ],
)
def test_wrong_configs(config, message):
    with pytest.raises(GraphError, match=message):
        ids([frame()], **config)
