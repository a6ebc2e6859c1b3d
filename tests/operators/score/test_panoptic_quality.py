"""panoptic_quality, PTQ and LSTQ against slow twins (naive_panoptic_quality.py), where maps, ids and sequences are awkward."""

import naive_panoptic_quality as naive
import naive_points_panoptic
import numpy as np
import pytest

from operators.score.panoptic import panoptic_quality, scored
from operators.score.panoptic_pairs import pairs_of
from operators.score.panoptic_scores import Scores
from operators.score.point_segments import PointScores
from operators.streams import Panoptic


def blocks(rng, shape, ids):
    """(H, W) of small rectangles."""
    coarse = rng.choice(ids, (-(-shape[0] // 3), -(-shape[1] // 4)))
    return np.repeat(np.repeat(coarse, 3, 0), 4, 1)[: shape[0], : shape[1]]


def maps(seed, num_classes, void, max_instances, shape=(23, 31), dtype=np.int64):
    """Truth and a prediction that is right here and there; instances at both ends of their range, void on both sides."""
    rng = np.random.default_rng(seed)
    instances = sorted({0, 1 % max_instances, max_instances - 1})
    ids = [c * max_instances + i for c in range(num_classes) if c != void for i in instances]
    truth = blocks(rng, shape, np.array([*ids, *[void * max_instances] * 3]))
    found = np.where(rng.random(shape) < 0.2, blocks(rng, shape, np.array([*ids, void * max_instances])), truth)
    return truth.astype(dtype), found.astype(dtype)


def assert_equals_twin(pairs, num_classes, void, max_instances):
    got = panoptic_quality(iter(pairs), num_classes, void, max_instances)
    rows, means = naive.quality([(np.asarray(a), np.asarray(b)) for a, b in pairs], num_classes, void, max_instances)
    for column, key in enumerate(("tp", "fp", "fn")):
        assert got[key] == [row[column] for row in rows.values()], key
    for key, value in means.items():
        assert got[key] == (None if value is None else pytest.approx(value, abs=1e-12)), key
    return got


@pytest.mark.parametrize(("num_classes", "void", "max_instances"), [
    (3, 255, 1000),
    (4, 0, 256),  # void is one of the classes
    (4, 2, 7),
    (19, 255, 1 << 20),  # above 24 bits
    (19, 19, 1 << 31),  # above 32 bits
    (2, 9, 1 << 40),
    (1, 1, 5),  # one class
    (5, 5, 1),  # no instances: one segment per class
    (1, 0, 4),  # nothing but void
], ids=str)  # fmt: skip
def test_classes_void_and_the_ends_of_the_ids(num_classes, void, max_instances):
    pairs = [maps(seed, num_classes, void, max_instances) for seed in range(3)]
    got = assert_equals_twin(pairs, num_classes, void, max_instances)
    assert (got["pq"] is None) == (num_classes == 1 and void == 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_every_type_of_integers_and_two_types_at_once(dtype):
    truth, found = maps(5, 3, 3, 32, dtype=dtype)
    assert_equals_twin([(truth, found), (truth.astype(np.int64), found), (truth, found.astype(np.int32))], 3, 3, 32)


def test_maps_that_are_no_plain_arrays():
    truth, found = maps(6, 3, 3, 1000, dtype=np.int32)
    views = [(a[::2, ::-1], b[::2, ::-1]) for a, b in ((truth, found), (found, truth))]
    views += [(truth.T, found.T), (np.asfortranarray(truth), found), (truth[3:4], found[3:4]), (truth[:, 5:6], found[:, 5:6])]
    for array in views[0]:
        array.flags.writeable = False
    for pair in views:
        assert_equals_twin([pair], 3, 3, 1000)
    assert panoptic_quality([(truth.tolist(), found.tolist())], 3, 3, 1000) == panoptic_quality([(truth, found)], 3, 3, 1000)


@pytest.mark.parametrize("spread", [1, 40_000])
def test_many_more_segments_than_a_table_has(spread):
    """600 segments of int32, near each other and above 24 bits."""
    truth = np.arange(20 * 60, dtype=np.int32).reshape(20, 60) // 2 * spread
    found = np.roll(truth, 1, 1)
    got = assert_equals_twin([(truth, truth), (truth, found)], 1, 1, 1 << 30)
    assert got["tp"] == got["fn"] == got["fp"] == [600]  # of two pixels one: an IoU of 1/3


def test_maps_without_pixels_void_alone_and_a_class_that_never_comes():
    empty, void = np.zeros((0, 7), np.int32), np.full((4, 4), 9 * 256)
    for pairs in ([], [(empty, empty)], [(void, void)], [(empty, empty), (void, void)]):
        assert assert_equals_twin(pairs, 3, 9, 256)["pq"] is None
    one = np.full((4, 4), 256)
    got = assert_equals_twin([(one, one), (void, one), (one, void)], 3, 9, 256)
    assert got["tp"] == [0, 1, 0] and got["fn"] == [0, 1, 0] and got["per_class"][0]["pq"] is None
    assert got["pq"] == got["per_class"][1]["pq"]  # the mean leaves the others out


def test_void_under_exactly_half_of_a_prediction_does_not_forgive():
    truth = np.array([[9 * 256] * 4 + [0] * 4])
    for cut, fp in ((4, 1), (3, 0)):  # of the prediction 4 of 8, 4 of 7 pixels lie on void
        found = np.where(np.arange(8) < 4 + cut, 256, 9 * 256)[None]
        assert assert_equals_twin([(truth, found)], 2, 9, 256)["fp"] == [0, fp]


def test_numbers_of_numpy_do_not_overflow():
    truth, found = maps(7, 3, 255, 1000)
    args = np.uint8(3), np.uint8(255), np.uint16(1000)
    assert panoptic_quality([(truth, found)], *args) == panoptic_quality([(truth, found)], 3, 255, 1000)


@pytest.mark.parametrize("most", [0, -5])
def test_max_instances_must_be_positive(most):
    with pytest.raises(ValueError, match=f"max_instances: needs 1 or more, got {most}"):
        panoptic_quality([], 3, 255, most)


# ---- sequences


NAMES = ["Car", "road"]


def row_map(objects, width=12):
    """objects: (track, class, first pixel, pixels) -> one row of pixels; ids are numbers in it."""
    map_ = np.zeros((1, width), np.int32)
    for own, (_, _, first, pixels) in enumerate(objects, start=1):
        map_[0, first : first + pixels] = own
    ids = np.arange(1, len(objects) + 1, dtype=np.int32)
    tracks, labels = (np.array([row[k] for row in objects], np.int64) for k in (0, 1))
    return Panoptic(map_, ids, labels.astype(np.int32), np.ones(len(objects), np.float32), tracks)


def sequence_scores(frames):
    """frames: (sequence, truth objects, found objects)"""
    scores = Scores({"Car"})
    for sequence, truth, found in frames:
        a, b = row_map(truth), row_map(found)
        scores.add(sequence, scored(pairs_of(a.panoptic, b.panoptic), a, NAMES, b, NAMES))
    return scores.result(NAMES)["per_class"]


@pytest.mark.parametrize(("after", "switches"), [(40, 0), (41, 1), (-1, 1)])
def test_an_id_that_switches_while_the_object_is_hidden(after, switches):
    """Seen, hidden for two frames, seen again, IoU 4/5 each: the switch counts where it comes back, against its last match."""
    truth, hidden = [(7, 0, 0, 5)], []
    frames = [("s", truth, [(40, 0, 0, 4)]), ("s", hidden, []), ("s", hidden, []), *[("s", truth, [(after, 0, 0, 4)])] * 2]
    row = sequence_scores(frames)["Car"]
    again = switches + (after == -1)  # no id is another one each time
    assert row["switches"] == again and row["pq"] == pytest.approx(0.8)
    assert row["ptq"] == pytest.approx((2.4 - again) / 3) and row["sptq"] == pytest.approx((2.4 - 0.8 * again) / 3)


def test_an_object_that_is_missed_in_a_frame_keeps_its_last_match():
    seen, gone = [(7, 0, 0, 5)], []
    row = sequence_scores([("s", seen, [(40, 0, 0, 5)]), ("s", seen, gone), ("s", seen, [(41, 0, 0, 5)])])["Car"]
    assert (row["switches"], row["fn"]) == (1, 1)
    row = sequence_scores([("a", seen, [(40, 0, 0, 5)]), ("b", seen, [(41, 0, 0, 5)])])["Car"]
    assert row["switches"] == 0  # another sequence


@pytest.mark.parametrize("seed", range(6))
def test_scores_of_tracks_are_their_twins(seed):
    """Three objects, each hidden, missed, switched at random; false ones beside them; two sequences."""
    rng, frames, plain = np.random.default_rng(seed), [], []
    for k in range(24):
        sequence, truth, found, matches, extra, missed = f"{k % 2}", [], [], {}, 0, 0
        for track in range(3):
            if rng.random() < 0.3:
                continue  # hidden
            truth.append((track, 0, 4 * track, 4))
            if rng.random() < 0.2:
                missed += 1
                continue
            own = -1 if rng.random() < 0.1 else int(rng.integers(10 * track, 10 * track + 2))
            pixels = int(rng.integers(3, 5))
            found.append((own, 0, 4 * track, pixels))
            matches[track] = (None if own < 0 else own, pixels / 4)
        if rng.random() < 0.3:
            found.append((99, 0, 12, 2))
            extra = 1
        frames.append((sequence, truth, found))
        plain.append((sequence, matches, extra, missed))
    scores = Scores({"Car"})
    for sequence, truth, found in frames:
        a, b = row_map(truth, 16), row_map(found, 16)
        a.panoptic[0, 12:] = 9  # truth of no class: neither void nor a segment, so that the false ones count
        scores.add(sequence, scored(pairs_of(a.panoptic, b.panoptic), a, NAMES, b, NAMES))
    row, expected = scores.result(NAMES)["per_class"]["Car"], naive.tracked(plain, thing=True)
    assert {key: row[key] for key in expected} == pytest.approx(expected)
    assert row["ptq"] < row["sptq"] < row["pq"] and row["switches"] > 3


@pytest.mark.parametrize(("ids", "s_assoc"), [((1, 1, 1), 1.0), ((1, 1, 2), 5 / 9)])
def test_lstq_of_a_tube_whose_id_switches_while_it_is_hidden(ids, s_assoc):
    """100 points in scans 0, 1 and 4; in 2 and 3 it is hidden. Two scans of three: 200 * 200/300 + 100 * 100/300, by 300."""
    scans = []
    for k in range(5):
        seen = k not in (2, 3)
        own = ids[(0, 1, 4).index(k)] if seen else 0
        column = [
            np.r_[np.full(100, value if seen else 0), np.full(80, rest)] for value, rest in ((1, 2), (7, 0), (1, 2), (own, 0))
        ]
        scans.append(("00", *column))
    scores = PointScores(3, 50)
    for scan in scans:
        scores.add(*scan)
    got, expected = scores.numbers((1,)), naive_points_panoptic.scores(scans, 3, (1,), 50)
    assert got["s_assoc"] == pytest.approx(s_assoc) == expected["s_assoc"]
    assert got["lstq"] == pytest.approx(expected["lstq"])


def test_lstq_of_an_id_that_goes_on_where_its_object_is_hidden():
    """The tube of the prediction grows by points of another class: 200 * 200/300 by 200."""
    seen, hidden = (1, 7, 1, 5), (2, 0, 1, 5)
    scans = [("00", *(np.full(100, value) for value in row)) for row in (seen, hidden, seen)]
    scores = PointScores(3, 50)
    for scan in scans:
        scores.add(*scan)
    assert scores.numbers((1,))["s_assoc"] == pytest.approx(2 / 3)
    assert scores.numbers((1,))["lstq"] == pytest.approx(naive_points_panoptic.scores(scans, 3, (1,), 50)["lstq"])
