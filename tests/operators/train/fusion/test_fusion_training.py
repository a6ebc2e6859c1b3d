"""`pipe train` of fuse.gate on a few drawn pairs: it learns; its files; one modality; refusals; ResNet-50 for some steps."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")

from operators.fuse.gate import FuseGate  # noqa: E402
from operators.nets import weights  # noqa: E402
from operators.nets.fusion_config import FUSION, REPORT, FusionNetConfig  # noqa: E402
from operators.nets.fusion_net import FusionNet  # noqa: E402
from operators.streams import Boxes2D  # noqa: E402
from operators.train.fusion.config import KINDS, CorruptConfig, FusionTrainConfig, PairsConfig  # noqa: E402
from operators.train.fusion.losses import set_losses, total_of, wanted_of  # noqa: E402
from operators.train.fusion.pairs import Pair, batch, damaged  # noqa: E402
from operators.train.fusion.trainer import FusionTrainer  # noqa: E402
from operators.train.fusion.validate import ap50  # noqa: E402
from pipeline import training  # noqa: E402
from pipeline.__main__ import main  # noqa: E402
from pipeline.errors import GraphError, InputError  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

DRIVER = '''
import numpy as np

from operators.streams import GREY, IMAGE, TRUTH, Truth
from pipeline.frame import Reading
from pipeline.operator import Found, Source


class Pairs(Source):
    """A bright car on grey; every other one is seen by one camera alone."""

    outputs = {"image": IMAGE, "thermal": GREY, "truth": TRUTH}

    @classmethod
    def find(cls, config):
        return Found(8)

    def open(self, start=0):
        self.number = start

    def read(self):
        if self.number == 8:
            return None
        k, self.number = self.number, self.number + 1
        image, thermal = np.full((64, 96, 3), 100, np.uint8), np.full((64, 96), 100, np.uint8)
        x, y = 8 + 7 * k, 10 + 3 * (k % 4)
        if k % 4 != 1:
            image[y : y + 24, x : x + 30] = 230
        if k % 4 != 3:
            thermal[y : y + 24, x : x + 30] = 230
        boxes = np.array([[x, y, x + 29, y + 23]], np.float32)
        one = np.zeros(1, np.int32)
        truth = Truth(np.full((1, 7), np.nan, np.float32), boxes, one, one.astype(np.int64), one, one.astype(np.float32))
        return Reading({"image": image, "thermal": thermal, "truth": truth}, f"pairs/{k:06d}", 10**8 * k)
'''
FILE = """version: 1
train: fuse.gate
data: {driver: "drawn:Pairs"}
valid: {driver: "drawn:Pairs"}
classes: {Car: [Car]}
model:
  class_names: [Car]
  image_size: [96, 64]
  stage_channels: [8, 8, 16, 16, 16]
  map_channels: 16
  queries: 6
  hidden: 32
  feedforward: 32
  decoder_layers: 2
  key_pool: 2
flip: 0.0
brightness: 0.0
batch: 4
steps: 28
lr: 0.005
epoch_steps: 28
ema: 0.8
seed: 2
threads: 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "drawn.py").write_text(DRIVER)
    (tmp_path / "tiny.yaml").write_text(FILE)
    return tmp_path


def train(*args):
    return main(["train", "tiny.yaml", "--quiet", *args])


def losses(out):
    """The rows without times."""
    with (Path(out) / "losses.csv").open() as file:
        return [row[:-1] for row in csv.reader(file)]


def trainer_of(folder, *sets, **options):
    return FusionTrainer(training.load("tiny.yaml", list(sets)), training.TrainOptions(folder / "x", **options))


def test_the_loss_falls_and_the_files_are_there(folder, capsys):
    assert train("--out", "a") == 0
    assert "tiny: 28 of 28 steps in" in capsys.readouterr().out
    rows = losses("a")
    assert rows[0] == ["step", "total", "class", "box", "giou", "alone", "cells", "gate", "lr", "objects"] and len(rows) == 29
    values = np.array([[float(v) for v in row] for row in rows[1:]])
    assert np.isfinite(values).all() and values[-5:, 1].mean() < 0.7 * values[:5, 1].mean()
    with Path("a/scores.csv").open() as file:
        assert [row["modalities"] for row in csv.DictReader(file)] == ["image+thermal", "image", "thermal"]
    assert weights.load("a/model.safetensors", FUSION).config.scheme == "scalar_concat"


@pytest.mark.parametrize("scheme", ["scalar_average", "mask_average", "mask_concat", "selective"])
def test_every_scheme_trains(folder, scheme):
    assert train("--out", "a", "--steps", "2", "--set", f"model.scheme={scheme}", "--set", "drop=0.5") == 0
    assert np.isfinite([[float(v) for v in row] for row in losses("a")[1:]]).all()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_weights_follow_the_quality_of_the_pictures(folder):
    """Trained with RSH and black pictures: a black one gets less weight than the other, and less than a clean one."""
    sets = ["shadows_highlights={p: 0.5}", "corrupt={p: 0.8, kinds: [blackout]}", "gate_weight=5", "model.map_channels=64"]
    sets += ["steps=150", "valid="]
    assert train("--out", "a", *(w for text in sets for w in ("--set", text))) == 0
    made = trainer_of(folder)
    clean = [dict(zip(("image", "thermal"), pair.pictures, strict=True)) for pair in made.pairs]
    black = {m: [{**pair, m: np.zeros_like(pair[m])} for pair in clean] for m in ("image", "thermal")}
    weight = {name: mean_weights(sets) for name, sets in {"clean": clean, **black}.items()}
    for name in ("image", "thermal"):
        assert weight[name][name] < min(weight["clean"][name] - 0.05, 0.45), weight


