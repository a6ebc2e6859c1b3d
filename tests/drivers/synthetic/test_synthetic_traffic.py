import hashlib
import math
import time
from itertools import pairwise

import numpy as np
import pytest

from drivers.synthetic.traffic import SyntheticTraffic, TrafficConfig
from operators.geometry.transforms import invert, transform_boxes
from operators.streams import BOXES3D_PROBABILITY, CALIBRATION, POINTS, POSE, TRUTH
from pipeline.errors import InputError

SCHEMAS = {"points": POINTS, "boxes3d": BOXES3D_PROBABILITY, "truth": TRUTH, "pose": POSE}
QUIET = {"position_noise_m": 0.0, "size_noise": 0.0, "yaw_noise_rad": 0.0, "miss_rate": 0.0, "false_alarms": 0.0}


def content(reading):
    """The whole content of a reading, as bytes per port."""
    return {
        port: b"".join(array.tobytes() for array in SCHEMAS[port].unpack(value, port).values())
        for port, value in reading.values.items()
    }


def test_an_empty_road(play):
    _, readings = play(SyntheticTraffic, TrafficConfig(frames=2, cars=0, pedestrians=0, cyclists=0, false_alarms=0))
    for reading in readings:
        for port, value in reading.values.items():
            SCHEMAS[port].check(SCHEMAS[port].unpack(value, port), port)
        assert len(reading.values["truth"].labels) == len(reading.values["boxes3d"].labels) == 0
        assert len(reading.values["points"]) > 10_000


def test_no_frames(play):
    assert play(SyntheticTraffic, TrafficConfig(frames=0))[1] == []


def test_every_port(play):
    statics, readings = play(SyntheticTraffic, TrafficConfig(frames=20))
    assert [(r.item, r.stamp_ns) for r in readings[:3]] == [
        ("0000/000000", 0),
        ("0000/000001", 100_000_000),
        ("0000/000002", 200_000_000),
    ]
    for reading in readings:
        assert set(reading.values) == set(SCHEMAS)
        for port, value in reading.values.items():
            SCHEMAS[port].check(SCHEMAS[port].unpack(value, port), port)
        for boxes in (reading.values["truth"].boxes3d, reading.values["boxes3d"].boxes3d):
            assert (boxes[:, 6] >= -math.pi).all() and (boxes[:, 6].astype(float) < math.pi).all() and (boxes[:, 3:6] > 0).all()
        scores = reading.values["boxes3d"].scores
        assert (np.diff(scores) <= 0).all() and scores.min() >= 0 and scores.max() <= 1
        assert 15_000 < len(reading.values["points"]) < 23_040
        assert reading.values["points"][:, 3].min() >= 0 and reading.values["points"][:, 3].max() <= 1
    assert [s.port for s in statics] == ["calibration"]
    CALIBRATION.check(CALIBRATION.unpack(statics[0].value, "c"), "c")


def test_reading_may_start_anywhere_and_take_any_ports(play):
    config = TrafficConfig(frames=12)
    whole = [content(r) for r in play(SyntheticTraffic, config)[1]]
    assert [content(r) for r in play(SyntheticTraffic, config)[1]] == whole
    for start in (1, 7, 11, 12):
        assert [content(r) for r in play(SyntheticTraffic, config, start=start)[1]] == whole[start:]
    for port in SCHEMAS:
        assert [content(r) for r in play(SyntheticTraffic, config, {port})[1]] == [{port: frame[port]} for frame in whole]


def test_the_bytes_of_the_default_world(play):
    """A changed digest changes the demo's results on every machine: change the world only on purpose."""
    digest = hashlib.sha256()
    for reading in play(SyntheticTraffic, TrafficConfig(frames=5))[1]:
        for array in (
            reading.values["points"],
            *reading.values["boxes3d"],
            reading.values["truth"].boxes3d,
            reading.values["truth"].track_ids,
        ):
            digest.update(array.tobytes())
    assert digest.hexdigest()[:16] == "e16aaeb7bb091614"


def test_another_seed_is_another_world(play):
    one, two = (content(play(SyntheticTraffic, TrafficConfig(frames=1, seed=seed))[1][0]) for seed in (7, 8))
    assert all(one[port] != two[port] for port in ("points", "boxes3d", "truth"))


def test_without_noise_the_detections_are_the_truth(play):
    _, readings = play(SyntheticTraffic, TrafficConfig(frames=20, **QUIET), {"boxes3d", "truth"})
    for reading in readings:
        seen, truth = reading.values["boxes3d"], reading.values["truth"]
        order, true_order = np.lexsort(seen.boxes3d.T), np.lexsort(truth.boxes3d.T)
        assert np.array_equal(seen.boxes3d[order], truth.boxes3d[true_order])
        assert np.array_equal(seen.labels[order], truth.labels[true_order])


