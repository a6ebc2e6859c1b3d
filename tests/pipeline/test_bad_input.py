"""Every user error ends in one line: who, what was required, what came. The tests hold each line in full."""

import numpy as np
import pytest
from kitti_files import Kitti
from pipe_runs import check_account, check_balance

from pipeline.runtime.stuck import STUCK_S

# -- before the start: exit 2, nothing made -----------------------------------------------------------------------------

BEFORE = {
    "unknown key": (
        "  src: {driver: test.counter, quue: {}}\n  snk: {op: test.null, inputs: {in: src.out}}",
        "{g}:3: src.quue: unknown key; did you mean queue?",
    ),
    "unknown config key": (
        "  src: {driver: test.counter, config: {frmes: 3}}\n  snk: {op: test.null, inputs: {in: src.out}}",
        "{g}:3: src.config.frmes: unknown key; did you mean frames?",
    ),
    "unknown nested key": (
        "  src: {driver: test.counter}\n  snk: {op: test.null, inputs: {in: src.out}, queue: {in: {polcy: latest}}}",
        "{g}:4: snk.queue.in.polcy: unknown key; did you mean policy?",
    ),
    "unknown operator": (
        "  src: {driver: test.counter}\n  snk: {op: test.nul, inputs: {in: src.out}}",
        "{g}:4: snk.op: unknown op test.nul; did you mean test.null?",
    ),
    "unknown output": (
        "  src: {driver: test.counter}\n  snk: {op: test.null, inputs: {in: src.ot}}",
        "{g}:4: snk.inputs.in: src has no output ot; did you mean out?",
    ),
    "unknown input": (
        "  src: {driver: test.counter}\n  snk: {op: test.null, inputs: {int: src.out}}",
        "{g}:4: snk.inputs.int: test.null has no input int; did you mean in?",
    ),
    "cycle": (
        '  src: {driver: test.counter}\n  a: {op: "pipe_nodes:Pair", inputs: {a: src.out, b: b.out}}\n'
        "  b: {op: test.fault, inputs: {data: a.out}}\n  snk: {op: test.null, inputs: {in: b.out}}",
        "{g}:4: a: the graph has a cycle: a -> b -> a; frames must flow one way",
    ),
    "type": (
        "  src: {driver: test.blob}\n  op: {op: test.fault, inputs: {data: src.out}}\n  snk: {op: test.null, "
        "inputs: {in: op.out}}",
        "{g}:4: op.data: needs (1,) int64, got (N,) uint8 from src.out",
    ),
    "kind of data": (
        "  world: {driver: synthetic.traffic}\n  trk: {op: track.tracker, inputs: {boxes3d: world.points}}\n"
        "  snk: {op: test.null, inputs: {in: trk.tracks}}",
        "{g}:4: trk.boxes3d: needs BOXES3D (boxes3d, scores, labels), got POINTS (points) from world.points",
    ),
    "coordinate frame": (
        '  world: {driver: synthetic.traffic}\n  cam: {op: "pipe_nodes:InCamera", inputs: {points: world.points}}',
        "{g}:4: cam.points: needs POINTS in the camera frame, got the velodyne frame from world.points",
    ),
    "sync that never matches": (
        "  a: {driver: test.counter, config: {rate_hz: 10, frames: 10}}\n"
        "  b: {driver: test.counter, config: {rate_hz: 10, frames: 10, start: 1000}}\n"
        '  j: {op: "pipe_nodes:Pair", inputs: {a: a.out, b: b.out}, sync: {policy: nearest, tolerance_ms: 5}}\n'
        "  snk: {op: test.null, inputs: {in: j.out}}",
        "{g}:5: j.sync: b.out can never match a.out: it needs a frame within 5 ms and the closest ones are "
        "9.91e+04 .. 1e+05 ms away; "
        "raise tolerance_ms or set offset_ms",
    ),
    "pool too small": (
        "  src: {driver: test.counter, pool: {out: {slots: 3}}}\n  snk: {op: test.null, inputs: {in: src.out}}",
        "{g}:3: src.pool.out.slots: pool too small: needs 6 slots (1 being written + 5 snk.in), got 3; "
        "raise slots or lower the queues",
    ),
    "missing folder": (
        "  scans: {driver: kitti.tracking, config: {root: /no/such/folder}}\n  snk: {op: test.null, inputs: {in: scans.points}}",
        "{g}:3: scans: kitti.tracking: config.root: needs a folder with velodyne/ or image_02/, got /no/such/folder (not there); "
        "set --set NODE.config.root=DIR",
    ),
}


