"""Resources of one run: its folder beside those of other runs, its memory, the ends of its sources."""

import fcntl
import os
import shutil

import numpy as np
import pytest

from pipeline.errors import RunError
from pipeline.flow import shm
from pipeline.graph import load as graph
from pipeline.options import RunOptions
from pipeline.runtime.session import Session

TEXT = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 10, rate_hz: 10}}
  b: {driver: test.counter, config: {frames: 5, start: 3, rate_hz: 10}}
  sa: {op: test.null, inputs: {in: a.out}}
  sb: {op: test.null, inputs: {in: b.out}}
"""


@pytest.fixture
def make(tmp_path):
    made = []

    def session(text=TEXT, **options):
        made.append(Session(graph.parse(text, "t.yaml"), RunOptions(tmp_path / "out", **options)))
        return made[-1]

    yield session
    for one in made:
        if one.pool_fds:
            one.close()
    made.clear()  # pytest keeps the fixture a little longer, and it would keep the mapped boards


def folders(runtime):
    return sorted(p.name for p in (runtime / "pipe").iterdir() if p.is_dir())


def test_it_leaves_nothing(make, runtime):
    session = make()
    assert folders(runtime) == [session.run_id]
    assert (runtime / "pipe" / session.run_id).stat().st_mode & 0o777 == 0o700
    fds = session.all_fds()
    assert len(fds) == 1 + 2 * 2 + 2 * 4 + 2, "the board; two of each producer's pool; two bells a process, one a source"
    session.close()
    assert folders(runtime) == []


def test_folders_of_the_dead_are_swept_those_of_the_living_stay(make, runtime):
    for name in ("dead", "living", "without-lock"):
        (runtime / "pipe" / name).mkdir(parents=True)
        (runtime / "pipe" / name / "c0.0").touch()
    (runtime / "pipe" / "dead" / "lock").touch()
    held = os.open(runtime / "pipe" / "living" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    session = make()
    assert folders(runtime) == sorted(["living", session.run_id])
    os.close(held)
    second = make()
    assert folders(runtime) == sorted([session.run_id, second.run_id])
    session.close()
    second.close()


def test_the_sweep_follows_no_link(make, runtime, tmp_path):
    """And makes nothing behind it: links to a folder, to nothing, and in place of a lock."""
    mine = tmp_path / "mine"
    (mine / "photos").mkdir(parents=True)
    root = runtime / "pipe"
    (root / "dead").mkdir(parents=True)
    (root / "folder").symlink_to(mine)
    (root / "nothing").symlink_to(tmp_path / "nowhere")
    (root / "dead" / "lock").symlink_to(tmp_path / "target")
    os.mkfifo(root / "fifo")
    make()
    assert sorted(p.name for p in mine.iterdir()) == ["photos"] and not (tmp_path / "target").exists()
    assert {"folder", "nothing", "fifo", "dead"} <= {p.name for p in root.iterdir()}, "left for their owner"
    for name in ("folder", "nothing", "fifo"):
        (root / name).unlink()
    (root / "dead" / "lock").unlink()
    (root / "dead").rmdir()


def test_a_folder_that_was_cleaned_up_comes_back(make, runtime):
    session = make()
    shutil.rmtree(session.folder)
    shutil.rmtree(session.logs)
    session.ensure_folders()
    assert folders(runtime) == [session.run_id] and (session.folder / "lock").exists() and session.logs.is_dir()
    second = make()
    assert folders(runtime) == sorted([session.run_id, second.run_id]), "it is locked"
    session.close()
    second.close()


def test_no_memory_leaves_no_folder(make, runtime, monkeypatch):
    real = shm.create

    def full(name, size):
        if name.endswith(":b"):
            raise RunError(f"{name}: full")
        return real(name, size)

    monkeypatch.setattr(shm, "create", full)
    with pytest.raises(RunError, match="full"):
        make()
    assert folders(runtime) == []


@pytest.mark.parametrize(
    ("options", "limits", "last_stamp_ns"),
    [
        ({}, {}, None),
        ({"frames": 0}, {"a": 0}, None),
        ({"frames": 1}, {"a": 1}, 1_000_000_000),
        ({"frames": 4}, {"a": 4}, 1_300_000_000),
        ({"frames": 99}, {"a": 99}, 1_900_000_000),
    ],
)
def test_where_sources_end(make, options, limits, last_stamp_ns):
    start = make(**options).start()
    assert (start.limits, start.last_stamp_ns) == (limits, last_stamp_ns)


@pytest.mark.parametrize(("rate", "expected"), [(None, None), ("max", None), ("step", None), (2.5, 2.5)])
def test_the_clock_starts_at_the_first_stamp_of_all(make, rate, expected):
    start = make(rate=rate).start()
    assert (start.anchor_stamp_ns, start.rate, start.live) == (1_000_000_000, expected, False)
    assert (start.horizon_ns is not None) == (rate == "step")


def test_live_files_play_at_their_own_rate(make):
    start = make(TEXT.replace("frames: 10, rate_hz: 10}", "frames: 10, rate_hz: 10}, live: true")).start()
    assert (start.rate, start.live) == (1.0, True)


def test_slots_and_windows(make):
    """block: a queue of 4 and one in work; one more slot is being written."""
    plan = make().plan
    (port,) = [p for p in plan.ports if p.node == "a"]
    assert (port.layout.slots, port.layout.slot_bytes) == (6, 64)
    assert [(e.policy, e.size, e.window, e.holds, e.slots) for e in plan.edge_specs] == [("block", 4, 5, 0, 6)] * 2
    assert plan.board_shape.processes == 4


def test_events_reach_the_books(make):
    """One frame by hand, through the memory that the processes share."""
    from pipeline.flow.log import DELIVERED, PUBLISHED, Log
    from pipeline.flow.slot import who

    session = make()
    writer = Log(session.board, session.plan.process_index["a"], lambda: None)
    reader = Log(session.board, session.plan.process_index["sa"], lambda: None)
    (port,) = [p for p in session.plan.ports if p.node == "a"]
    (edge,) = port.edges
    for i in range(3):
        writer.add(PUBLISHED, port.index, 1 + i, who(0, i), i, 8, 8)
    writer.commit()
    reader.add(DELIVERED, edge, 1, who(0, 0), 0, 10)
    reader.commit()
    session.settle_rest("shutdown")
    book = session.edge_books[edge]
    assert (book.produced, book.delivered, book.dropped, book.in_flight) == (3, 1, {"shutdown": 2}, 0)
    assert np.count_nonzero(session.board.leases(edge)) == 0
