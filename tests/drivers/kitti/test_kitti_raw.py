import numpy as np
import pytest
from kitti_files import refused

from drivers.kitti.raw import KittiRaw, RawConfig
from operators.streams import CALIBRATION, GREY, IMAGE, POINTS, POSE
from pipeline.errors import InputError
from pipeline.operator import attach, prepare

DATE, DRIVE = "2011_09_26", "2011_09_26_drive_0009_sync"
SECOND = 1_000_000_000


class Drive:
    def __init__(self, kitti, name=DRIVE, frames=(2, 3, 5)):
        self.kitti, self.where = kitti, f"{DATE}/{name}"
        self.folder = kitti.root / self.where
        for frame in frames:
            kitti.scan(f"{self.where}/velodyne_points/data/{frame:010d}.bin", np.full((frame, 4), frame))
            kitti.picture(f"{self.where}/image_02/data/{frame:010d}.png", rgb=(frame, 0, 0))
            kitti.picture(f"{self.where}/image_00/data/{frame:010d}.png", rgb=(frame, frame, frame))

    def stamps(self, sensor, *seconds):
        text = "".join(f"1970-01-01 00:00:{second:012.9f}\n" for second in seconds)
        return self.kitti.write(self.folder / sensor / "timestamps.txt", text)

    def oxts(self, *frames):
        for frame in frames:
            line = f"0 {frame * 1e-5:.6f} 0 0 0 0 " + " ".join(["0"] * 24)
            self.kitti.write(self.folder / f"oxts/data/{frame:010d}.txt", line + "\n")


@pytest.fixture
def drive(kitti):
    kitti.calib(f"{DATE}/calib_tracking_format.txt")
    made = Drive(kitti)
    made.oxts(0, 1, 2, 3, 4, 5)
    return made


def config(made, /, **changed):
    return RawConfig(root=str(made.kitti.root), **changed)