@pytest.mark.parametrize("case", BEFORE)
def test_before_the_start(pipe, case):
    text, message = BEFORE[case]
    graph = pipe.graph(text)
    message = message.replace("{g}", str(graph))
    for verb in (["check", str(graph)], ["run", str(graph), "--out", str(pipe.folder / "out")]):
        ended = pipe.refused(*verb)
        assert (ended.code, ended.stderr) == (2, f"error: {message}\n"), verb
    assert not (pipe.folder / "out").exists()


# -- files from outside -------------------------------------------------------------------------------------------------

POINTS = np.array([[10, 1, -1, 0.5], [12, -2, -1, 0.25]], np.float32)
DETECTION = "0,2,10,20,110,120,9.5,1.5,1.8,4.2,1,1.7,10,0.5,0.4\n"
KITTI_GRAPH = """
  scans:  {driver: kitti.tracking, config: {root: ROOT}}
  dets:   {driver: detections, config: {root: ROOT, frames: scans}}
  points: {op: test.null, inputs: {in: scans.points}, config: {write: true}}
  boxes:  {op: test.null, inputs: {in: dets.boxes3d}}
  pose:   {op: test.null, inputs: {in: scans.pose}}
"""


@pytest.fixture
def data(tmp_path):
    """Three frames of sequence 0000, all good."""
    kitti = Kitti(tmp_path / "kitti")
    kitti.calib()
    kitti.oxts(3)
    for i in range(3):
        kitti.scan(f"velodyne/0000/{i:06d}.bin", POINTS)
    kitti.write(kitti.root / "detections/rcnn_Car/0000.txt", DETECTION)
    return kitti


def play(pipe, data):
    ended = pipe.run(pipe.graph(KITTI_GRAPH.replace("ROOT", str(data.root))))
    if ended.code == 1:
        check_balance(ended)
    return ended.code, ended.stderr


def test_good_files(pipe, data):
    assert play(pipe, data) == (0, "")


def test_truncated_scan(pipe, data):
    path = data.root / "velodyne/0000/000001.bin"
    path.write_bytes(path.read_bytes()[:-3])
    assert play(pipe, data) == (
        2,
        f"error: {pipe.folder}/g1.yaml:4: scans: {data.root}/velodyne/0000/000001.bin: needs a multiple of 16 bytes "
        "(x y z intensity, float32), got 29 bytes; copied incompletely?\n",
    )


def test_nan_points(pipe, data):
    bad = POINTS.copy()
    bad[1, 2] = np.nan
    data.scan("velodyne/0000/000001.bin", bad)
    assert play(pipe, data) == (
        1,
        f"error: scans: reading 1: {data.root}/velodyne/0000/000001.bin: needs finite numbers, got NaN or "
        "infinity in 1 of 2 points, first point 1\n",
    )


@pytest.mark.slow
def test_empty_scan_is_no_error(pipe, data):
    data.scan("velodyne/0000/000001.bin", POINTS[:0])
    assert play(pipe, data) == (0, "")


def test_calibration_with_a_missing_line(pipe, data):
    """Boxes in the camera frame need it; scans and poses do not."""
    data.calib(Tr_velo_to_cam=None)
    assert play(pipe, data) == (
        2,
        f"error: {pipe.folder}/g1.yaml:5: dets: {data.root}/calib/0000.txt: needs a line Tr_velo_cam "
        "or Tr_velo_to_cam or Tr with 12 numbers, got none\n",
    )


def test_oxts_shorter_than_the_scans(pipe, data):
    """Poses need every line, detections none."""
    data.oxts(2)
    assert play(pipe, data) == (
        2,
        f"error: {pipe.folder}/g1.yaml:4: scans: {data.root}/oxts/0000.txt: needs 3 lines (line = "
        "frame number, the last frame is 000002), got 2\n",
    )


def test_malformed_detection_line(pipe, data):
    data.write(data.root / "detections/rcnn_Car/0000.txt", DETECTION + "1,2,10,20\n")
    assert play(pipe, data) == (
        2,
        f"error: {pipe.folder}/g1.yaml:5: dets: {data.root}/detections/rcnn_Car/0000.txt:2: needs 15 columns "
        "(frame type x1 y1 x2 y2 score h w l x y z ry alpha), got 4\n",
    )


def test_detection_that_is_no_number(pipe, data):
    data.write(data.root / "detections/rcnn_Car/0000.txt", DETECTION.replace("4.2", "four"))
    assert play(pipe, data) == (
        2,
        f"error: {pipe.folder}/g1.yaml:5: dets: {data.root}/detections/rcnn_Car/0000.txt:1: needs a number in column 10, "
        "got 'four'\n",
    )


