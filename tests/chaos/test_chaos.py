"""The checkers of `make chaos` find every error and report none in a correct run; then a short chaos run."""

import json
import os
import struct
from contextlib import contextmanager

import pytest
import yaml

from chaos import account, graphs, procs, rig, words
from chaos.__main__ import main
from chaos.rig import Rig
from chaos.tally import Tally
from pipeline.flow import shm
from pipeline.flow.board import Board
from pipeline.graph.layout import DONE, EDGE_HEAD, EDGE_TAIL, RELEASED, SENT, BoardShape, layout, pool_bytes

NODES = """
nodes:
  src:  {driver: test.blob, pool: {out: {slots: 4, max_mb: 0.001}}}
  left: {op: test.pass, inputs: {in: src.out}, pool: {out: {slots: 3, max_mb: 0.001}}}
  join: {op: x, inputs: {a: left.out, base: src.base, b: src.out}, pool: {out: {slots: 2, max_mb: 0.001}}}
  snk:  {op: y, inputs: {in: join.out}}
"""
STATICS = frozenset({"src.base"})
RESTART = frozenset({"restart", "sync_no_match"})
DROPS = [("src.out->left.in", 2, "restart"), ("src.out->join.b", 2, "sync_no_match"), ("join.out->snk.in", 4, "restart")]


class Files:
    """Files of a run of six frames, of which 2 and 4 were lost."""

    def __init__(self, folder):
        self.graph, self.out = folder / "g.yaml", folder
        self.graph.write_text(NODES)
        self.ids = [0, 1, 3, 5]
        self.drops = list(DROPS)
        self.edges = {
            "src.out->left.in": [6, 5],
            "left.out->join.a": [5, 5],
            "src.out->join.b": [6, 5],
            "join.out->snk.in": [5, 4],
        }
        self.tail = ""

    def check(self, reasons=RESTART):
        (self.out / "snk").mkdir(exist_ok=True)
        (self.out / "logs").mkdir(exist_ok=True)
        (self.out / "snk" / "frames.txt").write_text("".join(f"{i} {i}00 {i}000\n" for i in self.ids) + self.tail)
        lines = [json.dumps({"edge": e, "reason": r, "frame": f"src:{i}", "stamp_ns": 0}) + "\n" for e, i, r in self.drops]
        (self.out / "logs" / "drops.jsonl").write_text("".join(lines) + self.tail)
        dropped = {name: {} for name in self.edges}
        for e, _, r in DROPS:
            dropped[e][r] = dropped[e].get(r, 0) + 1
        edges = {
            name: {"produced": p, "delivered": d, "dropped": dropped[name], "in_flight": 0} for name, (p, d) in self.edges.items()
        }
        (self.out / "report.json").write_text(json.dumps({"edges": edges}))
        return [
            *account.check_ids(self.graph, self.out, 6, ("snk",), reasons, STATICS),
            *account.check_report(self.graph, self.out, ("snk",)),
        ]


def test_nothing_ran(tmp_path):
    (tmp_path / "g.yaml").write_text(NODES)
    assert account.check_ids(tmp_path / "g.yaml", tmp_path, 0, ("snk",), RESTART, STATICS) == []
    wrong = account.check_ids(tmp_path / "g.yaml", tmp_path, 2, ("snk",), RESTART, STATICS)
    assert [text.partition(": ")[2] for text in wrong] == 2 * ["2 unaccounted: [0, 1]"], "one line for each way"


def test_all_accounted_for(tmp_path):
    files = Files(tmp_path)
    assert files.check() == []
    files.tail = "5 50"  # a line being written
    assert files.check() == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda f: f.ids.remove(3), "1 unaccounted: [3]"),
        (lambda f: f.ids.insert(2, 2), "more than once: [2]"),
        (lambda f: f.ids.insert(3, 3), "snk: 3 after 3"),
        (lambda f: f.ids.reverse(), "snk: 3 after 5"),
        (lambda f: f.ids.append(6), "1 never produced: [6]"),
        (lambda f: f.drops.pop(0), "src.out->left.in left.out->join.a join.out->snk.in: 1 unaccounted: [2]"),
        (lambda f: f.drops.pop(1), "src.out->join.b join.out->snk.in: 1 unaccounted: [2]"),
        (lambda f: f.drops.pop(2), "1 unaccounted: [4]"),
        (lambda f: f.drops.append(DROPS[2]), "1 more than once: [4]"),
        (lambda f: f.drops.append(("src.out->left.in", 1, "error")), "src.out->left.in: src:1 dropped: error"),
        (lambda f: f.edges["join.out->snk.in"].__setitem__(1, 3), "produced 5, delivered 3"),
        (lambda f: f.edges["join.out->snk.in"].__setitem__(slice(None), [6, 5]), "snk: 5 delivered, 4 lines in its file"),
        (lambda f: f.drops.append(("left.out->join.a", 9, "restart")), "drops.jsonl something else"),
    ],
)
def test_each_wrong_is_found(tmp_path, change, found):
    files = Files(tmp_path)
    change(files)
    assert any(found in text for text in files.check()), files.check()


# -- words ----------------------------------------------------------------------------------------------------------------


@contextmanager
def memory():
    """The board and the pools of NODES, made and written as the engine does, in this process."""
    nodes = yaml.safe_load(NODES)["nodes"]
    shape = BoardShape((4, 3, 0, 4, 2), nodes=4, processes=4, bells=9)
    fds = [shm.create(f"run-{os.getpid()}-1:board", shape.size)]
    places = {name: layout([("out", slots, 1000)]) for name, slots in (("src", 4), ("left", 3), ("join", 2))}
    fds += [shm.create(f"run-{os.getpid()}-1:{name}", pool_bytes(ports)) for name, ports in places.items()]
    try:
        yield nodes, Board(fds[0], shape), dict(zip(places, fds[1:], strict=True)), places
    finally:
        for fd in fds:
            os.close(fd)


