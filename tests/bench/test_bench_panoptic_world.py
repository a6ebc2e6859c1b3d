"""The scores of the light net on generated drives: of an untrained one, of perfect maps, their intervals."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")


from bench.panoptic_intervals import KEYS, constant, interval, lines
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
