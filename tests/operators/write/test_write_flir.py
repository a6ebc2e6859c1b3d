"""FLIR's layouts are written, looked at by hand, and read back by the driver."""

import json

import cv2
import numpy as np
import pytest

from drivers.flir.reader import Flir as Driver
from drivers.flir.reader import FlirConfig as DriverConfig
from operators.streams import CLASS_NAMES, CLASSES, Truth
from operators.write.flir import Flir, FlirConfig
from pipeline.errors import FrameError, RunError
from pipeline.operator import Resume, prepare
from pipeline.testing import header, run_source

NOBODY = Truth(
    np.zeros((0, 7), np.float32), np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int64),
    np.zeros(0, np.int32), np.zeros(0, np.float32),
)  # fmt: skip


def truth(*rows):
    """rows: (class, x1, y1, x2, y2, track id)"""
    n = len(rows)
    return NOBODY._replace(
        boxes3d=np.full((n, 7), np.nan, np.float32),
        boxes2d=np.array([row[1:5] for row in rows], np.float32).reshape(n, 4),
        labels=np.array([-1 if row[0] == "DontCare" else CLASSES.index(row[0]) for row in rows], np.int32),
        track_ids=np.array([row[5] for row in rows], np.int64),
        occluded=np.zeros(n, np.int32),
        truncated=np.zeros(n, np.float32),
    )


