"""fuse.panoptic and score.panoptic in a graph: the map stays in its slot, scores with and without truth."""

import json

import pytest

from pipeline.__main__ import main

SOURCE = """
import numpy as np

from operators.streams import CLASS_NAMES, INSTANCES, PANOPTIC, SEMANTIC, THINGS, Instances, Panoptic
from pipeline.frame import Reading
from pipeline.testing import ListSource

FACTS = {CLASS_NAMES: ["road", "Car"], THINGS: ["Car"]}


def frame(k):
    logits = np.stack([np.full((64, 96), 3, np.float32), np.full((64, 96), -3, np.float32)])
    logits[:, 8:24, 10 + k : 34 + k] *= -1
    car = Instances(np.array([[9.5 + k, 7.5, 33.5 + k, 23.5]], np.float32), np.ones(1, np.float32), np.ones(1, np.int32),
                    np.full((1, 28, 28), 4, np.float32))
    truth = np.full((64, 96), 2, np.int32)
    truth[8:24, 10 + k : 34 + k] = 1
    segments = np.array([1, 2], np.int32), np.array([1, 0], np.int32), np.ones(2, np.float32), np.array([7, -1])
    values = {"semantic": logits, "instances": car, "panoptic_truth": Panoptic(truth, *segments)}
    return Reading(values, f"0000/{k:06d}", k * 100_000_000, meta=dict.fromkeys(values, FACTS))


class Camera(ListSource):
    outputs = {"semantic": SEMANTIC, "instances": INSTANCES, "panoptic_truth": PANOPTIC}
    values = [frame(k) for k in range(4)]
"""
GRAPH = """version: 1
nodes:
  camera: {driver: "drawn:Camera", pool: {semantic: {max_mb: 1}, instances: {max_mb: 1}, panoptic_truth: {max_mb: 1}}}
  fuse:
    op: fuse.panoptic
    inputs: {semantic: camera.semantic, instances: camera.instances}
    pool: {panoptic: {max_mb: 1}}
    config: {min_stuff_px: 64}
    threads: 2
  score: {op: score.panoptic, inputs: {panoptic: fuse.panoptic%s}}
"""


@pytest.mark.parametrize("truth", [", panoptic_truth: camera.panoptic_truth", ""])
def test_a_graph_that_fuses_and_scores(truth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "drawn.py").write_text(SOURCE)
    (tmp_path / "fused.yaml").write_text(GRAPH % truth)
    assert main(["run", "fused.yaml", "--place", "inline", "--rate", "max", "--quiet", "--out", "out", "--report", "r.json"]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    edge = report["edges"]["fuse.panoptic->score.panoptic"]
    assert edge["delivered"] == 4 and edge["bytes"] > 4 * 4 * 64 * 96 and edge["copied_bytes"] < 4 * 256  # the map is a loan
    scores = tmp_path / "out" / "score" / "scores.json"
    assert scores.exists() == bool(truth)
    if truth:
        found = json.loads(scores.read_text())
        assert (found["frames"], found["all"]["pq"], found["all"]["classes"]) == (4, 1, 2)
        assert "PQ 100.0 (things 100.0, stuff 100.0), mIoU 100.0 (4 frames)" in json.dumps(report["nodes"]["score"])
