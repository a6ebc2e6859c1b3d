"""Live keys of the shipped operators: they exist, and a value that is set between two frames acts as one of the file."""

import cv2
import numpy as np
import pytest
from tracking import CAR, detections

from operators.detect.merge import Merge
from operators.fuse.health import FuseHealth
from operators.fuse.panoptic import FusePanoptic
from operators.fuse.tracks import FuseTracks, FuseTracksConfig, Ties
from operators.lidar.cluster import Cluster
from operators.lidar.ground import Ground
from operators.lidar.instances import Instances as LidarInstances
from operators.render.picture import Picture
from operators.render.points import Points
from operators.render.scene import Scene, Trails
from operators.streams import Boxes2D, Boxes3D, Instances, Tracks
from operators.thermal.agc import Agc
from operators.track.panoptic import TrackPanoptic
from operators.track.tracker import Tracker
from operators.track.tracker2d import Tracker2d
from pipeline import settings
from pipeline.errors import GraphError
from pipeline.graph import lookup
from pipeline.runtime.live_config import changed
from pipeline.testing import run_operator

CLOUD = np.array([(x, y, z, z / 2 + 1) for x in (10, 10.2, 10.4) for y in (-0.2, 0, 0.2) for z in np.linspace(-1.45, 0, 10)])
CLOUD = CLOUD.astype(np.float32)  # a person
BOXES = Boxes3D(np.array([[10, 0, 0, 4, 2, 1.5, 0]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int32))
BESIDE = BOXES._replace(boxes3d=BOXES.boxes3d + np.array([1, 0, 0, 0, 0, 0, 0], np.float32))
MASKS = Instances(
    np.array([[2, 2, 10, 10]], np.float32), np.array([0.6], np.float32), np.zeros(1, np.int32), np.full((1, 4, 4), 9, np.float32)
)
SEMANTIC = {"semantic": np.stack([np.zeros((16, 16), np.float32), np.ones((16, 16), np.float32)]), "instances": MASKS}
FACTS = {"class_names": ["car", "road"], "things": ["car"]}
OF_POINTS = {"points": CLOUD, "point_classes": np.zeros(len(CLOUD), np.uint8)}
SEEN = {"instances": MASKS, "embeddings": np.ones((1, 2), np.float32)}
RAW = np.arange(1000, 1064, dtype=np.uint16).reshape(8, 8)
BOX2D = Boxes2D(np.array([[50, 50, 70, 90]], np.float32), np.array([0.65], np.float32), np.zeros(1, np.int32))

CASES = [  # operator, inputs of each frame, meta, config, live key, another value
    (Merge, {"a": BOXES, "b": BESIDE}, {}, {}, "nms_iou", 1.0),
    (Cluster, CLOUD, {}, {}, "min_points", 91),
    (Ground, CLOUD, {}, {}, "above_m", 1.0),
    (LidarInstances, OF_POINTS, {"point_classes": FACTS}, {}, "min_points", 91),
    (FusePanoptic, SEMANTIC, {"semantic": FACTS, "instances": FACTS}, {"min_stuff_px": 1}, "score_threshold", 0.7),
    (TrackPanoptic, SEEN, {}, {}, "min_score", 0.7),
    (Agc, {"thermal_raw": RAW}, {}, {"method": "fixed"}, "range_counts", [1000, 1063]),
    (FuseHealth, {"thermal": np.zeros((32, 32), np.uint8)}, {}, {}, "usable.blank", 1.0),
]


def same(a, b):
    if isinstance(a, dict):
        return all(same(a[port], b[port]) for port in a)
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else np.array_equal(a, b)


@pytest.mark.parametrize(
    ("cls", "inputs", "meta", "config", "key", "value"), CASES, ids=lambda case: getattr(case, "__name__", None)
)
def test_a_value_set_between_two_frames_acts_as_one_of_the_file(cls, inputs, meta, config, key, value):
    def run(config, **changes):
        return run_operator(cls, [inputs] * 2, config, meta=[meta] * 2, **changes)

    outer, _, inner = key.partition(".")
    before, after = run(config), run(config | {outer: {inner: value} if inner else value})
    first, second = run(config, changes={1: {key: value}})
    assert same(first, before[0]) and same(second, after[1]) and not same(second, before[1])


@pytest.mark.parametrize("preset", ["byte", "fairmot"])
def test_tracker2d_begins_tracks_under_new_rules_and_keeps_the_old_ones(preset):
    config = {"preset": preset, preset: {"high": 0.6, "birth": 0.6}}
    raised = {1: {f"{preset}.birth": 0.99}}
    tracks = run_operator(Tracker2d, [BOX2D] * 4, config)
    assert tracks[3].track_ids.tolist() == [1]
    two = Boxes2D(*(np.concatenate([part, part]) for part in BOX2D))
    two.boxes2d[1] += 200
    kept = run_operator(Tracker2d, [BOX2D, *[two] * 4], config, changes=raised)
    assert kept[4].track_ids.tolist() == [1], "the second object begins no track"
    assert len(run_operator(Tracker2d, [BOX2D, *[two] * 4], config)[4].track_ids) == 2


@pytest.mark.parametrize(
    ("preset", "rules", "extra"), [("best", "best", {}), ("best", "best", {"unsure": "keep"}), ("ab3dmot", "ab3dmot", {})]
)
def test_the_tracker_ignores_boxes_below_a_new_score(preset, rules, extra):
    frames, config = [detections((CAR, 10, 0))] * 40, {"preset": preset, "use_ego_motion": False} | extra
    free = run_operator(Tracker, frames, config)
    strict = run_operator(Tracker, frames, config, changes={6: {f"{rules}.car.min_score": 0.95}})
    for k in range(6):
        assert same(free[k]["tracks"], strict[k]["tracks"])
    assert free[39]["tracks"].track_ids.tolist() == [1]
    assert strict[39]["tracks"].track_ids.tolist() == [], "it sees nothing any more"


def test_tracks_without_a_score_begin_when_the_limit_falls():
    frames = [detections((CAR, 10, 0))] * 10
    config = {"best": {"car": {"min_score": 0.95}}}
    found = run_operator(Tracker, frames, config, changes={3: {"best.car.min_score": None}})
    assert found[2]["tracks"].track_ids.tolist() == [] and found[9]["tracks"].track_ids.tolist() == [1]


def test_trails_keep_their_newest_positions():
    trails = Trails(5)

    def paths(x):
        boxes = np.array([[x, 0, 0, 4, 2, 1.5, 0]], np.float32)
        return trails.add(Tracks(boxes, np.ones(1, np.float32), np.zeros(1, np.int32), np.ones(1, np.int64)), None)[0][:, 0]

    for x in range(5):
        paths(x)
    trails.set_length(2)
    assert paths(5).tolist() == [4, 5]
    trails.set_length(4)
    assert [paths(x).tolist() for x in (6, 7)] == [[4, 5, 6], [4, 5, 6, 7]]


@pytest.mark.parametrize("cls", [Scene, Points, Picture])
def test_pngs_come_as_often_as_set(cls, tmp_path):
    inputs = {"points": CLOUD} if cls is not Picture else {"image": np.zeros((32, 32, 3), np.uint8)}
    inputs |= {"point_classes": np.zeros(len(CLOUD), np.uint8)} if cls is Points else {}
    run_operator(cls, [inputs] * 6, {"png_every": 0, "video": False}, changes={3: {"png_every": 1}}, out_dir=tmp_path)
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["000003.png", "000004.png", "000005.png"]


def test_the_scene_draws_with_new_keys(tmp_path):
    config = {"png_every": 1, "video": False, "range_m": [0, -8, 16, 8]}
    run_operator(Scene, [{"points": CLOUD}] * 2, config, changes={1: {"color_by": "intensity"}}, out_dir=tmp_path)
    height, intensity = (cv2.imread(str(tmp_path / f"frames/{k:06d}.png"))[30:] for k in range(2))
    assert (height != intensity).any()


def test_ties_follow_their_new_limits():
    fuse, new = FuseTracks(), FuseTracksConfig(min_iou=0.9)
    fuse.config, fuse.ties = FuseTracksConfig(), Ties(FuseTracksConfig(), 1)
    ids, overlap = np.ones(1, np.int64), np.full((1, 1), 0.7)
    fuse.reconfigure(new)
    assert [i.tolist() for i in fuse.ties.step(ids, ids, overlap)] == [[1], [2]], "0.7 is no tie any more"


def shipped():
    """Every shipped operator that imports here, with its name."""
    for name in lookup.shipped_nodes("op"):
        yield name, lookup.node_class(name)


def test_live_keys_are_keys_of_the_config_and_decide_no_slot():
    count = 0
    for name, cls in shipped():
        keys = settings.field_types(cls.Config)
        assert set(cls.tunable) <= set(keys), name
        assert not set(cls.tunable) & {"weights", "model", "device", "engine", "runtime", "video"}, name
        count += bool(cls.tunable)
    assert count >= 20


def test_a_key_that_is_not_live_is_refused_with_those_that_are():
    config = Merge.Config()
    assert changed("merge", Merge, config, "max_boxes", 7).max_boxes == 7
    for key, value, line in [
        ("nms_io", 0.1, "pipe set: merge.nms_io: unknown key; did you mean nms_iou?"),
        ("nms_iou", "x", "pipe set: merge.nms_iou: needs float, got 'x'"),
        ("nms_iou", 2, "pipe set: merge.nms_iou: needs 0 to 1, got 2"),
        ("nms_iou.deep", 2, "pipe set: merge.nms_iou.deep: needs a key inside of a mapping, but nms_iou is none"),
    ]:
        with pytest.raises(GraphError) as error:
            changed("merge", Merge, config, key, value)
        assert str(error.value) == line
    with pytest.raises(
        GraphError, match=r"scene\.video: needs a live key, got one that is read at the start; live ones: color_by"
    ):
        changed("scene", Scene, Scene.Config(), "video", False)
    with pytest.raises(GraphError, match=r"byte.hig: unknown key; did you mean high\?"):
        changed("tracker", Tracker2d, Tracker2d.Config(), "byte.hig", 0.5)
    with pytest.raises(GraphError, match=r"tracker: low, high, birth: needs low <= high <= birth|byte: low"):
        changed("tracker", Tracker2d, Tracker2d.Config(), "byte.low", 0.9)
