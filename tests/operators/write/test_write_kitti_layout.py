"""Layouts are written, and read back by the drivers for KITTI's own files."""

import resource
import signal

import numpy as np
import pytest

from drivers.kitti.object import KittiObject
from drivers.kitti.raw import KittiRaw
from drivers.kitti.tracking import KittiTracking
from operators.streams import CLASSES, Calibration, Truth
from operators.write.kitti_layout import KittiLayout
from pipeline.errors import RunError
from pipeline.graph.lookup import driver_class
from pipeline.operator import Resume, prepare
from pipeline.testing import header, run_operator, run_source

DRIVERS = {"tracking": KittiTracking, "object": KittiObject, "raw": KittiRaw}
PORTS = {
    "tracking": ("points", "image", "truth", "pose"),
    "object": ("points", "image", "truth"),
    "raw": ("points", "image", "pose"),
}
STEP_NS = 100_000_000


def pose(x, yaw=0.0):
    T = np.eye(4)
    T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T[0, 3] = x
    return T


def truth(*names, truncated=0.0, seed=1):
    """Objects on all sides; DontCare is a region only."""
    rng, n = np.random.default_rng(seed), len(names)
    labels = np.array([-1 if name == "DontCare" else CLASSES.index(name) for name in names], np.int32)
    boxes3d = rng.uniform([-50, -50, -2, 0.5, 0.5, 0.5, -3.1], [50, 50, 1, 5, 3, 3, 3.1], (n, 7)).astype(np.float32)
    boxes3d[labels < 0] = np.nan
    boxes2d = rng.uniform(0, 300, (n, 4)).astype(np.float32)
    region = labels < 0
    return Truth(
        boxes3d,
        boxes2d,
        labels,
        np.where(region, -1, np.arange(n)),
        np.where(region, -1, np.arange(n) % 4).astype(np.int32),
        np.where(region, -1, truncated).astype(np.float32),
    )


def frame(k, sequence="0003", objects=("Car", "Van"), **truth_config):
    """-> header, values of every port"""
    rng = np.random.default_rng(k)
    values = {
        "points": rng.uniform(-50, 50, (20 + k, 4)).astype(np.float32),
        "image": rng.integers(0, 255, (12, 16, 3), dtype=np.uint8),
        "truth": truth(*objects, seed=k, **truth_config),
        "pose": pose(1.5 * k, 0.01 * k),
    }
    return header(k, f"{sequence}/{k:06d}", k * STEP_NS), values


@pytest.fixture
def write(tmp_path, calibration):
    """write(layout, [(header, values), ...]) -> the folder"""

    def run(layout, frames, out=None, **config):
        out = out or tmp_path / layout
        sets = [{port: value for port, value in values.items() if port in PORTS[layout]} for _, values in frames]
        headers = [head for head, _ in frames]
        statics = {"calibration": calibration}
        config = {"layout": layout, **config}
        run_operator(KittiLayout, sets, config, statics=statics, headers=headers, out_dir=out, name="kitti")
        return out

    return run


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def read(layout, folder, without=(), **config):
    wanted = [port for port in PORTS[layout] if port not in without]
    return run_source(DRIVERS[layout], {"root": str(folder), **config}, wanted=wanted)


