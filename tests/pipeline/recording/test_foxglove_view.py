"""`--view foxglove`: the node without a graph, and a run. Messages themselves: tests/operators/record."""

import socket
import sys
import time

import numpy as np
import pytest

foxglove = pytest.importorskip("foxglove")

from bench.foxglove_viewer import Viewer  # noqa: E402
from operators.streams import CALIBRATION, IMAGE, POINTS  # noqa: E402
from pipeline.errors import GraphError, RunError  # noqa: E402
from pipeline.frame import Header  # noqa: E402
from pipeline.graph.load import parse  # noqa: E402
from pipeline.operator import Taken, prepare  # noqa: E402
from pipeline.recording import foxglove as view  # noqa: E402
from pipeline.recording.foxglove import VIEW, FoxgloveView, FoxgloveViewConfig, with_view  # noqa: E402
from pipeline.recording.message import port_to_text  # noqa: E402
from pipeline.schema import ANY, Port  # noqa: E402

PORTS = {"lidar.points": Port(POINTS), "cam.image": Port(IMAGE), "lidar.calibration": Port(CALIBRATION, static=True)}
TOPICS = len(PORTS) + 1  # /lidar/calibration/tf


@pytest.fixture
def node(tmp_path):
    """node(backlog=16) -> the viewer's node, open on a free port."""
    opened = []

    def make(backlog=16, port=0):
        ports = {name: port_to_text(port) for name, port in PORTS.items()}
        op = prepare(FoxgloveView(), VIEW, FoxgloveViewConfig("g", ports, backlog, port), out_dir=tmp_path)
        op.open()
        opened.append(op)
        return op

    yield make
    for op in opened:
        op.close()


def cloud(k, num=3):
    points = np.full((num, 4), k, np.float32)
    return Taken("lidar.points", Header("lidar", k, f"{k:06d}", 10**8 * k), 0, {}, ANY.pack({"points": points}))


def calibration():
    return {"P_cam": np.eye(3, 4), "T_cam_velo": np.eye(4), "image_size": np.array([10, 20], np.int32)}


def wait(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_nobody_looks(node, monkeypatch):
    op, encoded = node(), []
    monkeypatch.setattr(op.encoders["lidar.points"], "encode", lambda *args: encoded.append(args))
    op.process_all([cloud(0), cloud(1)])
    assert not encoded


def test_a_viewer_gets_the_messages_of_a_recording_and_the_latched_values(node):
    op = node()
    op.latched("lidar.calibration", [(0, ANY.pack(calibration()))])
    op.process_all([cloud(0)])
    with Viewer(op.server.port) as viewer:
        viewer.subscribe({"/lidar/points", "/lidar/calibration"}, count=TOPICS)
        assert {topic: channel["schemaName"] for topic, channel in viewer.channels.items()} == {
            "/lidar/points": "foxglove.PointCloud",
            "/cam/image": "foxglove.RawImage",
            "/lidar/calibration": "foxglove.CameraCalibration",
            "/lidar/calibration/tf": "foxglove.FrameTransforms",
        }
        wait(op.channels["lidar.points", ""].has_sinks)
        op.process_all([cloud(3), cloud(4, num=0)])
        first, one, empty = (viewer.next() for _ in range(3))
    assert (first.topic, first.log_ns) == ("/lidar/calibration", 3 * 10**8), "with the time of the first frame after"
    assert (one.topic, one.log_ns, empty.log_ns) == ("/lidar/points", 3 * 10**8, 4 * 10**8)
    encoder = op.encoders["lidar.points"]
    for message, taken in ((one, cloud(3)), (empty, cloud(4, num=0))):
        arrays = {"points": taken.value} if isinstance(taken.value, np.ndarray) else ANY.unpack(taken.value, "")
        assert message.data == b"".join(encoder.encode(taken.header, arrays).pieces)


def test_a_viewer_that_reads_nothing_stops_nobody_and_loses_the_oldest(node):
    op = node(backlog=16)
    image = np.zeros((512, 1024, 3), np.uint8)
    with Viewer(op.server.port) as viewer:
        viewer.subscribe({"/cam/image"}, count=TOPICS)
        wait(op.channels["cam.image", ""].has_sinks)
        for k in range(200):  # 300 MB; the node returns although nobody reads
            op.process_all([Taken("cam.image", Header("cam", k, "", k), 0, {}, ANY.pack({"image": image}))])
        seen = [viewer.next().log_ns]
        while seen[-1] < 199:
            seen.append(viewer.next().log_ns)
    assert seen == sorted(set(seen)) and len(seen) < 100, "the socket and the backlog hold some, the rest is lost"


def test_the_end_waits_for_no_viewer(node):
    op = node(backlog=16)
    image = np.zeros((512, 1024, 3), np.uint8)
    with Viewer(op.server.port) as viewer:
        viewer.subscribe({"/cam/image"}, count=TOPICS)
        wait(op.channels["cam.image", ""].has_sinks)
        for k in range(30):
            op.process_all([Taken("cam.image", Header("cam", k, "", k), 0, {}, ANY.pack({"image": image}))])
        began = time.monotonic()
        op.close()
        assert time.monotonic() - began < view.STOP_S + 1


def test_a_port_that_is_taken(node):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert node(port=number).server.port != number


def test_no_port_at_all(node, monkeypatch):
    monkeypatch.setattr(view, "HOST", "203.0.113.1")
    with pytest.raises(RunError, match=r"--view foxglove: needs a port of 203.0.113.1 to listen on, got: "):
        node()


GRAPH = """version: 1
nodes:
  src: {driver: test.counter, config: {frames: 3}}
  snk: {op: test.null, inputs: {in: src.out}}
"""


def test_the_graph_gets_a_tap_that_cannot_stop_it():
    spec = with_view(parse(GRAPH, "g.yaml"))
    node = spec.nodes[VIEW]
    assert node.is_tap and spec.on_error(VIEW) == "skip" and set(node.inputs) == {"src.out"}
    assert node.config.backlog == 1024, "small messages"


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "foxglove", None)
    with pytest.raises(GraphError) as error:
        with_view(parse(GRAPH, "g.yaml"))
    assert str(error.value) == (
        "--view foxglove: needs the package foxglove-sdk, which is not installed; pip install 'perception-pipe[foxglove]'"
    )