def test_words_are_read_where_the_engine_writes_them():
    with memory() as (nodes, board, _, _):
        found = words.Words(os.getpid(), nodes, {"snk": 1})
        assert found.taken() == []
        assert [(e.name, e.slots) for e in found.edges] == [
            ("src.out->left.in", 4), ("left.out->join.a", 3), ("src.base->join.base", 0),
            ("src.out->join.b", 4), ("join.out->snk.in", 2),
        ]  # fmt: skip
        for edge, slots in ((0, 4), (1, 3), (3, 4)):
            at = board.lease(edge, slots - 1)
            board.words[at + SENT] = 7
            (text,) = found.taken()
            assert text == f"{found.edges[edge].name}: slot {slots - 1}: sent 0x7, done 0x0, not released"
            board.words[at + RELEASED] = 7
            assert found.taken() == []
            board.words[board.edge(edge) + EDGE_HEAD] = 3
            assert found.taken() == [f"{found.edges[edge].name}: 3 frames in its ring"]
            board.words[board.edge(edge) + EDGE_TAIL] = 3
            assert found.taken() == []
        found.close()


def test_a_kept_view_is_a_right_and_two_are_not():
    with memory() as (nodes, board, _, _):
        found = words.Words(os.getpid(), nodes, {"snk": 1})
        for slot in range(2):
            at = board.lease(4, slot)
            board.words[at + SENT] = board.words[at + DONE] = 9 + slot
            assert len(found.taken()) == 2 * slot
        board.words[board.lease(4, 1) + RELEASED] = 10
        assert found.taken() == []
        board.words[board.lease(4, 0) + DONE] = 0
        assert len(found.taken()) == 1, "kept, but not done with"
        found.close()


def test_generations():
    with memory() as (nodes, _, fds, places):
        found = words.Words(os.getpid(), nodes, {})
        assert found.generations() == {"src": [0, 0, 0, 0], "left": [0, 0, 0], "join": [0, 0]}
        for name, fd in fds.items():
            (port,) = places[name]
            os.pwrite(fd, struct.pack("<Q", 5), port.offset + port.stride)
        assert found.generations() == {"src": [0, 5, 0, 0], "left": [0, 5, 0], "join": [0, 5]}
        found.close()


def test_memory_that_is_left_is_found():
    with memory():
        names = procs.memfds_of(os.getpid())
        assert len(names) == 4 and f"{os.getpid()}: /memfd:pipe:run-{os.getpid()}-1:board (deleted)" in names
        assert procs.descriptors(os.getpid())["/memfd:pipe"] == 4
        assert procs.memfds_of(os.getpid() + 1) == []


# -- a graph under fire -----------------------------------------------------------------------------------------------


def poke(pid, word, value):
    """Writes one word of a running graph's board; returns its old value."""
    with open(words.memfds(pid)["board"], "r+b", buffering=0) as file:
        (was,) = struct.unpack("<Q", os.pread(file.fileno(), 8, word * 8))
        os.pwrite(file.fileno(), struct.pack("<Q", value), word * 8)
    return was


@pytest.mark.timeout(600)
def test_what_is_put_wrong_in_a_running_graph_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(rig, "SETTLE_S", 2.0)
    tally = Tally()
    fire = Rig(tmp_path / "rig", tally, 1000)
    try:
        fire.running()
        fire.quiet()
        assert tally.found == 0, tally.plain()
        (run,) = [path for path in (fire.runtime / "pipe").iterdir() if path.is_dir()]
        (run / "e0.7.7").touch()  # a socket file left behind
        at = words.FIRST_EDGE + words.EDGE_WORDS + words.LEASE_WORDS * 20  # `sent` of slot 20 on the first edge, src.out->left.in
        was = poke(fire.pid, at, 77)  # ... is pinned
        fire.quiet(lap=False)
        (run / "e0.7.7").unlink()
        poke(fire.pid, at, was)
        assert len(tally.leaks) == 2
        assert tally.leaks[0].startswith("slots while the graph waits: src.out->left.in: slot 20: sent 0x4d")
        assert tally.leaks[1] == "sockets while the graph waits: e0.*: 1, was 0"
        monkeypatch.setattr(rig, "LAPS", 1)
        look = fire.words.generations
        src = look()["src"]
        monkeypatch.setattr(
            fire.words, "generations", lambda: {**look(), "src": [*look()["src"][:3], *src[3:5], *look()["src"][5:]]}
        )
        fire.quiet()
        assert tally.leaks[2:] == ["src: slots [3, 4] are free by their words and never used again"]
        fire.end()
        assert tally.found == 3, tally.plain()
        frames = fire.out / "tap" / "frames.txt"
        frames.write_text(frames.read_text().replace("3 ", "2 ", 1))
        assert account.check_ids(fire.graph, fire.out, fire.limit, graphs.SINKS, fire.reasons, graphs.STATICS)
    finally:
        fire.abandon()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_run_finds_nothing(tmp_path, capfd):
    code = main(["--quick", "--jobs", "2", "--out", str(tmp_path / "chaos")])
    said = capfd.readouterr().out
    assert code == 0, said
    result = json.loads((tmp_path / "chaos" / "chaos.json").read_text())
    assert sum(sum(kinds.values()) for kinds in result["kills"].values()) >= 14
    assert result["quiescences"] >= 10 and result["supervisors"] == 2 and result["stops"] == 2
    assert "leaks: 0   hangs: 0   torn: 0   unaccounted: 0   failed: 0" in said


def test_a_wrong_name(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "nothing"])
    assert "--only nothing: needs one of steps, random, stops, disk, supervisor" in capsys.readouterr().err
