"""`pipe train` of TANet: losses of both stages, a student and its teacher, resume, wrong files."""

import csv
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from operators.nets import weights  # noqa: E402
from operators.nets.tanet_config import TANET  # noqa: E402
from operators.train.pointpillars.trainer import BatchTargets, Inputs  # noqa: E402
from operators.train.tanet.trainer import TANetTrainer  # noqa: E402
from pipeline import training  # noqa: E402
from pipeline.__main__ import main  # noqa: E402

TINY = """
version: 1
train: tiny_op:Op
data: {driver: synthetic.traffic, config: {frames: 50, seed: 3, rate_hz: 2}}
valid: {driver: synthetic.traffic, config: {frames: 2, seed: 4}, scenes: 2}
classes: {Car: [Car, Van]}
model:
  cell_m: [0.64, 0.64]
  range_m: [0, -10.24, -3, 20.48, 10.24, 1]
  max_points: 8
  max_pillars: 1000
  pillar_channels: 8
  block_layers: [1, 1, 1]
  block_channels: [8, 8, 8]
  up_channels: [8, 8, 8]
  reduced_channels: 4
  anchors: [{name: Car, size_m: [4.2, 1.8, 1.5], z_m: -0.98, matched: 0.5, unmatched: 0.35}]
augment: {paste: {counts: {Car: 4}, scenes: 4}, noise: {move_m: [0.2, 0.2, 0.1], turn_rad: 0.1}}
steps: 4
epoch_steps: 2
batch: 2
seed: 5
threads: 1
"""
STEPS = ("--steps", "2", "--set", "valid=")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "from pipeline.operator import Operator\n\n\nclass Op(Operator):\n"
    (tmp_path / "tiny_op.py").write_text(source + '    trainer = "operators.train.tanet.trainer:TANetTrainer"\n')
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


def train(*args: str) -> int:
    return main(["train", "tiny.yaml", "--quiet", *args])


