import numpy as np
import pytest

from operators.lidar.range_image import Projection, RangeImageConfig
from operators.lidar.range_truth import learnt_picture, panoptic_truth, pixel_truth
from operators.lidar.unproject import Unproject
from operators.streams import PANOPTIC, VOID, RangeImage
from pipeline.testing import run_operator

ROAD, CAR, PERSON = range(3)
THINGS = (CAR, PERSON)


def project(points, beams=16, columns=64):
    projection = Projection(RangeImageConfig(beams=beams, columns=columns))
    made = RangeImage(np.empty((5, beams, columns), np.float32), np.empty((len(points), 2), np.int32))
    projection(points, None, *made)
    return made, projection.owners


def scan(num, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 8, (num, 4)).astype(np.float32)
    points[:, 2] /= 8
    classes = rng.choice(np.array([ROAD, CAR, PERSON, VOID], np.uint8), num)
    ids = np.where(np.isin(classes, THINGS), rng.integers(1 << 40, (1 << 40) + 5, num), -1)
    return points, classes, ids


@pytest.mark.parametrize("num", [0, 1, 3000])
def test_a_pixel_has_class_and_id_of_its_nearest_point(num):
    points, classes, ids = scan(num)
    made, owners = project(points)
    class_map, pixel_ids = pixel_truth(owners, classes, ids)
    expected, expected_ids = np.full((16, 64), VOID), np.full((16, 64), -1)
    for n in np.argsort(-np.linalg.norm(points[:, :3].astype(np.float64), axis=1)).tolist():  # the nearest is written last
        row, column = made.point_pixels[n]
        expected[row, column], expected_ids[row, column] = classes[n], ids[n]
    np.testing.assert_array_equal(class_map, expected)
    np.testing.assert_array_equal(pixel_ids, expected_ids)
    assert class_map.dtype == np.uint8 and pixel_ids.dtype == np.int64


def test_objects_and_stuff_become_segments():
    class_map = np.array([[ROAD, ROAD, CAR], [CAR, CAR, VOID], [PERSON, ROAD, CAR]], np.uint8)
    pixel_ids = np.array([[-1, 5, 9], [9, -1, 9], [9, -1, 4]])
    got = panoptic_truth(class_map, pixel_ids, THINGS)
    assert got.panoptic.tolist() == [[1, 1, 3], [3, 0, 0], [4, 1, 2]]  # road with an id is road; a car without one is void
    assert got.segment_ids.tolist() == [1, 2, 3, 4] and got.labels.tolist() == [ROAD, CAR, CAR, PERSON]
    assert got.track_ids.tolist() == [-1, 4, 9, 9] and got.scores.tolist() == [1] * 4
    PANOPTIC.check(got._asdict(), "panoptic_truth")


def test_nothing_but_void():
    for shape in ((2, 3), (0, 3)):
        got = panoptic_truth(np.full(shape, VOID, np.uint8), np.full(shape, 7), THINGS)
        assert not got.panoptic.any() and got.panoptic.shape == shape and len(got.labels) == len(got.track_ids) == 0
        PANOPTIC.check(got._asdict(), "panoptic_truth")


def test_truth_and_back_is_the_truth_of_the_points_that_are_seen():
    points, classes, ids = scan(3000, seed=1)
    made, owners = project(points)
    truth = panoptic_truth(*pixel_truth(owners, classes, ids), THINGS)
    (back,) = run_operator(Unproject, [{"points": points, "range_image": made, "panoptic": truth}], {"neighbours": 0})
    seen = owners[owners >= 0]
    np.testing.assert_array_equal(back["point_classes"][seen], classes[seen])
    np.testing.assert_array_equal(back["point_ids"][seen], ids[seen])


def test_a_labelled_scan_is_a_picture_to_learn_from():
    points, classes, ids = scan(500, seed=2)
    made, owners = project(points)
    image, truth = learnt_picture(Projection(RangeImageConfig(beams=16, columns=64)), points, classes, ids, THINGS)
    np.testing.assert_array_equal(image, made.range_image)
    for got, expected in zip(truth, panoptic_truth(*pixel_truth(owners, classes, ids), THINGS), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert (truth.panoptic > 0).any() and not truth.panoptic[image[3] == 0].any()
