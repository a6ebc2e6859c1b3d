from dataclasses import replace

import numpy as np
import pytest

from drivers.synthetic import panoptic
from drivers.synthetic.camera import Eye, kitti_like_calibration
from drivers.synthetic.materials import MATERIALS
from drivers.synthetic.scene import Stage
from drivers.synthetic.spinning import LidarConfig
from drivers.synthetic.street_layout import make_street
from drivers.synthetic.world import CameraConfig, SyntheticWorld, WorldConfig
from operators.panoptic_classes import WORLD_CLASSES, WORLD_STUFF, WORLD_THINGS
from operators.streams import CLASSES, PANOPTIC, POINT_CLASSES, VOID

SMALL = WorldConfig(
    frames=1, drives=3, range_m=50, lidar=LidarConfig(columns=360, range_m=50), camera=CameraConfig(200, 60), density=2.0
)
PORTS = ("panoptic_truth", "pixel_ids", "point_classes_truth", "point_ids", "points", "truth")


def test_classes_are_stuff_then_things():
    assert WORLD_CLASSES == (*WORLD_STUFF, *WORLD_THINGS) and len(set(WORLD_CLASSES)) == len(WORLD_CLASSES)
    assert panoptic.FACTS == {"class_names": list(WORLD_CLASSES), "things": list(WORLD_THINGS)}


def named(scene, triangle):
    """The class of a triangle, said again from the README of the generated data."""
    owner = scene.owners[triangle]
    if owner >= 0:
        return {"Van": "Car"}.get(name := CLASSES[scene.objects.labels[owner]], name)
    material = MATERIALS.names[scene.materials[triangle] & 255]
    return {
        "ASPHALT": "road", "LANE_MARK": "road", "SIDEWALK": "sidewalk", "KERB": "sidewalk", "GRASS": "terrain", "SOIL": "terrain",
        "BUILDING": "building", "WINDOW": "building", "ROOF": "building", "WALL": "fence", "FENCE": "fence",
        "FOLIAGE": "vegetation", "TRUNK": "vegetation", "POLE": "pole", "SIGN": "pole",
    }.get(material, "object")  # fmt: skip


def test_segments_equal_those_of_a_walk_over_the_pixels():
    stage, eye = Stage("train"), Eye(kitti_like_calibration(96, 30))
    names = set()
    for drive in range(4):
        scene = stage.build(make_street(7, drive, density=1.5), 1.0, 40.0)
        eye.look(scene.triangles, scene.materials)
        index = eye.grid.index
        drawn = np.empty(index.shape, np.int32)
        got = panoptic.segments(index, scene, panoptic.classes_of(scene), drawn)
        assert got.panoptic is drawn
        labels, ids = np.append(got.labels, -1), np.append(got.track_ids, -1)
        for row, column in np.ndindex(index.shape):
            t = index[row, column]
            name = "sky" if t < 0 else named(scene, t)
            segment = drawn[row, column] - 1
            assert WORLD_CLASSES[labels[segment]] == name
            owner = -1 if t < 0 else scene.owners[t]
            assert ids[segment] == (-1 if owner < 0 else scene.objects.track_ids[owner])
            names.add(name)
    assert names >= {"road", "sidewalk", "building", "vegetation", "object", "sky", "Car"}


