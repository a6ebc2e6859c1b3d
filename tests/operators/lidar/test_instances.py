import re

import numpy as np
import pytest

from operators.geometry.transforms import rigid, transform_points
from operators.lidar.instances import Instances, InstancesConfig, Objects
from operators.streams import VOID
from pipeline.errors import FrameError
from pipeline.testing import header, run_operator

FACTS = {"point_classes": {"class_names": ["road", "car", "person"], "things": ["car", "person"]}}
ROAD, CAR, PERSON = range(3)


def cloud(*objects):
    """(class, x, y[, points]) -> points, classes"""
    points, classes = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.uint8)]
    for label, x, y, *num in objects:
        of_object = np.zeros((num[0] if num else 20, 4), np.float32)
        of_object[:, 0], of_object[:, 1] = x + np.linspace(-0.5, 0.5, len(of_object)), y
        points.append(of_object)
        classes.append(np.full(len(of_object), label, np.uint8))
    return {"points": np.concatenate(points), "point_classes": np.concatenate(classes)}


def ids(scans, headers=None, **config):
    return run_operator(Instances, scans, config, meta=[FACTS] * len(scans), headers=headers)


@pytest.mark.parametrize("objects", [(), [(ROAD, 5, 0)], [(CAR, 5, 0, 9)], [(VOID, 5, 0)], [(CAR, 200, 0)]])
def test_nothing_to_count(objects):
    """Nothing, stuff, too few points, no class, outside the range."""
    scan = cloud(*objects)
    (found,) = ids([scan])
    assert found.tolist() == [-1] * len(scan["points"])


def test_one_point_may_be_an_object():
    assert ids([cloud((CAR, 5, 0, 1))], min_points=1)[0].tolist() == [1]


def test_each_cluster_of_a_class_is_an_object():
    scan = cloud((CAR, 10, 0), (ROAD, 10, 0), (CAR, 10, 4), (PERSON, 10, 0.1), (CAR, 11.2, 0))
    (found,) = ids([scan])
    groups = found.reshape(5, 20)
    assert (groups == groups[:, :1]).all()
    assert groups[1, 0] == -1 and groups[0, 0] == groups[4, 0]  # 1.2 m apart, each 1 m long
    assert len({groups[0, 0], groups[2, 0], groups[3, 0]}) == 3


def test_nan_points_have_no_id():
    scan = cloud((CAR, 10, 0))
    scan["points"][3, 1] = np.nan
    (found,) = ids([scan])
    assert found[3] == -1 and (np.delete(found, 3) == 1).all()


def test_ids_last_while_objects_move_and_hide():
    """Two cars pass each other; one is hidden for two scans; a third comes."""
    places = [[(0, 0), (9, 4)], [(2, 0), (7, 4)], [(6, 4)], [(5, 4)], [(9, 0), (3, 4)], [(11, 0), (1, 4), (30, 0)]]
    found = ids([cloud(*((CAR, *place) for place in scan)) for scan in places])
    assert [of_scan[::20].tolist() for of_scan in found] == [[1, 2], [1, 2], [2], [2], [1, 2], [1, 2, 3]]


def test_an_object_hidden_for_longer_is_new_and_so_is_one_of_another_class():
    scans = [cloud((CAR, 5, 0)), cloud(), cloud(), cloud((CAR, 5, 0)), cloud((PERSON, 5, 0))]
    assert [of_scan[:1].tolist() for of_scan in ids(scans, max_age=2)] == [[1], [], [], [2], [3]]


def test_with_a_pose_what_stands_keeps_its_id_however_fast_the_car_is():
    parked, scans, poses = np.array([[20.0, 3, 0], [24.0, 3, 0]]), [], []
    for k in range(4):
        pose = rigid(np.eye(3), (4.0 * k, 0, 0))
        places = transform_points(parked, np.linalg.inv(pose))
        scans.append(cloud(*((CAR, x, y) for x, y, _ in places)))
        poses.append({**scans[-1], "pose": pose})
    assert [of_scan[::20].tolist() for of_scan in ids(poses)] == [[1, 2]] * 4
    assert [of_scan[::20].tolist() for of_scan in ids(scans)][1] != [1, 2]


def test_a_new_sequence_has_new_ids():
    scans = [cloud((CAR, 5, 0))] * 3
    heads = [header(0, "00/000000"), header(1, "00/000001"), header(2, "01/000000")]
    assert [of_scan[0] for of_scan in ids(scans, heads)] == [1, 1, 2]


def test_the_nearest_pair_comes_first():
    objects = Objects(3.0, 3)
    labels = np.array([CAR, CAR])
    assert objects.take(labels, np.array([[0, 0, 0], [2, 0, 0.0]])).tolist() == [1, 2]
    assert objects.take(labels, np.array([[1.9, 0, 0], [4.5, 0, 0.0]])).tolist() == [2, 3]
    assert objects.take(labels[:0], np.zeros((0, 3))).tolist() == []


@pytest.mark.parametrize(
    ("facts", "config", "message"),
    [
        ({}, {}, "needs the fact class_names of point_classes, got none"),
        ({"class_names": ["road", "car"]}, {}, "needs config.things of the names road, car, got none"),
        ({"class_names": ["road", "car"]}, {"things": ["bus"]}, "needs config.things of the names road, car, got bus"),
    ],
)
def test_classes_of_things_must_be_known(facts, config, message):
    with pytest.raises(FrameError, match=re.escape(message)):
        run_operator(Instances, [cloud((CAR, 5, 0))], config, meta=[{"point_classes": facts}])


def test_classes_of_another_scan_are_refused():
    scan = cloud((CAR, 5, 0))
    with pytest.raises(FrameError, match="needs a class of each of the 20 points, got 19"):
        ids([{**scan, "point_classes": scan["point_classes"][1:]}])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"cell_m": 0.0}, "cell_m: needs more than 0, got 0"),
        ({"cell_m": 0.001}, "cell_m: needs at most 67108864 cells in range_m, got cells of 0.001 m"),
        ({"gap_per_m": -1.0}, "gap_per_m: needs 0 or more, got -1"),
        ({"min_points": 0}, "min_points: needs 1 or more, got 0"),
        ({"range_m": (0.0, 0.0, 0.0, 0.0, 1.0, 1.0)}, "range_m: needs x0 < x1"),
    ],
)
def test_a_wrong_config_names_its_key(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        InstancesConfig(**config)
