"""Compared with TrackEval (make trackeval installs it; see docs/decisions): counts exactly, ratios to 1e-9."""

import numpy as np
import pytest
from track_files import CAR, as_trackeval, dont_care, line, random_scene, write

from operators.score import clear, hota, identity, kitti_tracking, mot

trackeval = pytest.importorskip("trackeval", reason="TrackEval is not installed (make trackeval)")

NAMES = {"IDSW": "IDS", "Frag": "FRAG"}


def metrics():
    quiet = {"PRINT_CONFIG": False}
    return trackeval.metrics.CLEAR(quiet), trackeval.metrics.Identity(quiet), trackeval.metrics.HOTA()


def same(expected, got, why=""):
    for key, value in expected.items():
        if key in ("MOTP_sum",):
            continue
        found = got[NAMES.get(key, key)]
        if np.issubdtype(np.asarray(value).dtype, np.integer):
            assert found == value, (key, why)
        else:
            np.testing.assert_allclose(found, value, rtol=0, atol=1e-9, err_msg=f"{key} {why}")


@pytest.mark.parametrize("seed", range(40))
def test_the_metrics_of_random_scenes(seed):
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng, frames=int(rng.integers(0, 20)), objects=int(rng.integers(0, 9)), tracks=int(rng.integers(0, 9)))
              for _ in range(3)]  # fmt: skip
    of_clear, of_identity, of_hota = metrics()
    for theirs, ours in ((of_clear, clear), (of_identity, identity), (of_hota, hota)):
        compute = getattr(ours, ours.__name__.rpartition(".")[2])
        expected = [theirs.eval_sequence(as_trackeval(data)) for data in scenes]
        got = [compute(data) for data in scenes]
        for k in range(3):
            mine = got[k] | hota.summary(got[k]) | got[k] if ours is hota else got[k]
            same(expected[k], mine, f"scene {k}")
        combined = ours.combine(got)
        mine = combined | hota.summary(combined) | combined if ours is hota else combined
        same(theirs.combine_sequences(dict(enumerate(expected))), mine, "combined")


def random_files(rng):
    """Cars, vans, pedestrians, regions; boxes that jitter, vanish, swap ids; small, occluded and zero-area boxes."""
    truth, results, objects = [], [], []
    for i in range(14):
        kind = rng.choice(["Car", "Car", "Van", "Pedestrian", "Pedestrian", "Person", "Cyclist"])
        objects.append((i, kind, rng.uniform(0, 1000), rng.uniform(100, 200), rng.choice([20, 26, 40, 90]), rng.uniform(-4, 4)))
    for frame in range(30):
        for i, kind, x, y, size, speed in objects:
            if rng.random() < 0.2:
                continue
            x = x + speed * frame
            state = {"truncated": int(rng.choice([0, 0, 0, 1])), "occluded": int(rng.choice([0, 1, 2, 3]))}
            truth.append(line(frame, i, np.round((x, y, x + size, y + size), 2), kind, **state))
        truth += [dont_care(frame, np.round((x, 100, x + 80, 220), 2)) for x in rng.uniform(0, 900, rng.integers(0, 3))]
        for i, kind, x, y, size, speed in objects:
            if rng.random() < 0.25:
                continue
            a, b, w, h = np.array([x + speed * frame, y, size, size]) + rng.normal(0, size / 8, 4)
            named = {"Van": "Car", "Person": "Pedestrian"}.get(kind, kind)
            track = i + 100 * (frame > 15 and i % 3 == 0)
            results.append(line(frame, track, np.round((a, b, a + max(w, 0), b + max(h, 0)), 2), named, -1, -1, score=1))
    rng.shuffle(results)
    return "".join(truth), "".join(results)


@pytest.mark.parametrize("seed", range(6))
def test_whole_files_of_kitti(tmp_path, seed):
    rng = np.random.default_rng(seed)
    files = {name: random_files(rng) for name in ("0000", "0001", "0007")}
    files["0003"] = (files["0000"][0], "")
    gt = tmp_path / "gt"
    write(gt / "label_02", **{name: truth for name, (truth, _) in files.items()})
    (gt / "evaluate_tracking.seqmap.training").write_text("".join(f"{name} empty 000000 000031\n" for name in files))
    results = write(tmp_path / "trackers/ours/data", **{name: tracks for name, (_, tracks) in files.items()})
    dataset = trackeval.datasets.Kitti2DBox(
        {"GT_FOLDER": str(gt), "TRACKERS_FOLDER": str(tmp_path / "trackers"), "PRINT_CONFIG": False}
    )
    got = kitti_tracking.score(gt, results)
    for name in kitti_tracking.CLASSES:
        parts = {}
        for sequence in files:
            data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("ours", sequence), name)
            parts[sequence] = [metric.eval_sequence(data) for metric in metrics()]
            compare(parts[sequence], got[name]["sequences"][sequence], f"{sequence} {name}")
        assert min(got[name][key] for key in ("CLR_TP", "CLR_FP", "CLR_FN", "FRAG")) > 5  # else there is nothing to compare
        for k, metric in enumerate(metrics()):
            parts.setdefault("all", []).append(metric.combine_sequences({s: parts[s][k] for s in files}))
        compare(parts["all"], got[name], name)


