"""`--record`: the file holds the frames that the ledger counts as delivered, after kills, stops and full disks."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest
from mcap_files import check_recorded, drops, seek, stream
from pipe_runs import check_account, check_balance, wait_for

import pipeline
from pipeline.errors import InputError
from pipeline.graph import sizing
from pipeline.graph.load import parse
from pipeline.operator import Resume, prepare
from pipeline.options import Record
from pipeline.recording.playback import Recording
from pipeline.recording.recorder import Recorder, with_recorder
from pipeline.recording.taps import MAX_QUEUE

CHAIN = """
  src: {driver: test.blob, config: {bytes: 5000, frames: 60, checksum: true}}
  two: {driver: test.counter, config: {frames: 60}}
  sum: {op: test.sum, inputs: {data: src.out}, config: {checksum: true}}
  snk: {op: test.null, inputs: {in: sum.out}, config: {write: true}}
"""
BOTH = {"src.out": range(60), "two.out": range(60)}
LIVE = """
  src: {driver: test.blob, config: {bytes: 5000, frames: %d, rate_hz: 100, checksum: true}, live: true}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
"""


def test_nothing_to_record(pipe):
    graph = pipe.graph(CHAIN.replace("frames: 60", "frames: 0"))
    ended = pipe.run(graph, "--record", str(pipe.folder / "r.mcap"))
    assert ended.code == 0, ended.stderr
    assert seek(pipe.folder / "r.mcap") == {}
    assert "recorded 0 frames" in ended.stdout


@pytest.mark.parametrize("place", [[], ["--place", "inline"]])
def test_all_of_it(pipe, place):
    graph, file = pipe.graph(CHAIN), pipe.folder / "sub" / "r.mcap"
    plain = pipe.run(graph, *place)
    ended = pipe.run(graph, "--record", str(file), *place)
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(60))
    check_recorded(file, ended, BOTH)
    assert drops(file) == []
    assert ended.stdout.splitlines()[-1] == f"  recorded 120 frames, {file.stat().st_size / 1e6:.1f} MB, lost 0: {file}"
    assert ended.report["digest"]["snk"] == plain.report["digest"]["snk"], "whoever watches changes nothing"
    assert ended.report["sinks"]["_record"]["frames"] == 120
    assert "_record" not in ended.report["digest"], "the order of two sources is no fact"


def test_chosen_ports(pipe):
    graph, file = pipe.graph(CHAIN), pipe.folder / "r.mcap"
    assert pipe.run(graph, "--record", str(file), "--record-ports", "sum.out,src.out").code == 0
    assert {topic: len(ids) for topic, ids in seek(file).items()} == {"/sum/out": 60, "/src/out": 60}
    file = pipe.folder / "all.mcap"
    assert pipe.run(graph, "--record", str(file), "--record-ports", "all").code == 0
    assert set(seek(file)) == {"/src/out", "/two/out", "/sum/out"}


@pytest.mark.quick(3)
@pytest.mark.parametrize("step", ["received", "processing", "processed", "committed", "released"])
@pytest.mark.parametrize("count", [1, 40, 55])
def test_killed_at_each_step(pipe, step, count):
    """The frames in work are named as lost and are not in the file, even if they were written; all others are."""
    graph, file = pipe.graph(CHAIN), pipe.folder / "r.mcap"
    ended = pipe.run(graph, "--record", str(file), "--inject", f"_record:{step}@{count}")
    assert ended.code == 0, ended.stderr
    assert ended.report["nodes"]["_record"]["restarts"] == 1
    check_account(ended, graph, range(60))
    check_recorded(file, ended, BOTH)
    lost = [d for d in ended.drops if "_record" in d["edge"]]
    assert all(d["reason"] == "restart" for d in lost) and len(lost) <= 2 * (MAX_QUEUE + 1)
    assert f"lost {len(lost)}: " in ended.stdout


@pytest.mark.quick(1)
@pytest.mark.parametrize("node", ["src", "sum"])
def test_killed_beside_the_recorder(pipe, node):
    graph, file = pipe.graph(CHAIN), pipe.folder / "r.mcap"
    ended = pipe.run(graph, "--record", str(file), "--inject", f"{node}:sent@20")
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(60))
    check_recorded(file, ended, BOTH)


@pytest.mark.quick(1)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_whole_run_killed(pipe, number):
    """kill -9 in mid-run: the standard reader reads up to the last written frame, without a repair."""
    graph, file = pipe.graph(CHAIN.replace("frames: 60", "frames: 100000, rate_hz: 200")), pipe.folder / "r.mcap"
    running = pipe.start(graph, "--record", str(file), "--rate", "1.0")
    running.wait_lines("snk", 100)
    running.signal(number)
    ended = running.end()
    there = stream(file)
    for topic in ("/src/out", "/two/out"):
        assert there[topic] == list(range(len(there[topic]))) and len(there[topic]) >= 80
    again = pipe.pipe("replay", str(file), str(graph), "--out", str(pipe.folder / "again"), "--rate", "max")
    assert again.code == 0, again.stderr
    unfinished = f"warning: {file} has no summary: the run was killed, or still goes on; what is complete is played\n"
    if number == signal.SIGKILL:
        assert again.stderr == unfinished
    if number == signal.SIGTERM:
        assert ended.code == 143
        n = len(drops(file))
        assert seek(file) == there, "finished, and the same"
        assert again.stderr == (f"warning: {file} lacks {n} frames that its recorder lost (channel /pipe/drops)\n" if n else "")
        assert {d["reason"] for d in drops(file)} <= {"shutdown"}


def test_a_stopped_recorder_slows_nobody(pipe):
    """Live: while stopped it holds one frame, and missed frames are named in the ledger and in the file."""
    graph, file = pipe.graph(LIVE % 200), pipe.folder / "r.mcap"
    running = pipe.start(graph, "--record", str(file))
    running.wait_lines("snk", 40)
    running.kill("_record", signal.SIGSTOP)
    before = running.lines("snk")
    running.wait_lines("snk", before + 60)
    running.kill("_record", signal.SIGCONT)
    ended = running.end()
    assert ended.code == 0, ended.stderr
    check_balance(ended)
    check_recorded(file, ended, {"src.out": range(200)})
    lost = [d for d in ended.drops if "_record" in d["edge"]]
    assert {d["reason"] for d in lost} == {"queue_full"} and len(lost) >= 50
    assert len(ended.ids("snk")) > 100, "the other reader went on seeing most"


def test_a_killed_recorder_of_a_live_graph(pipe):
    """Its successor continues the same file; frames missed meanwhile are named."""
    graph, file = pipe.graph(LIVE % 1_000_000), pipe.folder / "r.mcap"
    running = pipe.start(graph, "--record", str(file))
    running.wait_lines("snk", 40)
    running.kill("_record")
    size = file.stat().st_size
    wait_for(lambda: file.stat().st_size > size + 100_000, 30, "the successor's frames")
    running.signal(signal.SIGTERM)
    ended = running.end()
    assert ended.code == 143, ended.stderr
    check_balance(ended)
    check_recorded(file, ended, {"src.out": range(ended.report["edges"]["src.out->_record.src.out"]["produced"])})
    reasons = {d["reason"] for d in ended.drops if "_record" in d["edge"]}
    assert "queue_full" in reasons and reasons <= {"queue_full", "restart", "shutdown"}


def test_a_live_tap_leases_one_slot():
    """Memory of the recorder: one slot per port in a live run; a queue like any sink's offline."""
    text = "version: 1\nnodes:\n" + LIVE % 5
    record = Record(Path("r.mcap"))
    for live, more in ((True, 1), (False, MAX_QUEUE + 1)):
        spec = parse(text, "g.yaml", {"src.live": live})
        with_ = with_recorder(spec, record)
        assert sizing.slots(with_, "src", "out") == sizing.slots(spec, "src", "out") + more
        assert sizing.window(with_, with_.edges_from("src", "out")[1]) == more


