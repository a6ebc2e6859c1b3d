"""`pipe train` of detect.fairmot on a small drawn clip: it learns the clip; its files; the net as a node; refusals."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.detect.fairmot import Fairmot, FairmotConfig  # noqa: E402
from operators.nets import weights  # noqa: E402
from operators.nets.fairmot_config import FAIRMOT  # noqa: E402
from operators.streams import BOXES2D, EMBEDDINGS  # noqa: E402
from operators.train.fairmot.trainer import FairmotTrainer  # noqa: E402
from operators.train.fairmot.validate import average_precision, judge  # noqa: E402
from pipeline import training  # noqa: E402
from pipeline.__main__ import main  # noqa: E402
from pipeline.errors import GraphError, InputError  # noqa: E402

DRIVER = '''
import numpy as np

from operators.streams import IMAGE, TRUTH, Truth
from pipeline.frame import Reading
from pipeline.operator import Found, Source

COLOURS = ((220, 40, 40), (40, 60, 220))


class Film(Source):
    """Two walk past each other, one red, one blue."""

    outputs = {"image": IMAGE, "truth": TRUTH}

    @classmethod
    def find(cls, config):
        return Found(16)

    def open(self, start=0):
        self.number = start

    def read(self):
        if self.number == 16:
            return None
        k, self.number = self.number, self.number + 1
        image = np.full((32, 96, 3), 120, np.uint8)
        boxes = np.array([[4 + 4 * k, 4, 16 + 4 * k, 26], [78 - 4 * k, 6, 90 - 4 * k, 28]], np.float32)
        for (x1, y1, x2, y2), colour in zip(boxes.astype(int), COLOURS):
            image[y1:y2, x1:x2] = colour
        boxes3d = np.array([[9, 0, 0, 1, 1, 2, 0], [5, 0, 0, 1, 1, 2, 0]], np.float32)
        labels, ids = np.ones(2, np.int32), np.array([10, 11])
        truth = Truth(boxes3d, boxes, labels, ids, np.zeros(2, np.int32), np.zeros(2, np.float32))
        return Reading({"image": image, "truth": truth}, f"film/{k:06d}", 10**8 * k)
'''
FILE = """version: 1
train: detect.fairmot
data: {driver: "film:Film"}
valid: {driver: "film:Film"}
model: {image_size: [96, 32], stage_channels: [16, 32], feature_channels: 16, head_channels: 16, embedding: 8}
flip: 0.0
brightness: 0.0
batch: 8
steps: 60
lr: 0.01
epoch_steps: 60
ema: 0.9
seed: 2
threads: 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "film.py").write_text(DRIVER)
    (tmp_path / "tiny.yaml").write_text(FILE)
    return tmp_path


def train(*args):
    return main(["train", "tiny.yaml", "--quiet", *args])


def losses(out):
    """The rows without times."""
    with (Path(out) / "losses.csv").open() as file:
        return [row[:-1] for row in csv.reader(file)]


def test_a_clip_is_learned_and_then_tracked(folder, make, capsys):
    """The loss falls, both people are found in every frame and keep their identity where they pass; then as a node."""
    assert train("--out", "a") == 0
    assert "tiny: 60 of 60 steps in" in capsys.readouterr().out
    rows = losses("a")
    assert rows[0] == ["step", "total", "heat", "size", "offset", "identity", "lr", "objects"] and len(rows) == 61
    values = np.array([[float(v) for v in row] for row in rows[1:]])
    assert np.isfinite(values).all()
    for part in (2, 3, 5):
        assert values[-5:, part].mean() < 0.35 * values[:5, part].mean(), rows[0][part]
    with Path("a/scores.csv").open() as file:
        (score,) = csv.DictReader(file)
    assert float(score["ap50"]) > 0.9 and float(score["idf1"]) > 0.9, score
    assert weights.load("a/model.safetensors", FAIRMOT).config.embedding == 8

    node = make(Fairmot, name="detect", weights="a/model.safetensors", min_score=0.3)
    (frame,) = [f for k, f in enumerate(trainer_of(folder).clips.frames) if k == 2]
    image = frame.image.copy()
    image.flags.writeable = False
    got = node.process(image=image)
    BOXES2D.check(got["boxes2d"]._asdict(), "detect.boxes2d")
    EMBEDDINGS.check({"embeddings": got["embeddings"]}, "detect.embeddings")
    boxes = got["boxes2d"].boxes2d[np.argsort(got["boxes2d"].boxes2d[:, 0])]
    np.testing.assert_allclose(boxes, frame.boxes, atol=3)
    looks = got["embeddings"]
    np.testing.assert_allclose(np.linalg.norm(looks, axis=1), 1, atol=1e-5)
    assert looks[0] @ looks[1] < 0.8

    twice = node.process(image=np.repeat(np.repeat(image, 2, 0), 2, 1))
    np.testing.assert_allclose(twice["boxes2d"].boxes2d, 2 * got["boxes2d"].boxes2d, atol=2)
    assert Fairmot.slot_bytes(node.config) == {"embeddings": 4 * 128 * 8}


