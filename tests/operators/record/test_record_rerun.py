"""`--record F.rrd`: what Rerun reads back; refusals; a restart."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

rerun = pytest.importorskip("rerun")

from operators.streams import BOXES3D, CALIBRATION, CLASSES, DEPTH, GREY, IMAGE, POINTS, TRACKS, Boxes3D  # noqa: E402
from pipeline.errors import GraphError  # noqa: E402
from pipeline.frame import Header  # noqa: E402
from pipeline.graph.load import parse  # noqa: E402
from pipeline.operator import Resume, Taken, prepare  # noqa: E402
from pipeline.options import Record  # noqa: E402
from pipeline.recording import rerun as recording  # noqa: E402
from pipeline.recording.message import port_to_text  # noqa: E402
from pipeline.recording.recorder import with_recorder  # noqa: E402
from pipeline.recording.rerun import RerunRecorder, RerunRecorderConfig  # noqa: E402
from pipeline.recording.target import Target  # noqa: E402
from pipeline.schema import ANY, Port  # noqa: E402

PORTS = {"lidar.points": POINTS, "detect.boxes3d": BOXES3D, "track.tracks": TRACKS, "cam.image": IMAGE, "ir.thermal": GREY}
PORTS |= {"cam.depth": DEPTH}
COLOUR = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
TWO = np.array([[10, 1, 0, 4, 2, 1.5, np.pi / 2], [20, 2, 0, 4, 2, 1.5, 0]], np.float32)
DETECTED = {
    "boxes3d": TWO,
    "scores": np.ones(2, np.float32),
    "labels": np.array([CLASSES.index("Car"), CLASSES.index("Pedestrian")], np.int32),
}


def taken(port, k, arrays):
    return Taken(port, Header(port.partition(".")[0], k, f"{k:06d}", 10**9 + 10**8 * k), 0, {}, ANY.pack(arrays))


def record(path, frames, images="raw", resume=None, recording_id="r"):
    ports = {name: port_to_text(Port(schema)) for name, schema in PORTS.items()}
    op = prepare(RerunRecorder(), "_record", RerunRecorderConfig(path, "g", ports, recording_id, images), resume=resume)
    op.open()
    op.process_all(frames)
    op.close()


def read(path):
    """Entity -> {frame number: {component: its values}}, as the package reads the file."""
    from rerun.chunk import RrdReader

    out = {}
    for chunk in RrdReader(path).stream():
        batch = chunk.to_record_batch()
        if "frame" not in batch.schema.names or chunk.entity_path.startswith("/__"):
            continue
        columns = {
            name: (column.cast("int64") if str(column.type).startswith("timestamp") else column).to_pylist()
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        for i, frame in enumerate(columns.pop("frame")):
            found = out.setdefault(chunk.entity_path, {}).setdefault(frame, {})
            found |= {name.rpartition(":")[2]: values[i] for name, values in columns.items() if values[i] is not None}
    return out


def test_points_boxes_tracks_pictures_and_empty_frames(tmp_path):
    points = np.array([[1, 2, 3, 0], [4, 5, 6, 1]], np.float32)
    record(
        tmp_path / "a.rrd",
        [
            taken("lidar.points", 0, {"points": points}),
            taken("lidar.points", 1, {"points": points[:0]}),
            taken("detect.boxes3d", 0, DETECTED),
            taken("track.tracks", 0, DETECTED | {"track_ids": np.array([7, 8], np.int64)}),
            taken("track.tracks", 1, {**{k: v[:0] for k, v in DETECTED.items()}, "track_ids": np.zeros(0, np.int64)}),
            taken("cam.image", 0, {"image": COLOUR}),
            taken("ir.thermal", 0, {"image": COLOUR[:, :, 0]}),
            taken("cam.depth", 0, {next(iter(DEPTH.arrays)): np.ones((8, 6), np.float32)}),
        ],
    )
    found = read(tmp_path / "a.rrd")
    assert set(found) == {f"/{name.replace('.', '/')}" for name in PORTS}
    assert found["/lidar/points"][0]["positions"] == points[:, :3].tolist() and not found["/lidar/points"][1]["positions"]
    boxes = found["/detect/boxes3d"][0]
    assert boxes["centers"] == TWO[:, :3].tolist() and boxes["half_sizes"] == (TWO[:, 3:6] / 2).tolist()
    np.testing.assert_allclose(boxes["quaternions"], [[0, 0, 0.5**0.5, 0.5**0.5], [0, 0, 0, 1]], atol=1e-6)
    assert boxes["labels"] == ["Car", "Pedestrian"]
    assert found["/track/tracks"][0]["labels"] == ["Car 7", "Pedestrian 8"] and not found["/track/tracks"][1]["centers"]
    assert bytes(found["/cam/image"][0]["buffer"][0]) == COLOUR.tobytes()
    assert bytes(found["/ir/thermal"][0]["buffer"][0]) == COLOUR[:, :, 0].tobytes()
    assert found["/cam/depth"][0]["meter"] == [1.0]
    assert found["/cam/image"][0]["stamp"] == 10**9


@pytest.mark.parametrize(("images", "media"), [("png", "image/png"), ("jpeg", "image/jpeg")])
def test_pictures_are_packed_on_request(tmp_path, images, media):
    record(tmp_path / "a.rrd", [taken("cam.image", 0, {"image": COLOUR})], images)
    picture = read(tmp_path / "a.rrd")["/cam/image"][0]
    assert picture["media_type"] == [media]
    decoded = cv2.imdecode(np.frombuffer(bytes(picture["blob"][0]), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert decoded.shape == COLOUR.shape and (images == "jpeg" or (decoded == COLOUR).all())


def test_after_a_restart_the_recording_goes_on_in_another_file(tmp_path):
    frame = taken("detect.boxes3d", 0, DETECTED)
    record(tmp_path / "a.rrd", [frame])
    record(tmp_path / "a.rrd", [frame], resume=Resume(2, 0, "000000", 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-r2.rrd", "a.rrd"]
    assert set(read(tmp_path / "a-r2.rrd")) == {"/detect/boxes3d"}


DRAWN = """version: 1
nodes:
  src: {driver: synthetic.traffic, config: {frames: 3}}
  snk: {op: test.null, inputs: {in: src.points}}