@pytest.mark.parametrize(("nbytes", "size"), [(8, MAX_QUEUE), (100_000, 10), (1_000_000, 4), (50_000_000, 4)])
def test_how_much_waits_for_the_recorder(nbytes, size):
    """Many small frames wait, to be written together; of large frames as many as for any sink."""
    text = f"version: 1\nnodes:\n  src: {{driver: test.blob, config: {{bytes: {nbytes}}}}}\n"
    spec = with_recorder(parse(text, "g.yaml"), Record(Path("r.mcap")))
    assert sizing.queue(spec, "_record", "src.out").size == size


# ---- the disk


class Disk:
    """os.pwritev on a disk with room for a number of bytes."""

    def __init__(self, monkeypatch, room: int) -> None:
        self.room, self._write = room, os.pwritev
        monkeypatch.setattr(os, "pwritev", self)

    def __call__(self, fd, buffers, at):
        data = b"".join(bytes(b) for b in buffers)[: self.room]
        if not data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return self._write(fd, [data], at)


def test_a_full_disk_stops_an_offline_run(tmp_path, monkeypatch):
    """With one line; all frames recorded before are in the file."""
    graph = tmp_path / "g.yaml"
    graph.write_text("version: 1\nnodes:\n" + CHAIN)
    disk = Disk(monkeypatch, 100_000)
    outcome = pipeline.run(graph, out=tmp_path / "out", place="inline", record=tmp_path / "r.mcap")
    assert (outcome.exit, outcome.code) == ("failed", 1)
    n = len(stream(tmp_path / "r.mcap")["/src/out"])
    assert outcome.errors[0] == (
        f"_record: frame src:{n} ({n:06d}): {tmp_path / 'r.mcap'}: cannot write src.out of src:{n}: No space left on device; "
        "what came before is complete; free space, or record to another disk?"
    )
    assert n >= 5
    assert disk.room == 0


