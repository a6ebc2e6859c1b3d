"""`pipe replay`: the bytes of the recorded run at any rate, placement and load; and the messages if they differ."""

from __future__ import annotations

import json
import os
import shutil
import zlib

import numpy as np
import pytest
from mcap.writer import CompressionType, Writer
from pipe_runs import check_account, check_balance

import pipeline
from pipeline.errors import GraphError, InputError
from pipeline.recording.message import ARRAY_FIELD
from pipeline.recording.playback import Recording

CHAIN = """
  src: {driver: test.blob, config: {bytes: 5000, frames: 60, checksum: true}}
  sum: {op: test.sum, inputs: {data: src.out}, config: {checksum: true}}
  snk: {op: test.null, inputs: {in: sum.out}, config: {write: true}}
"""
CLOCKS = """
  lidar:  {driver: test.jitter, config: {frames: 40, rate_hz: 10, jitter_ms: 8, disorder_ms: 150, duplicates: 0.2, seed: 1}}
  cam:    {driver: test.jitter, config: {frames: 120, rate_hz: 30, jitter_ms: 3, dead_s: [1.2, 2.5], seed: 2}}
  heat:   {driver: test.jitter, config: {frames: 36, rate_hz: 9, offset_ms: 30, disorder_ms: 50, max_disorder_ms: 20, seed: 3}}
  pair:
    op: pipe_nodes:Three
    inputs: {a: lidar.out, b: cam.out, c: heat.out}
    sync: {policy: nearest, tolerance_ms: 40, offset_ms: {c: -30}, optional: [b, c]}
  snk:    {op: test.null, inputs: {in: pair.out}, config: {write: true}}
  direct: {op: test.null, inputs: {in: heat.out}, config: {write: true}}
"""


INLINE = ("--place", "inline")
"""Where it makes no difference: a fraction of the time."""


def recorded(pipe, graph, *args):
    """(file, the run that made it)."""
    file = pipe.folder / "r.mcap"
    ended = pipe.run(graph, "--record", str(file), *args, out=pipe.folder / "of")
    assert ended.code == 0, ended.stderr
    return file, ended


def replay(pipe, file, graph, *args, out="again"):
    ended = pipe.pipe("replay", str(file), str(graph), "--out", str(pipe.folder / out), *args)
    ended.out = pipe.folder / out
    return ended


def drops(ended):
    return sorted((d["edge"], d["reason"], d["frame"]) for d in ended.drops if "_record" not in d["edge"])


def test_no_frame_at_all(pipe):
    graph = pipe.graph(CHAIN.replace("frames: 60", "frames: 0"))
    file, run = recorded(pipe, graph, *INLINE)
    again = replay(pipe, file, graph, *INLINE)
    assert again.code == 0, again.stderr
    assert again.report["digest"] == {"snk": run.report["digest"]["snk"]}


@pytest.mark.quick(2)
@pytest.mark.parametrize("args", [[], ["--place", "inline"], ["--rate", "50"], ["--set", "src.place=g", "--set", "sum.place=g"]])
@pytest.mark.parametrize("text", [CHAIN, CLOCKS], ids=["chain", "clocks"])
def test_the_same_bytes(pipe, text, args):
    """Disorder, duplicates, a sensor that dies and returns, one that understates its disorder: the same sets and drops."""
    if text is CLOCKS:
        args = [a.replace("src", "cam").replace("sum", "pair") for a in args]
    graph = pipe.graph(text)
    file, run = recorded(pipe, graph)
    again = replay(pipe, file, graph, *args)
    assert (again.code, again.stderr) == (0, "")
    assert again.report["digest"] == run.report["digest"]
    assert again.report["comparable"]
    assert drops(again) == drops(run)
    check_balance(again)
    assert (again.out / "snk" / "frames.txt").read_text() == (run.out / "snk" / "frames.txt").read_text()
    assert f"as in the recorded run: {', '.join(again.report['digest'])}" in again.stdout
    if text is CLOCKS:
        assert {d[1] for d in drops(run)} >= {"stale", "sync_no_match"}, "or the test has shown little"


