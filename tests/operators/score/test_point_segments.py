import naive_points_panoptic as naive
import numpy as np
import pytest

from operators.score.point_segments import PointScores, Segments

THINGS = (1, 2, 3)
CLASSES = 7


def scored(scans, num_classes=CLASSES, things=THINGS, min_points=50):
    scores = PointScores(num_classes, min_points)
    for scan in scans:
        scores.add(*scan)
    return scores.numbers(things)


def blocks(*rows):
    """(points, truth class, truth instance, class, instance) -> the four columns"""
    counts = np.array([row[0] for row in rows], int)
    return tuple(np.repeat(np.array([row[k] for row in rows], int), counts) for k in range(1, 5))


def random_scans(seed, scans=4):
    """Blocks of points with few classes and instances: matches of every kind, sizes around min_points"""
    rng, out = np.random.default_rng(seed), []
    for k in range(scans):
        rows = []
        for _ in range(30):
            label, instance = rng.integers(0, CLASSES), rng.integers(0, 3)
            same = rng.random() < 0.6
            rows.append((
                int(rng.integers(1, 120)), label, instance if label in THINGS else 0,
                label if same else rng.integers(0, CLASSES), rng.integers(0, 4) if label in THINGS else 0,
            ))  # fmt: skip
        out.append((f"{k % 2:02d}", *blocks(*rows)))
    return out


@pytest.mark.parametrize("seed", range(12))
def test_the_scores_are_their_twins(seed):
    scans = random_scans(seed)
    got, expected = scored(scans), naive.scores(scans, CLASSES, THINGS, 50)
    for key in ("tp", "fp", "fn"):
        assert {c: got["classes"][c][key] for c in range(1, CLASSES)} == expected[key]
    for key in ("miou", "pq", "pq_things", "s_cls", "s_assoc", "lstq"):
        assert got[key] == pytest.approx(expected[key], abs=1e-12), key
    assert sum(expected["tp"].values()) > 3 and expected["s_assoc"] > 0


def test_the_case_of_the_devkit():
    """eval_np.py of semantic-kitti-api: grass, sky, person, dog; PQ 0.479166, SQ 0.552083, RQ 0.666667, mIoU 0.547619"""
    scan = blocks(
        (50, 0, 0, 0, 0),
        (40, 1, 0, 1, 0), (10, 1, 0, 2, 0),
        (40, 2, 0, 2, 0), (10, 2, 0, 1, 0),
        (50, 4, 22, 3, 35),
        (150, 3, 33, 3, 8), (50, 3, 42, 3, 8), (100, 3, 11, 3, 95),
    )  # fmt: skip
    got = scored([("00", *scan)], 5, (3, 4), 1)
    assert [got[key] for key in ("pq", "sq", "rq", "miou")] == pytest.approx(
        [0.47916666666666663, 0.5520833333333333, 0.6666666666666666, 0.5476190476190476], abs=1e-15
    )
    assert [got["classes"][c]["pq"] for c in range(1, 5)] == pytest.approx([2 / 3, 2 / 3, 0.5833333333333333, 0])


def test_the_case_of_4d_pls():
    """eval_np.py of 4D-PLS: a car and two trucks, of which one is seen as a part of the other's tube: LSTQ^2 = 2/3 * 1/2"""
    scan = blocks((5, 0, 0, 0, 0), (5, 1, 1, 1, 1), (5, 2, 1, 2, 2), (5, 2, 2, 1, 2))
    got = scored([("1", *scan)], 3, (1, 2), 1)
    assert got["s_assoc"] == pytest.approx(2 / 3) and got["s_cls"] == pytest.approx(0.5)
    assert got["lstq"] == pytest.approx((1 / 3) ** 0.5)


def test_a_tube_that_breaks_and_one_that_merges():
    """100 points in each of four scans. Two scans of id 1, two of id 2: 2 * 200 * 200/400 / 400 = 1/2 ..."""
    broken = [("00", *blocks((100, 1, 7, 1, 1 + k // 2))) for k in range(4)]
    assert scored(broken)["s_assoc"] == pytest.approx(0.5) and scored(broken)["pq"] == pytest.approx(1 / 6)
    merged = [("00", *blocks((100, 1, 7, 1, 1), (100, 1, 8, 1, 1)))]
    assert scored(merged)["s_assoc"] == pytest.approx(0.5)
    two = [(name, *blocks((100, 1, 7, 1, 1))) for name in ("00", "01")]  # the same number in another sequence is another tube
    assert scored(two)["s_assoc"] == 1 and scored(two)["lstq"] == 1


@pytest.mark.parametrize(
    ("points", "counts"),
    [(49, (0, 0, 0)), (50, (0, 1, 1))],
)
def test_small_segments_are_no_errors_but_may_match(points, counts):
    wrong = scored([("00", *blocks((points, 1, 1, 2, 1)))])["classes"]
    assert (wrong[1]["tp"], wrong[2]["fp"], wrong[1]["fn"]) == counts
    assert scored([("00", *blocks((points, 1, 1, 1, 1)))])["classes"][1]["tp"] == 1


def test_a_tube_needs_more_than_50_points_of_a_scan():
    for points, s_assoc in ((50, None), (51, 1.0)):
        assert scored([("00", *blocks((points, 1, 1, 1, 1)))])["s_assoc"] == s_assoc


def test_points_without_truth_count_nowhere():
    scan = blocks((100, 0, 0, 1, 1), (100, 1, 1, 1, 1))
    got = scored([("00", *scan)])
    assert got["classes"][1]["iou"] == 1 and got["classes"][1]["fp"] == 0 and got["s_assoc"] == 1


def test_no_points_and_no_scans():
    for scans in ([], [("00", *blocks())]):
        got = scored(scans)
        assert (
            got["miou"] == got["pq"] == 0 and got["lstq"] is None and got["present"] == dict.fromkeys(("miou", "pq", "sq", "rq"))
        )


def test_segments_of_pairs_have_their_points():
    """Keys are instance * 256 + class: class 1 with instances 0 and 5, class 2 with 5"""
    keys, common = np.array([5 * 256 + 2, 1, 5 * 256 + 1, 1]), np.array([10, 3, 4, 7])
    assert [array.tolist() for array in Segments.of(keys, common)] == [[1, 1, 2], [0, 5, 5], [10, 4, 10], [2, 0, 1, 0]]


def test_large_ids_are_as_good_as_small_ones():
    scan = blocks((60, 1, 1 << 40, 1, 1 << 41), (60, 1, (1 << 40) + 1, 1, 7))
    assert scored([("00", *scan)])["s_assoc"] == 1 and scored([("00", *scan)])["classes"][1]["tp"] == 2