def pictures(k, size=(40, 64)):
    y, x = np.mgrid[: size[0], : size[1]]
    grey = ((x * 3 + y + 9 * k) % 256).astype(np.uint8)
    return {"image": np.stack([grey, grey // 2, 255 - grey], 2), "thermal": grey, "thermal_raw": 29000 + grey.astype(np.uint16)}


@pytest.fixture
def writer(tmp_path):
    def make(resume=None, **config):
        op = prepare(Flir(), "data", FlirConfig(**config), out_dir=tmp_path / "data", resume=resume)
        op.open()
        return op

    return make


def feed(op, number, item=None, meta=None, **values):
    op.header, op.meta = header(number, item or f"0003/{number:06d}"), meta or {}
    op.process(**{port: values.get(port) for port in Flir.inputs})


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def read(folder, **config):
    return run_source(Driver, DriverConfig(root=str(folder), **config))


CAR, PERSON = ("Van", 3.5, 4.25, 30.125, 20.0, 12), ("Pedestrian", 40.0, 2.0, 44.0, 12.5, 13)


def test_no_frames_no_files(writer):
    op = writer()
    op.close()
    assert names(op.out_dir) == []


def test_version_1_by_hand(writer):
    op = writer(layout="v1", split="train")
    feed(op, 0, truth=truth(CAR, PERSON, ("DontCare", 1, 1, 9, 9, -1), ("Car", 0, 0, 0, 0, 5)), **pictures(0))
    feed(op, 1, truth=NOBODY, **pictures(1))
    op.close()
    assert names(op.out_dir) == [
        "train/RGB/FLIR_00001.jpg", "train/RGB/FLIR_00002.jpg", "train/thermal_16_bit/FLIR_00001.tiff",
        "train/thermal_16_bit/FLIR_00002.tiff", "train/thermal_8_bit/FLIR_00001.jpeg", "train/thermal_8_bit/FLIR_00002.jpeg",
        "train/thermal_annotations.json",
    ]  # fmt: skip
    coco = json.loads((op.out_dir / "train/thermal_annotations.json").read_text())
    assert [(row["id"], row["file_name"], row["width"], row["height"]) for row in coco["images"]] == [
        (0, "thermal_8_bit/FLIR_00001.jpeg", 64, 40), (1, "thermal_8_bit/FLIR_00002.jpeg", 64, 40),
    ]  # fmt: skip
    assert [(row["id"], row["image_id"], row["category_id"], row["bbox"], row["iscrowd"]) for row in coco["annotations"]] == [
        (1, 0, 3, [3.5, 4.25, 26.625, 15.75], 0), (2, 0, 1, [40.0, 2.0, 4.0, 10.5], 0),
    ]  # fmt: skip
    assert {row["id"]: row["name"] for row in coco["categories"]}[18] == "dog"
    raw = cv2.imread(str(op.out_dir / "train/thermal_16_bit/FLIR_00002.tiff"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(raw, pictures(1)["thermal_raw"])
    grey = cv2.imread(str(op.out_dir / "train/thermal_8_bit/FLIR_00002.jpeg"), cv2.IMREAD_UNCHANGED)
    assert grey.shape == (40, 64) and abs(grey.astype(int) - pictures(1)["thermal"]).mean() < 4


@pytest.mark.parametrize("layout, split", [("v1", "train"), ("v1", "val"), ("v1", "video"), ("v2", "video")])
def test_the_driver_reads_what_was_written(writer, layout, split):
    op = writer(layout=layout, split=split)
    for k in range(3):
        rows = (CAR, PERSON)[: 2 - k % 2]
        feed(op, k, truth=truth(*rows), **pictures(k))
    op.close()
    readings = read(op.out_dir, split=split)
    assert len(readings) == 3
    for k, reading in enumerate(readings):
        expected = pictures(k)
        np.testing.assert_array_equal(reading.values["thermal_raw"], expected["thermal_raw"])
        assert abs(reading.values["image"].astype(int) - expected["image"]).mean() < 6
        assert abs(reading.values["thermal"].astype(int) - expected["thermal"]).mean() < 4
        found = reading.values["truth"]
        np.testing.assert_allclose(found.boxes2d, np.array([CAR[1:5], PERSON[1:5]], np.float32)[: 2 - k % 2], atol=1e-3)
        if layout == "v2":
            assert found.track_ids.tolist() == [12, 13][: 2 - k % 2]


def test_version_2_by_hand(writer):
    op = writer()
    feed(op, 7, truth=truth(CAR), image_truth=truth(CAR, ("Cyclist", 1, 2, 3, 4, 9)), **pictures(0))
    op.close()
    thermal, rgb = op.out_dir / "video_thermal_test", op.out_dir / "video_rgb_test"
    assert names(op.out_dir)[0] == "rgb_to_thermal_vid_map.json"
    ((of_rgb, of_thermal),) = json.loads((op.out_dir / "rgb_to_thermal_vid_map.json").read_text()).items()
    assert (rgb / "data" / of_rgb).is_file() and (thermal / "data" / of_thermal).is_file()
    assert of_rgb.startswith("video-0003-frame-000007-") and of_rgb != of_thermal
    coco = json.loads((rgb / "coco.json").read_text())
    assert [row["category_id"] for row in coco["annotations"]] == [3, 2] and coco["images"][0]["file_name"] == f"data/{of_rgb}"
    assert [row["track_id"] for row in coco["annotations"]] == [12, 9]
    index = json.loads((thermal / "index.json").read_text())
    assert index["frames"][0]["annotations"][0]["labels"] == ["car"]
    assert names(thermal / "analyticsData") == [of_thermal.replace(".jpg", ".tiff")]


def test_frames_without_a_partner(writer):
    op = writer(split="train")
    feed(op, 0, image=pictures(0)["image"])
    feed(op, 1, thermal=pictures(1)["thermal"], truth=truth(PERSON))
    op.close()
    assert len(names(op.out_dir / "images_rgb_train" / "data")) == len(names(op.out_dir / "images_thermal_train" / "data")) == 1
    assert len(json.loads((op.out_dir / "images_thermal_train/coco.json").read_text())["annotations"]) == 1


def test_labels_of_other_names(writer):
    op = writer(layout="v1", split="val")
    found = truth(CAR)._replace(labels=np.array([1], np.int32))
    feed(op, 0, thermal=pictures(0)["thermal"], truth=found, meta={"truth": {CLASS_NAMES: ["person", "bike"]}})
    op.close()
    assert json.loads((op.out_dir / "val/thermal_annotations.json").read_text())["annotations"][0]["category_id"] == 2


def test_a_restart_takes_back_the_frame_in_doubt_and_keeps_the_others(writer):
    op = writer(layout="v1")
    feed(op, 0, truth=truth(CAR), **pictures(0))
    feed(op, 1, truth=truth(PERSON), **pictures(1))  # written, but the process died before it counted
    again = writer(layout="v1", resume=Resume(1, 0, "0003/000000"))
    assert "video/RGB/FLIR_00002.jpg" not in names(again.out_dir)
    feed(again, 1, truth=truth(PERSON, CAR), **pictures(2))
    again.close()
    coco = json.loads((again.out_dir / "video/thermal_annotations.json").read_text())
    assert [row["image_id"] for row in coco["annotations"]] == [0, 1, 1] and len(coco["images"]) == 2


@pytest.mark.parametrize(
    "config, values, error, message",
    [
        ({"layout": "v1"}, {"image_truth": NOBODY}, RunError, "image_truth is connected, but layout v1 has no place for it"),
        ({}, {"truth": NOBODY}, FrameError, "truth needs the picture of thermal that it annotates, got none"),
        ({}, {"truth": truth(CAR)._replace(labels=np.array([77], np.int32)), "thermal": np.zeros((4, 4), np.uint8)}, FrameError,
         "needs a class that FLIR's v2 has, got 77; it has person, bike, car"),
    ],
)  # fmt: skip
def test_what_has_no_place(writer, config, values, error, message):
    op = writer(**config)
    with pytest.raises(error, match=message):
        feed(op, 0, **values)


def test_a_frame_of_the_same_name_is_refused(writer):
    op = writer()
    feed(op, 0, **pictures(0))
    with pytest.raises(FrameError, match="needs a file of its own"):
        feed(op, 0, **pictures(0))


def test_bad_quality():
    with pytest.raises(ValueError, match=r"quality: needs 1\.\.100, got 0"):
        FlirConfig(quality=0)