TRAFFIC = """
  world:    {driver: synthetic.traffic, config: {frames: 12}}
  voxelize: {op: lidar.voxelize, inputs: {points: world.points}}
  tracker:  {op: track.tracker, inputs: {boxes3d: world.boxes3d, pose: world.pose}}
  render:
    op: render.scene
    inputs:
      tracks: tracker.tracks
      points: world.points
      pillars: voxelize.pillars
      pose: world.pose
      calibration: world.calibration
    config: {png_every: 4}
  results:  {op: write.kitti_tracking, inputs: {tracks: tracker.tracks, calibration: world.calibration}}
"""


@pytest.mark.slow
def test_every_file_of_a_graph(pipe):
    """Statics, loans, a tracker, a join, images and a video: the replay's files equal the run's."""
    graph = pipe.graph(TRAFFIC)
    file, run = recorded(pipe, graph)
    again = replay(pipe, file, graph)
    assert (again.code, again.stderr) == (0, "")
    assert again.report["digest"] == run.report["digest"]
    assert sum(e["copied_bytes"] for n, e in again.report["edges"].items() if n.startswith("world.")) == 0, "into the slots"
    made = [p.relative_to(run.out) for p in sorted(run.out.glob("re*/**/*")) if p.is_file()]
    assert len(made) >= 5
    for path in made:
        assert (again.out / path).read_bytes() == (run.out / path).read_bytes(), path


PICTURES = """
  cam: {driver: "pipe_nodes:Pictures", config: {frames: 8}}
  snk: {op: test.null, inputs: {in: cam.image}, config: {write: true}}
"""


@pytest.mark.quick(2)
@pytest.mark.parametrize("images", ["raw", "png", "jpeg"])
def test_pictures(pipe, images):
    graph = pipe.graph(PICTURES)
    file, run = recorded(pipe, graph, "--record-images", images, *INLINE)
    again = replay(pipe, file, graph, *INLINE)
    assert again.code == 0, again.stderr
    same = again.report["digest"] == run.report["digest"]
    if images == "jpeg":
        assert again.stderr == f"warning: {file} holds pictures as JPEG: they are not bit for bit what the run saw\n"
        assert not same and "not as in the recorded run: snk" in again.stdout
    else:
        assert same and again.stderr == ""
    assert again.ids("snk") == list(range(8))


def test_a_part_of_it(pipe):
    graph = pipe.graph(CHAIN)
    file, _ = recorded(pipe, graph, *INLINE)
    again = replay(pipe, file, graph, *INLINE, "--frames", "20")
    assert again.ids("snk") == list(range(20))
    assert "recorded run" not in again.stdout, "a part cannot be compared with the whole"


def test_another_graph_on_it(pipe):
    """Only the names of sources and ports must be equal; the driver in the file is ignored."""
    file, _ = recorded(pipe, pipe.graph(CHAIN), *INLINE)
    graph = pipe.graph("""
  src: {driver: not.installed.here, config: {serial: 7, exposure: high}, live: true}
  low: {op: test.pass, inputs: {in: src.out}, queue: {in: {policy: latest}}, config: {max_mb: 0.1}}
  snk: {op: test.null, inputs: {in: low.out}, config: {write: true}}
""")
    again = replay(pipe, file, graph, *INLINE)
    assert again.code == 0, again.stderr
    assert again.ids("snk") == list(range(60)), "nothing is live, nothing is dropped"
    assert again.report["comparable"]


def test_a_killed_source_goes_on(pipe):
    """The successor continues with the frame after the last committed one."""
    graph = pipe.graph(CHAIN.replace("frames: 60", "frames: 60, rate_hz: 100"))
    file, _ = recorded(pipe, graph, *INLINE)
    running = pipe.start(graph, "--rate", "0.5", verb=["replay", str(file)])
    running.wait_lines("snk", 15)
    running.kill("src")
    ended = running.end()
    assert ended.code == 0, ended.stderr
    assert ended.report["nodes"]["src"]["restarts"] == 1
    check_account(ended, graph, range(60))
    assert ended.ids("snk")[-1] == 59


def test_frames_keep_their_numbers_after_losses(pipe):
    """A live run that lost frames: its recording says so, and the replay keeps the frame numbers."""
    text = CHAIN.replace("frames: 60, checksum: true}", "frames: 60, rate_hz: 100, checksum: true}, live: true")
    file, run = recorded(pipe, pipe.graph(text), "--inject", "_record:processing@20")
    lost = [d for d in run.drops if "_record" in d["edge"]]
    assert lost
    again = replay(pipe, file, pipe.graph(text))
    assert again.code == 0, again.stderr
    gone = {int(d["frame"].rpartition(":")[2]) for d in lost}
    assert again.ids("snk") == [i for i in range(60) if i not in gone]
    assert f"lacks {len(lost)} frames that its recorder lost (channel /pipe/drops)" in again.stderr