def test_a_full_disk_costs_a_live_run_only_its_recording(tmp_path, monkeypatch):
    graph = tmp_path / "g.yaml"
    graph.write_text("version: 1\nnodes:\n" + LIVE % 30)
    Disk(monkeypatch, 60_000)
    outcome = pipeline.run(graph, out=tmp_path / "out", place="inline", record=tmp_path / "r.mcap")
    edges = outcome.report["edges"]
    assert edges["src.out->snk.in"]["delivered"] >= 29
    recorded = edges["src.out->_record.src.out"]
    there = stream(tmp_path / "r.mcap")["/src/out"]
    assert recorded["delivered"] == len(there) < 15
    assert recorded["dropped"]["error"] >= 10


def test_no_room_for_the_summary(tmp_path, monkeypatch):
    """The recording is complete without the summary, and the run says so."""
    graph = tmp_path / "g.yaml"
    graph.write_text("version: 1\nnodes:\n" + CHAIN)
    import pipeline.recording.recorder

    finish = pipeline.recording.recorder.finish

    def full(session, outcome):
        Disk(monkeypatch, 300)
        finish(session, outcome)

    monkeypatch.setattr(pipeline.recording.recorder, "finish", full)
    outcome = pipeline.run(graph, out=tmp_path / "out", place="inline", record=tmp_path / "r.mcap")
    text = f"{tmp_path / 'r.mcap'}: cannot write its summary: No space left on device; it is complete without, readers scan it"
    assert (outcome.exit, outcome.code, outcome.errors) == ("completed", 1, [text])
    assert {topic: len(ids) for topic, ids in stream(tmp_path / "r.mcap").items()} == {"/src/out": 60, "/two/out": 60}


def test_a_disk_that_is_full_from_the_start(tmp_path, monkeypatch):
    """Not even the file header fits: one line, and no invalid file."""
    graph, file = tmp_path / "g.yaml", tmp_path / "r.mcap"
    graph.write_text("version: 1\nnodes:\n" + CHAIN)
    Disk(monkeypatch, 0)
    outcome = pipeline.run(graph, out=tmp_path / "out", place="inline", record=file)
    text = f"{file}: cannot begin the recording: No space left on device; record to another disk?"
    assert (outcome.exit, outcome.code, outcome.errors) == ("failed", 1, [text])
    assert not file.exists()