def mean_weights(sets):
    """Of the trained net, as the node gives them."""
    found = [out["weights"] for out in run_operator(FuseGate, sets, {"weights": "a/model.safetensors"})]
    return dict(zip(("image", "thermal"), np.mean(found, 0).tolist(), strict=True))


def test_one_modality_and_the_dense_decoder(folder):
    assert train("--out", "a", "--steps", "2", "--set", "model.modalities=[thermal]", "--set", "model.decoder=dense") == 0
    rows = losses("a")
    named = dict(zip(rows[0], rows[1], strict=True))
    assert named["alone"] == named["gate"] == named["cells"] == "0"
    assert weights.load("a/model.safetensors", FUSION).config.modalities == ("thermal",)


def test_the_same_losses_again_stopped_and_resumed_or_not(folder):
    scheme = ("--set", "model.scheme=selective")  # with noise
    assert train("--out", "a", "--steps", "4", *scheme) == train("--out", "b", "--steps", "2", *scheme) == 0
    assert train("--out", "b", "--steps", "4", "--resume", *scheme) == 0
    assert losses("a") == losses("b")
    with pytest.raises(GraphError, match=r"^--resume: lr: needs 0.005 as in .*checkpoint.pt, got 0.02$"):
        FusionTrainer(training.load("tiny.yaml", ["lr=0.02", scheme[1]]), training.TrainOptions(Path("a"), resume=True))


def test_batches_follow_from_the_number(folder):
    sets = ("corrupt={}", "shadows_highlights={p: 1.0}", "drop=0.5", "flip=0.5")
    made = trainer_of(folder, *sets)
    one, again, other = (batch(made.pairs, made.config, number) for number in (3, 3, 4))
    for a, b in zip(one.pictures, again.pictures, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one.pictures, other.pictures, strict=True))
    assert one.present.any(1).all(), "one modality at least is there"


@pytest.mark.parametrize("kind", KINDS)
def test_each_corruption_changes_a_picture(kind):
    rng = np.random.default_rng(0)
    for shape in ((20, 30), (20, 30, 3)):
        picture = rng.integers(60, 200, shape, dtype=np.uint8)
        got = damaged(picture, CorruptConfig(kinds=(kind,)), np.random.default_rng(1))
        assert got.shape == shape and got.dtype == np.uint8 and (got != picture).any()


def test_ap50_counts_by_hand():
    pair = Pair((), np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 60, 20]], float), np.array([0, 0, -1]))
    boxes = np.array([[0, 0, 10, 10], [45, 5, 50, 10], [70, 0, 80, 10], [20, 0, 30, 10]], np.float32)
    found = Boxes2D(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.zeros(4, np.int32))
    assert ap50([pair], lambda _: found, 1) == pytest.approx(0.5 + 0.5 * 2 / 3), "the one in ignored truth does not count"
    assert np.isnan(ap50([], lambda _: found, 1))


def test_refusals(folder):
    with pytest.raises(GraphError, match=r"^drawn:Pairs: needs the ports image, depth and truth to train on, has image, thermal"):
        trainer_of(folder, "model.modalities=[image, depth]")
    with pytest.raises(InputError, match=r"needs pairs with objects of Car to learn from, got none in 8 pairs$"):
        trainer_of(folder, "data.min_height_px=60")
    with pytest.raises(ValueError, match=r"^drop: needs a net of two modalities, got thermal$"):
        FusionTrainConfig(1, "fuse.gate", PairsConfig("x"), 1, model=FusionNetConfig(modalities=("thermal",)), drop=0.1)
    with pytest.raises(ValueError, match=r"^kinds: fog is no corruption"):
        CorruptConfig(kinds=("fog",))


def test_the_shipped_file_is_read():
    path = Path(__file__).parents[4] / "graphs" / "train" / "fusion_world.yaml"
    spec = training.load(str(path), [])
    assert spec.config.minutes == 90 and spec.config.model.modalities == ("image", "thermal")
    assert yaml.safe_load(path.read_text())["train"] == "fuse.gate"


def steps_of_resnet50(count, size):
    """Losses of the report's net, cut to one encoder and two decoder layers, on two pairs."""
    torch.manual_seed(0)
    config = replace(REPORT, class_names=("Car",), image_size=size, encoder_layers=1, decoder_layers=2, queries=8)
    net = FusionNet(config).train()
    rng, (width, height) = np.random.default_rng(0), size
    image = torch.from_numpy(rng.integers(0, 60, (2, height, width, 3), dtype=np.uint8))
    thermal = torch.from_numpy(rng.integers(0, 60, (2, height, width), dtype=np.uint8))
    boxes = np.array([[[8, 8, 40, 40]], [[20, 16, 60, 50]]], float) * width / 64
    for b, ((x1, y1, x2, y2),) in enumerate(boxes.astype(int)):
        image[b, y1:y2, x1:x2], thermal[b, y1:y2, x1:x2] = 220, 220
    wanted = [wanted_of(one, np.zeros(1, np.int64), size, torch.device("cpu")) for one in boxes]
    optimizer, values = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True), []
    for _ in range(count):
        found, _ = net([image, thermal])
        loss = total_of(set_losses(found.logits, found.boxes, wanted)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        values.append(loss.item())
    return np.array(values)


def test_resnet50_takes_a_step():
    values = steps_of_resnet50(2, (64, 64))
    assert np.isfinite(values).all() and values[1] != values[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_resnet50_learns_for_a_hundred_steps():
    values = steps_of_resnet50(100, (32, 32))
    assert np.isfinite(values).all() and values[-10:].mean() < 0.5 * values[:10].mean()
