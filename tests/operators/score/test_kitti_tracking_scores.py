import json

import pytest
from track_files import dont_care, line, write

from operators.score import kitti_tracking

FAR = (500, 100, 560, 160)


def score(tmp_path, truth, results):
    return kitti_tracking.score(write(tmp_path / "gt", s0000=truth), write(tmp_path / "results", s0000=results))


def test_nothing_at_all(tmp_path):
    got = score(tmp_path, "", "")
    assert set(got) == {"car", "pedestrian"}
    for of_class in got.values():
        assert of_class["HOTA"] == of_class["MOTA"] == of_class["IDF1"] == 0 and of_class["LocA"] == 1
        assert list(of_class["sequences"]) == ["0000"]


def test_perfect(tmp_path):
    truth = "".join(line(f, 1) + line(f, 2, FAR, "Pedestrian") for f in range(5))
    results = "".join(line(f, 8, score=1) + line(f, 9, FAR, "Pedestrian", score=1) for f in range(5))
    for of_class in score(tmp_path, truth, results).values():
        assert {of_class[key] for key in ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1")} == {1.0}
        assert (of_class["CLR_TP"], of_class["IDS"], of_class["FRAG"], of_class["MT"]) == (5, 0, 0, 1)


@pytest.mark.parametrize(
    ("truth", "results", "counts", "why"),
    [
        (line(0, 1), "", (0, 1, 0), "missed"),
        ("", line(0, 1), (0, 0, 1), "wrong"),
        (line(0, 1, kind="Van"), line(0, 1), (0, 0, 0), "a van"),
        (line(0, 1, occluded=3), line(0, 1), (0, 0, 0), "hidden"),
        (line(0, 1, occluded=3), "", (0, 0, 0), "hidden, and not missed"),
        (line(0, 1, truncated=1), line(0, 1), (0, 0, 0), "cut off"),
        (line(0, 1, occluded=2), line(0, 1), (1, 0, 0), "largely occluded still counts"),
        (dont_care(0, (0, 0, 1000, 300)), line(0, 1), (0, 0, 0), "in a region that nobody labelled"),
        ("", line(0, 1, (100, 100, 150, 125)), (0, 0, 0), "25 px high"),
        ("", line(0, 1, (100, 100, 150, 125.01)), (0, 0, 1), "a little more"),
        (line(0, 1), line(0, 1, kind="Van"), (0, 1, 0), "a van is no car"),
        (line(0, 1), line(0, 1, kind="Pedestrian"), (0, 1, 0), "a pedestrian is no car"),
        (line(0, 1, (100, 100, 100, 150)), line(0, 1), (0, 1, 1), "truth without area cannot be found"),
    ],
)
def test_what_counts(tmp_path, truth, results, counts, why):
    got = score(tmp_path, truth, results)["car"]
    assert (got["CLR_TP"], got["CLR_FN"], got["CLR_FP"]) == counts, why
    assert (got["IDTP"], got["IDFN"], got["IDFP"]) == counts, why


@pytest.mark.parametrize("kind", ["Person", "Person_sitting"])
def test_who_sits_is_no_pedestrian_and_no_mistake(tmp_path, kind):
    got = score(tmp_path, line(0, 1, kind=kind), line(0, 1, kind="Pedestrian"))["pedestrian"]
    assert (got["CLR_TP"], got["CLR_FN"], got["CLR_FP"]) == (0, 0, 0)


def test_order_of_lines_does_not_matter(tmp_path):
    truth = [line(f, i, (60 * i, 100, 60 * i + 50, 150)) for f in range(6) for i in range(4)]
    results = [line(f, i + f // 3, (60 * i + f, 100, 60 * i + 50, 150), score=1) for f in range(6) for i in range(4)]
    first = score(tmp_path / "a", "".join(truth), "".join(results))
    assert score(tmp_path / "b", "".join(truth[::-1]), "".join(results[::-1])) == first and first["car"]["IDS"] > 0


def test_chosen_sequences(tmp_path):
    gt = write(tmp_path / "gt", s0001=line(0, 1), s0002=line(0, 1) + line(1, 1))
    results = write(tmp_path / "results", s0002=line(0, 1))
    got = kitti_tracking.score(gt, results, ["0002"])["car"]
    assert list(got["sequences"]) == ["0002"] and (got["CLR_TP"], got["CLR_FN"]) == (1, 1)


def kept(folder, out, rule):
    """The rule of golden/README.md: tracks whose mean score is not below the class's."""
    out.mkdir()
    for path in folder.iterdir():
        rows = [text.split() for text in path.read_text().splitlines()]
        scores = {}
        for row in rows:
            scores.setdefault((row[1], row[2]), []).append(float(row[17]))
        good = {key for key, values in scores.items() if sum(values) / len(values) >= rule[key[1]]}
        (out / path.name).write_text("".join(" ".join(row) + "\n" for row in rows if (row[1], row[2]) in good))
    return out


@pytest.mark.data
@pytest.mark.parametrize(
    ("run", "folder"), [("unfiltered", "tracks"), ("filtered", "tracks"), ("no_ego_motion_filtered", "tracks_no_ego_motion")]
)
def test_golden(shared_data, golden, tmp_path, run, folder):
    """TrackEval's numbers of AB3DMOT's tracks: counts to the integer, ratios to 1e-9."""
    expected = json.loads((shared_data / "golden/ab3dmot/expected_trackeval.json").read_text())
    results = (
        golden / folder
        if run == "unfiltered"
        else kept(golden / folder, tmp_path / "kept", next(iter(expected["rule"].values())))
    )
    sequences = sorted(p.stem for p in results.iterdir())
    got = kitti_tracking.score(shared_data / "kitti_tracking", results, sequences)
    renamed, compared = {"IDSW": "IDS", "Frag": "FRAG"}, 0
    for sequence, classes in expected[run]["results"].items():
        for name, numbers in classes.items():
            ours = got[name] if sequence == "combined" else got[name]["sequences"][sequence]
            for key, value in numbers.items():
                per_alpha = key.removesuffix("_per_alpha")
                mine = ours["per_alpha"][per_alpha] if per_alpha != key else ours[renamed.get(key, key)]
                exact = isinstance(value, int)
                assert mine == (value if exact else pytest.approx(value, rel=0, abs=1e-9)), (sequence, name, key)
                compared += 1
    assert compared > 100
