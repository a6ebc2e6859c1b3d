import json

import numpy as np
import pytest
from track_files import dont_care, line, write

from operators.kernels import ab3dmot_passes as kernel
from operators.score import ab3dmot

LOOSE = "3D IoU 0.25"


def score(tmp_path, truth, results, criterion=LOOSE):
    return ab3dmot.score(write(tmp_path / "gt", s0000=truth), write(tmp_path / "results", s0000=results))[criterion]


def row(frame, track_id, at=0.0, score=1.0, **more):
    """A car `at` m to the right; 4 m long along x, so 2 m of shift is an IoU of 1/3."""
    return line(frame, track_id, xyz=(at, 1.5, 20), score=score, **more)


def numbers(found, *keys):
    return tuple(found[key] for key in keys)


def test_nothing(tmp_path):
    assert score(tmp_path, "", "") == {}
    assert score(tmp_path, line(0, 1), "") == {}, "no tracks, no numbers"


def test_perfect(tmp_path):
    got = score(tmp_path, "".join(line(f, 1) for f in range(50)), "".join(row(f, 7) for f in range(50)))["car"]
    assert numbers(got["best"], "MOTA", "MOTP", "recall", "TP", "FP", "FN", "IDS", "FRAG") == (1, 1, 1, 50, 0, 0, 0, 0)
    assert numbers(got["best"], "MT", "PT", "ML") == (1, 0, 0)
    # one track: every threshold is its score; the first of the 41 is not counted
    assert got["thresholds_found"] == 40 and got["sAMOTA"] == got["AMOTA"] == pytest.approx(1)


def test_no_truth_is_minus_infinity(tmp_path):
    got = score(tmp_path, "", row(0, 7))["car"]
    assert got["best"]["MOTA"] == -np.inf and numbers(got["best"], "FP", "TP", "n_gt") == (1, 0, 0)
    assert got["sAMOTA"] == got["thresholds_found"] == 0


@pytest.mark.parametrize(
    ("truth", "results", "expected", "why"),
    [
        (line(0, 1), row(0, 7, at=2), (1, 0, 0), "a third is enough"),
        (line(0, 1), row(0, 7, at=3), (0, 1, 1), "a seventh is not"),
        (line(0, 1, kind="Van"), row(0, 7), (1, 0, 0), "a van that is found counts as TP here"),
        (line(0, 1, occluded=3), "", None, "nothing found, no numbers"),
        ("", row(0, 7, box=(0, 0, 100, 25)), (0, 0, 0), "low in the picture: pardoned, whatever its size in 3D"),
        ("", row(0, 7, kind="Van"), (0, 0, 0), "a van that is wrong is pardoned"),
        (line(0, 1), row(0, 7, kind="Van"), (1, 0, 0), "a van that is right counts"),
        (dont_care(0, (0, 0, 1000, 300)), row(0, 7), (0, 0, 0), "in a region"),
        (line(0, 1), row(0, 7, hwl=(-1, -1, -1)), (0, 1, 1), "without a 3D box"),
        (line(0, 1) + line(0, 2, xyz=(3, 1.5, 20)), row(0, 7, at=1) + row(0, 8, at=-2), (2, 0, 0), "both, though 1-7 fits best"),
    ],
)
def test_what_counts(tmp_path, truth, results, expected, why):
    got = score(tmp_path, truth, results)
    assert (numbers(got["car"]["all_tracks"], "TP", "FP", "FN") if got else None) == expected, why


def test_person_and_person_sitting(tmp_path):
    for kind, fp in (("Person_sitting", 0), ("Person", 1)):
        got = score(tmp_path / kind, line(0, 1, kind=kind), line(0, 7, kind="Pedestrian", score=1))
        assert got["pedestrian"]["all_tracks"]["FP"] == fp, kind


