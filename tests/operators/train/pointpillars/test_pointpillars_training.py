"""`pipe train` on a tiny net and a tiny world: equal losses, stopped and resumed or not; its files; refusals."""

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")

from operators.nets import weights  # noqa: E402
from operators.nets.pointpillars_config import POINTPILLARS  # noqa: E402
from operators.train import base  # noqa: E402
from operators.train.fairmot.trainer import FairmotTrainer  # noqa: E402
from operators.train.fusion.trainer import FusionTrainer  # noqa: E402
from operators.train.panoptic.trainer import PanopticTrainer  # noqa: E402
from operators.train.pointpillars.trainer import PointPillarsTrainer  # noqa: E402
from operators.train.schedule import rate  # noqa: E402
from operators.train.tanet.trainer import TANetTrainer  # noqa: E402
from pipeline import training  # noqa: E402
from pipeline.__main__ import main  # noqa: E402

TINY = """version: 1
train: "{operator}"
data: {{driver: synthetic.traffic, config: {{frames: 50, seed: 3, rate_hz: 2}}}}
valid: {{driver: synthetic.traffic, config: {{frames: 4, seed: 4}}, scenes: 3}}
classes: {{Car: [Car, Van], Pedestrian: [Pedestrian], Cyclist: [Cyclist]}}
model:
  cell_m: [0.64, 0.64]
  range_m: [0, -10.24, -3, 20.48, 10.24, 1]
  max_points: 8
  max_pillars: 1000
  pillar_channels: 8
  block_layers: [1, 1]
  block_channels: [8, 8]
  up_channels: [8, 8]
augment: {{paste: {{counts: {{Car: 4, Pedestrian: 3}}, scenes: 6}}, point_drop: 0.1, intensity_noise: 0.02}}
steps: 8
epoch_steps: 4
batch: 2
seed: 5
threads: 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "from pipeline.operator import Operator\n\n\nclass Op(Operator):\n"
    (tmp_path / "tiny_op.py").write_text(source + '    trainer = "operators.train.pointpillars.trainer:PointPillarsTrainer"\n')
    (tmp_path / "tiny.yaml").write_text(TINY.format(operator="tiny_op:Op"))
    return tmp_path


def train(*args: str) -> int:
    return main(["train", "tiny.yaml", "--quiet", *args])


def losses(out: str) -> list[list[str]]:
    """The rows without times."""
    with (Path(out) / "losses.csv").open() as file:
        return [row[:7] for row in csv.reader(file)]


def test_files(folder, capsys):
    assert train("--out", "a") == 0
    assert "tiny: 8 of 8 steps in" in capsys.readouterr().out
    rows = losses("a")
    assert rows[0] == ["step", "loss", "cls", "box", "direction", "lr", "positives"] and len(rows) == 9
    values = np.array([[float(v) for v in row] for row in rows[1:]])
    assert np.isfinite(values).all() and (values[:, 6] > 0).any()
    np.testing.assert_allclose(values[:, 1], values[:, 2:5].sum(1), rtol=1e-5)
    with Path("a/scores.csv").open() as file:
        scores = list(csv.DictReader(file))
    assert [(row["step"], row["class"]) for row in scores] == [(s, c) for s in "48" for c in ("Car", "Pedestrian", "Cyclist")]
    assert Path("a/epoch-0001.png").is_file() and Path("a/epoch-0002.png").is_file() and not Path("a/epoch-0003.png").exists()
    model = weights.load("a/model.safetensors", POINTPILLARS)
    assert model.facts["steps"] == "8" and model.facts["seed"] == "5" and "Car" in json.loads(model.facts["scores"])
    assert json.loads(model.facts["training"])["data"]["driver"] == "synthetic.traffic"

    again = yaml.safe_load(Path("a/train.yaml").read_text())
    Path("again.yaml").write_text(yaml.safe_dump(again))
    assert main(["train", "again.yaml", "--out", "b", "--steps", "3", "--quiet"]) == 0
    assert losses("b") == rows[:4]  # the same seed, the same losses; fewer steps do not change the schedule


def test_stopped_and_resumed_is_the_same(folder, capsys):
    assert train("--out", "whole") == 0
    assert train("--out", "parts", "--steps", "3") == 0
    with Path("parts/losses.csv").open("a") as file:
        file.write("4,9,9,9,9,9,9,9,9,9,9,9,9,9\n")  # a step that was run and not saved, as before a kill
    assert train("--out", "parts", "--resume") == 0
    assert losses("parts") == losses("whole")
    whole, parts = (weights.load(f"{name}/model.safetensors", POINTPILLARS) for name in ("whole", "parts"))
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(parts.tensors[name], tensor, err_msg=name)
    assert train("--out", "parts", "--resume") == 0  # nothing left to do
    assert losses("parts") == losses("whole")


def test_without_any_object(folder, capsys):
    world = "data.config={frames: 5, cars: 0, pedestrians: 0, cyclists: 0}"
    assert train("--out", "a", "--set", world, "--set", "valid=", "--steps", "3") == 0
    assert "not validated" in capsys.readouterr().out
    values = np.array([[float(v) for v in row] for row in losses("a")[1:]])
    assert np.isfinite(values).all() and not values[:, 6].any() and not values[:, 3:5].any()


def test_minutes_end_a_training_with_its_whole_schedule(folder, capsys, monkeypatch):
    """The rate follows the time, here half a second a step; a resumed training has the time it had, and may be given more."""
    monkeypatch.setattr(base, "time", SimpleNamespace(perf_counter=itertools.count(0, 0.5).__next__))
    sets = ["--set", "valid=", "--set", "steps=100000", "--set", "lr=0.01"]
    assert train("--out", "a", *sets, "--set", "minutes=0.1") == 0
    assert "tiny: 12 of 100000 steps in 6 s, the 0.1 minutes of this training; not validated" in capsys.readouterr().out
    rates = [float(row[5]) for row in losses("a")[1:]]
    assert rates[:4] == pytest.approx([rate("onecycle", share, 12, 0.01) for share in range(4)], rel=1e-3)
    assert rates[0] == pytest.approx(0.001) and max(rates) > 0.0095 and rates[-1] < 0.001
    more = [*sets, "--set", "minutes=0.125", "--resume"]
    assert train("--out", "a", *more) == 0 and len(losses("a")) == 16
    assert train("--out", "a", *more) == 0 and len(losses("a")) == 16, "nothing left to do"


def test_bfloat16_is_near_float32(folder):
    assert train("--out", "a", "--steps", "2", "--set", "valid=") == 0
    assert train("--out", "b", "--steps", "2", "--set", "valid=", "--set", "precision=bfloat16") == 0
    first, second = (np.array(losses(name)[1][1:6], float) for name in "ab")
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(second, first, rtol=0.03)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_cuda_is_near_the_cpu(folder, precision):
    assert train("--out", "a", "--steps", "2", "--set", "valid=") == 0
    assert train("--out", "b", "--steps", "2", "--device", "cuda", "--set", f"precision={precision}") == 0
    first, second = (np.array(losses(name)[1][1:6], float) for name in "ab")
    np.testing.assert_allclose(second, first, rtol=1e-4 if precision == "float32" else 0.03)
    assert train("--out", "b", "--resume", "--device", "cuda", "--set", f"precision={precision}") == 0


@pytest.mark.slow
def test_it_overfits_four_frames(folder):
    """A net trained on four frames finds their cars."""
    still = "augment={flip: 0, rotate_rad: 0, scale: [1, 1]}"
    worlds = [f"{key}.config={{frames: 4, seed: 4, cars: 20, rate_hz: 0.5}}" for key in ("data", "valid")]
    sets = [still, "steps=120", "epoch_steps=120", "lr=0.01", "model.cell_m=[0.32, 0.32]", "model.max_pillars=4000", *worlds]
    sets += ["model.block_channels=[16, 32]", "model.up_channels=[16, 16]"]
    anchors = "model.anchors=[{name: Car, size_m: [4.2, 1.8, 1.5], z_m: -0.98, matched: 0.5, unmatched: 0.35}]"
    sets += [anchors, "classes={Car: [Car]}", "valid.scenes=4", "ema=0.9"]
    assert train("--out", "a", *(word for text in sets for word in ("--set", text))) == 0
    with Path("a/scores.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert int(row["objects"]) > 2 and float(row["ap_2m"]) > 0.9


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--set", "stpes=3"], "--set stpes=3: stpes: unknown key; did you mean steps?"),
        (["--set", "augment.flap=1"], "--set augment.flap=1: augment.flap: unknown key; did you mean flip?"),
        (["--set", "batch=0"], "--set batch=0: batch: needs 1 or more, got 0"),
        (["--set", "data.config.sed=3"], "--set data.config.sed=3: data.config.sed: unknown key; did you mean seed?"),
        (["--set", "data.driver=kitti.objekt"], "data.driver: unknown driver kitti.objekt; did you mean kitti.object?"),
        (["--set", "data={driver: kitti.object, config: {root: nowhere}}"], "kitti.object: config.root: "),
        (["--set", "classes.Truck=[Truck]"], "classes: Truck has no anchors in model.anchors"),
        (["--set", "classes={Car: [Car], Pedestrian: []}"], "classes: needs labels for Cyclist, which the model has anchors of"),
        (["--set", "classes.Car=[Car, Cyclist]"], "classes: Cyclist is given to Car and to Cyclist"),
        (["--set", "classes.Car=[Auto]"], "classes: Car: Auto is no label of the streams"),
        (["--set", "augment.paste.counts={Van: 3}"], "augment.paste.counts: Van is no class of this training"),
        (["--set", "precision=float16"], "precision: float16 is for cuda; on a cpu: float32 or bfloat16"),
        (["--set", "train=lidar.voxelize"], "train: lidar.voxelize cannot be trained: it names no trainer"),
        (["--set", "nonsense"], "--set nonsense: needs KEY=VALUE"),
        (["--resume"], "--resume: needs --out DIR"),
        (["--resume", "--out", "new"], "--resume: needs new/checkpoint.pt, got no such file"),
    ],
)
def test_refused_before_the_start(folder, capsys, args, message):
    assert train(*args, *([] if "--out" in args or "--resume" in args else ["--out", "a"])) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and not Path("a").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_absent(folder, capsys):
    assert train("--out", "a", "--device", "cuda") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: device: needs a CUDA device, got none (torch ") and error.count("\n") == 1


def test_resume_with_another_config_is_refused(folder, capsys):
    assert train("--out", "a", "--steps", "1", "--set", "valid=") == 0
    assert train("--out", "a", "--resume", "--set", "valid=", "--set", "model.pillar_channels=16") == 2
    assert "--resume: model.pillar_channels: needs 8 as in a/checkpoint.pt, got 16" in capsys.readouterr().err
    Path("a/checkpoint.pt").write_bytes(b"not a checkpoint")
    assert train("--out", "a", "--resume", "--set", "valid=") == 2
    assert "a/checkpoint.pt: cannot read the checkpoint" in capsys.readouterr().err


def test_an_out_folder_in_use(folder, capsys):
    assert train("--out", "a", "--steps", "1", "--set", "valid=") == 0
    assert train("--out", "a", "--steps", "1", "--set", "valid=") == 2
    assert "--out a: is not empty; go on with --resume, or replace it with --overwrite" in capsys.readouterr().err
    assert train("--out", "a", "--steps", "2", "--set", "valid=", "--overwrite") == 0
    assert len(losses("a")) == 3
    Path("a/notes.txt").write_text("dear")
    assert train("--out", "a", "--steps", "1", "--set", "valid=", "--overwrite") == 0
    assert len(losses("a")) == 2 and Path("a/notes.txt").exists(), "only what a training writes goes"
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("dear")
    assert train("--out", "mine", "--overwrite") == 2
    assert "--out mine: holds no training" in capsys.readouterr().err and Path("mine/thesis.txt").exists()


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(folder):
    command = [sys.executable, "-m", "pipeline", "train", "tiny.yaml", "--out", "a", "--set", "steps=100000", "--set", "valid="]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    until = time.monotonic() + 60
    while time.monotonic() < until and not (Path("a/losses.csv").is_file() and len(losses("a")) > 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    done = len(losses("a")) - 1
    assert f"stopped after step {done} of 100000; go on with: pipe train tiny.yaml" in out
    saved = torch.load("a/checkpoint.pt", weights_only=True)
    assert saved["step"] == done


BROKEN = """from drivers.synthetic.traffic import SyntheticTraffic
from pipeline.errors import InputError


