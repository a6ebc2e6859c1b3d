import json
import os
import re

import numpy as np
import pytest

from operators import files
from operators.score import coco
from operators.score.ap50 import Truth2D, coco_ap50
from operators.streams import CLASS_NAMES, CLASSES, Boxes2D, Truth
from operators.write import coco_files
from operators.write.coco import Coco, CocoConfig
from pipeline.errors import FrameError, InputError, RunError
from pipeline.operator import Resume


def found(*rows):
    """(x1, y1, x2, y2, score, label) each"""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Boxes2D(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


def truth(*rows):
    """(x1, y1, x2, y2, label, occluded) each"""
    table = np.array(rows, np.float32).reshape(-1, 6)
    n = len(table)
    nowhere = np.full((n, 7), np.nan, np.float32)
    label, occluded = (table[:, k].astype(np.int32) for k in (4, 5))
    return Truth(nowhere, table[:, :4], label, np.arange(n), occluded, np.zeros(n, np.float32))


CAR, PERSON = (10.1, 20, 40, 60, 0.9, 0), (100, 20, 120, 60, 0.7, 1)
OF_CAR, OF_PERSON, REGION = (10.1, 20, 40, 60, 0, 0), (100, 20, 120, 60, 1, 3), (200, 0, 300, 100, -1, 0)


@pytest.fixture
def feed(make, header):
    def run(op, k, boxes2d, of_truth=None, item=None, **more):
        op.header = header(k, item)
        op.process(boxes2d=boxes2d, truth=of_truth, **more)

    return run


def read(op, name="results.json"):
    return json.loads((op.out_dir / name).read_bytes())


def test_no_boxes(make, feed):
    op = make(Coco)
    feed(op, 0, found(), truth())
    assert read(op) == [] and read(op, "truth.json")["annotations"] == []
    assert read(op, "truth.json")["images"] == [{"id": 0, "file_name": "0000/000000"}]
    op.close()
    assert sorted(path.name for path in op.out_dir.iterdir()) == ["results.json", "truth.json"]


def test_one_box(make, feed):
    op = make(Coco)
    feed(op, 7, found(CAR), truth(OF_CAR), image=np.zeros((48, 64, 3), np.uint8))
    assert read(op) == [{"image_id": 7, "category_id": 1, "bbox": [10.1, 20.0, 29.9, 40.0], "score": 0.9}]
    written = read(op, "truth.json")
    assert written["images"] == [{"id": 7, "file_name": "0000/000007", "width": 64, "height": 48}]
    assert [row["name"] for row in written["categories"]] == list(CLASSES) and written["categories"][0]["id"] == 1
    about = {"image_id": 7, "category_id": 1, "bbox": [10.1, 20.0, 29.9, 40.0], "area": 1196.0, "iscrowd": 0, "occluded": 0}
    assert written["annotations"] == [{"id": 1} | about]


def test_boxes_that_are_unknown_or_have_no_area_are_left_out(make, feed):
    op = make(Coco)
    feed(op, 0, found((np.nan,) * 4 + (0.9, 0), (5, 5, 5, 9, 0.9, 0), CAR), truth((0, 0, 0, 0, 0, 0), OF_CAR))
    assert len(read(op)) == 1 and len(read(op, "truth.json")["annotations"]) == 1


def test_regions_without_a_label_are_crowds_of_every_category_and_hidden_objects_of_their_own(make, feed):
    op = make(Coco, max_occluded=2)
    feed(op, 0, found(), truth(OF_CAR, OF_PERSON, REGION))
    rows = read(op, "truth.json")["annotations"]
    assert [(row["category_id"], row["iscrowd"]) for row in rows] == [(1, 0), (2, 1), *((k + 1, 1) for k in range(len(CLASSES)))]


def test_many_frames_are_valid_after_each_and_can_be_scored(make, feed, monkeypatch):
    monkeypatch.setattr(coco_files, "LEAST_ROOM", 100)  # the file is written anew several times
    op = make(Coco)
    frames = [(found(*[CAR] * (k % 3)), truth(*[OF_CAR] * (k % 2))) for k in range(30)]
    for k, frame in enumerate(frames):
        feed(op, k, *frame)
        assert len(read(op)) == sum(i % 3 for i in range(k + 1))
        written = read(op, "truth.json")
        assert [row["id"] for row in written["images"]] == list(range(k + 1))
        assert [row["id"] for row in written["annotations"]] == list(range(1, 1 + sum(i % 2 for i in range(k + 1))))
    op.close()
    pytest.importorskip("pycocotools")
    scores = coco.evaluate(op.out_dir / "truth.json", op.out_dir / "results.json")
    expected = coco_ap50([Truth2D(t.boxes2d, t.labels) for _, t in frames], [boxes2d for boxes2d, _ in frames])
    assert scores["images"] == 30 and scores["classes"]["1"]["truth"] == 15 and 0 < scores["AP50"] == pytest.approx(expected)


def test_without_truth_there_are_results_only_and_a_frame_that_lacks_it_goes_nowhere(make, feed):
    op = make(Coco)
    feed(op, 0, found(CAR))
    assert len(read(op)) == 1 and not (op.out_dir / "truth.json").exists()
    op = make(Coco, name="other")
    feed(op, 0, found(CAR), truth(OF_CAR))
    op.missing = ("truth",)
    feed(op, 1, found(CAR))
    assert len(read(op)) == 1 and len(read(op, "truth.json")["images"]) == 1


# ---- kills


def state(op):
    return {name: (op.out_dir / name).read_bytes() for name in ("results.json", "truth.json") if (op.out_dir / name).exists()}


@pytest.mark.parametrize("room", [0, 4096])
def test_a_kill_at_any_write_leaves_valid_files_and_the_frame_is_taken_back(make, feed, monkeypatch, room):
    """The process dies in frame 3 before each of its writes in turn; its successor writes the frame again."""
    monkeypatch.setattr(coco_files, "LEAST_ROOM", room)
    sides = [
        (found(CAR, PERSON), truth(OF_CAR)),
        (found(), truth()),
        (found(CAR), truth(OF_CAR, OF_PERSON)),
        (found(CAR), truth()),
    ]
    whole = make(Coco, name="whole")
    for k, (boxes2d, of_truth) in enumerate(sides):
        before = state(whole) if k == 3 else {}
        feed(whole, k, boxes2d, of_truth)

    class Killed(BaseException):
        pass

    def dies_at(count, name, real):
        def write(*args):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            real(*args)

        left = [count]
        return write

    for name in ("patch", "replace"):
        for count in range(3):
            op = make(Coco, name=f"{name} {count}")
            for k in range(3):
                feed(op, k, *sides[k])
            with monkeypatch.context() as patched:
                patched.setattr(files, name, dies_at(count, name, getattr(files, name)))
                patched.setattr("operators.write.undo.Undo._take_back", lambda self, changes: None)  # a kill takes nothing back
                patched.setattr("operators.write.undo.Path.write_bytes", _journal)
                try:
                    feed(op, 3, *sides[3])
                    last = 3
                except Killed:
                    last = 2
            assert all(len(json.loads(data)) for data in state(op).values())
            ids = {row["id"] for row in read(op, "truth.json")["images"]}
            assert {row["image_id"] for row in read(op)} <= ids
            again = make(Coco, name=f"{name} {count}", resume=Resume(1, last, ""))
            if last == 2:
                assert state(again) == before
                feed(again, 3, *sides[3])
            assert state(again) == state(whole)


def _journal(path, data):
    """Undo empties its journal after an error; a process that is killed does not."""
    if data:
        with open(path, "wb") as file:
            file.write(data)


def test_a_part_of_a_write_is_taken_back(make, feed):
    op = make(Coco)
    feed(op, 0, found(CAR), truth(OF_CAR))
    before = state(op)
    feed(op, 1, found(PERSON), truth())
    with (op.out_dir / "results.json").open("r+b") as file:
        file.truncate(len(before["results.json"]) + 20)
    assert state(make(Coco, resume=Resume(1, 0, ""))) == before


def test_a_full_disk_takes_the_frame_back_and_the_next_one_goes_on(make, feed, monkeypatch):
    op = make(Coco, name="results")
    feed(op, 0, found(CAR), truth(OF_CAR))
    before, real = state(op), os.pwrite
    calls = []

    def full(fd, data, at):
        calls.append(at)
        if len(calls) == 2:
            real(fd, data[:5], at)
            raise OSError(28, "No space left on device")
        return real(fd, data, at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(RunError, match=r"^results: .*json: cannot write frame dets:1 \(0000/000001\): No space left"):
            feed(op, 1, found(CAR), truth(OF_CAR))
    assert state(op) == before
    feed(op, 2, found(CAR), truth(OF_CAR))
    written = read(op, "truth.json")
    assert [row["id"] for row in written["images"]] == [0, 2] and [row["id"] for row in written["annotations"]] == [1, 2]


# ---- ids


LIKE = {
    "images": [{"id": 50, "file_name": "data/a.jpg"}, {"id": 60, "im_name": "set06/V000/I00019"}, {"id": 70}],
    "categories": [{"id": 18, "name": "Car"}],
    "annotations": [],
}


@pytest.fixture
def like(tmp_path):
    path = tmp_path / "like.json"
    path.write_text(json.dumps(LIKE))
    return path


@pytest.mark.parametrize(("item", "image"), [("data/a.jpg", 50), ("data/a", 50), ("other/a", 50), ("set06/V000/I00019", 60)])
def test_ids_of_a_file(make, feed, like, item, image):
    op = make(Coco, like=str(like))
    feed(op, 3, found(CAR), item=item)
    assert [(row["image_id"], row["category_id"]) for row in read(op)] == [(image, 18)]


def test_what_a_file_does_not_have_is_named(make, feed, like):
    op = make(Coco, like=str(like), name="out")
    with pytest.raises(FrameError, match=r"^out: frame dets:0: needs an item that is an image of .*like.json, got 'b'$"):
        feed(op, 0, found(CAR), item="b")
    with pytest.raises(FrameError, match=r"^out: frame dets:0: needs a category of .*like.json, got class Pedestrian; config"):
        feed(op, 0, found(PERSON), item="a")
    with pytest.raises(InputError, match=r"gone.json: needs to be readable"):
        make(Coco, like=str(like.parent / "gone.json"))


def test_categories_by_hand(make, feed):
    op = make(Coco, categories={"Pedestrian": 5}, name="out")
    feed(op, 0, found(CAR, PERSON), truth(OF_CAR, OF_PERSON))
    assert (
        [row["category_id"] for row in read(op)] == [5] == [row["category_id"] for row in read(op, "truth.json")["annotations"]]
    )
    op = make(Coco, categories={"person": 1}, name="out2")
    message = f"out2: frame dets:0: needs classes of {', '.join(CLASSES)}, got config.categories: person"
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        feed(op, 0, found(PERSON))


def test_names_of_the_detector_follow_those_of_the_truth(make, feed):
    op = make(Coco, name="out")
    op.meta = {"boxes2d": {CLASS_NAMES: ["dog", "Car"]}, "truth": {}}
    feed(op, 0, found((*CAR[:5], 1), (*PERSON[:5], 0)), truth(OF_CAR))
    assert [row["category_id"] for row in read(op)] == [1, len(CLASSES) + 1]
    op.meta = {"boxes2d": {CLASS_NAMES: ["cat"]}, "truth": {}}
    with pytest.raises(
        FrameError, match=r"^out: frame dets:1: needs classes of Car, .*, dog, got cat, which the first frame did"
    ):
        feed(op, 1, found(CAR), truth())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"categories": {"a": 1, "b": 1}}, r"^categories: needs an id of its own for each class, got {'a': 1, 'b': 1}$"),
        ({"max_occluded": -1}, r"^max_occluded: needs 0 or more, got -1$"),
    ],
)
def test_bad_config(keys, message):
    with pytest.raises(ValueError, match=message):
        CocoConfig(**keys)