def test_criteria_see_their_own_boxes(tmp_path):
    truth, results = line(0, 1), row(0, 7, at=0.9)  # IoU 0.63 in 3D, the same box in 2D
    got = ab3dmot.score(write(tmp_path / "gt", s0000=truth), write(tmp_path / "results", s0000=results))
    assert {name: of["car"]["all_tracks"]["TP"] for name, of in got.items()} == {
        "3D IoU 0.25": 1, "3D IoU 0.5": 1, "3D IoU 0.7": 0, "2D IoU 0.5": 1,
    }  # fmt: skip


def test_cyclists_are_scored_too(tmp_path):
    assert score(tmp_path, line(0, 1, kind="Cyclist"), line(0, 7, kind="Cyclist", score=1))["cyclist"]["best"]["MOTA"] == 1


FATES = [
    ("7777", "", (0, 0), "one track"),
    ("7788", "", (1, 1), "a switch, and the next frame is matched, too"),
    ("7778", "", (1, 1), "a switch in the last frame"),
    ("7-77", "", (0, 1), "lost and found"),
    ("7-88", "", (0, 1), "another one after a gap is no switch"),
    ("7-8-8", "", (0, 1), "a fragmentation needs the frame after; here only the last one has no such rule"),
    ("-777", "", (0, 0), "found late"),
    ("7-877", "2", (0, 0), "the frame that does not count begins anew"),
    ("-7", "", (0, 1), "found in the last frame: there nothing is asked of what was before"),
    ("78", "", (1, 1), "two frames"),
    ("7", "", (0, 0), "one frame"),
]


@pytest.mark.parametrize(("matched", "aside", "expected", "why"), FATES)
@pytest.mark.parametrize("function", [kernel.follow, getattr(kernel.follow, "py_func", kernel.follow)])
def test_switches_and_fragmentations(function, matched, aside, expected, why):
    rows = np.arange(len(matched))
    found = np.array([-1 if c == "-" else int(c) for c in matched])
    ignored = np.isin(rows, [int(c) for c in aside])
    out = np.zeros(6, np.int64)
    function(rows, np.array([0, len(rows)]), ignored, found, out)
    assert (out[kernel.IDS], out[kernel.FRAG]) == expected, why


@pytest.mark.parametrize(
    ("matched", "aside", "fate"),
    [
        ("77777", "", "MT"),
        ("7777-", "", "PT"),
        ("7----", "", "PT"),
        ("7-----", "", "ML"),
        ("---", "", "ML"),
        ("77", "01", "IGNORED_OBJECTS"),
        ("-7777", "0", "MT"),
    ],
)
def test_tracked_partly_lost(matched, aside, fate):
    rows = np.arange(len(matched))
    out = np.zeros(6, np.int64)
    ignored = np.isin(rows, [int(c) for c in aside])
    kernel.follow(rows, np.array([0, len(rows)]), ignored, np.array([-1 if c == "-" else int(c) for c in matched]), out)
    assert out[2:].tolist() == [
        int(getattr(kernel, name) == getattr(kernel, fate)) for name in ("MT", "PT", "ML", "IGNORED_OBJECTS")
    ]


@pytest.mark.parametrize(
    ("scores", "num_truth", "expected", "why"),
    [
        ([], 5, [], "no matches"),
        ([1.0], 5, [], "the first is left out"),
        ([3.0, 1.0, 2.0], 3, [(2.0, 0.025), (1.0, 0.05)], "few objects: every match is a step"),
        (range(80), 80, [(79.0 - 2 * k + 1, k / 40) for k in range(1, 41)], "80 objects: every second one"),
    ],
)
def test_thresholds(scores, num_truth, expected, why):
    got = ab3dmot.thresholds(np.array(list(scores), float), num_truth)
    assert [t for t, _ in got] == [t for t, _ in expected], why
    assert [r for _, r in got] == pytest.approx([r for _, r in expected])