def test_from_python(tmp_path):
    graph = tmp_path / "g.yaml"
    graph.write_text("version: 1\nnodes:\n" + CHAIN)
    run = pipeline.run(graph, out=tmp_path / "a", place="inline", record=tmp_path / "r.mcap")
    assert (run.recorded.frames, run.recorded.lost) == (60, 0)
    again = pipeline.replay(tmp_path / "r.mcap", graph, out=tmp_path / "b", place="inline")
    assert again.report["digest"] == run.report["digest"]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("images", ["raw", "png"])
def test_two_sensors_of_kitti(pipe, shared_data, images):
    """Camera and LiDAR with separate clocks, calibration, real images and full scans."""
    args = [x for n in ("lidar", "camera") for x in ("--set", f"{n}.config.root={shared_data / 'kitti_raw'}")]
    file, run = recorded(pipe, "kitti_camera_lidar", *args, "--record-images", images)
    assert "recorded 0 frames" not in run.stdout
    again = replay(pipe, file, "kitti_camera_lidar")
    assert (again.code, again.stderr) == (0, "")
    assert again.report["digest"] == run.report["digest"]


# ---- verify


def test_verify(pipe):
    graph = pipe.graph(CLOCKS)
    file, run = recorded(pipe, graph, *INLINE)
    ended = replay(pipe, file, graph, "--verify", "5", "--seed", "3")
    assert (ended.code, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert len(lines) == 6 and lines[-1] == "5 of 5: one digest per sink, that of the recorded run"
    ways = [line.partition(": ")[2].rpartition(": ")[0] for line in lines[:-1]]
    assert ways[0] == "6 processes, rate max, 0 busy beside it" and len(set(ways)) > 2
    assert [p.name for p in ended.out.iterdir()] == ["run-000"], "the others were the same"
    assert run.report["digest"]["snk"][:12] in lines[0]


FLIP = """
  world: {driver: synthetic.traffic, config: {frames: 20}}
  flip:  {op: "pipe_nodes:FlipLater", inputs: {boxes3d: world.boxes3d}, config: {at: 12, folder: "%s", opened: 3}}
  after: {op: "pipe_nodes:FlipBit", inputs: {boxes3d: flip.boxes3d}}
  snk:   {op: test.null, inputs: {in: after.boxes3d}}
"""


def test_verify_names_the_first_node_port_and_frame(pipe):
    """An operator flips one bit of one frame in the third run; the next operator only passes it on."""
    folder = pipe.folder / "opened"
    folder.mkdir()
    graph = pipe.graph(FLIP % folder)
    file, _ = recorded(pipe, graph, *INLINE)
    shutil.rmtree(folder)
    folder.mkdir()
    ended = replay(pipe, file, graph, "--verify", "6")
    assert ended.code == 1
    out = ended.out / "run-002"
    assert ended.stderr == (
        "error: run 3 differs from run 1: flip.boxes3d: frame world:12 has other bytes, though flip was given the same; "
        f"see {out}\n"
    )
    assert ended.stdout.splitlines()[-1].startswith("run 3 of 6: ") and ended.stdout.splitlines()[-1].endswith("DIFFERS")
    assert out.exists()


@pytest.mark.slow
def test_verify_names_a_frame_that_is_not_there(pipe):
    graph = pipe.graph(f"""
  src:  {{driver: test.counter, config: {{frames: 20}}}}
  some: {{op: "pipe_nodes:FewerLater", inputs: {{data: src.out}}, config: {{at: 7, folder: "{pipe.folder}", opened: 2}}}}
  snk:  {{op: test.null, inputs: {{in: some.out}}}}
""")
    file, _ = recorded(pipe, graph, *INLINE)
    for path in pipe.folder.glob("*.opened"):
        path.unlink()
    ended = replay(pipe, file, graph, "--verify", "3")
    assert ended.code == 1
    assert "run 2 differs from run 1: some.out: frame src:7 came where the other has src:8; see " in ended.stderr


@pytest.mark.slow
def test_verify_stops_at_a_run_that_fails(pipe):
    graph = pipe.graph(CHAIN)
    file, _ = recorded(pipe, graph, *INLINE)
    fails = pipe.graph(CHAIN.replace("op: test.sum", "op: pipe_nodes:RaiseAt"))
    ended = replay(pipe, file, fails, "--verify", "3")
    assert ended.code == 1
    assert ended.stderr.startswith("error: run 1 cannot be compared: sum: frame src:9 (000009): ValueError: on purpose; see ")


# ---- damaged and wrong files


def test_a_flipped_bit_in_the_file_is_named(pipe):
    """One bit of one array of one frame: the frame's checksum finds it, and the message names port and frame."""
    graph = pipe.graph(CHAIN)
    file, _ = recorded(pipe, graph, *INLINE)
    with Recording(file) as recording:
        (frame,) = recording.sources["src"].readings[33]
        (array,) = frame.stored.arrays
        at = frame.entry.data_at + array.at + 1234
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    again = replay(pipe, file, graph, *INLINE)
    assert again.code == 1
    assert again.stderr.startswith(f"error: src: reading 33: {file}: data of src.out src:33 needs checksum ")
    assert again.stderr.endswith(": the file is damaged\n")


def test_a_flipped_bit_of_the_input_changes_the_digest(pipe):
    """The same bit with a matching checksum is another input: all replays agree, but differ from the recorded run."""
    graph = pipe.graph("""
  src: {driver: test.blob, config: {bytes: 5000, frames: 40}}
  snk: {op: test.null, inputs: {in: src.out}}
""")
    file, run = recorded(pipe, graph, *INLINE)
    with Recording(file) as recording:
        (frame,) = recording.sources["src"].readings[33]
        (array,) = frame.stored.arrays
        at, sum_at = frame.entry.data_at + array.at, frame.entry.data_at + array.sum_at
    data = bytearray(file.read_bytes())
    data[at + 1234] ^= 1
    data[sum_at : sum_at + 4] = zlib.crc32(data[at : at + array.nbytes]).to_bytes(4, "little")
    file.write_bytes(data)
    again = replay(pipe, file, graph, *INLINE)
    assert again.code == 0, again.stderr
    assert again.report["digest"]["snk"] != run.report["digest"]["snk"]
    assert "not as in the recorded run: snk" in again.stdout


@pytest.mark.quick(1)
@pytest.mark.parametrize("compression", [CompressionType.ZSTD, CompressionType.LZ4])
def test_a_file_that_another_tool_has_compressed(pipe, compression):
    graph = pipe.graph(CHAIN)
    file, run = recorded(pipe, graph, *INLINE)
    packed = pipe.folder / "packed.mcap"
    copy_with_their_writer(file, packed, compression)
    again = replay(pipe, packed, graph, *INLINE)
    assert again.code == 0, again.stderr
    assert again.report["digest"]["snk"] == run.report["digest"]["snk"]


def copy_with_their_writer(file, to, compression):
    from mcap.reader import make_reader

    with file.open("rb") as source, to.open("wb") as target:
        reader, writer = make_reader(source), Writer(target, compression=compression, chunk_size=20_000)
        writer.start()
        channels = {}
        for schema, channel, message in reader.iter_messages():
            if channel.id not in channels:
                number = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, channel.message_encoding, number, channel.metadata)
            writer.add_message(channels[channel.id], message.log_time, message.data, message.publish_time, message.sequence)
        writer.finish()