def test_every_port(drive, play):
    statics, readings = play(KittiRaw, config(drive))
    assert [(r.item, r.stamp_ns) for r in readings] == [
        (f"{DRIVE}/0000000002", 2 * SECOND // 10),
        (f"{DRIVE}/0000000003", 3 * SECOND // 10),
        (f"{DRIVE}/0000000005", 5 * SECOND // 10),
    ]
    schemas = {"points": POINTS, "image": IMAGE, "grey": GREY, "pose": POSE}
    for reading in readings:
        assert set(reading.values) == set(schemas)
        for port, value in reading.values.items():
            schemas[port].check(schemas[port].unpack(value, port), port)
    assert [len(r.values["points"]) for r in readings] == [2, 3, 5]
    assert [r.values["image"][0, 0, 0] for r in readings] == [2, 3, 5] and [r.values["grey"][0, 0] for r in readings] == [2, 3, 5]
    assert [r.values["pose"][0, 3] for r in readings] == pytest.approx([2 * 1.11319, 3 * 1.11319, 5 * 1.11319], rel=1e-5)
    assert len(statics) == 1
    CALIBRATION.check(CALIBRATION.unpack(statics[0].value, "c"), "c")


def test_two_sensors_with_their_own_timestamps(drive, play):
    drive.stamps("velodyne_points", 0, 0.1, 0.2000001, 0.3, 0.4, 0.5)
    drive.stamps("image_02", 0.01, 0.11, 0.21, 0.31, 0.41, 0.510000003)
    scans = play(KittiRaw, config(drive), {"points"})[1]
    pictures = play(KittiRaw, config(drive, clock="camera"), {"image"})[1]
    assert [r.stamp_ns for r in scans] == [200_000_100, 300_000_000, 500_000_000]
    assert [r.stamp_ns for r in pictures] == [210_000_000, 310_000_000, 510_000_003]
    assert [r.item for r in scans] == [r.item for r in pictures]


def test_a_sensor_that_misses_a_frame(drive, play):
    (drive.folder / "velodyne_points/data/0000000003.bin").unlink()
    by_scan = play(KittiRaw, config(drive), {"points", "image"})[1]
    by_picture = play(KittiRaw, config(drive, clock="camera"), {"points", "image"})[1]
    assert [r.item[-1] for r in by_scan] == ["2", "5"]
    assert [(r.item[-1], set(r.values)) for r in by_picture] == [
        ("2", {"points", "image"}),
        ("3", {"image"}),
        ("5", {"points", "image"}),
    ]


def test_the_rate_is_the_recorded_one(drive):
    assert KittiRaw.find(config(drive, rate_hz=5.0)).rate_hz == pytest.approx(1e9 / np.median([200_000_000, 400_000_000]))
    drive.stamps("velodyne_points", 0, 1, 2, 3, 4, 4.5)
    assert KittiRaw.find(config(drive)).rate_hz == pytest.approx(1 / 1.25)


def test_going_on_in_the_middle(drive, play):
    _, readings = play(KittiRaw, config(drive), start=2)
    assert [(r.item, len(r.values["points"])) for r in readings] == [(f"{DRIVE}/0000000005", 5)]


@pytest.mark.parametrize(
    "chosen",
    [
        {"drive": DRIVE},
        {"drive": "0009"},
        {"date": DATE, "drive": "0009"},
    ],
)
def test_choosing_one_of_two_drives(drive, play, chosen):
    Drive(drive.kitti, "2011_09_26_drive_0010_sync", frames=(0,))
    assert len(play(KittiRaw, config(drive, **chosen), {"points"})[1]) == 3


def find_error(asked):
    return refused(KittiRaw, asked)


def test_wrong_settings(drive):
    Drive(drive.kitti, "2011_09_26_drive_0010_sync", frames=(0,))
    both = f"kitti.raw: config.drive: needs one of {DRIVE}, 2011_09_26_drive_0010_sync, got"
    assert find_error(config(drive)) == f"{both} nothing"
    assert find_error(config(drive, drive="0011")) == f"{both} 0011"
    assert find_error(config(drive, date="2011_09_27")) == f"kitti.raw: config.date: needs one of {DATE}, got 2011_09_27"
    assert find_error(RawConfig()) == (
        "kitti.raw: config.root: needs a folder with DATE/DATE_drive_NNNN_sync/velodyne_points/data, got nothing; "
        "set --set NODE.config.root=DIR"
    )
    folder = drive.folder / "image_03" / "data"
    assert find_error(config(drive, drive="0009", clock="camera", camera=3)) == (
        f"kitti.raw: config.clock: camera needs files in {folder}, got none; there are frames of velodyne, grey, oxts"
    )


def test_a_folder_of_another_layout(kitti):
    kitti.scan("velodyne/0000/000000.bin", [])
    assert find_error(RawConfig(root=str(kitti.root))) == (
        f"kitti.raw: config.date: needs one of DATE/DATE_drive_NNNN_sync/velodyne_points/data in {kitti.root}, got nothing"
    )


def test_found_before_the_start(drive):
    scan = drive.kitti.write(drive.folder / "velodyne_points/data/0000000003.bin", b"abc")
    assert (
        find_error(config(drive))
        == f"{scan}: needs a multiple of 16 bytes (x y z intensity, float32), got 3 bytes; copied incompletely?"
    )
    drive.kitti.scan(f"{drive.where}/velodyne_points/data/0000000003.bin", [])

    (drive.folder / "oxts/data/0000000005.txt").unlink()
    assert (
        find_error(config(drive))
        == f"{drive.folder / 'oxts/data'}: needs 0000000005.txt for the frame of that number, got 5 other files"
    )
    drive.oxts(5)

    times = drive.stamps("velodyne_points", 0, 1, 2, 3, 4)
    assert find_error(config(drive)) == f"{times}: needs a line for frame 5 (line = frame number), got 5 lines"


@pytest.mark.parametrize("port", ["pose", "calibration"])
def test_connected_without_calibration(drive, play, port):
    (drive.kitti.root / DATE / "calib_tracking_format.txt").unlink()
    play(KittiRaw, config(drive), {"points"})
    with pytest.raises(InputError) as e:
        play.opened(KittiRaw, config(drive), {port})
    folder = drive.kitti.root / DATE
    assert (
        str(e.value)
        == f"src: {port} is connected, but {folder} holds no calib*.txt; add what is missing or disconnect src.{port}"
    )


def test_connected_without_files(drive, play):
    with pytest.raises(InputError) as e:
        play.opened(KittiRaw, config(drive, camera=3), {"image"})
    folder = drive.folder / "image_03" / "data"
    assert str(e.value) == f"src: image is connected, but {folder} holds no files; add what is missing or disconnect src.image"


def test_poses_need_the_imu_calibration(drive, play):
    kitti, day = drive.kitti, drive.kitti.root / DATE
    cameras = "".join(f"P_rect_0{c}: 700 0 600 0 0 700 180 0 0 0 1 0\n" for c in range(4)) + "R_rect_00: 1 0 0 0 1 0 0 0 1\n"
    kitti.write(day / "calib_cam_to_cam.txt", cameras)
    kitti.write(day / "calib_velo_to_cam.txt", "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n")
    play(KittiRaw, config(drive), {"points", "calibration"})
    missing = day / "calib_imu_to_velo.txt"
    with pytest.raises(InputError, match=f"^src: pose is connected, but {missing} is not there; add what is missing"):
        play.opened(KittiRaw, config(drive), {"points", "pose"})


def test_without_calibration_what_is_missing_is_said(drive, caplog):
    """A picture needs none, an optional input may wait for it in vain: the display and the report say so."""
    (drive.kitti.root / DATE / "calib_tracking_format.txt").unlink()
    said = []
    source = prepare(KittiRaw(), "src", config(drive), wanted={"points", "image", "calibration"}, needed={"points"})
    attach(source, show=said.append)
    source.open()
    assert said == [f"no calibration: {drive.kitti.root / DATE} holds no calib*.txt"] == caplog.messages
    assert list(source.statics()) == [] and set(source.read().values) == {"points", "image"}


@pytest.mark.parametrize("name", ["1712345678010000000", "1712345678010"])
def test_times_as_numbers_are_refused_in_a_line(kitti, name):
    scan = kitti.scan(f"{DATE}/{DRIVE}/velodyne_points/data/{name}.bin", [])
    assert find_error(RawConfig(root=str(kitti.root))).startswith(f"{scan}: needs a frame number, got {name[:12]}")


def test_a_link_to_nothing_is_named_if_it_is_wanted(drive, play):
    scan = drive.folder / "velodyne_points/data/0000000003.bin"
    scan.unlink()
    scan.symlink_to("/no/such/scan")
    assert refused(KittiRaw, config(drive), {"points"}) == f"{scan}: is a link to /no/such/scan, which is not there"
    assert len(play(KittiRaw, config(drive), {"image"})[1]) == 3


@pytest.mark.data
def test_the_real_drive(shared_data, play):
    root = str(shared_data / "kitti_raw")
    statics, scans = play(KittiRaw, RawConfig(root=root), {"points", "calibration"})
    _, pictures = play(KittiRaw, RawConfig(root=root, clock="camera"), {"image"})
    assert len(scans) == len(pictures) == 12
    assert [r.stamp_ns for r in scans] == [r.stamp_ns for r in pictures] == [k * 100_000_000 for k in range(12)]
    height, width = pictures[0].values["image"].shape[:2]
    assert statics[0].value.image_size.tolist() == [width, height]
