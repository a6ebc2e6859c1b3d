import numpy as np
import pytest

pytest.importorskip("torch")

from operators.detect.scaled import scale_of, scaled
from operators.nets.fairmot_config import FairmotNetConfig
from operators.streams import IMAGE, TRUTH, Truth
from operators.train.config import PicturesConfig
from operators.train.fairmot.clips import Clips, batch, flipped, visible_share
from operators.train.fairmot.config import FairmotTrainConfig
from operators.train.fairmot.targets import IGNORED
from pipeline.errors import GraphError, InputError
from pipeline.frame import Reading
from pipeline.operator import Found, NoConfig, Source

MODEL = FairmotNetConfig(image_size=(64, 32), stage_channels=(4, 4), feature_channels=4, head_channels=4, embedding=4)
WALKS = [  # item, (label, track id, x1 y1 x2 y2, metres away, occluded, truncated)
    ("a/0", [(1, 5, (0, 0, 20, 40), 9.0, 0, 0.0), (0, 6, (40, 0, 60, 20), 20.0, 0, 0.0)]),
    ("a/1", [(1, 5, (10, 0, 30, 40), 9.0, 2, 0.0), (1, 7, (60, 0, 80, 40), 9.0, 0, 0.0), (-1, -1, (90, 0, 99, 9), np.nan, 0, 0)]),
    ("b/0", [(1, 5, (0, 0, 20, 40), 9.0, 0, 0.0), (1, 8, (2, 0, 22, 40), 19.0, 0, 0.0)]),
    ("b/1", []),
]  # fmt: skip


class Walks(Source):
    outputs = {"image": IMAGE, "truth": TRUTH}

    @classmethod
    def find(cls, config):
        return Found(len(WALKS))

    def open(self, start=0):
        self.number = start

    def read(self):
        if self.number == len(WALKS):
            return None
        item, objects = WALKS[self.number]
        self.number += 1
        image = np.full((64, 128, 3), 40 * self.number, np.uint8)
        columns = list(zip(*objects, strict=True)) or [[]] * 6
        boxes3d = np.array([[away, 0, 0, 1, 1, 2, 0] for away in columns[3]], np.float32).reshape(-1, 7)
        boxes2d, labels = np.array(columns[2], np.float32).reshape(-1, 4), np.array(columns[0], np.int32)
        rest = np.array(columns[1], np.int64), np.array(columns[4], np.int32), np.array(columns[5], np.float32)
        return Reading({"image": image, "truth": Truth(boxes3d, boxes2d, labels, *rest)}, item, self.number)


class Blind(Walks):
    outputs = {"image": IMAGE}


class Endless(Walks):
    @classmethod
    def find(cls, config):
        return Found(None)


class Empty(Walks):
    def read(self):
        return None


def config(**changed):
    return FairmotTrainConfig(1, "detect.fairmot", PicturesConfig("walks", min_height_px=12.0), steps=1, model=MODEL, **changed)


@pytest.fixture
def clips():
    return Clips(Walks, NoConfig(), config().data, config())


def test_frames_at_the_nets_size(clips):
    assert [f.sequence for f in clips.frames] == ["a", "a", "b", "b"]
    assert all(f.image.shape == (32, 64, 3) for f in clips.frames)
    assert clips.frames[0].boxes.tolist() == [[0, 0, 10, 20], [20, 0, 30, 10]]
    assert clips.frames[3].boxes.shape == (0, 4)


def test_which_objects_are_ignored(clips):
    """Ignored: cars, occluded people, DontCare, people behind others."""
    assert [f.classes.tolist() for f in clips.frames] == [[0, IGNORED], [IGNORED, 0, IGNORED], [0, IGNORED], []]


def test_an_identity_is_an_object_of_a_sequence(clips):
    assert [f.identities.tolist() for f in clips.frames] == [[0, -1], [-1, 1, -1], [2, -1], []]
    assert clips.num_identities == 3


def test_batches_follow_from_seed_and_number(clips):
    first, again, other = batch(clips, config(), 3), batch(clips, config(), 3), batch(clips, config(seed=1), 3)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert first.images.shape == (4, 32, 64, 3)
    assert first.heat.shape == (4, 1, 8, 16) and first.counts.shape == (4, 8, 16)
    assert len(first.where) == len(first.size) == len(first.offset) == len(first.identities)
    assert any(a.shape != b.shape or (a != b).any() for a, b in zip(first, other, strict=True))


def test_flipped_twice_is_the_same():
    image, boxes = np.arange(24, dtype=np.uint8).reshape(2, 4, 3), np.array([[0.0, 0, 1, 1]])
    there, moved = flipped(image, boxes)
    assert moved.tolist() == [[2, 0, 3, 1]]
    back, same = flipped(there, moved)
    assert (back == image).all() and (same == boxes).all()


def test_visible_share():
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [100, 0, 110, 10]])
    assert visible_share(boxes, np.array([-9.0, -5.0, -1.0])).tolist() == [0.5, 1, 1]
    assert visible_share(np.zeros((0, 4)), np.zeros(0)).shape == (0,)


@pytest.mark.parametrize(("shape", "scale"), [((32, 64), 1.0), ((64, 64), 0.5), ((16, 16), 2.0), ((10, 640), 0.1)])
def test_scaling_keeps_the_aspect_ratio(shape, scale):
    out = scaled(np.full((*shape, 3), 200, np.uint8), (64, 32))
    assert scale_of(*shape, (64, 32)) == scale
    height, width = (max(round(scale * side), 1) for side in shape)
    assert out.shape == (32, 64, 3)
    assert (out[:height, :width] == 200).all()
    assert not out[height:].any() and not out[:, width:].any()


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (Blind, GraphError, "^walks: needs the ports image and truth to train on, has image$"),
        (Endless, InputError, "^walks: needs video that fits into 4 GiB at 64 x 32, got an endless one; fewer frames[?]$"),
        (Empty, InputError, "^walks: needs objects of Pedestrian to learn from, got none in its frames$"),
    ],
)
def test_video_that_cannot_be_learned_from(source, error, message):
    with pytest.raises(error, match=message):
        Clips(source, NoConfig(), config().data, config())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch": 0}, "batch: needs 1 or more, got 0"),
        ({"flip": 1.5}, "flip: needs 0..1, got 1.5"),
        ({"lr": 0.0}, "lr: needs more than 0, got 0.0"),
        ({"classes": {"Car": ["Car"]}}, "classes: needs labels for Pedestrian, as in model.class_names, got Car"),
        ({"classes": {"Pedestrian": ["Persons"]}}, "classes: Pedestrian: Persons is no label of the streams; did you mean"),
    ],
)
def test_wrong_config(changed, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        config(**changed)
