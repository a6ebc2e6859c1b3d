"""`pipe train` of segment.efficientps on a few drawn clips: it learns; its files; what the second stage does not teach."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")

from operators.nets import weights  # noqa: E402
from operators.nets.efficientps_config import EFFICIENTPS  # noqa: E402
from operators.streams import VOID  # noqa: E402
from operators.train.panoptic.clips import batch  # noqa: E402
from operators.train.panoptic.targets import objects_of, semantic_of  # noqa: E402
from operators.train.panoptic.trainer import PanopticTrainer  # noqa: E402
from pipeline import training  # noqa: E402
from pipeline.__main__ import main  # noqa: E402

DRIVER = '''
import numpy as np

from operators.streams import IMAGE, PANOPTIC, Panoptic
from pipeline.frame import Reading
from pipeline.operator import Found, Source


class Clips(Source):
    """A red and a blue car that move over a road below the sky, and something without a class; three sequences of four frames."""

    outputs = {"image": IMAGE, "panoptic_truth": PANOPTIC}

    @classmethod
    def find(cls, config):
        return Found(12)

    def open(self, start=0):
        self.number = start

    def read(self):
        if self.number == 12:
            return None
        k, self.number = self.number, self.number + 1
        clip, at = divmod(k, 4)
        image = np.full((64, 96, 3), 90, np.uint8)
        panoptic = np.full((64, 96), 3, np.int32)
        image[:32], panoptic[:32] = (120, 170, 250), 5
        image[60:, :20], panoptic[60:, :20] = 0, 0
        for index, colour in enumerate(((230, 30, 30), (30, 30, 230))):
            x, y = 6 + 44 * index + 4 * at + 3 * clip, 26 + 4 * clip
            image[y : y + 20, x : x + 26], panoptic[y : y + 20, x : x + 26] = colour, 8 + index
        labels = np.array([2, 1, 0, 0], np.int32)
        truth = Panoptic(panoptic, np.array([3, 5, 8, 9], np.int32), labels, np.ones(4, np.float32), np.array([-1, -1, 70, 71]))
        facts = {"panoptic_truth": {"class_names": ["van", "sky", "road"], "things": ["van"]}}
        return Reading({"image": image, "panoptic_truth": truth}, f"{clip:04d}/{at:06d}", 10**8 * k, meta=facts)
'''
FILE = """version: 1
train: segment.efficientps
data: {driver: "drawn_clips:Clips"}
classes: {Car: [van]}
model:
  class_names: [road, sky, Car]
  things: [Car]
  image_size: [96, 64]
  width: 0.25
  depth: 0.3
  channels: 16
  semantic_channels: 8
  hidden: 32
  anchor_scale: 4
  whole_px: 56
  embedding: 4
anchors: 64
regions: 32
proposals: 40
scale: [1, 1]
flip: 0.0
brightness: 0.0
batch: 2
steps: 12
lr: 0.01
epoch_steps: 12
ema: 0.5
seed: 2
threads: 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "drawn_clips.py").write_text(DRIVER)
    (tmp_path / "tiny.yaml").write_text(FILE)
    return tmp_path


def train(*args):
    return main(["train", "tiny.yaml", "--quiet", *args])


def losses(out):
    """The rows without times."""
    with (Path(out) / "losses.csv").open() as file:
        return [row[:-1] for row in csv.reader(file)]


def trainer_of(folder, *sets, **options):
    return PanopticTrainer(training.load("tiny.yaml", list(sets)), training.TrainOptions(folder / "x", **options))