# -- while running: exit 1 ----------------------------------------------------------------------------------------------

CHAIN = """
  src: {{driver: test.counter, config: {{frames: 30}}}}
  op:  {{op: {op}, inputs: {{data: src.out}}, config: {{{config}}}{more}}}
  snk: {{op: test.null, inputs: {{in: op.out}}, config: {{write: true}}}}
"""


def run_chain(pipe, config, op="test.fault", more="", *args):
    ended = pipe.run(pipe.graph(CHAIN.format(op=op, config=config, more=more)), *args)
    check_balance(ended)
    return ended


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("kind: raise, at: 5", "op: frame src:5 (000005): ValueError: op: raised on purpose"),
        (
            "kind: shape, at: 5",
            "op: frame src:5 (000005): op.out.data: needs (1,) int64, got (2,) int64",
        ),
        ("kind: raise, in_open: true", "op: open: ValueError: op: raised on purpose"),
    ],
)
@pytest.mark.parametrize("placement", ["process", "group"])
def test_operator(pipe, config, message, placement):
    more = ", place: g" if placement == "group" else ""
    ended = run_chain(pipe, config, "test.fault", more)
    assert (ended.code, ended.stderr) == (1, f"error: {message}\n")
    assert ended.report["exit"] == "failed"
    if "open" not in config:
        assert ended.ids("snk") == list(range(len(ended.ids("snk")))) and len(ended.ids("snk")) <= 5
        assert "Traceback (most recent call last)" in ended.log("g" if more else "op")


def test_operator_raises_inline(pipe):
    """The same line as in processes. With -v, for pdb, the exception comes out at the operator's line."""
    graph = pipe.graph(CHAIN.format(op="test.fault", config="kind: raise, at: 5", more=""))
    ended = pipe.run(graph, "--place", "inline")
    assert (ended.code, ended.stderr) == (1, "error: op: frame src:5 (000005): ValueError: op: raised on purpose\n")
    ended = pipe.run(graph, "--place", "inline", verb=["-v", "run"])
    assert (ended.code, ended.report["exit"]) == (1, "failed")
    assert "\nValueError: op: raised on purpose\n" in ended.stderr and "in misbehave" in ended.stderr


def test_operator_raises_and_the_graph_skips(pipe):
    ended = run_chain(pipe, "kind: raise, every: 10", "test.fault", ", on_error: skip")
    assert ended.code == 0, ended.stderr
    assert ended.report["nodes"]["op"]["errors"] == 3
    assert ended.ids("snk") == [i for i in range(30) if i % 10]
    assert [d["frame"] for d in ended.drops] == ["src:0", "src:10", "src:20"]


def test_operator_hangs(pipe):
    """It is killed and restarted, and the frame it hung on is named as lost."""
    ended = run_chain(pipe, "kind: hang, at: 5", "test.fault", ", hang_s: 0.5")
    assert ended.code == 0
    assert (
        ended.stderr == "op: in process() for more than hang_s = 0.5 s; killed\nop: killed by SIGKILL; restart 1 of 5 in 0.2 s\n"
    )
    assert "src:5" in [d["frame"] for d in ended.drops]
    assert ended.ids("snk")[-1] == 29


def test_who_waits_for_a_hung_operator_is_not_stuck(pipe):
    """hang_s is longer than a graph may stand still: the hang must not count as a deadlock of the others."""
    ended = run_chain(pipe, "kind: hang, at: 5", "test.fault", f", hang_s: {STUCK_S + 0.5}")
    assert ended.code == 0
    assert ended.report["nodes"]["op"]["restarts"] == 1
    assert ended.ids("snk")[-1] == 29


def test_operator_hangs_and_may_not_restart(pipe):
    ended = run_chain(pipe, "kind: hang, at: 5, hang_in_c: true", "test.fault", ", hang_s: 0.5, restart: never")
    assert ended.code == 1
    assert ended.stderr == (
        "op: in process() for more than hang_s = 0.5 s; killed\n"
        f"error: op: killed by SIGKILL; given up (restart: never); see {ended.out / 'logs' / 'op.log'}\n"
    )
    assert ended.ids("snk") == list(range(5))