def random_mot(rng, benchmark):
    """Persons, distractors and cars that jitter, vanish and swap ids; ignored truth; zero-area boxes."""
    truth, results = [], []
    places = rng.uniform(0, 900, (12, 2))
    kinds = rng.choice([1, 1, 1, 1, 2, 3, 6, 7, 8, 12, 13], 12)
    for frame in range(1, 41):
        for i, ((x, y), kind) in enumerate(zip(places, kinds, strict=True)):
            if rng.random() > 0.2:
                rest = (
                    f"{rng.choice([0, 1, 1, 1])},-1,-1,-1" if benchmark == "MOT15" else f"{rng.choice([0, 1, 1, 1])},{kind},0.5"
                )
                truth.append(f"{frame},{i + 1},{x + 2 * frame:.2f},{y:.2f},40,80,{rest}\n")
            if rng.random() > 0.25:
                dx, dy, dw, dh = rng.normal(0, 4, 4)
                size = f"{rng.choice([40 + dw, 40 + dw, 40 + dw, 0]):.2f},{80 + dh:.2f}"
                track = i + 100 * (frame > 20 and i % 3 == 0)
                results.append(f"{frame},{track},{x + 2 * frame + dx:.2f},{y + dy:.2f},{size},1,-1,-1,-1\n")
    rng.shuffle(results)
    return "".join(truth), "".join(results)


@pytest.mark.parametrize("benchmark", ["MOT15", "MOT17", "MOT20"])
def test_whole_files_of_mot(tmp_path, benchmark):
    rng = np.random.default_rng(len(benchmark))
    names = [f"{benchmark}-{k}" for k in range(3)]
    for k, name in enumerate(names):
        truth, tracks = random_mot(rng, benchmark)
        (tmp_path / f"gt/{name}/gt").mkdir(parents=True)
        (tmp_path / f"gt/{name}/gt/gt.txt").write_text(truth)
        (tmp_path / f"gt/{name}/seqinfo.ini").write_text("[Sequence]\nseqLength=44\n")
        write(tmp_path / "trackers/ours/data", **{name: tracks if k else ""})
    settings = {"GT_FOLDER": str(tmp_path / "gt"), "TRACKERS_FOLDER": str(tmp_path / "trackers"), "PRINT_CONFIG": False}
    settings |= {"SEQ_INFO": dict.fromkeys(names, 44), "SKIP_SPLIT_FOL": True, "BENCHMARK": benchmark}
    dataset = trackeval.datasets.MotChallenge2DBox(settings)
    got = mot.score(tmp_path / "gt", tmp_path / "trackers/ours/data")
    parts = {}
    for name in names:
        data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("ours", name), "pedestrian")
        parts[name] = [metric.eval_sequence(data) for metric in metrics()]
        compare(parts[name], got["sequences"][name], name)
    compare([m.combine_sequences({n: parts[n][k] for n in names}) for k, m in enumerate(metrics())], got, "all")
    assert min(got[key] for key in ("CLR_TP", "CLR_FP", "CLR_FN", "IDS", "FRAG")) > 0


def compare(expected, got, why):
    of_clear, of_identity, of_hota = expected
    same(of_clear, got, why)
    same(of_identity, got, why)
    for key in hota.MEANS:
        np.testing.assert_allclose(got["per_alpha"][key], of_hota[key], rtol=0, atol=1e-9, err_msg=why)
        assert got[key] == pytest.approx(np.mean(of_hota[key]), abs=1e-9)


def test_the_writer_of_these_files_is_understood(tmp_path):
    """Otherwise the comparison above would have no data."""
    write(tmp_path / "gt", s0000=line(0, 1, CAR))
    write(tmp_path / "results", s0000=line(0, 1, CAR, score=1))
    assert kitti_tracking.score(tmp_path / "gt", tmp_path / "results")["car"]["HOTA"] == 1
