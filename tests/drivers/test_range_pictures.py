import re

import numpy as np
import pytest

from drivers.range_pictures import RangePictures
from drivers.semantickitti import SemanticKitti
from drivers.synthetic.world import SyntheticWorld
from operators.lidar.range_image import RangeImages
from operators.lidar.range_picture import RangePicture
from operators.panoptic_classes import WORLD_CLASSES, WORLD_THINGS
from operators.streams import PANOPTIC
from pipeline.errors import GraphError, InputError
from pipeline.testing import run_operator, run_source

WORLD = {"frames": 2, "seed": 3, "range_m": 40, "lidar": {"columns": 256, "range_m": 40}}
SMALL = {"beams": 64, "columns": 256}


@pytest.fixture(scope="module")
def readings():
    return run_source(RangePictures, {"config": WORLD, "projection": SMALL})


def test_the_world_as_pictures_with_truth(readings):
    """By the rings of its points nearly each return has a pixel of its own; a pixel shows the class and object of its point."""
    wanted = ["points", "point_ids", "point_classes_truth", "point_rings"]
    scans = run_source(SyntheticWorld, WORLD, wanted=wanted)
    assert [reading.item for reading in readings] == [scan.item for scan in scans]
    for reading, scan in zip(readings, scans, strict=True):
        given = {port: scan.values[port] for port in ("points", "point_rings")}
        (made,) = run_operator(RangeImages, [given], SMALL)
        (picture,) = run_operator(RangePicture, [made])
        np.testing.assert_array_equal(reading.values["image"], picture)
        truth = reading.values["panoptic_truth"]
        PANOPTIC.check(truth._asdict(), "panoptic_truth")
        rows, columns = made.point_pixels.T
        first = np.unique(rows * 256 + columns, return_index=True)[1]
        assert len(first) > 0.95 * len(rows)
        alone = first[np.bincount(rows * 256 + columns)[(rows * 256 + columns)[first]] == 1]
        segment = truth.panoptic[rows[alone], columns[alone]] - 1
        assert (segment >= 0).all()
        np.testing.assert_array_equal(truth.labels[segment], scan.values["point_classes_truth"][alone])
        is_thing = np.isin(truth.labels[segment], [WORLD_CLASSES.index(name) for name in WORLD_THINGS])
        np.testing.assert_array_equal(truth.track_ids[segment], np.where(is_thing, scan.values["point_ids"][alone], -1))
        facts = reading.meta["panoptic_truth"]
        assert tuple(facts["class_names"]) == WORLD_CLASSES and set(facts["things"]) == set(WORLD_THINGS)


def test_reading_may_start_anywhere(readings):
    (second,) = run_source(RangePictures, {"config": WORLD, "projection": SMALL}, start=1)
    np.testing.assert_array_equal(second.values["image"], readings[1].values["image"])


def test_scans_of_files_and_scans_without_truth(tmp_path):
    for frame, labels in enumerate((b"\x28\0\0\0" * 3, None, b"")):
        points = np.array([(9, 0, -1, 0.5), (9, 3, -1, 0.5), (9, -3, -1, 0.5)][: 3 * (frame < 2)], np.float32)
        (tmp_path / f"{frame:06d}.bin").write_bytes(points.tobytes())
        if labels is not None:
            (tmp_path / f"{frame:06d}.label").write_bytes(labels)
    given = {"driver": "semantickitti", "config": {"root": str(tmp_path)}, "projection": SMALL}
    first, second, third = run_source(RangePictures, given)
    assert second.values == {} and not third.values["image"].any() and len(third.values["panoptic_truth"].labels) == 0
    assert first.values["panoptic_truth"].labels.tolist() == [9] and (first.values["panoptic_truth"].panoptic == 1).sum() == 3
    assert len(run_source(SemanticKitti, {"root": str(tmp_path)}, wanted=["points"])) == 3


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (
            {"driver": "mot"},
            InputError,
            "needs a driver with points, point_classes_truth and point_ids, got mot without point_classes",
        ),
        ({"driver": "nothing"}, GraphError, "unknown driver nothing"),
        ({"config": {"seeds": 1}}, GraphError, "range_pictures: config of synthetic.world"),
        ({"driver": "semantickitti"}, InputError, "semantickitti: config.root: needs a folder"),
    ],
)
def test_a_wrong_config_names_its_key(config, error, message):
    with pytest.raises(error, match=re.escape(message)):
        run_source(RangePictures, config)