def test_operator_hangs_in_open(pipe):
    ended = run_chain(pipe, "kind: hang, in_open: true", "test.fault", ", hang_s: 0.5, restart: never")
    assert ended.code == 1
    assert ended.stderr == (
        "op: in open() for more than hang_s = 0.5 s; killed\n"
        f"error: op: killed by SIGKILL; given up (restart: never); see {ended.out / 'logs' / 'op.log'}\n"
    )


def test_operator_exits(pipe):
    ended = run_chain(pipe, "kind: exit, at: 5", "test.fault", ", restart: never")
    assert ended.code == 1
    assert ended.stderr == f"error: op: exited with code 7; given up (restart: never); see {ended.out / 'logs' / 'op.log'}\n"


def test_operator_keeps_views(pipe):
    ended = run_chain(pipe, "kind: leak")
    assert ended.code == 1
    assert ended.stderr == (
        "error: g1: op keeps views of 5 frames of src.out, 0 declared; "
        "set holds = {'data': 5} in its class or copy what it keeps\n"
    )


def test_operator_with_three_columns(pipe):
    graph = pipe.graph("""
  src: {driver: test.counter, config: {frames: 30, start: 7}}
  op:  {op: "pipe_nodes:WrongColumns", inputs: {data: src.out}}
  snk: {op: test.null, inputs: {in: op.points}}
""")
    ended = pipe.run(graph)
    assert (ended.code, ended.stderr) == (
        1,
        "error: op: frame src:0 (000007): op.points.points: needs (N, 4) float32, got (7, 3) float32; "
        "a column dropped or added on the way?\n",
    )


def test_frame_larger_than_its_slot(pipe):
    graph = pipe.graph("""
  src: {driver: "pipe_nodes:BigBlob", config: {bytes: 2000000, frames: 3}}
  snk: {op: test.null, inputs: {in: src.out}}
""")
    ended = pipe.run(graph)
    assert (ended.code, ended.stderr) == (
        1,
        "error: src: reading 0: src.out: frame needs 2 MB, its slot holds 1 MB; set pool: {out: {max_mb: 2}} in node src\n",
    )
    again = pipe.run(graph, "--set", "src.pool={out: {max_mb: 2}}")
    assert (again.code, again.stderr) == (0, ""), "what the message says helps"


def source_fails(kind):
    return f"""
  src: {{driver: test.fault_source, config: {{frames: 30, kind: {kind}, at: 5, once: true}}}}
  snk: {{op: test.null, inputs: {{in: src.out}}, config: {{write: true}}}}
"""


def test_driver_raises(pipe):
    ended = pipe.run(pipe.graph(source_fails("raise")))
    assert (ended.code, ended.stderr) == (1, "error: src: reading 5: ValueError: src: raised on purpose\n")
    assert ended.ids("snk") == list(range(len(ended.ids("snk")))) and len(ended.ids("snk")) <= 5
    check_balance(ended)


def test_driver_exits(pipe):
    """It resumes after its last published frame; frames lost with it are named."""
    graph = pipe.graph(source_fails("exit"))
    ended = pipe.run(graph)
    assert (ended.code, ended.stderr) == (0, "src: exited with code 7; restart 1 of 5 in 0.2 s\n")
    check_account(ended, graph, range(30))
    assert set(range(5, 30)) <= set(ended.ids("snk"))


def test_driver_raises_and_the_graph_skips(pipe):
    """The number of the failed reading stays unused: a gap is a frame that could not be read."""
    graph = pipe.graph("""
  src: {driver: test.fault_source, config: {frames: 30, kind: raise, at: 5}, on_error: skip}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
""")
    ended = pipe.run(graph)
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == [i for i in range(30) if i != 5]
    assert ended.report["nodes"]["src"]["errors"] == 1


def test_disk_full_under_a_sink(pipe):
    graph = pipe.graph("""
  src: {driver: test.counter, config: {frames: 30}}
  snk: {op: test.full_disk, inputs: {in: src.out}}
""")
    ended = pipe.run(graph)
    assert (ended.code, ended.stderr) == (
        1,
        f"error: snk: frame src:0 (000000): needs room to write {ended.out / 'snk'}, got a full disk; "
        "free some or use another --out\n",
    )
    check_balance(ended)
    assert ended.report["edges"]["src.out->snk.in"]["dropped"]["error"] == 1


def test_out_is_no_folder(pipe):
    path = pipe.folder / "file"
    path.write_text("")
    graph = pipe.graph(CHAIN.format(op="test.fault", config="", more=""))
    ended = pipe.run(graph, out=path)
    assert (ended.code, ended.stderr) == (
        2,
        f"error: {path}: needs a folder that can be made and written, got: File exists; use another --out\n",
    )
