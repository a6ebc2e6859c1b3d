import numpy as np
import pytest
from kitti_files import refused

from drivers.kitti.tracking import KittiTracking, TrackingConfig
from operators.streams import CALIBRATION, GREY, IMAGE, POINTS, POSE, TRUTH
from pipeline.errors import GraphError, InputError
from pipeline.graph.check import check
from pipeline.graph.load import load

SECOND = 1_000_000_000
CAR = "Car 0 0 -1.5 10 20 110 120 1.5 1.8 4.2 1 1.7 10 0.5"


def points(value, num=3):
    return np.full((num, 4), value, np.float32)


@pytest.fixture
def recorded(kitti):
    """Frames 60, 61 and 63 of sequence 0004, the last one empty; 64 lines of oxts."""
    for frame, num in ((60, 3), (61, 5), (63, 0)):
        kitti.scan(f"velodyne/0004/{frame:06d}.bin", points(frame, num))
        kitti.picture(f"image_02/0004/{frame:06d}.png", rgb=(frame, 0, 0))
        kitti.picture(f"image_00/0004/{frame:06d}.png", rgb=(frame, frame, frame))
    kitti.calib("calib/0004.txt")
    kitti.oxts(64, "oxts/0004.txt")
    kitti.write(kitti.root / "label_02/0004.txt", f"61 5 {CAR}\n99 5 {CAR}\n")
    return kitti


