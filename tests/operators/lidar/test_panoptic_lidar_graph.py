"""The graph panoptic_lidar: the published net on the labelled scan, its labels scored."""

import json

import cv2
import numpy as np
import pytest

from operators import semantickitti
from operators.score.semantickitti import evaluate

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