def test_things_are_the_objects_of_pixel_ids_and_point_ids(play):
    seen = set()
    for reading in play(SyntheticWorld, SMALL, PORTS)[1]:
        values, found = reading.values, reading.values["panoptic_truth"]
        PANOPTIC.check(PANOPTIC.unpack(found, "panoptic_truth"), "panoptic_truth")
        assert reading.meta == dict.fromkeys(("panoptic_truth", "point_classes_truth"), panoptic.FACTS)
        assert found.segment_ids.tolist() == list(range(1, len(found.labels) + 1)) == np.unique(found.panoptic).tolist()
        assert (found.scores == 1).all()
        np.testing.assert_array_equal(found.track_ids[found.panoptic - 1], values["pixel_ids"])
        things = found.track_ids >= 0
        assert (things == (found.labels >= len(WORLD_STUFF))).all()
        assert len(set(found.labels[~things].tolist())) == (~things).sum(), "one segment per class of stuff"
        assert len(set(found.track_ids[things].tolist())) == things.sum()
        classes = values["point_classes_truth"]
        POINT_CLASSES.check(POINT_CLASSES.unpack(classes, "c"), "c")
        assert len(classes) == len(values["points"])
        np.testing.assert_array_equal(classes >= len(WORLD_STUFF), values["point_ids"] >= 0)
        assert WORLD_CLASSES.index("sky") not in classes
        truth = dict(zip(values["truth"].track_ids.tolist(), values["truth"].labels.tolist(), strict=True))
        of = {"Van": "Car"}
        for track_id, label in zip(found.track_ids[things].tolist(), found.labels[things].tolist(), strict=True):
            name = CLASSES[truth[track_id]]
            assert WORLD_CLASSES[label] == of.get(name, name)
            on = values["point_ids"] == track_id
            assert (classes[on] == label).all()
            seen.add(name)
        low = values["points"][:, 2] < -1.2
        ground = [WORLD_CLASSES.index(name) for name in ("road", "sidewalk", "terrain")]
        assert np.isin(classes[low], ground).mean() > 0.6
    assert {"Car", "Pedestrian"} <= seen


def test_an_empty_street_has_stuff_alone(play):
    for reading in play(SyntheticWorld, replace(SMALL, density=0.0), PORTS)[1]:
        found = reading.values["panoptic_truth"]
        assert {"road", "sky"} <= {WORLD_CLASSES[label] for label in found.labels} <= set(WORLD_STUFF)
        assert (found.track_ids == -1).all() and (found.panoptic > 0).all()


def test_a_class_without_labels_is_void(play):
    """Its pixels and points are void; all others keep their class."""
    hidden = replace(SMALL, unlabelled=("Car", "Van"))
    voids = 0
    for whole, cut in zip(play(SyntheticWorld, SMALL, PORTS)[1], play(SyntheticWorld, hidden, PORTS)[1], strict=True):
        before, after = whole.values["panoptic_truth"], cut.values["panoptic_truth"]
        labels = np.append(before.labels, VOID)[before.panoptic - 1]
        expected = np.where(labels == WORLD_CLASSES.index("Car"), VOID, labels)
        np.testing.assert_array_equal(np.append(after.labels, VOID)[after.panoptic - 1], expected)
        assert np.unique(after.panoptic[after.panoptic > 0]).tolist() == after.segment_ids.tolist()
        points = whole.values["point_classes_truth"]
        expected = np.where(points == WORLD_CLASSES.index("Car"), VOID, points)
        np.testing.assert_array_equal(cut.values["point_classes_truth"], expected)
        voids += (after.panoptic == 0).sum()
    assert voids > 100


@pytest.mark.parametrize("crop", ["none", "camera"])
def test_classes_go_with_the_points(play, crop):
    config = replace(SMALL, frames=1, lidar=replace(SMALL.lidar, crop=crop))
    whole = play(SyntheticWorld, config, PORTS)[1][0].values
    alone = play(SyntheticWorld, config, ("point_classes_truth",))[1][0].values
    assert len(whole["points"]) == len(whole["point_classes_truth"])
    np.testing.assert_array_equal(whole["point_classes_truth"], alone["point_classes_truth"])


def test_the_slot_holds_the_largest_frame():
    least = SyntheticWorld.slot_bytes(SMALL)["panoptic_truth"]
    aligned = [-(-size // 64) * 64 for size in (4 * 200 * 60, *(PANOPTIC.limits["S"] * width for width in (4, 4, 4, 8)))]
    assert sum(aligned) <= least < sum(aligned) + 1024