"""
COUNTED = """version: 1
nodes:
  src: {driver: test.counter, config: {frames: 3}}
  snk: {op: test.null, inputs: {in: src.out}}
"""


def test_ports_that_can_be_drawn_are_chosen(tmp_path):
    spec = with_recorder(parse(DRAWN, "g.yaml"), Record(tmp_path / "a.rrd"))
    assert "src.points" in spec.nodes["_record"].inputs
    assert Port(CALIBRATION, static=True) not in [i.port_spec for i in spec.nodes["_record"].inputs.values()]
    with pytest.raises(GraphError, match=r"needs points, boxes, tracks or pictures to draw, got none of them; use F\.mcap"):
        with_recorder(parse(COUNTED, "g.yaml"), Record(tmp_path / "a.rrd"))


def test_an_earlier_file_and_a_file_of_another_kind(tmp_path):
    path = tmp_path / "a.rrd"
    record(path, [taken("detect.boxes3d", 0, DETECTED)])
    with pytest.raises(GraphError, match="needs a file that is not there yet"):
        Target(Record(path))
    with Target(Record(path, overwrite=True)) as target:
        target.begin()
        assert path.stat().st_size == 0
    path.write_bytes(b"\x89MCAP0\r\n")
    with pytest.raises(GraphError, match="needs a Rerun file to overwrite, got one that begins with"):
        Target(Record(path, overwrite=True))


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(
        GraphError, match=r"--record F.rrd: needs the package rerun-sdk, .* pip install 'perception-pipe\[rerun\]'"
    ):
        with_recorder(parse(DRAWN, "g.yaml"), Record(Path("a.rrd")))


def test_boxes_of_nan_are_not_drawn():
    wrong = Boxes3D(TWO.copy(), *list(DETECTED.values())[1:])
    wrong.boxes3d[0, 0] = np.nan
    draw = recording.drawings().drawing(Port(BOXES3D), "raw")
    assert len(draw(Header("a", 0, "", 0), wrong._asdict()).centers) == 1
