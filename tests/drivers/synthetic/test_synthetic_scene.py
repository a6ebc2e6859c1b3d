import math
from collections import Counter

import numpy as np
import pytest

import naive
from drivers.synthetic import materials
from drivers.synthetic.scene import FIRST_PLACED_ID, PHASES, Placed, Stage, pose
from drivers.synthetic.spinning import LidarConfig, SpinningLidar
from drivers.synthetic.street import CAR, CYCLIST, PEDESTRIAN, TRUCK, VAN
from drivers.synthetic.street_layout import make_street
from operators.geometry.transforms import invert, transform_points

DRIVES = range(30)
EGO = np.array([(1.7 - 3.2) / 2, 0.0, -1.0, 4.9, 2.4, 1.5, 0.0])
"""x y z l w h yaw of the ego vehicle around its sensor."""

SIZE = np.array([0, 0, 0, 1, 1, 1, 0])


@pytest.fixture(scope="module")
def stage():
    return Stage("train")


@pytest.fixture(scope="module")
def scenes(stage):
    """30 drives at 3 s; copied, because the next scene overwrites them."""
    out = []
    for drive in DRIVES:
        scene = stage.build(make_street(7, drive), 3.0, 80.0)
        out.append(scene._replace(triangles=scene.triangles.copy()))
    return out


def test_a_bare_street_is_ground(stage):
    scene = stage.build(make_street(7, 0, density=0.0), 0.0, 60.0)
    assert scene.objects.boxes3d.shape == (0, 7) and scene.objects.velocities.shape == (0, 3)
    assert len(scene.objects.labels) == len(scene.objects.track_ids) == 0
    assert set(scene.owners) == {-1} and len(scene.triangles) > 100
    assert set(scene.materials) <= {
        materials.ASPHALT, materials.LANE_MARK, materials.KERB, materials.SIDEWALK, materials.GRASS, materials.SOIL,
    }  # fmt: skip
    near = np.hypot(scene.triangles[..., 0], scene.triangles[..., 1]).max(1) < 12
    assert near.any() and scene.triangles[near][..., 2].max() < -1, "the sensor stands above it"


def test_arrays_fit_each_other(scenes):
    for scene in scenes:
        count, objects = len(scene.triangles), scene.objects
        assert scene.triangles.shape == (count, 3, 3) and scene.colors.shape == (count, 3) and np.isfinite(scene.triangles).all()
        for name, dtype in (
            ("materials", np.int32), ("owners", np.int64), ("reflectance", np.float32), ("keys", np.int64),
        ):  # fmt: skip
            assert getattr(scene, name).shape == (count,) and getattr(scene, name).dtype == dtype
        assert 0.005 <= scene.reflectance.min() and scene.reflectance.max() <= 1
        assert set(scene.owners) == {*range(-1, len(objects.labels))}, "every object has a body"
        assert len(np.unique(scene.keys)) == count, "no key twice"
        assert len(np.unique(objects.track_ids)) == len(objects.labels)
        assert (np.hypot(*objects.boxes3d[:, :2].T) < 80.5).all()


def test_all_classes_are_there(scenes):
    count = Counter(int(label) for scene in scenes for label in scene.objects.labels)
    assert set(count) == {CAR, PEDESTRIAN, CYCLIST, VAN, TRUCK} and count[CAR] > count[VAN] > count[TRUCK] > 5
    assert min(count[PEDESTRIAN], count[CYCLIST]) > 100


def test_bodies_lie_in_their_boxes(scenes):
    """Mirrors, bags and hands stick out; slopes and the sensor's tilt shift high parts."""
    for scene in scenes[:10]:
        for k, box in enumerate(scene.objects.boxes3d):
            corners = scene.triangles[scene.owners == k].reshape(-1, 3)
            assert naive.inside_box(corners, box + 0.3 * SIZE).all()
            assert naive.inside_box(corners, box + 0.06 * SIZE).mean() > 0.8