def trainer_of(folder, **options):
    return FairmotTrainer(training.load("tiny.yaml"), training.TrainOptions(folder / "x", **options))


def test_the_same_losses_again_stopped_and_resumed_or_not(folder):
    assert train("--out", "a", "--steps", "6") == train("--out", "b", "--steps", "3") == 0
    assert len(losses("b")) == 4
    assert train("--out", "b", "--steps", "6", "--resume") == 0
    assert losses("a") == losses("b")
    with pytest.raises(GraphError, match=r"^--resume: lr: needs 0.01 as in .*checkpoint.pt, got 0.02$"):
        FairmotTrainer(training.load("tiny.yaml", ["lr=0.02"]), training.TrainOptions(Path("a"), resume=True))


def test_validation_counts_by_hand(folder):
    """A perfect net, one that finds one of two people, one that finds nobody."""
    from operators.detect.peaks import Peaks

    frames = trainer_of(folder).clips.frames

    def sees(count):
        def detect(image):
            (boxes,) = [f.boxes for f in frames if f.image is image]
            looks = torch.eye(2)[:count]
            return Peaks(torch.tensor(boxes[:count]), torch.full((count,), 0.9), torch.zeros(count, dtype=torch.int64), looks)

        return detect

    hidden = sum(int((f.classes == -1).sum()) for f in frames)
    right = judge(frames, sees(2))
    assert (right.ap50, right.switches, right.objects) == (1.0, 0, 32 - hidden)
    assert right.mota == right.idf1 == 1.0
    half = judge(frames, sees(1))
    assert half.mota == pytest.approx((16 - hidden) / (32 - hidden))
    nothing = judge(frames, sees(0))
    assert (nothing.ap50, nothing.mota, nothing.idf1) == (0.0, 0.0, 0.0)


def test_average_precision_by_hand():
    assert np.isnan(average_precision(np.zeros(0), np.zeros(0, bool), 0))
    assert average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2) == pytest.approx(0.5 + 0.5 * 2 / 3)


# ---- weights


def test_without_weights_the_message_says_how_to_train_some():
    message = (
        "weights: needs the path of a .safetensors file, got nothing; none is shipped: train one with "
        "pipe train fairmot_world --out out/fairmot"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        FairmotConfig()


def test_wrong_weights(tmp_path, make):
    from safetensors.numpy import save_file

    from operators.nets import fairmot as net
    from operators.nets.fairmot_config import FairmotNetConfig

    path = tmp_path / "w.safetensors"
    with pytest.raises(ValueError, match=r"^weights: needs the path of a .safetensors file, got .*w.safetensors, which is not"):
        FairmotConfig(weights=str(path))
    path.write_bytes(b"none")
    with pytest.raises(ValueError, match=r"^weights: .*w.safetensors: needs a whole .safetensors file, got: "):
        FairmotConfig(weights=str(path))
    save_file({"a": np.zeros(1, np.float32)}, path, {"model": json.dumps({"architecture": "pointpillars"})})
    with pytest.raises(ValueError, match=r"w.safetensors: needs weights of the architecture fairmot, got pointpillars$"):
        FairmotConfig(weights=str(path))
    config = FairmotNetConfig(image_size=(16, 16), stage_channels=(4,), feature_channels=4, head_channels=4, embedding=4)
    tensors = {name: tensor.numpy() for name, tensor in net.Fairmot(config).state_dict().items()}
    weights.save(path, FAIRMOT, config, {n: a for n, a in tensors.items() if n != "stem.0.weight"}, {})
    with pytest.raises(InputError, match=r"w.safetensors: weights of another net than its config says: .*stem.0.weight"):
        make(Fairmot, weights=str(path))
    tensors["stem.0.weight"] = np.full_like(tensors["stem.0.weight"], np.nan)
    with pytest.raises(InputError, match=r"w.safetensors: stem.0.weight: needs finite weights, got some that are not$"):
        weights.save(path, FAIRMOT, config, tensors, {})