def test_means_drift_from_pass_to_pass():
    """A compensated sum, as in Python 3.12, would keep every mean; the published numbers come from an uncompensated one."""
    start = np.random.default_rng(1).uniform(0, 10, (40, 37))
    scores, mean, seen = start.ravel().copy(), np.empty(40), []
    for _ in range(30):
        kernel.average(np.arange(scores.size), np.arange(41) * 37, scores, mean)
        seen.append(mean.copy())
    expected = start
    for means in seen:
        left_to_right = []
        for track in expected:
            total = 0.0
            for value in track.tolist():
                total += value
            left_to_right.append(total / 37)
        assert means.tolist() == left_to_right
        expected = np.repeat(means[:, None], 37, 1)
    assert ((seen[0] != seen[-1]) & (abs(seen[0] - seen[-1]) < 1e-12)).any()


def test_a_row_once_matched_is_not_pardoned_later(tmp_path):
    """Track 7 is low in the image and matches only without track 8, which fits equally well and has a better score."""
    starts, forgivable = np.array([0, 2]), np.array([True, False])
    frames = kernel.Frames(np.array([0, 1]), np.array([False]), starts, np.array([0, 1]), np.array([0.5, 0.9]), forgivable)
    was_matched, matched, wrong = np.zeros(2, bool), np.empty(1, np.int64), []
    for mean in ([1.0, 1.0], [1.0, 0.0], [1.0, 1.0]):
        counts = np.zeros(9, np.int64)
        kernel.count(frames, 0.25, np.array(mean), 0.5, was_matched, matched, counts, np.zeros(2))
        wrong.append(int(counts[kernel.FP]))
    assert wrong == [0, 0, 1]


def test_sequences_do_not_share_ids(tmp_path):
    """Object 1 and track 7 of both sequences are four different things."""
    gt = write(tmp_path / "gt", s0000=line(0, 1), s0001=line(0, 1))
    results = write(tmp_path / "results", s0000=row(0, 7, score=4), s0001=row(0, 7, score=2))
    got = ab3dmot.score(gt, results)[LOOSE]["car"]
    assert numbers(got["best"], "gt_trajectories", "tracker_trajectories", "MT") == (2, 2, 1)
    assert got["per_recall"]["rows"][0][0] == 2


def test_order_of_lines_does_not_matter(tmp_path):
    truth = [line(f, i, xyz=(8 * i, 1.5, 20)) for f in range(6) for i in range(4)]
    results = [row(f, i + f // 3, 8 * i + f / 4, score=1 / (1 + i + f)) for f in range(6) for i in range(4)]
    first = score(tmp_path / "a", "".join(truth), "".join(results))
    assert score(tmp_path / "b", "".join(truth[::-1]), "".join(results[::-1])) == first and first["car"]["best"]["IDS"] > 0


def test_frames_counted_for_far(tmp_path):
    """One more than the sequence has, as in its map file."""
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt/evaluate_tracking.seqmap.val").write_text("0000 empty 000000 000009\n")
    got = score(tmp_path, line(0, 1), row(0, 7, at=9))["car"]["best"]
    assert got["FAR"] == 1 / 10 and got["MODP"] == 1


def compare(expected, got, where=()):
    if isinstance(expected, dict):
        assert set(expected) == set(got), where
        for key in expected:
            compare(expected[key], got[key], (*where, key))
    elif isinstance(expected, list):
        assert len(expected) == len(got), where
        for k, pair in enumerate(zip(expected, got, strict=True)):
            compare(*pair, (*where, k))
    elif isinstance(expected, float):
        assert got == pytest.approx(expected, rel=2e-11, abs=2e-13), where  # written with 12 digits
    else:
        assert got == expected, where


@pytest.mark.data
@pytest.mark.parametrize("run", ["tracks", "tracks_no_ego_motion"])
def test_golden(shared_data, golden, run):
    """The original evaluator's numbers under Python 3.11: every one of them, for each threshold."""
    expected = json.loads((shared_data / "golden/ab3dmot/expected_kitti_eval.json").read_text())[run]
    sequences = sorted(p.stem for p in (golden / run).iterdir())
    got = ab3dmot.score(shared_data / "kitti_tracking", golden / run, sequences)
    for criterion, of_python in expected.items():
        compare(of_python["python_3.11"], got[criterion], (criterion,))
