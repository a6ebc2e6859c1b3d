"""The scores of the light nets on generated drives: of untrained ones, of perfect maps and points, their intervals."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")


from bench import panoptic_lidar_world, panoptic_scans
from bench.panoptic_intervals import KEYS, bootstrap, constant, interval, lines
from bench.panoptic_world import WAYS, main
from operators.nets import weights
from operators.nets.efficientps import EfficientPS
from operators.nets.efficientps_config import EFFICIENTPS, EfficientPSConfig
from operators.panoptic_classes import WORLD_CLASSES, WORLD_THINGS
from operators.streams import Panoptic


@pytest.mark.slow
def test_an_untrained_net_on_two_drives(tmp_path, capsys):
    config = EfficientPSConfig(
        WORLD_CLASSES, WORLD_THINGS, (128, 64), width=0.25, depth=0.1, channels=8, semantic_channels=4, hidden=8, embedding=4
    )
    weights.save(tmp_path / "net.safetensors", EFFICIENTPS, config, EfficientPS(config).eval().state_dict())
    args = ["--weights", str(tmp_path / "net.safetensors"), "--drives", "2", "--frames", "2", "--threads", "1"]
    out = main(args, tmp_path)
    assert set(out["figures"]) == set(WAYS) and "constant" in capsys.readouterr().out
    pq, low, high = out["figures"]["constant"]["stuff pq"]
    assert 0 < low <= pq <= high <= 100
    (path,) = tmp_path.glob("panoptic-world-*.json")
    assert json.loads(path.read_text())["figures"]["iou"]["all pq"][0] >= 0


def test_the_constant_map_of_equal_frames_is_perfect_but_for_things():
    labels = np.array([0, 1], np.int32)
    map_ = np.ones((4, 6), np.int32)
    map_[:2] = 2
    truth = Panoptic(map_, np.array([1, 2], np.int32), labels, np.ones(2, np.float32), np.full(2, -1))
    frames = {}
    constant([("a", truth, ("road", "sky")), ("b", truth, ("road", "sky"))], frames)
    found = interval(frames, set())
    assert found["stuff pq"] == (100, 100, 100) and np.isnan(found["things ptq"][0])
    assert len(lines({"constant": found})) == 2 and len(found) == len(KEYS)


# ---- scans


@pytest.mark.slow
def test_an_untrained_net_on_scans_of_two_drives(tmp_path, capsys):
    names, light = WORLD_CLASSES[:8] + WORLD_THINGS, {"width": 0.25, "depth": 0.1, "channels": 8, "semantic_channels": 4}
    config = EfficientPSConfig(names, WORLD_THINGS, (512, 64), hidden=8, embedding=4, **light)
    weights.save(tmp_path / "net.safetensors", EFFICIENTPS, config, EfficientPS(config).eval().state_dict())
    args = ["--weights", str(tmp_path / "net.safetensors"), "--drives", "2", "--frames", "2", "--threads", "1"]
    out = panoptic_lidar_world.main(args, tmp_path)
    assert set(out["figures"]) == set(WAYS) and "s_assoc" in capsys.readouterr().out
    for way in WAYS:
        for value, low, high in out["figures"][way].values():
            assert 0 <= low <= high <= 100 and 0 <= value <= 100
    assert out["figures"]["constant"]["miou"][0] > out["figures"]["iou"]["miou"][0] and out["figures"]["constant"]["lstq"][0] == 0
    (path,) = tmp_path.glob("panoptic-lidar-world-*.json")
    assert json.loads(path.read_text())["figures"]["constant"]["pq"][0] > 0


def test_perfect_points_and_ids_of_two_drives():
    """Drive b comes twice in a draw and counts twice; its tubes stay its own."""
    drives, classes, instances = {}, np.repeat([1, 2, 0], 100), np.repeat([7, 0, 0], 100)
    for drive, ids in (("a", instances), ("b", np.where(instances > 0, 9, 0)), ("b", np.where(instances > 0, 10, 0))):
        panoptic_scans.count(drives, 2, panoptic_scans.Truth(drive, classes, instances, classes), classes, ids)
    found = panoptic_scans.interval({"a": drives["a"]}, (1,))
    assert {key: row[0] for key, row in found.items()} == dict.fromkeys(("pq", "sq", "rq", "miou", "lstq", "s_assoc"), 100)
    both = panoptic_scans.together([drives["b"], drives["b"]]).numbers((1,))
    assert both["s_assoc"] == pytest.approx(0.5) and both["classes"][1]["tp"] == 4


def test_numbers_go_by_the_names():
    got = panoptic_scans.numbers(np.array([0, 1, 255], np.uint8), ("sky", "road"), ("road", "Car", "sky"))
    assert got.tolist() == [3, 1, 0]


def test_an_interval_of_one_drive_is_its_value_and_nan_where_nothing_is_known():
    (first, second) = bootstrap(lambda drives: [float(len(drives)), np.nan], ["a", "b"])
    assert first == (2, 2, 2) and np.isnan(second).all()