def test_every_port(recorded, play):
    statics, readings = play(KittiTracking, TrackingConfig(root=str(recorded.root)))
    assert [r.item for r in readings] == ["0004/000060", "0004/000061", "0004/000063"]
    assert [r.stamp_ns for r in readings] == [6 * SECOND, 61 * SECOND // 10, 63 * SECOND // 10]
    schemas = {"points": POINTS, "image": IMAGE, "grey": GREY, "pose": POSE, "truth": TRUTH}
    for reading in readings:
        assert set(reading.values) == set(schemas)
        for port, schema in schemas.items():
            schema.check(schema.unpack(reading.values[port], port), port)
    assert [len(r.values["points"]) for r in readings] == [3, 5, 0]
    assert (readings[1].values["points"] == 61).all()
    assert readings[1].values["image"][0, 0].tolist() == [61, 0, 0] and readings[1].values["grey"][0, 0] == 61
    assert [len(r.values["truth"].labels) for r in readings] == [0, 1, 0]
    assert len(statics) == 1 and statics[0].from_ns == 0
    CALIBRATION.check(CALIBRATION.unpack(statics[0].value, "c"), "c")
    assert statics[0].value.image_size.tolist() == [8, 6]  # size of the images


def test_poses_are_those_of_the_frame_number_from_line_0_on(recorded, play):
    _, readings = play(KittiTracking, TrackingConfig(root=str(recorded.root)), {"pose"})
    assert [r.values["pose"][0, 3] for r in readings] == pytest.approx([60 * 1.11319, 61 * 1.11319, 63 * 1.11319], rel=1e-5)


def test_only_what_is_wanted_is_read(recorded, play):
    recorded.write(recorded.root / "image_02/0004/000061.png", b"broken")
    _, readings = play(KittiTracking, TrackingConfig(root=str(recorded.root)), {"points"})
    assert [set(r.values) for r in readings] == [{"points"}] * 3


def test_going_on_in_the_middle_gives_the_rest(recorded, play):
    config = TrackingConfig(root=str(recorded.root))
    whole = play(KittiTracking, config)[1]
    for start in (1, 2, 3):
        rest = play(KittiTracking, config, start=start)[1]
        assert [r.item for r in rest] == [r.item for r in whole[start:]]
        assert [r.values["points"].tobytes() for r in rest] == [r.values["points"].tobytes() for r in whole[start:]]
        assert [r.values["pose"].tobytes() for r in rest] == [r.values["pose"].tobytes() for r in whole[start:]]


def test_points_lie_in_the_slot(recorded, play):
    source = play.opened(KittiTracking, TrackingConfig(root=str(recorded.root)))
    given = []

    def alloc(port, name, shape, dtype):
        given.append(((port, name), np.empty(shape, dtype)))
        return given[-1][1]

    source.alloc = alloc
    values = source.read().values
    assert [key for key, _ in given] == [("points", "points"), ("image", "image"), ("grey", "image"), ("pose", "T_world_velo")]
    assert [array is values[key[0]] for key, array in given] == [True] * 4


def test_two_sequences(recorded, play):
    recorded.scan("velodyne/0002/000000.bin", points(2))
    recorded.calib("calib/0002.txt", P2="700 0 600 36 0 700 180 0 0 0 1 0")
    recorded.oxts(10, "oxts/0002.txt")
    config = TrackingConfig(root=str(recorded.root))
    statics, readings = play(KittiTracking, config, {"points", "pose", "truth", "calibration"})
    assert [(r.item, r.stamp_ns) for r in readings[:2]] == [("0002/000000", 0), ("0004/000060", 8 * SECOND)]
    assert [(s.from_ns, s.value.P_cam[0, 3]) for s in statics] == [(0, 36), (2 * SECOND, 35)]
    assert [("truth" in r.values) for r in readings] == [False, True, True, True]  # 0002 has no labels
    assert np.array_equal(readings[0].values["pose"], np.eye(4))  # each sequence has its own world frame

    statics, readings = play(KittiTracking, TrackingConfig(root=str(recorded.root), sequences=[4]), {"points"})
    assert [(r.item, r.stamp_ns) for r in readings][:1] == [("0004/000060", 6 * SECOND)]


def test_without_scans_the_pictures_are_the_frames(kitti, play):
    kitti.picture("image_03/0001/000007.png", rgb=(1, 2, 3))
    _, readings = play(KittiTracking, TrackingConfig(root=str(kitti.root), camera=3), {"image"})
    assert [(r.item, r.values["image"][0, 0].tolist()) for r in readings] == [("0001/000007", [1, 2, 3])]


def test_a_missing_picture_between_others_is_a_frame_without_picture(recorded, play):
    (recorded.root / "image_02/0004/000061.png").unlink()
    _, readings = play(KittiTracking, TrackingConfig(root=str(recorded.root)), {"points", "image"})
    assert [set(r.values) for r in readings] == [{"points", "image"}, {"points"}, {"points", "image"}]


def test_the_same_without_labels(recorded, play):
    config = TrackingConfig(root=str(recorded.root))
    before = play(KittiTracking, config)[1]
    (recorded.root / "label_02/0004.txt").unlink()
    after = play(KittiTracking, config)[1]
    assert [r.values["points"].tobytes() for r in after] == [r.values["points"].tobytes() for r in before]
    assert not any("truth" in r.values for r in after)


@pytest.mark.parametrize(
    "remove, port, missing",
    [
        ("oxts/0004.txt", "pose", "{root}/oxts/0004.txt is not there"),
        ("calib/0004.txt", "pose", "{root}/calib/0004.txt is not there"),
        ("calib/0004.txt", "calibration", "{root}/calib/0004.txt is not there"),
        ("calib/0004.txt", "truth", "{root}/calib/0004.txt is not there"),
    ],
)
def test_a_connected_port_that_could_never_come(recorded, play, remove, port, missing):
    (recorded.root / remove).unlink()
    config = TrackingConfig(root=str(recorded.root))
    play(KittiTracking, config, {"points"})
    with pytest.raises(InputError) as e:
        play.opened(KittiTracking, config, {"points", port})
    text = missing.format(root=recorded.root)
    hint = "; lidar.odometry gives poses from scans: graph kitti_lidar_odometry" if port == "pose" else ""
    assert str(e.value) == f"src: {port} is connected, but {text}; add what is missing or disconnect src.{port}{hint}"


@pytest.mark.parametrize("kind, port", [("velodyne", "points"), ("image_02", "image"), ("image_00", "grey")])
def test_a_connected_port_without_files(recorded, play, kind, port):
    for path in (recorded.root / kind / "0004").iterdir():
        path.unlink()
    with pytest.raises(InputError) as e:
        play.opened(KittiTracking, TrackingConfig(root=str(recorded.root)), {port})
    folder = recorded.root / kind / "0004"
    assert str(e.value) == f"src: {port} is connected, but {folder} holds no files; add what is missing or disconnect src.{port}"


def test_after_an_unreadable_scan_comes_the_next(recorded, play):
    bad = points(1)
    bad[1, 2] = np.nan
    path = recorded.scan("velodyne/0004/000061.bin", bad)
    source = play.opened(KittiTracking, TrackingConfig(root=str(recorded.root)), {"points"})
    assert source.read().item == "0004/000060"
    with pytest.raises(InputError) as e:
        source.read()
    assert str(e.value) == f"{path}: needs finite numbers, got NaN or infinity in 1 of 3 points, first point 1"
    assert source.read().item == "0004/000063"
    assert source.read() is None


def find_error(config):
    return refused(KittiTracking, config)


def test_found_before_the_start(recorded):
    root = recorded.root
    config = TrackingConfig(root=str(root))
    scan = recorded.write(root / "velodyne/0004/000061.bin", b"\0" * 17)
    assert (
        find_error(config)
        == f"{scan}: needs a multiple of 16 bytes (x y z intensity, float32), got 17 bytes; copied incompletely?"
    )
    recorded.scan("velodyne/0004/000061.bin", [])

    oxts = recorded.oxts(63, "oxts/0004.txt")
    assert find_error(config) == f"{oxts}: needs 64 lines (line = frame number, the last frame is 000063), got 63"
    recorded.oxts(64, "oxts/0004.txt")

    calib = recorded.calib("calib/0004.txt", R0_rect=None)
    assert find_error(config) == f"{calib}: needs a line R_rect or R0_rect with 9 numbers, got none"
    recorded.calib("calib/0004.txt")

    labels = recorded.write(root / "label_02/0004.txt", "0 1 Car\n")
    assert find_error(config) == f"{labels}:1: needs 17 columns, got 3"


def test_wrong_roots(kitti, tmp_path):
    needs = "kitti.tracking: config.root: needs a folder with velodyne/ or image_02/, got"
    hint = "; set --set NODE.config.root=DIR"
    assert find_error(TrackingConfig()) == f"{needs} nothing{hint}"
    assert find_error(TrackingConfig(root="/no/such")) == f"{needs} /no/such (not there){hint}"
    file = kitti.write(kitti.root / "file", "")
    assert find_error(TrackingConfig(root=str(file))) == f"{needs} {file} (a file){hint}"
    assert find_error(TrackingConfig(root=str(kitti.root))) == f"{needs} {kitti.root} (holds file){hint}"
    (tmp_path / "empty").mkdir()
    assert find_error(TrackingConfig(root=str(tmp_path / "empty"))) == f"{needs} {tmp_path / 'empty'} (holds nothing){hint}"


def test_wrong_settings(recorded):
    root = str(recorded.root)
    recorded.oxts(5, "oxts/0009.txt")
    assert (
        find_error(TrackingConfig(root=root, sequences="0001"))
        == f"kitti.tracking: config.sequences: needs sequences of {root} (0004, 0009), got 0001"
    )
    assert (
        find_error(TrackingConfig(root=root, sequences=9))
        == f"kitti.tracking: config.sequences: 0009 needs scans in {root}/velodyne/0009 or pictures, got no files"
    )


@pytest.mark.data
def test_the_real_sequence(shared_data, play):
    config = TrackingConfig(root=str(shared_data / "kitti_tracking_0000"))
    statics, readings = play(KittiTracking, config, {"points", "pose", "truth", "calibration"})
    assert len(readings) == 129 and len(statics) == 1
    assert [r.item for r in readings] == [f"0000/{k:06d}" for k in range(129)]
    labels = np.concatenate([r.values["truth"].labels for r in readings])
    assert (labels == 0).sum() == 65  # Cars, from the data's README
    assert statics[0].value.image_size.tolist() == [1242, 375]
    for reading in readings:
        assert reading.values["points"][:, 3].min() >= 0 and reading.values["points"][:, 3].max() <= 1


def test_pictures_of_any_kind(kitti, play):
    names = ("000000.jpg", "000001.JPG", "000002.jpeg", "000003.PNG", "000004.png", "000004.jpg")
    for number, name in enumerate(names):
        kitti.picture(f"image_02/0000/{name}", rgb=(40 * number,) * 3)
    _, readings = play(KittiTracking, TrackingConfig(root=str(kitti.root)), {"image"})
    assert [r.item for r in readings] == [f"0000/{k:06d}" for k in range(5)]
    assert [int(r.values["image"].mean()) for r in readings] == pytest.approx([0, 40, 80, 120, 160], abs=2)


GRAPH = """
  scans: {{driver: kitti.tracking, config: {{root: "{root}"}}}}
  snk:   {{op: test.null, inputs: {{in: scans.image}}}}
"""


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "scans: image is connected, but {folder} holds no files; add what is missing or disconnect scans.image"),
        ({"000000.gif": b"GIF89a"}, "scans: image is connected, but {folder} holds no files"),
        ({"000000.png": b"GIF89a"}, "scans: {folder}/000000.png: needs a PNG or JPEG picture, got a file that starts with b'GIF"),
        ({"000000.jpg": b""}, "scans: {folder}/000000.jpg: needs a PNG or JPEG picture, got an empty file"),
    ],
)
def test_check_finds_what_is_wrong_with_pictures(kitti, tmp_path, files, message):
    """And so does a run, before it starts."""
    kitti.scan("velodyne/0000/000000.bin", points(1))
    for name, content in files.items():
        kitti.write(kitti.root / "image_02/0000" / name, content)
    graph = kitti.write(tmp_path / "g.yaml", "version: 1\nnodes:" + GRAPH.format(root=kitti.root))
    with pytest.raises(GraphError) as e:
        check(load(str(graph)))
    assert str(e.value).startswith(f"{graph}:3: " + message.format(folder=kitti.root / "image_02/0000"))
    load(str(graph)).find("scans")  # the files of the other ports are fine