class Broken(SyntheticTraffic):
    def read(self):
        if self._next == 9:
            raise InputError("broken: frame 9: cannot be read")
        return super().read()
"""


def test_a_driver_that_fails_while_it_is_read_ahead(folder, capsys):
    (folder / "broken_driver.py").write_text(BROKEN)
    assert train("--out", "a", "--set", "data.driver=broken_driver:Broken", "--set", "valid=") == 1
    assert capsys.readouterr().err == "error: broken: frame 9: cannot be read\n"
    assert len(losses("a")) == 5  # the four batches before it were used


@pytest.mark.data
@pytest.mark.parametrize(("driver", "folder_name"), [("kitti.object", "kitti_object"), ("kitti.tracking", "kitti_tracking_0000")])
def test_kitti_layouts(folder, shared_data, capsys, driver, folder_name):
    """Nothing is written outside of the test's own folder."""
    data = f"{{driver: {driver}, config: {{root: {shared_data.resolve() / folder_name}}}"
    args = [
        "--set",
        f"data={data}}}",
        "--set",
        f"valid={data}, scenes: 6}}",
        "--set",
        "model.range_m=[0,-20.48,-3,40.96,20.48,1]",
    ]
    assert train("--out", "a", "--steps", "4", *args) == 0
    values = np.array([[float(v) for v in row] for row in losses("a")[1:]])
    assert np.isfinite(values).all() and (values[:, 6] > 0).all()
    with Path("a/scores.csv").open() as file:
        assert sum(int(row["objects"]) for row in csv.DictReader(file)) > 5


def test_a_loss_that_is_not_finite_ends_the_training(folder, capsys):
    assert train("--out", "a", "--set", "lr=1e30", "--set", "clip=1e30", "--set", "schedule=constant", "--set", "valid=") == 1
    assert "needs a finite loss, got" in capsys.readouterr().err


def test_shipped_trainings_are_read_and_need_no_data_folder():
    trainers = {
        "pointpillars_world": PointPillarsTrainer,
        "fairmot_world": FairmotTrainer,
        "tanet_world": TANetTrainer,
        "fusion_world": FusionTrainer,
        "panoptic_world": PanopticTrainer,
        "panoptic_lidar_world": PanopticTrainer,
    }
    files = sorted(training.SHIPPED.glob("*.yaml"))
    assert {file.stem for file in files} == set(trainers)
    for file in files:
        spec = training.load(file.stem)
        assert spec.trainer is trainers[file.stem]
        for data in (spec.config.data, spec.config.valid):
            assert {data.driver, data.config.get("driver")} & {"synthetic.world", "synthetic.traffic"}, file
            assert not any(isinstance(value, str) and "/" in value for value in data.config.values()), file