def same(got, want, layout):
    """Every bit of every port, except values that the layout cannot store. Poses: to 1e-7 m."""
    assert set(got.values) == set(want) & set(PORTS[layout])
    for port in set(got.values) & {"points", "image"}:
        assert got.values[port].dtype == want[port].dtype
        np.testing.assert_array_equal(got.values[port], want[port])
    if "pose" in got.values:
        np.testing.assert_allclose(got.values["pose"], want["pose"], rtol=0, atol=1e-7)
    if "truth" in got.values:
        expected = want["truth"]
        if layout == "object":
            expected = expected._replace(track_ids=np.full_like(expected.track_ids, -1))
        for name, a, b in zip(Truth._fields, got.values["truth"], expected, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("layout", DRIVERS)
def test_no_frames_no_files(write, layout):
    assert tree(write(layout, [])) == []


@pytest.mark.parametrize("layout", DRIVERS)
def test_an_empty_frame(write, layout):
    """Files without points and without lines, read as such."""
    head, values = frame(0, objects=())
    values["points"] = values["points"][:0]
    (reading,) = read(layout, write(layout, [(head, values)]))
    same(reading, values, layout)


def test_where_things_go(write):
    frames = [frame(k) for k in range(2)]
    assert tree(write("tracking", frames)) == [
        "calib/0003.txt", "image_02/0003/000000.png", "image_02/0003/000001.png", "label_02/0003.txt", "oxts/0003.txt",
        "velodyne/0003/000000.bin", "velodyne/0003/000001.bin",
    ]  # fmt: skip
    assert tree(write("object", frames[1:], split="testing")) == [
        "testing/calib/000001.txt", "testing/image_2/000001.png", "testing/label_2/000001.txt", "testing/velodyne/000001.bin",
    ]  # fmt: skip
    drive = "2012_01_02/2012_01_02_drive_0003_sync"
    assert tree(write("raw", frames[:1], date="2012_01_02")) == [
        f"{drive}/image_02/data/0000000000.png", f"{drive}/image_02/timestamps.txt", f"{drive}/oxts/data/0000000000.txt",
        f"{drive}/oxts/timestamps.txt", f"{drive}/velodyne_points/data/0000000000.bin", f"{drive}/velodyne_points/timestamps.txt",
        "2012_01_02/calib_cam_to_cam.txt", "2012_01_02/calib_imu_to_velo.txt", "2012_01_02/calib_velo_to_cam.txt",
    ]  # fmt: skip


@pytest.mark.parametrize("layout", DRIVERS)
def test_read_back(write, calibration, layout):
    """Frames, names, stamps and calibration are unchanged."""
    frames = [frame(k, objects=("Car", "DontCare", "Person_sitting", "Cyclist")) for k in range(5)]
    folder = write(layout, frames)
    readings = read(layout, folder)
    assert len(readings) == 5
    for reading, (head, values) in zip(readings, frames, strict=True):
        same(reading, values, layout)
        assert reading.stamp_ns == head.stamp_ns
        assert int(reading.item.rpartition("/")[2]) == int(head.item.rpartition("/")[2])
    config = DRIVERS[layout].Config(root=str(folder))
    source = prepare(DRIVERS[layout](), layout, config, wanted=["calibration"], needed=())
    source.open()
    (got,) = (latched.value for latched in source.statics())
    np.testing.assert_array_equal(got.P_cam, calibration.P_cam)
    np.testing.assert_array_equal(got.T_cam_velo, calibration.T_cam_velo)
    assert got.image_size.tolist() == ([16, 12] if layout != "raw" else calibration.image_size.tolist()), (
        "by the picture, or kept"
    )


@pytest.mark.parametrize("layout", DRIVERS)
def test_every_port_may_be_missing(write, tmp_path, layout):
    for without in PORTS[layout]:
        head, values = frame(0)
        if without == "points" and layout == "raw":
            continue  # its clock
        del values[without]
        (reading,) = read(layout, write(layout, [(head, values)], out=tmp_path / without), without=[without])
        same(reading, values, layout)


@pytest.mark.parametrize(("given", "kept"), [(0.0, 0.0), (0.2, 0.0), (0.3, 0.5), (0.7, 0.5), (0.8, 1.0), (1.0, 1.0)])
def test_truncated(write, given, kept):
    """Tracking stores 0, 1, 2 for 0, 0.5, 1: the nearest. Object keeps the number."""
    frames = [frame(0, truncated=given)]
    (reading,) = read("tracking", write("tracking", frames))
    assert reading.values["truth"].truncated.tolist() == [kept, kept]
    (reading,) = read("object", write("object", frames))
    assert reading.values["truth"].truncated.tolist() == [np.float32(given)] * 2


def test_lines_are_kittis(write, calibration):
    folder = write("tracking", [frame(0, objects=("DontCare", "Person_sitting"))])
    region, person = (folder / "label_02" / "0003.txt").read_text().splitlines()
    words = region.split()
    assert words[:6] == ["0", "-1", "DontCare", "-1", "-1", "-10"]
    assert words[10:] == ["-1", "-1", "-1", "-1000", "-1000", "-1000", "-10"]
    assert person.split()[:5] == ["0", "1", "Person", "0", "1"]
    assert len(person.split()) == 17
    first, *_, imu = (folder / "calib" / "0003.txt").read_text().splitlines()
    assert first == "P0: 720 0 610 45 0 720 173 0.2 0 0 1 0.003"
    assert imu == "Tr_imu_velo 1 0 0 0 0 1 0 0 0 0 1 0"
    (oxts,) = (folder / "oxts" / "0003.txt").read_text().splitlines()
    assert [float(w) for w in oxts.split()[:6]] == pytest.approx([49.011, 8.4, 116, 0, 0, 0], abs=1e-12)
    assert len(oxts.split()) == 30
    raw = write("raw", [(header(0, "0003/000000", 1_317_042_145_964_389_445), frame(0)[1])])
    times = raw / "2011_09_26" / "2011_09_26_drive_0003_sync" / "oxts" / "timestamps.txt"
    assert times.read_text() == "2011-09-26 13:02:25.964389445\n"


def test_sequences(write):
    """Tracking: one file per sequence. Object: continuous numbers. Raw: drives of one day."""
    items = [("0000", 0), ("0000", 1), ("0001", 0), ("0002", 0)]
    frames = []
    for i, (sequence, k) in enumerate(items):
        _, values = frame(k, sequence)
        frames.append((header(i, f"{sequence}/{k:06d}", i * STEP_NS), values))
    readings = read("tracking", write("tracking", frames))
    assert [r.item for r in readings] == [f"{sequence}/{k:06d}" for sequence, k in items]
    for reading, (_, values) in zip(readings, frames, strict=True):
        same(reading, values, "tracking")
    readings = read("object", write("object", frames))
    assert [r.item for r in readings] == [f"{i:06d}" for i in range(4)]
    (reading,) = read("raw", write("raw", frames), drive="0002")
    same(reading, frames[3][1], "raw")


def test_names_of_kittis_own_data(write):
    _, values = frame(0)
    object_ = write("object", [(header(0, "000134"), values)])
    assert "training/velodyne/000134.bin" in tree(object_)
    raw = write("raw", [(header(0, "2011_09_29_drive_0004_sync/0000000000"), values)])
    assert "2011_09_29/2011_09_29_drive_0004_sync/oxts/data/0000000000.txt" in tree(raw)


@pytest.mark.parametrize("layout", ["tracking", "raw"])
def test_gaps(write, layout):
    """Frames 3, 4 and 7 only: their lines are where the drivers expect them."""
    frames = [frame(k) for k in (3, 4, 7)]
    frames[0][1]["pose"] = pose(0.0) if layout == "raw" else pose(4.5)  # raw counts from the first file
    folder = write(layout, frames)
    readings = read(layout, folder)
    assert [int(r.item.rpartition("/")[2]) for r in readings] == [3, 4, 7]
    for reading, (head, values) in zip(readings, frames, strict=True):
        same(reading, values, layout)
        assert reading.stamp_ns == head.stamp_ns


@pytest.mark.parametrize(
    ("layout", "dies", "last"), [(x, *at) for x in DRIVERS for at in ((0, -1), (1, 0), (2, 1), (3, 2), (3, 3))]
)
def test_continued_after_a_kill(make, write, calibration, tmp_path, layout, dies, last):
    """A process died in frame `dies`; `last` counts. The files equal those of a run without a kill."""
    frames = [frame(k, sequence="0003" if k < 2 else "0004") for k in range(6)]

    def step(op, k):
        op.header, values = frames[k]
        op.headers = dict.fromkeys(values, op.header)
        op.process(**{p: values[p] if p in PORTS[layout] else None for p in values}, calibration=calibration)

    op = make(KittiLayout, layout=layout)
    for k in range(dies + 1):
        step(op, k)
    for path in op.out_dir.rglob(f"*00000{dies}.bin") if last < dies else ():
        path.with_name(f".{path.name}.part").write_bytes(b"half")
    again = make(KittiLayout, layout=layout, resume=Resume(1, last, frames[max(last, 0)][0].item))
    for k in range(last + 1, 6):
        step(again, k)
    again.close()
    whole = write(layout, frames)
    assert tree(again.out_dir) == tree(whole)
    for name in tree(whole):
        assert (again.out_dir / name).read_bytes() == (whole / name).read_bytes(), name


def test_disk_full(make, calibration):
    """The limit on the size of a file stands in for the disk."""
    op = make(KittiLayout, name="kitti")
    head, values = frame(0)
    values["points"] = np.zeros((1000, 4), np.float32)
    op.header, op.headers = head, dict.fromkeys(values, head)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(RunError, match=r"^kitti: .*/000000\.bin: cannot write frame test:0 \(0003/000000\): File too large"):
            op.process(**values, calibration=calibration)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert not list(op.out_dir.rglob("*.bin"))


def test_what_a_layout_has_no_place_for(make, calibration):
    head, values = frame(0)
    for layout, port in (("raw", "truth"), ("object", "pose")):
        op = make(KittiLayout, name="kitti", layout=layout)
        op.header, op.headers = head, dict.fromkeys(values, head)
        with pytest.raises(RunError, match=f"^kitti: {port} is connected, but layout {layout} has no place for it; disconnect"):
            op.process(**values, calibration=calibration)


def test_two_calibrations_of_one_sequence(make, calibration):
    op = make(KittiLayout, name="kitti")
    head, values = frame(0)
    op.header, op.headers = head, dict.fromkeys(values, head)
    op.process(**values, calibration=calibration)
    other = Calibration(calibration.P_cam + 1, calibration.T_cam_velo, calibration.image_size)
    with pytest.raises(RunError, match=r"^kitti: calib/0003.txt: needs one calibration, got another one with frame test:0"):
        op.process(**values, calibration=other)


def test_numbers_that_go_back(write):
    with pytest.raises(RunError, match=r"^kitti: oxts/0003.txt: needs frames in the order .* got 4 \(0003/000004\) after 5$"):
        write("tracking", [frame(5), frame(4)])


def test_an_origin_where_mercator_ends(make):
    with pytest.raises(ValueError, match="origin: needs a latitude within 80 and a longitude within 180 degrees, got"):
        make(KittiLayout, origin=(90.0, 0.0, 0.0))


SOURCES = {
    "synthetic.traffic": ("points", "truth", "pose"),
    "synthetic.world": ("points", "image", "truth", "pose"),
}
SOURCE = pytest.mark.parametrize("driver", ["synthetic.traffic", pytest.param("synthetic.world", marks=pytest.mark.slow)])


@pytest.mark.slow
@SOURCE
def test_same_digest_as_the_live_source(pipe, driver):
    """The engine's digest (source, frame_id, stamp_ns, every byte), live and read back from disk: of points, images and
    truth. Truth is left out if the layout cannot store all of it: object has no track ids, raw has no truth, tracking rounds
    the world's `truncated`. Poses differ by the rounding of degrees. The next test compares these."""
    ports = [port for port in SOURCES[driver] if port != "pose"]

    def graph(source, sinks, more=()):
        lines = [f"world: {source}", *(f"{port}: {{op: test.null, inputs: {{in: world.{port}}}}}" for port in sinks), *more]
        return pipe.graph("\n".join(f"  {line}" for line in lines))

    writers = []
    for layout in DRIVERS:
        inputs = [port for port in (*PORTS[layout], "calibration") if port in (*SOURCES[driver], "calibration")]
        text = ", ".join(f"{port}: world.{port}" for port in inputs)
        writers.append(f"{layout}: {{op: write.kitti_layout, config: {{layout: {layout}}}, inputs: {{{text}}}}}")
    live = pipe.run(graph(f"{{driver: {driver}, config: {{frames: 6}}}}", ports, writers), timeout_s=110)
    assert live.code == 0, live.stderr
    want = {port: live.report["digest"][port] for port in ports}
    assert len(set(want.values())) == len(ports)
    for layout in DRIVERS:
        kept = [p for p in ports if p != "truth" or (layout == "tracking" and driver == "synthetic.traffic")]
        back = pipe.run(graph(f"{{driver: kitti.{layout}, config: {{root: {live.out / layout}}}}}", kept))
        assert back.code == 0, back.stderr
        assert back.report["frames"] == 6
        assert back.report["digest"] == {port: want[port] for port in kept}, layout


@SOURCE
def test_a_live_source_read_back(write, driver):
    """All ports, frame by frame."""
    ports = SOURCES[driver]
    frames = []
    for k, reading in enumerate(run_source(driver_class(driver), {"frames": 6}, wanted=ports)):
        frames.append((header(k, reading.item, reading.stamp_ns), reading.values))
    for layout in DRIVERS:
        readings = read(layout, write(layout, frames), without={"image"} - set(ports))
        for reading, (_, values) in zip(readings, frames, strict=True):
            expected = dict(values)
            if layout == "tracking":
                truncated = np.rint(2 * values["truth"].truncated) / 2
                expected["truth"] = values["truth"]._replace(truncated=truncated)
            same(reading, expected, layout)