def test_the_loss_falls_and_the_files_are_there(folder, capsys):
    assert train("--out", "a", "--set", 'valid={driver: "drawn_clips:Clips"}') == 0
    assert "tiny: 12 of 12 steps in" in capsys.readouterr().out
    rows = losses("a")
    assert rows[0] == ["step", "total", "semantic", "object", "proposal", "class", "box", "mask", "track", "lr", "objects"]
    values = np.array([[float(v) for v in row] for row in rows[1:]])
    assert np.isfinite(values).all() and values[-3:, 1].mean() < 0.8 * values[:3, 1].mean()
    np.testing.assert_allclose(values[:, 1], values[:, 2:9].sum(1), rtol=1e-5)  # L_total is the plain sum
    with Path("a/scores.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert 0 <= float(row["pq"]) <= 1
    assert weights.load("a/model.safetensors", EFFICIENTPS).config.things == ("Car",)


@pytest.mark.slow
def test_eighty_steps_find_both_cars_sky_and_road(folder):
    """Net, losses, boxes, masks, fusion and score fit together: the frames that it has seen."""
    sets = ['valid={driver: "drawn_clips:Clips"}', "steps=80", "epoch_steps=80", "ema=0.9"]
    assert train("--out", "a", *[a for s in sets for a in ("--set", s)]) == 0
    with Path("a/scores.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["pq"]) > 0.7 and float(row["rq"]) > 0.8


def test_a_stopped_training_goes_on_as_if_it_had_not(folder):
    assert train("--out", "a", "--set", "steps=4") == 0
    assert train("--out", "b", "--set", "steps=4", "--steps", "2") == 0
    assert train("--out", "b", "--set", "steps=4", "--resume") == 0
    assert losses("a") == losses("b")


def test_losses_of_the_second_stage_teach_the_rpn_nothing(folder):
    trainer = trainer_of(folder)
    trainer.net.train()
    drawn = batch(trainer.clips, trainer.config, 0)
    objects = [objects_of(s, c, i, (2,), 8) for s, c, i in zip(drawn.segments, drawn.classes, drawn.identities, strict=True)]
    total, _semantic, *parts = trainer._losses(drawn, objects)
    sum(parts[2:]).backward(retain_graph=True)
    assert all(p.grad is None or not p.grad.any() for p in trainer.net.rpn.parameters())
    for net in (trainer.net.backbone, trainer.net.boxes, trainer.net.masks, trainer.net.looks):
        assert any(p.grad is not None and p.grad.any() for p in net.parameters())
    total.backward()
    assert all(p.grad is not None for p in trainer.net.rpn.parameters())


def test_frames_of_a_clip_follow_each_other_in_one_sequence(folder):
    clips = trainer_of(folder).clips
    assert clips.starts == [0, 1, 4, 5, 8, 9] and len(clips.frames) == 12
    frame = clips.frames[5]
    assert frame.classes.tolist() == [VOID, 0, 1, 2, 2] and frame.identities.tolist() == [-1, -1, -1, 70, 71]
    truth = semantic_of(frame.segments, frame.classes).numpy()
    assert truth[0, 0] == 1 and truth[50, 95] == 0 and truth[63, 0] == VOID
    assert len(objects_of(frame.segments, frame.classes, frame.identities, (2,), 8).boxes) == 2


def test_classes_without_a_name_in_the_model_are_void(folder):
    frame = trainer_of(folder, "classes={}").clips.frames[0]
    assert frame.classes.tolist() == [VOID, 0, 1, VOID, VOID]


def test_a_clip_is_moved_as_a_whole(folder):
    trainer = trainer_of(folder, "scale=[0.5, 2.0]", "flip=0.5", "brightness=0.3")
    for number in range(4):
        drawn = batch(trainer.clips, trainer.config, number)
        again = batch(trainer.clips, trainer.config, number)
        assert all(np.array_equal(a, b) for a, b in zip(drawn.images, again.images, strict=True))
        assert drawn.images.shape == (6, 64, 96, 3) and drawn.segments.shape == (6, 64, 96)
        for start in (0, 3):  # the sky and the road do not move within a clip, and colours follow the segments
            images, segments = drawn.images[start : start + 3], drawn.segments[start : start + 3]
            still = (segments == 2).all(0)
            assert still.any() and np.ptp(np.median(images[:, still], axis=1), axis=0).max() <= 1
            red = segments[0] == 3
            if red.sum() > 50:
                colour = np.median(images[0][red], axis=0)
                assert colour[0] > 2 * colour[2]


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["anchor_negative=0.8"], "anchor_negative: needs at most anchor_positive"),
        (["classes={Bus: [bus]}"], "classes: needs names of model.class_names, got Bus"),
        (["scale=[2.0, 1.0]"], "scale: needs 0.1 <= least <= largest <= 10"),
        (["batch=1", "clip_frames=1"], "batch: needs two or more pictures a step"),
        (["clip_frames=5"], "needs sequences of 5 frames with image and panoptic_truth, got 12 frames and no such sequence"),
        (["model.image_size=[100, 64]"], "image_size: needs multiples of 32"),
        (["model.things=[Bus]"], "things: needs names of class_names"),
    ],
)
def test_wrong_files(folder, capsys, sets, message):
    assert train("--out", "a", *[a for s in sets for a in ("--set", s)]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) <= 2


def test_the_shipped_training_makes_a_small_file(tmp_path):
    from operators.nets.efficientps import EfficientPS

    path = Path(__file__).parents[4] / "graphs" / "train" / "panoptic_world.yaml"
    assert yaml.safe_load(path.read_text())["minutes"] <= 90
    model = training.load("panoptic_world").config.model
    weights.save(tmp_path / "net.safetensors", EFFICIENTPS, model, EfficientPS(model).state_dict())
    assert (tmp_path / "net.safetensors").stat().st_size <= 12e6