@pytest.mark.parametrize("left", [b"", b"\x89MCAP0\r\n\x01"])
def test_a_predecessor_that_died_at_the_very_beginning(tmp_path, left):
    """It had not written a frame: the successor starts the file anew, whatever is left."""
    spec = with_recorder(parse("version: 1\nnodes:\n" + CHAIN, "g.yaml"), Record(tmp_path / "r.mcap"))
    (tmp_path / "r.mcap").write_bytes(left)
    resume = Resume(1, -1, "", 0)
    recorder = prepare(Recorder(), "_record", spec.nodes["_record"].config, out_dir=tmp_path, resume=resume)
    recorder.open()
    recorder.close()
    assert stream(tmp_path / "r.mcap") == {}
    with pytest.raises(InputError, match="needs at least one whole frame, got a file that ends before its first one"):
        Recording(tmp_path / "r.mcap")


# ---- refused before anything starts


@pytest.mark.parametrize(
    ("args", "make", "text"),
    [
        ([], b"x", "{d}/r.mcap: needs a file that is not there yet, got one; use --overwrite or another --record"),
        (["--overwrite"], b"#!/bin/sh", "{d}/r.mcap: needs an MCAP file to overwrite, got one that begins with b'#!/bin/s'"),
        (["--record", "{d}"], None, "{d}: needs a file to record to, got a folder; --record {d}/run.mcap?"),
        (
            ["--record", "/proc/nothing/r.mcap"],
            None,
            "/proc/nothing/r.mcap: needs a file that can be written, got: No such file or directory; use another --record",
        ),
        (
            ["--record-ports", "src.uot"],
            None,
            "--record-ports src.uot: needs sources, all, or NODE.PORT of the graph; did you mean src.out?",
        ),
        (["--record-ports", ""], None, "--record-ports : needs at least one port that is not static, got none"),
    ],
)
def test_refused(pipe, args, make, text):
    if make is not None:
        (pipe.folder / "r.mcap").write_bytes(make)
    args = ["--record", "{d}/r.mcap", *args]
    ended = pipe.run(pipe.graph(CHAIN), *(a.replace("{d}", str(pipe.folder)) for a in args))
    assert (ended.code, ended.stderr) == (2, f"error: {text.replace('{d}', str(pipe.folder))}\n")
    assert not ended.out.exists(), "nothing has started"


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (os.mkfifo, "needs a file that can be written, got: it is a pipe, not a file; use another --record"),
        (lambda f: f.symlink_to("/dev/null"), "needs a file that can be written, got: it is a device, not a file; use another"),
        (lambda f: f.symlink_to(f), "needs a file that can be written, got: Too many levels of symbolic links; use another"),
        (lambda f: f.symlink_to(f.parent), "needs a file to record to, got a folder; --record "),
    ],
)
def test_no_place_to_record_to(pipe, make, text):
    """A pipe would wait for a reader; an earlier run's results are still there."""
    graph, file, out = pipe.graph(CHAIN), pipe.folder / "r.mcap", pipe.folder / "out"
    make(file)
    assert pipe.run(graph, "--frames", "3", "--place", "inline", out=out).code == 0
    ended = pipe.run(graph, "--record", str(file), "--overwrite", out=out)
    assert ended.code == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: {file}: {text}")
    assert len(ended.ids("snk")) == 3 and file.is_symlink() + file.is_fifo() == 1


def test_a_folder_that_is_not_there_is_made(pipe):
    graph, file = pipe.graph(CHAIN), pipe.folder / "a" / "b" / "r.mcap"
    assert pipe.run(graph, "--record", str(file), "--frames", "3", "--place", "inline").code == 0
    assert len(seek(file)["/src/out"]) == 3


