"""The shipped graphs on real data, end to end: what went in, what came out, and whether the tracks are where the vehicles are."""

import pytest

from bench.kitti_check import check

pytestmark = pytest.mark.data


def scans(root):
    return [x for n in ("scans", "dets") for x in ("--set", f"{n}.config.root={root}")]


def test_scans_to_tracks(pipe, shared_data):
    root = shared_data / "kitti_tracking_0000"
    ended = pipe.run("kitti_scans", *scans(root), timeout_s=100)
    assert ended.code == 0, ended.stderr
    report = ended.report
    assert (report["frames"], report["comparable"]) == (129, True)
    assert {n: s["frames"] for n, s in report["sinks"].items()} == {"render": 129, "results": 129}
    assert {
        n: (e["produced"], e["delivered"], e["dropped"], e["copied_bytes"]) for n, e in report["edges"].items()
    } == dict.fromkeys(report["edges"], (129, 129, {}, 0))
    vehicles = check(ended.out / "results" / "0000.txt", root)["vehicles"]["all"]
    assert vehicles["recall"] >= 0.85, vehicles
    assert vehicles["precision"] >= 0.85, vehicles


def test_scans_that_start_later_and_have_no_labels(pipe, shared_data, tmp_path):
    root, cut = shared_data / "kitti_tracking_0000", tmp_path / "cut"
    (cut / "velodyne" / "0000").mkdir(parents=True)
    for number in range(60, 100):
        (cut / "velodyne" / "0000" / f"{number:06d}.bin").symlink_to(root / "velodyne" / "0000" / f"{number:06d}.bin")
    for folder in ("calib", "oxts", "detections"):
        (cut / folder).symlink_to(root / folder)
    ended = pipe.run("kitti_scans", *scans(cut), timeout_s=100)
    assert ended.code == 0, ended.stderr
    assert {n: s["frames"] for n, s in ended.report["sinks"].items()} == {"render": 40, "results": 40}
    assert not any(e["dropped"] for e in ended.report["edges"].values())
    frames = {int(line.split()[0]) for line in (ended.out / "results" / "0000.txt").read_text().splitlines()}
    assert min(frames) in (60, 61, 62)
    assert max(frames) == 99


def test_one_file_per_sequence(pipe, shared_data, tmp_path):
    """Two of the sequences, without labels; the shorter of them has frames without detections."""
    root, some = shared_data / "kitti_tracking", tmp_path / "some"
    (some / "oxts").mkdir(parents=True)
    for sequence in ("0003", "0017"):
        (some / "oxts" / f"{sequence}.txt").symlink_to(root / "oxts" / f"{sequence}.txt")
        for folder in ("calib", "detections/pointrcnn_Car", "detections/pointrcnn_Pedestrian"):
            (some / folder).mkdir(parents=True, exist_ok=True)
            (some / folder / f"{sequence}.txt").symlink_to(root / folder / f"{sequence}.txt")
    num_frames = sum(len((some / "oxts" / f"{s}.txt").read_text().splitlines()) for s in ("0003", "0017"))
    ended = pipe.run("kitti_tracking", "--set", f"dets.config.root={some}", "--set", "dets.config.sequences=all", timeout_s=100)
    assert ended.code == 0, ended.stderr
    assert ended.report["sinks"]["results"]["frames"] == num_frames
    files = sorted((ended.out / "results").glob("*.txt"))
    assert [f.name for f in files] == ["0003.txt", "0017.txt"]
    ids = [{line.split()[1] for line in f.read_text().splitlines()} for f in files]
    assert all(len(i) >= 5 for i in ids)
    assert not ids[0] & ids[1], "ids are unique over the run"


def test_two_sensors(pipe, shared_data):
    root = shared_data / "kitti_raw"
    sets = [x for n in ("lidar", "camera") for x in ("--set", f"{n}.config.root={root}")]
    ended = pipe.run("kitti_camera_lidar", *sets, timeout_s=100)
    assert ended.code == 0, ended.stderr
    assert ended.report["sinks"]["render"]["frames"] == 12
    assert len(list((ended.out / "render" / "frames").glob("*.png"))) == 12