def foreign(path):
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(library="x")
        schema = writer.register_schema("s", "", b"")
        writer.add_message(writer.register_channel("/src/out", "json", schema), 1, b"{}", 1)
        writer.finish()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (None, "{f}: needs a recording, got: No such file or directory"),
        (lambda f: f.mkdir(), "{f}: needs a recording, got: it is a folder, not a file"),
        (lambda f: f.write_bytes(b""), "{f}: is empty"),
        (lambda f: f.write_text("version: 1"), "{f}: needs an MCAP file, got one that begins with b'version:'"),
        (
            foreign,
            "{f}: needs a recording of pipe run --record, got MCAP of another program: no profile, written by x, "
            "1 channels such as /src/out (json); pipe plays its own only",
        ),
    ],
)
def test_files_that_are_none(pipe, make, text):
    file, graph = pipe.folder / "x.mcap", pipe.graph(CHAIN)
    if make:
        make(file)
    ended = replay(pipe, file, graph)
    text = text.replace("{f}", str(file)).replace("{g}", str(graph))
    assert (ended.code, ended.stderr) == (2, f"error: {text}\n")
    assert not ended.out.exists()


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    ("change", "args", "text"),
    [
        (("src:", "other:"), [], "other.driver: needs source other in the recording {f}, got src"),
        (("src.out", "src.image"), [], "sum.inputs.data: src has no output image in the recording; known: out"),
        (
            ("", ""),
            ["--set", "src.config.frames=3"],
            "--set src.config.frames=3: src is played from {f}; its config has no effect",
        ),
        (("", ""), ["--set", "sum.config.nothing=3"], "sum.config.nothing: unknown key; known: checksum"),
        (("", ""), ["--verify", "0"], "--verify: needs at least 1 run, got 0"),
        (("test.sum", "pipe_nodes:Pair"), [], "sum.inputs.data: "),
    ],
)
def test_graphs_that_do_not_fit(pipe, change, args, text):
    file, _ = recorded(pipe, pipe.graph(CHAIN), *INLINE)
    ended = replay(pipe, file, pipe.graph(CHAIN.replace(*change)), *args)
    assert ended.code == 2
    assert text.replace("{f}", str(file)) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_of_another_kind(pipe):
    file, _ = recorded(pipe, pipe.graph(CHAIN), *INLINE)
    graph = pipe.graph("""
  src: {driver: x}
  low: {op: lidar.voxelize, inputs: {points: src.out}}
  snk: {op: test.null, inputs: {in: low.pillars}}
""")
    ended = replay(pipe, file, graph, *INLINE)
    assert ended.code == 2
    assert "voxelize" not in ended.stderr and "low.points: needs POINTS (points), got BLOB (data) from src.out" in ended.stderr