def overlaps(boxes):
    """Number of pairs that share volume."""
    i, j = np.triu_indices(len(boxes), 1)
    radius = np.hypot(boxes[:, 3], boxes[:, 4]) / 2
    near = np.hypot(*(boxes[i, :2] - boxes[j, :2]).T) < radius[i] + radius[j]
    return sum(naive.overlap_3d(boxes[a], boxes[b])[0] > 0 for a, b in zip(i[near], j[near], strict=True)), len(i)


def test_objects_do_not_overlap(scenes):
    counts = np.array([overlaps(scene.objects.boxes3d) for scene in scenes])
    shared, pairs = counts.sum(0)
    assert pairs > 50_000 and shared <= 0.0001 * pairs, "a truck too long for its gap, a stride too wide for its lane"


def test_bodies_are_no_longer_than_their_places(scenes):
    """Trucks and vans only where a row has room for them."""
    long = 0
    for drive, scene in zip(DRIVES, scenes, strict=True):
        room = {
            t.track_id: t.room_m for t in make_street(7, drive).things(3.0, 80.0) if t.kind in ("vehicles", "car_like", "strays")
        }
        for label, track_id, length in zip(
            scene.objects.labels, scene.objects.track_ids.tolist(), scene.objects.boxes3d[:, 3], strict=True
        ):
            if label in (CAR, VAN, TRUCK):
                assert length <= max(room[track_id], 5.2) + 1e-9
                long += length > 5.5
    assert long > 10


def test_some_pedestrians_push_or_draw_something(stage):
    """It stands on the ground at them, belongs to nobody, and moves along."""
    street, near = make_street(7, 1, "plaza"), 0
    for t_s in (3.0, 4.0):
        things = {t.track_id: t for t in street.things(t_s, 80.0) if t.kind == "pedestrians" and t.u[4] < 0.12}
        scene = stage.build(street, t_s, 80.0)
        carried = scene.keys // (1 << 14) - (1 << 41)
        assert set(np.unique(carried[carried >= 0]).tolist()) == set(things) and len(things) > 2
        for track_id in things:
            middle = scene.triangles[carried == track_id].mean((0, 1))
            box = scene.objects.boxes3d[scene.objects.track_ids.tolist().index(track_id)]
            assert np.hypot(*(middle - box[:3])[:2]) < 1.3 and (scene.owners[carried == track_id] == -1).all()
            near += 1
    assert near > 5


def test_nobody_touches_the_ego(stage, scenes):
    for drive, scene in zip(DRIVES, scenes, strict=True):
        for boxes in (scene.objects.boxes3d, stage.build(make_street(7, drive), 11.0, 12.0).objects.boxes3d):
            near = boxes[np.hypot(boxes[:, 0], boxes[:, 1]) < 10]
            assert not any(naive.overlap_3d(box, EGO)[0] > 0 for box in near)


def test_a_scene_does_not_depend_on_those_before(scenes):
    for drive in (12, 3):
        scene = Stage("train").build(make_street(7, drive), 3.0, 80.0)
        for name in ("triangles", "materials", "colors", "owners", "reflectance", "keys"):
            assert getattr(scene, name).tobytes() == getattr(scenes[drive], name).tobytes()


def test_families_differ_in_bodies_alone(scenes):
    """Same places, same tracks, other meshes and sizes."""
    scene, other = scenes[2], Stage("test").build(make_street(7, 2), 3.0, 80.0)
    np.testing.assert_array_equal(scene.objects.track_ids, other.objects.track_ids)
    np.testing.assert_allclose(scene.objects.boxes3d[:, :2], other.objects.boxes3d[:, :2], atol=0.05)
    assert not (scene.objects.boxes3d[:, 3:6] == other.objects.boxes3d[:, 3:6]).all(1).any()