def losses(out: str) -> np.ndarray:
    """(steps, 8): step, total, cls, box, direction, refine, soft, lr"""
    with (Path(out) / "losses.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0][:8] == ["step", "loss", "cls", "box", "direction", "refine", "soft", "lr"]
    return np.array([[float(v) for v in row[:8]] for row in rows[1:]])


def test_both_stages_learn(folder, capsys):
    assert train("--out", "a") == 0
    values = losses("a")
    assert len(values) == 4 and np.isfinite(values).all()
    assert (values[:, 5] > 0).all() and not values[:, 6].any()
    np.testing.assert_allclose(values[:, 1], values[:, 2:6].sum(1), rtol=1e-5)
    model = weights.load("a/model.safetensors", TANET)
    assert model.facts["steps"] == "4" and model.config.class_names == ("Car",)
    assert "AP at 2 m Car" in capsys.readouterr().out and Path("a/epoch-0002.png").is_file()


def test_stopped_and_resumed_is_the_same(folder):
    assert train("--out", "whole") == 0
    assert train("--out", "parts", "--steps", "1") == 0
    assert train("--out", "parts", "--resume") == 0
    np.testing.assert_array_equal(losses("parts"), losses("whole"))


@pytest.mark.parametrize("changes", ["cnn=crop1", "cnn=full-mobile1", "pillar_net=gcn"])
def test_without_any_object(folder, changes):
    world = "data.config={frames: 5, cars: 0, pedestrians: 0, cyclists: 0}"
    assert train("--out", "a", *STEPS, "--set", world, "--set", f"model.{changes}") == 0
    values = losses("a")
    assert np.isfinite(values).all() and not values[:, 3:5].any()
    assert bool(values[:, 5].any()) == ("full" not in changes), "a student of one stage has no second loss"


def test_refine_weight(folder):
    for weight in (1, 3):
        assert train("--out", f"{weight}", "--steps", "1", "--set", "valid=", "--set", f"refine_weight={weight}") == 0
    np.testing.assert_allclose(losses("3")[0, 5], 3 * losses("1")[0, 5], rtol=1e-5)


def test_a_student_learns_from_its_teacher_and_starts_with_its_pillar_net(folder):
    assert train("--out", "t", *STEPS) == 0
    taught = ["distill={teacher: t/model.safetensors, soft: 0.7, hard: 0.3}"]
    taught += ["start_from={weights: t/model.safetensors, only: [pillar_net.]}", "model.cnn=crop1+filter1"]
    assert train("--out", "s", *STEPS, *(word for text in taught for word in ("--set", text))) == 0
    values = losses("s")
    assert (values[:, 6] > 0).all()
    np.testing.assert_allclose(values[:, 1], 0.3 * values[:, 2:6].sum(1) + 0.7 * values[:, 6], rtol=1e-5)
    assert train("--out", "s", "--resume", "--set", "valid=", *(word for text in taught for word in ("--set", text))) == 0
    assert len(losses("s")) == 4


def trainer_of(*sets: str) -> TANetTrainer:
    spec = training.load("tiny.yaml", sets)
    return TANetTrainer(spec, training.TrainOptions(Path("made"), quiet=True))


def batch_of(trainer: TANetTrainer) -> tuple[Inputs, BatchTargets]:
    tensors = [torch.from_numpy(array) for array in next(trainer._batches.stream(0))[:8]]
    return Inputs(*tensors[:4], 2), BatchTargets(*tensors[4:])


@pytest.mark.parametrize("cnn", ["tanet", "full-mobile1"])
def test_an_equal_student_with_soft_1_and_hard_0_has_loss_0(folder, cnn):
    """Same architecture, same weights, the same mode of batch norm."""
    assert train("--out", "t", *STEPS, "--set", f"model.cnn={cnn}") == 0
    sets = ["distill={teacher: t/model.safetensors, soft: 1, hard: 0, temperature: 3}", "valid=", f"model.cnn={cnn}"]
    trainer = trainer_of(*sets, "start_from={weights: t/model.safetensors}")
    trainer.net.eval()
    losses = trainer._losses(*batch_of(trainer))
    assert losses[0].item() == 0 and losses[1] > 0
    other = trainer_of(*sets)
    other.net.eval()
    assert other._losses(*batch_of(other))[0] > 0


def test_bfloat16_is_near_float32(folder):
    assert train("--out", "a", *STEPS) == 0
    assert train("--out", "b", *STEPS, "--set", "precision=bfloat16") == 0
    first, second = (losses(name)[0, 1:6] for name in "ab")
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(second, first, rtol=0.05)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_cuda_is_near_the_cpu(folder, precision):
    assert train("--out", "t", *STEPS) == 0
    taught = ["--set", "distill={teacher: t/model.safetensors}", "--set", "model.cnn=crop1"]
    assert train("--out", "a", *STEPS, *taught) == 0
    assert train("--out", "b", *STEPS, *taught, "--device", "cuda", "--set", f"precision={precision}") == 0
    np.testing.assert_allclose(losses("b")[0, 1:7], losses("a")[0, 1:7], rtol=1e-3 if precision == "float32" else 0.05)
    assert train("--out", "b", "--resume", "--set", "valid=", *taught, "--device", "cuda", "--set", f"precision={precision}") == 0


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["refine_weight=-1"], "refine_weight: needs 0 or more, got -1"),
        (["distill={teacher: t.safetensors, soft: 0, hard: 0}"], "soft, hard: needs one of them above 0, got 0 and 0"),
        (["distill={teacher: t.safetensors, hard: -1}"], "hard: needs 0 or more, got -1"),
        (["distill={teacher: t.safetensors, temperature: 0}"], "temperature: needs more than 0, got 0"),
        (["distill={teacher: none.safetensors}"], "distill.teacher: needs the path of a .safetensors file, got none.safetensors"),
        (["start_from={weights: none.safetensors}"], "start_from.weights: needs the path of a .safetensors file, got none"),
        (["model.cnn=small"], "model.cnn: needs "),
        (["augment.noise.move_m=[0, 0, -1]"], "move_m, turn_rad: needs 0 or more"),
    ],
)
def test_refused_before_the_start(folder, capsys, sets, message):
    assert train("--out", "a", *(word for text in sets for word in ("--set", text))) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and not Path("a").exists()


def test_a_teacher_that_does_not_fit(folder, capsys):
    assert train("--out", "t", *STEPS, "--set", "model.cnn=coarse") == 0
    teacher = ["--set", "distill={teacher: t/model.safetensors}"]
    assert train("--out", "a", *teacher, "--set", "model.range_m=[0, -10.24, -3, 10.24, 10.24, 1]") == 2
    assert "distill.teacher: t/model.safetensors: needs range_m (0.0, -10.24" in capsys.readouterr().err
    assert train("--out", "a", *teacher) == 2
    assert "distill.teacher: t/model.safetensors: needs a refine stage as the student, got none" in capsys.readouterr().err


@pytest.mark.data
def test_kitti_layout(folder, shared_data):
    """Nothing is written outside of the test's own folder."""
    data = f"data={{driver: kitti.object, config: {{root: {shared_data.resolve() / 'kitti_object'}}}}}"
    assert train("--out", "a", *STEPS, "--set", data, "--set", "model.range_m=[0,-20.48,-3,40.96,20.48,1]") == 0
    assert np.isfinite(losses("a")).all() and (losses("a")[:, 3] > 0).all()