@pytest.mark.slow
def test_results_are_not_overwritten(pipe):
    graph = pipe.graph(CHAIN)
    file, _ = recorded(pipe, graph, *INLINE)
    assert replay(pipe, file, graph, *INLINE).code == 0
    again = replay(pipe, file, graph, *INLINE)
    assert again.code == 2 and "needs a folder without results, got " in again.stderr
    assert replay(pipe, file, graph, *INLINE, "--overwrite").code == 0
    assert replay(pipe, file, graph, *INLINE, "--verify", "1", out="v").code == 0
    again = replay(pipe, file, graph, *INLINE, "--verify", "1", out="v")
    assert again.code == 2 and again.stderr.endswith(": needs a folder without results, got run-000; use --overwrite\n")


def test_damaged_heads_never_end_in_a_traceback(tmp_path):
    """One changed byte in each of many places: an InputError or GraphError in one line, or a readable recording."""
    graph = tmp_path / "g.yaml"
    graph.write_text("version: 1\nnodes:\n" + CHAIN.replace("frames: 60", "frames: 3").replace("bytes: 5000", "bytes: 40"))
    file, bad = tmp_path / "r.mcap", tmp_path / "bad.mcap"
    pipeline.run(graph, out=tmp_path / "a", place="inline", record=file)
    data = file.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for at in range(8, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= int(rng.integers(1, 256))
        bad.write_bytes(changed)
        try:
            with Recording(bad) as recording:
                assert set(recording.sources) <= {"src"} or recording.sources
        except (InputError, GraphError) as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017 - either is right
    assert refused > 10


def test_what_the_file_says_of_itself(pipe):
    graph = pipe.graph(CHAIN)
    file, run = recorded(pipe, graph, *INLINE)
    with Recording(file) as recording:
        assert recording.about["text"] == graph.read_text() and recording.about["live"] == "false"
        assert recording.complete and recording.lost == 0
        assert recording.digests == run.report["digest"] and recording.result["exit"] == "completed"
        assert json.loads(recording.result["digest"])
        entry = recording.sources["src"].readings[0][0].entry
        raw = os.pread(recording.fd, entry.nbytes, entry.data_at)
    assert ARRAY_FIELD == 15001 and len(raw) < 5000 + 300, "once"
