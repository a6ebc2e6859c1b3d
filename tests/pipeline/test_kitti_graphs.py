"""The shipped graphs on real data, end to end: inputs, outputs, and tracks at the positions of the vehicles."""

import pytest

from operators.nets import weights
from operators.score.kitti_centres import score


def scans(root):
    return [x for n in ("scans", "dets") for x in ("--set", f"{n}.config.root={root}")]


@pytest.mark.data
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
    vehicles = score(root, ended.out / "results" / "0000.txt")["vehicles"]["all"]
    assert vehicles["recall"] >= 0.85, vehicles
    assert vehicles["precision"] >= 0.85, vehicles


@pytest.mark.slow
@pytest.mark.data
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


@pytest.mark.slow
@pytest.mark.data
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


@pytest.mark.slow
@pytest.mark.data
def test_two_sensors(pipe, shared_data):
    root = shared_data / "kitti_raw"
    sets = [x for n in ("lidar", "camera") for x in ("--set", f"{n}.config.root={root}")]
    ended = pipe.run("kitti_camera_lidar", *sets, timeout_s=100)
    assert ended.code == 0, ended.stderr
    assert ended.report["sinks"]["render"]["frames"] == 12
    assert len(list((ended.out / "render" / "frames").glob("*.png"))) == 12


@pytest.mark.data
@pytest.mark.slow
def test_scans_to_boxes_to_tracks(pipe, shared_data):
    """The shipped weights, which never saw a real scan."""
    if "pointpillars_world" not in weights.shipped():
        pytest.skip("no weights are shipped yet")
    pytest.importorskip("torch")
    root = shared_data / "kitti_tracking_0000"
    ended = pipe.run("kitti_lidar", "--set", f"scans.config.root={root}", timeout_s=110)
    assert ended.code == 0, ended.stderr
    report = ended.report
    assert (report["frames"], report["comparable"]) == (129, True)
    assert {n: s["frames"] for n, s in report["sinks"].items()} == {"render": 129, "results": 129, "score": 129}
    assert not any(e["dropped"] for e in report["edges"].values())
    assert all(e["copied_bytes"] <= 129 * 2**16 for e in report["edges"].values()), "what is large is loaned"
    vehicles = score(root, ended.out / "results" / "0000.txt")["vehicles"]["all"]
    assert vehicles["recall"] >= 0.6, vehicles
    assert vehicles["precision"] >= 0.6, vehicles


@pytest.mark.slow
def test_the_same_with_and_without_labels(pipe, tmp_path):
    """On generated scans, with an untrained net: labels change nothing except that there are scores."""
    torch = pytest.importorskip("torch")
    from operators.nets.pointpillars import PointPillars
    from operators.nets.pointpillars_config import POINTPILLARS, PointPillarsConfig

    small = {"pillar_channels": 8, "block_layers": (0,), "block_channels": (8,), "up_channels": (8,)}
    config = PointPillarsConfig(range_m=(0, -25.6, -3, 51.2, 25.6, 1), max_points=32, **small)
    torch.manual_seed(1)
    net = PointPillars(config)
    with torch.no_grad():
        net.class_head.bias.fill_(0.0)  # even odds: boxes everywhere
    weights.save(tmp_path / "net.safetensors", POINTPILLARS, config, net.state_dict())
    made = pipe.run(
        pipe.graph("""
  world: {driver: synthetic.traffic, config: {frames: 5}}
  kitti:
    op: write.kitti_layout
    inputs: {points: world.points, truth: world.truth, pose: world.pose, calibration: world.calibration}
""")
    )
    assert made.code == 0, made.stderr
    root = made.out / "kitti"
    sets = {"scans.config.root": root, "detect.config.weights": tmp_path / "net.safetensors", "detect.config.max_boxes": 20}
    args = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    with_truth = pipe.run("kitti_lidar", *args, timeout_s=100)
    (root / "label_02").rename(tmp_path / "label_02")
    without = pipe.run("kitti_lidar", *args, timeout_s=100)
    for ended in (with_truth, without):
        assert ended.code == 0, ended.stderr
        assert {n: s["frames"] for n, s in ended.report["sinks"].items()} == {"render": 5, "results": 5, "score": 5}
    for sink in ("render", "results"):
        assert with_truth.report["digest"][sink] == without.report["digest"][sink]
        for path in (p for p in (with_truth.out / sink).rglob("*") if p.is_file()):
            assert path.read_bytes() == (without.out / sink / path.relative_to(with_truth.out / sink)).read_bytes()
    assert (with_truth.out / "results" / "0000.txt").read_text()
    assert (with_truth.out / "score" / "scores.json").exists()
    assert not (without.out / "score").exists()
    assert "score: no truth, no scores" in without.stdout
