import json
import os

import cv2
import numpy as np
import pytest

from drivers.coco_panoptic import CocoPanoptic, CocoPanopticConfig
from operators import files
from operators.streams import CLASS_NAMES, CLASSES, THINGS, Panoptic, things_of
from operators.write.panoptic import WritePanoptic
from pipeline.errors import FrameError, InputError, RunError
from pipeline.operator import Resume
from pipeline.testing import run_source

FACTS = {CLASS_NAMES: ["road", "sky", "Car"], THINGS: ["Car"]}


def panoptic(rows, *segments):
    """rows: the map; segments: (id, label, score, track id) each"""
    ids, labels, scores, tracks = zip(*segments, strict=True) if segments else ((), (), (), ())
    types = (np.int32, np.int32, np.float32, np.int64)
    return Panoptic(
        np.array(rows, np.int32), *(np.array(c, t) for c, t in zip((ids, labels, scores, tracks), types, strict=True))
    )


SCENE = panoptic(
    [[1, 1, 1, 0], [4, 4, 2, 2], [4, 4, 2, 2]],
    (1, 1, 1.0, -1), (2, 2, 0.7, 1 << 40), (4, 2, 0.0, -1), (9, 0, 1.0, -1),
)  # fmt: skip


@pytest.fixture
def feed(make, header):
    def run(op, k, value, item=None, facts=FACTS):
        op.header, op.meta = header(k, item), {"panoptic": facts}
        op.process(panoptic=value)

    return run


def read(op):
    return json.loads((op.out_dir / "panoptic.json").read_bytes())


def test_nothing_in_the_picture(make, feed):
    op = make(WritePanoptic)
    feed(op, 0, panoptic([[0, 0]]))
    data = read(op)
    assert data["images"] == [{"id": 0, "file_name": "0000/000000", "width": 2, "height": 1}]
    assert data["annotations"] == [{"id": 1, "image_id": 0, "file_name": "0000/000000.png", "segments_info": []}]
    assert data["categories"] == [
        {"id": 1, "name": "road", "isthing": 0}, {"id": 2, "name": "sky", "isthing": 0}, {"id": 3, "name": "Car", "isthing": 1},
    ]  # fmt: skip
    op.close()
    assert sorted(path.name for path in op.out_dir.iterdir()) == ["panoptic", "panoptic.json"]


def test_stuff_things_and_a_crowd(make, feed):
    op = make(WritePanoptic)
    feed(op, 5, SCENE)
    (annotation,) = read(op)["annotations"]
    assert annotation["segments_info"] == [
        {"id": 1, "category_id": 2, "iscrowd": 0, "bbox": [0, 0, 3, 1], "area": 3},
        {"id": 2, "category_id": 3, "iscrowd": 0, "bbox": [2, 1, 2, 2], "area": 4, "score": 0.7, "track_id": 1 << 40},
        {"id": 4, "category_id": 3, "iscrowd": 1, "bbox": [0, 1, 2, 2], "area": 4, "score": 0.0},
    ]
    image = cv2.imread(str(op.out_dir / "panoptic/0000/000005.png"))
    assert image[:, :, 2].tolist() == SCENE.panoptic.tolist() and not image[:, :, :2].any(), "OpenCV reads BGR"


def test_ids_above_255_are_spread_over_red_green_and_blue(make, feed):
    op = make(WritePanoptic)
    feed(op, 0, panoptic([[300, 70_000]], (300, 0, 1, -1), (70_000, 1, 1, -1)))
    image = cv2.imread(str(op.out_dir / "panoptic/0000/000000.png"))[:, :, ::-1].astype(int)
    assert (image @ (1, 256, 65_536)).tolist() == [[300, 70_000]]


def test_read_again_by_the_driver(make, feed):
    """Classes, things, pixels, crowds and track ids come back, over several sequences."""
    op = make(WritePanoptic)
    rng = np.random.default_rng(5)
    sent = {}
    for k, item in enumerate(("0000/000000", "0000/000001", "0001/000000")):
        ids = rng.permutation(np.arange(1, 40))[:12].astype(np.int32)
        labels = np.array([0, 1, *[2] * 10], np.int32)
        scores = np.array([1, 1, 0, *[1] * 9], np.float32)
        tracks = np.where(labels == 2, rng.integers(0, 1 << 50, 12), -1)
        tracks[2] = -1
        drawn = np.append(ids, 0)[rng.integers(0, 13, (20, 30))].astype(np.int32)
        sent[item] = Panoptic(drawn, ids, labels, scores, tracks)
        feed(op, k, sent[item], item)
    op.close()
    config = CocoPanopticConfig(file=str(op.out_dir / "panoptic.json"))
    readings = run_source(CocoPanoptic, config, wanted=["panoptic_truth"])
    assert [r.item for r in readings] == list(sent)
    for reading in readings:
        found, before = reading.values["panoptic_truth"], sent[reading.item]
        assert reading.meta["panoptic_truth"] == FACTS
        for column, void in (("labels", -1), ("scores", -1), ("track_ids", -1)):
            of = [np.append(getattr(p, column), void) for p in (found, before)]
            at = [np.full(41, len(p.labels)) for p in (found, before)]
            for table, p in zip(at, (found, before), strict=True):
                table[p.segment_ids] = np.arange(len(p.labels))
            np.testing.assert_array_equal(*(o[a[p.panoptic]] for o, a, p in zip(of, at, (found, before), strict=True)))