def test_misses_and_false_alarms_at_their_rates(play):
    missing = play(SyntheticTraffic, TrafficConfig(**{**QUIET, "miss_rate": 0.2}), {"boxes3d", "truth"})[1]
    seen, true = (sum(len(r.values[port].labels) for r in missing) for port in ("boxes3d", "truth"))
    assert 1 - seen / true == pytest.approx(0.2, abs=0.05)
    false = play(SyntheticTraffic, TrafficConfig(**{**QUIET, "false_alarms": 1.5}), {"boxes3d", "truth"})[1]
    more = [len(r.values["boxes3d"].labels) - len(r.values["truth"].labels) for r in false]
    assert np.mean(more) == pytest.approx(1.5, abs=0.3)


def test_the_noise_is_as_configured(play):
    config = TrafficConfig(**{**QUIET, "position_noise_m": 0.3, "yaw_noise_rad": 0.1})
    off = []
    for reading in play(SyntheticTraffic, config, {"boxes3d", "truth"})[1]:
        seen, truth = reading.values["boxes3d"].boxes3d, reading.values["truth"].boxes3d
        nearest = np.linalg.norm(seen[:, None, :2] - truth[None, :, :2], axis=2).argmin(axis=1)
        d = seen - truth[nearest]
        d[:, 6] = np.angle(np.exp(1j * d[:, 6]))
        off.append(d)
    spread = np.concatenate(off).std(axis=0)
    assert spread == pytest.approx([0.3, 0.3, 0.1, 0, 0, 0, 0.1], abs=0.02)


def test_points_lie_on_boxes_or_on_the_ground(play):
    reading = play(SyntheticTraffic, TrafficConfig(frames=31), {"points", "truth"}, start=30)[1][0]
    points, boxes = reading.values["points"].astype(float), reading.values["truth"].boxes3d.astype(float)
    on_ground = np.abs(points[:, 2] + 1.73) < 0.06
    on_box = np.zeros(len(points), int)
    for box in boxes:
        c, s, d = math.cos(box[6]), math.sin(box[6]), points[:, :3] - box[:3]
        own = np.abs(np.stack([c * d[:, 0] + s * d[:, 1], c * d[:, 1] - s * d[:, 0], d[:, 2]], 1))
        on_box += (own < box[3:6] / 2 + 0.15).all(1)
    assert (on_ground | (on_box > 0)).all()
    assert (~on_ground).sum() > 500


def test_parked_cars_stay_where_they_are_in_the_world(play):
    _, readings = play(SyntheticTraffic, TrafficConfig(), {"pose", "truth"})
    places = {}
    for reading in readings:
        truth = reading.values["truth"]
        in_world = transform_boxes(truth.boxes3d.astype(float), reading.values["pose"])
        for track_id, box in zip(truth.track_ids, in_world, strict=True):
            places.setdefault(int(track_id), []).append(box)
    still = [np.array(p) for p in places.values() if len(p) > 20 and np.ptp(np.array(p)[:, 0]) < 0.01]
    assert len(still) >= 2
    for place in still:
        assert np.ptp(place[:, :2], axis=0).max() < 1e-4 and np.ptp(np.unwrap(place[:, 6])) < 1e-5


def test_the_world_is_the_velodyne_at_frame_0(play):
    readings = play(SyntheticTraffic, TrafficConfig(frames=100), {"pose"})[1]
    poses = [r.values["pose"] for r in readings]
    assert np.array_equal(poses[0], np.eye(4))
    steps = [invert(a) @ b for a, b in pairwise(poses)]
    assert [np.linalg.norm(step[:2, 3]) for step in steps] == pytest.approx([0.5] * 99, abs=0.006)
    assert [step[1, 3] for step in steps] == pytest.approx([0] * 99, abs=0.01)  # a car does not move sideways
    assert max(abs(math.atan2(pose[1, 0], pose[0, 0])) for pose in poses) > 0.1


def test_objects_ahead_are_in_the_picture(play):
    reading = play(SyntheticTraffic, TrafficConfig(frames=1), {"truth"})[1][0]
    truth = reading.values["truth"]
    in_picture = (truth.boxes2d[:, 2] > truth.boxes2d[:, 0]) & (truth.boxes2d[:, 3] > truth.boxes2d[:, 1])
    angle = np.arctan2(truth.boxes3d[:, 1], truth.boxes3d[:, 0])
    assert in_picture[np.abs(angle) < 0.6].all() and in_picture.any()
    assert not in_picture[np.abs(angle) > 1.2].any()


@pytest.mark.parametrize(
    "key, value, needs",
    [
        ("frames", -1, "0..1099511627776"),
        ("rate_hz", 0, "0.001..1000000.0"),
        ("miss_rate", 1.5, "0..1"),
        ("false_alarms", 9, "0..8"),
        ("cars", 63, "0..62"),
    ],
)
def test_wrong_settings(key, value, needs):
    with pytest.raises(InputError) as e:
        SyntheticTraffic.find(TrafficConfig(**{key: value}))
    assert str(e.value) == f"synthetic.traffic: config.{key}: needs {needs}, got {value}"


def test_a_frame_is_cheap(play):
    source = play.opened(SyntheticTraffic, TrafficConfig())
    times = []
    for _ in range(40):
        start = time.process_time()
        source.read()
        times.append(time.process_time() - start)
    assert np.median(times) < 0.03  # 6 ms on an idle machine; the margin is for machines under load
