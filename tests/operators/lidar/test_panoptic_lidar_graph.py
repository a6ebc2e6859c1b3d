"""The graphs panoptic_lidar (the published net on the labelled scan) and panoptic_lidar_world (a net after one step)."""

import json

import cv2
import numpy as np
import pytest

from operators import semantickitti
from operators.score.semantickitti import evaluate
from pipeline.__main__ import main

pytest.importorskip("onnxruntime")


@pytest.mark.data
@pytest.mark.slow
def test_a_real_scan_to_labelled_points_and_a_picture(pipe, shared_data):
    scans, net = shared_data / "semantickitti", "models/mininet3d_tiny/3d_mininet_tiny_semantickitti.onnx"
    given = {"scans.config.root": scans, "segment.config.model": shared_data / net}
    ended = pipe.run(
        "panoptic_lidar", *(arg for key, value in given.items() for arg in ("--set", f"{key}={value}")), timeout_s=110
    )
    assert ended.code == 0, ended.stderr
    assert not any(edge["dropped"] for edge in ended.report["edges"].values())
    found = evaluate(scans, ended.out / "results")
    assert found["scans"] == {"00": 1} and found["accuracy"] > 0.8589
    assert found["classes"]["car"]["iou"] > 0.7 and found["classes"]["car"]["tp"] >= 5 and found["s_assoc"] > 0.5
    scores = json.loads((ended.out / "score" / "scores.json").read_text())
    assert scores["classes"] == found["classes"] and scores["lstq"] == pytest.approx(found["lstq"])
    classes, instances = semantickitti.read_label(ended.out / "results/sequences/00/predictions/000000.label", 123_389)
    things = np.isin(classes, [semantickitti.NAMES.index(name) for name in semantickitti.THINGS])
    assert instances.max() >= 5 and not instances[~things].any()
    assert cv2.imread(str(ended.out / "render" / "frames" / "00_000000.png")).shape == (800, 800, 3)


@pytest.mark.slow
def test_a_net_of_pictures_on_range_images(pipe, tmp_path):
    """One step of training, then the chain from scans to points with ids: everything fits together, nothing is learnt."""
    pytest.importorskip("torch")
    scans, small = "{frames: 3, drives: 1, lidar: {columns: 540}}", "{beams: 64, columns: 512}"
    data = f"{{driver: synthetic.world, config: {scans}, projection: {small}}}"
    sets = [f"data.config={data}", f"valid.config={data}", "model.image_size=[512, 64]", "threads=1"]
    given = ["train", "panoptic_lidar_world", "--steps", "1", "--quiet", "--out", str(tmp_path / "train")]
    assert main([*given, *(arg for value in sets for arg in ("--set", value))]) == 0
    weights = f"segment.config.weights={tmp_path / 'train' / 'model.safetensors'}"
    sets = [weights, "project.config.columns=512", "world.config.lidar={columns: 540}", "world.config.drives=1"]
    ended = pipe.run("panoptic_lidar_world", "--frames", "2", *(arg for value in sets for arg in ("--set", value)), timeout_s=110)
    assert ended.code == 0, ended.stderr
    scores = json.loads((ended.out / "score" / "scores.json").read_text())
    assert scores["frames"] == 2 and sum(numbers["truth"] for numbers in scores["classes"].values()) > 20_000
    assert not any(edge["dropped"] for edge in ended.report["edges"].values())
