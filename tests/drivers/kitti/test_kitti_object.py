import numpy as np
import pytest
from kitti_files import refused

from drivers.kitti.object import KittiObject, ObjectConfig
from operators.streams import CALIBRATION, IMAGE, POINTS, TRUTH
from pipeline.errors import InputError

CAR = "Car 0.25 0 -1.5 10 20 110 120 1.5 1.8 4.2 1 1.7 10 0.5"


@pytest.fixture
def recorded(kitti):
    """3 full and reduced, 5 reduced only, 9 full only; 5 has another camera, 3 an image of another size, 9 no objects."""
    for frame, full, reduced in ((3, 4, 2), (5, None, 3), (9, 0, None)):
        for kind, num in (("velodyne", full), ("velodyne_reduced", reduced)):
            if num is not None:
                kitti.scan(f"training/{kind}/{frame:06d}.bin", np.full((num, 4), frame))
        kitti.calib(f"training/calib/{frame:06d}.txt", P2=f"700 0 600 {35 + (frame == 5)} 0 700 180 0 0 0 1 0")
        kitti.write(kitti.root / f"training/label_2/{frame:06d}.txt", "" if frame == 9 else CAR)
    kitti.picture("training/image_2/000003.png", rgb=(9, 8, 7))
    return kitti


def test_every_port(recorded, play):
    statics, readings = play(KittiObject, ObjectConfig(root=str(recorded.root)))
    assert [(r.item, r.stamp_ns) for r in readings] == [("000003", 0), ("000005", 100_000_000), ("000009", 200_000_000)]
    assert [set(r.values) for r in readings] == [{"points", "image", "truth"}, {"points", "truth"}, {"points", "truth"}]
    schemas = {"points": POINTS, "image": IMAGE, "truth": TRUTH}
    for reading in readings:
        for port, value in reading.values.items():
            schemas[port].check(schemas[port].unpack(value, port), port)
    assert [len(r.values["points"]) for r in readings] == [4, 3, 0]
    assert [len(r.values["truth"].labels) for r in readings] == [1, 1, 0]
    assert readings[0].values["truth"].truncated[0] == 0.25
    for static in statics:
        CALIBRATION.check(CALIBRATION.unpack(static.value, "c"), "c")
    assert [(s.from_ns, s.value.P_cam[0, 3], s.value.image_size.tolist()) for s in statics] == [
        (0, 35, [8, 6]),
        (100_000_000, 36, [1242, 375]),
        (200_000_000, 35, [1242, 375]),
    ]


def test_a_calibration_that_stays_is_sent_once(recorded, play):
    recorded.calib("training/calib/000005.txt")
    (recorded.root / "training/image_2/000003.png").unlink()
    statics, _ = play(KittiObject, ObjectConfig(root=str(recorded.root)), {"calibration"})
    assert [s.from_ns for s in statics] == [0]


@pytest.mark.parametrize(
    "scan, items, counts",
    [
        ("auto", ["000003", "000005", "000009"], [4, 3, 0]),
        ("velodyne", ["000003", "000009"], [4, 0]),
        ("velodyne_reduced", ["000003", "000005"], [2, 3]),
    ],
)
def test_which_scans(recorded, play, scan, items, counts):
    _, readings = play(KittiObject, ObjectConfig(root=str(recorded.root), scan=scan), {"points"})
    assert [r.item for r in readings] == items and [len(r.values["points"]) for r in readings] == counts


def test_going_on_in_the_middle(recorded, play):
    _, readings = play(KittiObject, ObjectConfig(root=str(recorded.root)), {"points"}, start=2)
    assert [r.item for r in readings] == ["000009"]


def test_testing_has_no_labels(kitti, play):
    kitti.scan("testing/velodyne/000001.bin", [])
    kitti.calib("testing/calib/000001.txt")
    _, readings = play(KittiObject, ObjectConfig(root=str(kitti.root), split="testing"), {"points", "truth", "calibration"})
    assert [set(r.values) for r in readings] == [{"points"}]


@pytest.mark.parametrize("kind, port", [("image_2", "image"), ("calib", "calibration"), ("calib", "truth")])
def test_a_connected_port_without_files(recorded, play, kind, port):
    for path in (recorded.root / "training" / kind).iterdir():
        path.unlink()
    config = ObjectConfig(root=str(recorded.root))
    play(KittiObject, config, {"points"})
    with pytest.raises(InputError) as e:
        play.opened(KittiObject, config, {"points", port})
    folder = recorded.root / "training" / kind
    assert str(e.value) == f"src: {port} is connected, but {folder} holds no files; add what is missing or disconnect src.{port}"


def find_error(config):
    return refused(KittiObject, config)


def test_found_before_the_start(recorded):
    root = recorded.root
    config = ObjectConfig(root=str(root))
    scan = recorded.write(root / "training/velodyne/000009.bin", b"abc")
    assert (
        find_error(config)
        == f"{scan}: needs a multiple of 16 bytes (x y z intensity, float32), got 3 bytes; copied incompletely?"
    )
    recorded.scan("training/velodyne/000009.bin", [])

    calib = recorded.calib("training/calib/000005.txt", Tr_velo_to_cam=None)
    assert find_error(config) == f"{calib}: needs a line Tr_velo_cam or Tr_velo_to_cam or Tr with 12 numbers, got none"
    calib.unlink()
    assert find_error(config) == f"{calib}: needs to be there, other frames have one; got no such file"
    recorded.calib("training/calib/000005.txt")

    label = recorded.write(root / "training/label_2/000005.txt", f"{CAR} 0.9\n")
    assert find_error(config) == f"{label}:1: needs 15 columns, got 16"


def test_wrong_settings(recorded):
    root = str(recorded.root)
    layout = "training/ or testing/, and in it velodyne/, velodyne_reduced/ or image_2/"
    needs = f"kitti.object: config.root: needs a folder with {layout}, got"
    assert find_error(ObjectConfig()) == f"{needs} nothing; set --set NODE.config.root=DIR"
    assert (
        find_error(ObjectConfig(root=root, split="testing")) == f"{needs} {root} (holds training); set --set NODE.config.root=DIR"
    )


@pytest.mark.data
def test_the_real_frames(shared_data, play):
    _, readings = play(KittiObject, ObjectConfig(root=str(shared_data / "kitti_object")))
    assert len(readings) == 21
    assert sum("image" in r.values for r in readings) == 4
    labels = np.concatenate([r.values["truth"].labels for r in readings])
    assert [(labels == k).sum() for k in (0, 1, 2)] == [56, 15, 9]  # counts from the data's README
    sizes = {r.item: len(r.values["points"]) for r in readings}
    assert sizes["000000"] > 100_000 > sizes["000038"]  # the full sweep if there is one
