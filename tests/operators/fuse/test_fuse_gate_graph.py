"""fuse.gate in a graph: two sensors as two sources, one of which ends early."""

import json

import pytest

torch = pytest.importorskip("torch")

from operators.nets import weights  # noqa: E402
from operators.nets.fusion_config import FUSION, FusionNetConfig  # noqa: E402
from operators.nets.fusion_net import FusionNet  # noqa: E402
from pipeline.__main__ import main  # noqa: E402

CONFIG = FusionNetConfig(
    image_size=(96, 64), stage_channels=(4, 8, 8, 8, 8), map_channels=16, queries=4, hidden=16, feedforward=16, key_pool=2
)
SOURCES = """
import numpy as np

from operators.streams import GREY, IMAGE, WEIGHTS
from pipeline.operator import Operator
from pipeline.testing import ListSource


class Camera(ListSource):
    outputs = {"image": IMAGE}
    values = [np.full((64, 96, 3), 20 * k, np.uint8) for k in range(6)]


class Thermal(ListSource):
    outputs = {"thermal": GREY}
    values = [np.full((64, 96), 20 * k, np.uint8) for k in range(3)]


class Seen(Operator):
    inputs = {"weights": WEIGHTS}

    def open(self):
        self.out_dir.mkdir(parents=True, exist_ok=True)

    def process(self, weights):
        with (self.out_dir / "weights.jsonl").open("a") as file:
            file.write(f"[{weights[0]}, {weights[1]}, {list(self.meta['weights']['modalities'])!r}]\\n".replace("'", '"'))
"""
GRAPH = """version: 1
nodes:
  camera: {driver: "sensors:Camera"}
  thermal: {driver: "sensors:Thermal"}
  gate:
    op: fuse.gate
    inputs: {image: camera.image, thermal: thermal.thermal}
    sync: {policy: exact, trigger: image, optional: [thermal]}
    config: {weights: net.safetensors}
  seen: {op: "sensors:Seen", inputs: {weights: gate.weights}}
"""


def test_a_sensor_that_ends_leaves_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "sensors.py").write_text(SOURCES)
    (tmp_path / "two.yaml").write_text(GRAPH)
    torch.manual_seed(0)
    weights.save(tmp_path / "net.safetensors", FUSION, CONFIG, FusionNet(CONFIG).state_dict())
    assert main(["run", "two.yaml", "--place", "inline", "--rate", "max", "--quiet", "--out", "out"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out/seen/weights.jsonl").read_text().splitlines()]
    assert [names for *_, names in rows] == [["image", "thermal"]] * 6
    assert all(0 < thermal < 1 for _, thermal, _ in rows[:3])
    assert [(image, thermal) for image, thermal, _ in rows[3:]] == [(1.0, 0.0)] * 3