@pytest.mark.parametrize("view_deg", [60.0, 100.0, 180.0])
def test_what_is_left_out_could_not_be_seen(stage, view_deg):
    """A forward LiDAR sees the same in the whole scene and in the part that is built for it."""
    lidar = SpinningLidar(LidarConfig(view_deg=view_deg, columns=720), 10.0, 1)
    for drive in range(8):
        street, seen, sizes = make_street(7, drive), [], []
        for half_view in (math.pi, lidar.half_view_rad):
            scene = stage.build(street, 3.0, 80.0, half_view_rad=half_view)
            sizes.append(len(scene.triangles))
            seen.append(lidar.scan(scene, 5).points.tobytes())
        assert seen[0] == seen[1] and sizes[1] < sizes[0]


def test_whoever_is_placed_stands_there():
    """In the street's frame, on the ground, with a unique id; other objects do not change."""
    street, stage = make_street(7, 4), Stage("train")
    wishes = (Placed(CAR, 20.0, 9.0, 0.3, 5), Placed(PEDESTRIAN, 12.0, -30.0, -2.0, 7))
    without, scene = stage.build(street, 2.0, 50.0).objects, stage.build(street, 2.0, 50.0, wishes)
    objects, count = scene.objects, len(without.labels)
    np.testing.assert_array_equal(objects.boxes3d[:count], without.boxes3d)
    assert objects.labels[count:].tolist() == [CAR, PEDESTRIAN]
    assert objects.track_ids[count:].tolist() == [FIRST_PLACED_ID, FIRST_PLACED_ID + 1]
    assert (objects.velocities[count:] == 0).all()
    there = transform_points(objects.boxes3d[count:, :3], scene.T_street_velo)
    np.testing.assert_allclose(there[:, :2], [(20, 9), (12, -30)], atol=1e-9)
    bottom = there[:, 2] - objects.boxes3d[count:, 5] / 2
    np.testing.assert_allclose(bottom, [street.surface(w.x, w.y - street.bend(w.x)) for w in wishes], atol=1e-9)


def test_velocities_are_how_boxes_move():
    """Relative to the street, in the sensor frame; a winding street is slightly longer than its x axis."""
    fast = Counter()
    for drive in range(8):
        street, stage, dt = make_street(7, drive), Stage("train"), 0.02
        scene, then = stage.build(street, 4.0, 60.0), stage.build(street, 4.0 + dt, 60.0).objects
        places = dict(zip(then.track_ids.tolist(), then.boxes3d[:, :3], strict=True))
        T = invert(pose(street, 4.0)) @ pose(street, 4.0 + dt)
        for box, _, track_id, velocity in zip(*scene.objects, strict=True):
            if track_id in places:
                moved = (transform_points(places[track_id], T)[0] - box[:3]) / dt
                speed = np.linalg.norm(moved[:2])
                assert np.linalg.norm((moved - velocity)[:2]) <= 0.005 * speed + 0.02
                fast[speed > 5] += 1
        np.testing.assert_allclose(scene.ego_velocity, T[:3, 3] / dt, atol=0.005 * street.ego_speed_mps)
        assert scene.ego_yaw_rate == pytest.approx(math.atan2(T[1, 0], T[0, 0]) / dt, abs=0.01)
    assert min(fast.values()) > 20


def test_walkers_walk():
    """Their pose changes with time and repeats with each stride."""
    street, stage = make_street(7, 1, "plaza"), Stage("train")
    looks = {}
    for t_s in np.arange(0, 3, 0.1):
        scene = stage.build(street, float(t_s), 30.0)
        for k, track_id in enumerate(scene.objects.track_ids.tolist()):
            if scene.objects.labels[k] == PEDESTRIAN and np.linalg.norm(scene.objects.velocities[k]) > 0.5:
                body = scene.triangles[scene.owners == k]
                spread = np.linalg.norm(body.mean(1) - body.mean((0, 1)), axis=1).std()  # independent of rotation
                looks.setdefault(track_id, []).append(round(float(spread), 7))
    seen = [len(set(v)) for v in looks.values() if len(v) > 25]
    assert len(seen) > 3 and max(seen) <= PHASES and min(seen) > 2