def test_a_link_leads_to_the_recording(pipe):
    graph, real, link = pipe.graph(CHAIN), pipe.folder / "real.mcap", pipe.folder / "link.mcap"
    assert pipe.run(graph, "--record", str(real), "--frames", "3", "--place", "inline").code == 0
    link.symlink_to(real)
    assert pipe.run(graph, "--record", str(link), "--frames", "5", "--place", "inline").code == 2
    assert pipe.run(graph, "--record", str(link), "--overwrite", "--frames", "5", "--place", "inline").code == 0
    assert len(seek(real)["/src/out"]) == 5 and link.is_symlink()


def test_a_living_recording_is_not_overwritten(pipe):
    graph, file = pipe.graph(LIVE % 100_000), pipe.folder / "r.mcap"
    running = pipe.start(graph, "--record", str(file))
    running.wait_lines("snk", 20)
    for more in ([], ["--place", "inline"]):
        ended = pipe.pipe("run", str(graph), "--out", str(pipe.folder / "other"), "--record", str(file), "--overwrite", *more)
        assert (ended.code, ended.stderr) == (
            2,
            f"error: {file}: a run is recording to it; wait for its end, or use another --record\n",
        )
        assert not (pipe.folder / "other").exists(), "nothing has started"
    running.signal(signal.SIGTERM)
    ended = running.end()
    assert ended.code == 143 and len(seek(file)["/src/out"]) >= 20


def test_a_run_that_is_refused_leaves_no_recording(pipe):
    graph, file, out = pipe.graph(CHAIN), pipe.folder / "r.mcap", pipe.folder / "out"
    assert pipe.run(graph, "--record", str(file), "--frames", "3", "--place", "inline", out=out).code == 0
    before = file.read_bytes()
    ended = pipe.run(graph, "--record", str(pipe.folder / "new.mcap"), out=out)
    assert ended.code == 2 and not (pipe.folder / "new.mcap").exists()
    (pipe.folder / "mine" / "src").mkdir(parents=True)
    ended = pipe.run(graph, "--record", str(file), "--overwrite", out=pipe.folder / "mine")
    assert ended.code == 2 and file.read_bytes() == before


def test_overwrite_takes_an_older_recording(pipe):
    graph, file = pipe.graph(CHAIN), pipe.folder / "r.mcap"
    assert pipe.run(graph, "--record", str(file), "--frames", "50").code == 0
    assert pipe.run(graph, "--record", str(file), "--overwrite", "--frames", "20").code == 0
    assert len(seek(file)["/src/out"]) == 20


@pytest.mark.slow
def test_without_the_package(pipe):
    """One line before the start; everything else works without it."""
    (pipe.folder / "mcap.py").write_text("raise ImportError('not here')")
    env = {"PYTHONPATH": f"{pipe.folder}:{os.environ.get('PYTHONPATH', '')}"}
    ended = pipe.run(pipe.graph(CHAIN), "--record", str(pipe.folder / "r.mcap"), env=env)
    text = "recordings: need the package mcap, which is not installed; pip install 'perception-pipe[record]'"
    assert (ended.code, ended.stderr) == (2, f"error: {text}\n")
    ended = pipe.run(pipe.graph(CHAIN), env=env, verb=["replay", "r.mcap"])
    assert (ended.code, ended.stderr) == (2, f"error: {text}\n")
    assert pipe.run(pipe.graph(CHAIN), env=env).code == 0


def test_a_source_that_cannot_serve_a_port_nobody_works_with(pipe, tmp_path):
    """KITTI without images: the recorder asks for the port and accepts that it is absent."""
    root = tmp_path / "kitti"
    (root / "velodyne" / "0000").mkdir(parents=True)
    for i in range(3):
        (root / "velodyne" / "0000" / f"{i:06d}.bin").write_bytes(bytes(16 * 5))
    graph, file = pipe.graph(f"""
  scans: {{driver: kitti.tracking, config: {{root: {root}}}}}
  snk:   {{op: test.null, inputs: {{in: scans.points}}, config: {{write: true}}}}
"""), pipe.folder / "r.mcap"  # fmt: skip
    ended = pipe.run(graph, "--record", str(file))
    assert ended.code == 0, ended.stderr
    assert seek(file) == {"/scans/points": [0, 1, 2]}