def test_things_of_a_frame():
    assert things_of({}) == set(CLASSES) and things_of(FACTS) == {"Car"}
    assert things_of({CLASS_NAMES: ["road"]}) == set()


def test_ids_of_another_file(tmp_path, make, feed):
    like = tmp_path / "like.json"
    rows = [{"id": 23, "name": "sky"}, {"id": 26, "name": "Car"}, {"id": 7, "name": "road"}]
    like.write_text(json.dumps({"images": [{"id": 77, "file_name": "000005.jpg"}], "annotations": [], "categories": rows}))
    op = make(WritePanoptic, like=str(like))
    feed(op, 5, SCENE)
    (annotation,) = read(op)["annotations"]
    assert annotation["image_id"] == 77 and [s["category_id"] for s in annotation["segments_info"]] == [23, 26, 26]
    with pytest.raises(FrameError, match=r"node: frame dets:6: needs an item that is an image of .*like.json, got '0000/000006'"):
        feed(op, 6, SCENE)
    like.write_text("[]")
    with pytest.raises(InputError, match=r"like.json: needs COCO panoptic JSON with images and categories, got TypeError"):
        make(WritePanoptic, like=str(like), name="other")


def test_categories_by_hand(make, feed):
    """Pixels of other classes are void."""
    op = make(WritePanoptic, categories={"Car": 26})
    feed(op, 0, SCENE)
    (annotation,) = read(op)["annotations"]
    assert [(s["id"], s["category_id"]) for s in annotation["segments_info"]] == [(2, 26), (4, 26)]
    assert cv2.imread(str(op.out_dir / "panoptic/0000/000000.png"))[0].max() == 0
    with pytest.raises(FrameError, match=r"needs classes of road, sky, Car, got config.categories: Tram"):
        feed(make(WritePanoptic, categories={"Tram": 1}, name="b"), 0, SCENE)
    with pytest.raises(ValueError, match="categories: needs an id of its own for each class"):
        make(WritePanoptic, categories={"Car": 1, "road": 1}, name="c")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (panoptic([[1, 7]], (1, 0, 1, -1)), "needs each id of the map in segment_ids, got 7 without"),
        (panoptic([[1, 1]], (1, 0, 1, -1), (1, 2, 1, 3)), "needs each segment id once, got 2 of 1 ids"),
        (panoptic([[1, 1]], (1, 3, 1, -1)), "needs labels 0..2, of the class names, got 3"),
        (panoptic([[-1, 1]], (1, 0, 1, -1)), "needs segment ids 1 .. 16,777,215, and 0 for void, got others"),
        (panoptic([[0, 1 << 24]], (1 << 24, 0, 1, -1)), "needs segment ids 1 .. 16,777,215, and 0 for void, got others"),
    ],
)
def test_a_table_that_does_not_belong_to_its_map(make, feed, value, message):
    op = make(WritePanoptic)
    with pytest.raises(FrameError, match=f"node: frame dets:0: {message}"):
        feed(op, 0, value)
    assert not (op.out_dir / "panoptic.json").exists()
    feed(op, 1, SCENE)
    assert len(read(op)["images"]) == 1, "the next frame counts"


def test_other_classes_in_a_later_frame(make, feed):
    op = make(WritePanoptic)
    feed(op, 0, SCENE)
    with pytest.raises(FrameError, match="needs classes of road, sky, Car, got pole, which the first frame lacks"):
        feed(op, 1, panoptic([[1]], (1, 0, 1, -1)), facts={CLASS_NAMES: ["pole"], THINGS: []})


def test_a_crash_takes_back_the_frame_that_does_not_count(make, feed):
    op = make(WritePanoptic)
    for k in range(3):
        feed(op, k, SCENE)
    before = op.out_dir / "panoptic.json"
    op = make(WritePanoptic, resume=Resume(1, 1, ""))
    assert [image["id"] for image in read(op)["images"]] == [0, 1] and not (op.out_dir / "panoptic/0000/000002.png").exists()
    feed(op, 2, SCENE)
    data = json.loads(before.read_bytes())
    assert [image["id"] for image in data["images"]] == [0, 1, 2] and [row["id"] for row in data["annotations"]] == [1, 2, 3]


def test_a_full_disk_leaves_the_frames_before(make, feed, monkeypatch):
    op = make(WritePanoptic)
    feed(op, 0, SCENE)

    def full(*_):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(files, "patch", full)
        with pytest.raises(RunError, match=r"cannot write frame dets:1 .*No space left on device"):
            feed(op, 1, SCENE)
    assert len(read(op)["annotations"]) == 1
    feed(op, 2, SCENE)
    assert [image["id"] for image in read(op)["images"]] == [0, 2]
