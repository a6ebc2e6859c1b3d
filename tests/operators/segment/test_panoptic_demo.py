"""The shipped graph panoptic_demo, with weights that were never trained; the disjoint baseline; no weights at all."""

import dataclasses
import json

import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from operators.nets import weights  # noqa: E402
from operators.nets.efficientps import EfficientPS  # noqa: E402
from operators.nets.efficientps_config import EFFICIENTPS, EfficientPSConfig  # noqa: E402
from operators.panoptic_classes import WORLD_CLASSES, WORLD_THINGS  # noqa: E402
from operators.segment import efficientps  # noqa: E402
from pipeline.__main__ import main  # noqa: E402
from pipeline.graph.files import find_file  # noqa: E402


def untrained(path, size):
    torch.manual_seed(0)
    config = EfficientPSConfig(
        WORLD_CLASSES, WORLD_THINGS, size, width=0.25, depth=0.3, channels=16, semantic_channels=8, hidden=32, embedding=4
    )
    weights.save(path, EFFICIENTPS, config, EfficientPS(config).eval().state_dict())
    return str(path)


def sets(tmp_path, threshold=0.2, size=(128, 64)):
    values = {
        "segment.config.weights": untrained(tmp_path / "net.safetensors", size),
        "segment.config.min_score": threshold,
        "tracker.config.min_score": threshold,
        "fuse.config.score_threshold": threshold,
        "world.config.camera.width": size[0],
        "world.config.camera.height": size[1],
        "world.config.frames": 3,
    }
    return [a for key, value in values.items() for a in ("--set", f"{key}={value}")]


@pytest.mark.slow
def test_the_graph_runs_in_processes_and_no_edge_copies_a_picture(tmp_path, monkeypatch):
    """In two sizes: pictures, logits, masks and maps are read in the slots that they were written to. Copied into a slot are only
    the rows of the segments, 20 bytes each."""
    monkeypatch.chdir(tmp_path)
    edges = []
    for width, height in ((128, 64), (256, 128)):
        given = [*sets(tmp_path, size=(width, height)), "--out", f"out{width}", "--report", "r.json"]
        assert main(["run", "panoptic_demo", "--rate", "max", "--quiet", *given]) == 0
        report = json.loads((tmp_path / "r.json").read_text())
        assert {name: sink["frames"] for name, sink in report["sinks"].items()} == {"render": 3, "results": 3, "score": 3}
        assert not any(edge["dropped"] for edge in report["edges"].values())
        found = json.loads((tmp_path / f"out{width}/results/panoptic.json").read_text())
        assert len(found["images"]) == 3 and len(found["categories"]) == len(WORLD_CLASSES)
        rows = 20 * sum(len(annotation["segments_info"]) for annotation in found["annotations"])
        copied = {name: edge["copied_bytes"] for name, edge in report["edges"].items() if edge["copied_bytes"]}
        truth = copied.pop("world.panoptic_truth->score.panoptic_truth")
        assert copied == {"fuse.panoptic->render.panoptic": rows}  # counted once, at the first reader of a port
        assert truth % 20 == 0 and truth < 3 * 20 * 100
        edges.append(report["edges"])
    small, large = (of_size["segment.semantic->fuse.semantic"] for of_size in edges)
    assert small["produced"] == large["produced"] == 3 and small["copied_bytes"] == large["copied_bytes"] == 0
    assert small["bytes"] == 3 * 4 * len(WORLD_CLASSES) * 16 * 32 and large["bytes"] == 4 * small["bytes"]


def test_the_disjoint_baseline(tmp_path, monkeypatch):
    """A tracker of boxes that knows nothing of the net gives the ids."""
    monkeypatch.chdir(tmp_path)
    graph = yaml.safe_load(find_file("panoptic_demo").read_text())
    nodes = graph["nodes"]
    byte = {"low": 0.0, "high": 0.2, "birth": 0.2, "min_hits": 1}
    nodes["boxes"] = {"op": "track.tracker2d", "inputs": {"boxes2d": "segment.instances"}, "config": {"byte": byte}}
    nodes["tracker"] = {
        "op": "track.panoptic",
        "inputs": {"instances": "segment.instances", "tracks2d": "boxes.tracks2d"},
        "config": {"association": "tracks"},
    }
    (tmp_path / "disjoint.yaml").write_text(yaml.safe_dump(graph))
    args = ["--place", "inline", "--rate", "max", "--quiet", "--out", "out"]
    assert main(["run", "disjoint.yaml", *args, *sets(tmp_path)]) == 0
    found = json.loads((tmp_path / "out/results/panoptic.json").read_text())
    first = [segment for segment in found["annotations"][0]["segments_info"] if "score" in segment]
    assert first and all(segment["track_id"] >= 1 for segment in first)


def test_without_weights_it_says_how_to_train_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(efficientps, "EFFICIENTPS", dataclasses.replace(EFFICIENTPS, models=tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["check", "panoptic_demo"]) == 2
    error = capsys.readouterr().err.strip()
    assert "panoptic_world.safetensors, got no such file; train it with pipe train panoptic_world" in error
    assert len(error.splitlines()) == 1
