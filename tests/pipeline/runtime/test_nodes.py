"""The built-in test nodes, by hand: the behaviour that tests and benches rely on."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import FrameError
from pipeline.frame import Header, Reading
from pipeline.graph.lookup import driver_class, operator_class
from pipeline.nodes.counts import fill, stamp_ns
from pipeline.nodes.faults import misbehave
from pipeline.operator import Resume, attach, prepare


def header(frame_id: int = 0) -> Header:
    return Header("src", frame_id, f"{frame_id:06d}", stamp_ns(frame_id, None))


def made(cls: type, out_dir: Path | None = None, resume: Resume | None = None, **config: Any) -> Any:
    node = prepare(cls(), "x", cls.Config(**config), log=logging.getLogger("x"), out_dir=out_dir, resume=resume)
    node.header = header()
    return node


def op(name: str, out_dir: Path | None = None, resume: Resume | None = None, **config: Any) -> Any:
    node = made(operator_class(name), out_dir, resume, **config)
    node.open()
    return node


def readings(name: str, first: int = 0, **config: Any) -> list[Reading]:
    node = made(driver_class(name), **config)
    node.open(first)
    return list(iter(node.read, None))


# ---- sources


def test_counter():
    assert readings("test.counter", frames=0) == []
    one, two = readings("test.counter", frames=2, rate_hz=50, start=5)
    assert (one.values["out"].tolist(), one.item, one.stamp_ns) == ([5], "000005", 1_100_000_000)
    assert (two.values["out"].dtype, two.stamp_ns) == (np.int64, 1_120_000_000)
    assert [r.stamp_ns for r in readings("test.counter", frames=2)] == [1_000_000_000, 1_100_000_000]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("test.counter", {"frames": 9, "rate_hz": 30.0, "start": 2}),
        ("test.blob", {"frames": 9, "bytes": 100, "rate_hz": 3.0}),
        ("test.jitter", {"frames": 50, "jitter_ms": 20.0, "disorder_ms": 150.0, "duplicates": 0.2, "dead_s": (1.0, 2.0)}),
        ("test.fault_source", {"frames": 9}),
    ],
)
def test_a_source_does_what_find_says_and_resumes(name, config):
    cls = driver_class(name)
    found = cls.find(cls.Config(**config))
    all_of_it = readings(name, **config)
    assert found.frames == len(all_of_it)
    assert found.stamps_ns.tolist() == [r.stamp_ns for r in all_of_it]
    rest = readings(name, first=4, **config)
    assert [(r.item, r.stamp_ns, r.values["out"].tolist()) for r in rest] == [
        (r.item, r.stamp_ns, r.values["out"].tolist()) for r in all_of_it[4:]
    ]


def test_an_endless_counter_has_no_stamps_to_tell():
    cls = driver_class("test.counter")
    assert (cls.find(cls.Config(frames=None)).frames, cls.find(cls.Config(frames=None)).stamps_ns) == (None, None)


def test_blob_writes_into_its_slot():
    node = made(driver_class("test.blob"), mb=0.001, frames=1)
    slot = np.zeros(1000, np.uint8)
    attach(node, alloc=lambda port, name, shape, dtype: slot.reshape(shape))
    node.open()
    assert np.shares_memory(node.read().values["out"], slot)
    assert type(node).slot_bytes(node.config) == {"out": 1000}


def test_blobs_differ_everywhere_and_repeat():
    a, b = (r.values["out"] for r in readings("test.blob", frames=2, bytes=5000))
    assert (a != b).all()
    expected = np.empty(5000, np.uint8)
    fill(expected, 1)
    assert b.tolist() == expected.tolist()
    assert readings("test.blob", frames=1, bytes=0)[0].values["out"].shape == (0,)


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("size", [8, 9, 4096])
def test_sum_finds_one_wrong_bit(checksum, size):
    node = op("test.sum", checksum=checksum)
    for frame_id, reading in enumerate(readings("test.blob", frames=3, bytes=size, checksum=checksum)):
        node.header, data = header(frame_id), reading.values["out"]
        assert node.process(data=data).tolist() == [frame_id]
        data[size // 2] ^= 4
        with pytest.raises(FrameError) as error:
            node.process(data=data)
        assert str(error.value).startswith("x.data: needs ")
        assert str(error.value).endswith(f"in src:{frame_id}" + ("" if checksum else "; 1 bytes differ"))


def test_jitter_keeps_its_promises():
    config = {"frames": 300, "rate_hz": 20.0, "jitter_ms": 10.0, "disorder_ms": 120.0, "duplicates": 0.1, "offset_ms": 5.0}
    out = readings("test.jitter", **config)
    numbers = [int(r.values["out"][0]) for r in out]
    stamps = np.array([r.stamp_ns for r in out])
    assert sorted(set(numbers)) == list(range(300))
    assert 10 < len(numbers) - 300 < 60
    newest = np.maximum.accumulate(stamps)
    lag_ms = (newest - stamps) * 1e-6
    assert 50 < lag_ms.max() <= 120
    ideal_ns = np.array([stamp_ns(n, 20.0) for n in numbers]) + 5_000_000
    assert 5 < np.abs(stamps - ideal_ns).max() * 1e-6 <= 10.001
    assert [r.stamp_ns for r in readings("test.jitter", **config)] == stamps.tolist()
    assert [r.stamp_ns for r in readings("test.jitter", seed=1, **config)] != stamps.tolist()


def test_jitter_declares_its_disorder_or_lies():
    for config, declared in (({"disorder_ms": 30.0}, 30.0), ({"disorder_ms": 30.0, "max_disorder_ms": 0.0}, 0.0)):
        node = made(driver_class("test.jitter"), **config)
        node.open()
        assert node.max_disorder_ms == declared


def test_jitter_dead_sensor():
    numbers = [int(r.values["out"][0]) for r in readings("test.jitter", frames=10, rate_hz=10.0, dead_s=(0.2, 0.5))]
    assert numbers == [0, 1, 5, 6, 7, 8, 9]


# ---- operators


def test_noop_counts_and_pass_returns_its_input():
    noop = op("test.noop")
    assert [noop.process(**{"in": object()}).tolist() for _ in range(2)] == [[1], [2]]
    data = np.zeros(3)
    assert op("test.pass").process(**{"in": data}) is data
    cls = operator_class("test.pass")
    assert cls.slot_bytes(cls.Config(max_mb=2.5)) == {"out": 2_500_000}


def test_null_writes_nothing_unless_told(tmp_path):
    node = op("test.null", tmp_path / "x")
    node.process(**{"in": 1})
    node.close()
    assert not (tmp_path / "x").exists()


def test_null_notes_frames_and_continues_after_a_crash(tmp_path):
    path = tmp_path / "x" / "frames.txt"
    node = op("test.null", tmp_path / "x", write=True)
    assert path.read_text() == ""
    for i in range(3):
        node.header = header(i)
        node.process(**{"in": 1})
    assert path.read_text() == (
        "src 0 1000000000 000000\nsrc 1 1100000000 000001\nsrc 2 1200000000 000002\n"
    )  # there at once, before any close
    with path.open("a") as file:
        file.write("src 3 13")  # killed in the middle of a line
    again = op("test.null", tmp_path / "x", Resume(1, 1, "000001", 2), write=True)
    assert path.read_text() == "src 0 1000000000 000000\nsrc 1 1100000000 000001\n"
    again.header = header(2)
    again.process(**{"in": 1})
    again.close()
    assert [line.split()[1] for line in path.read_text().splitlines()] == ["0", "1", "2"]
    op("test.null", tmp_path / "x", write=True).close()  # a new run starts anew
    assert path.read_text() == ""


def test_null_counts_steps_whatever_items_hold(tmp_path):
    """Frames out of order, and a name with U+2028: what counts is the number of steps."""
    node = op("test.null", tmp_path / "x", write=True)
    for i in (5, 4, 7):
        node.header = header(i)._replace(item=f"a\u2028{i} \u2029")
        node.process(**{"in": 1})
    node.close()
    op("test.null", tmp_path / "x", Resume(1, 4, "cut", 2), write=True).close()
    lines = (tmp_path / "x" / "frames.txt").read_bytes().split(b"\n")
    assert [line.split()[1] for line in lines[:-1]] == [b"5", b"4"] and lines[-1] == b""


def test_null_on_a_full_disk(tmp_path, monkeypatch):
    """A line that does not fit fails as a whole; no line is truncated."""
    node = op("test.null", tmp_path / "x", write=True)
    node.process(**{"in": 1})
    kept, write = (tmp_path / "x" / "frames.txt").read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda fd, line: write(fd, line[:5]))
    with pytest.raises(OSError, match="No space left on device"):
        node.process(**{"in": 1})
    monkeypatch.undo()
    assert (tmp_path / "x" / "frames.txt").read_bytes() == kept
    node.process(**{"in": 1})
    node.close()
    assert (tmp_path / "x" / "frames.txt").read_bytes() == 2 * kept


def test_full_disk():
    node = op("test.full_disk")
    with pytest.raises(OSError, match="No space left on device"):
        node.process(**{"in": 1})
    node.close()


def results(node: Any, frames: int = 5) -> Iterator[Any]:
    for i in range(frames):
        node.header = header(i)
        try:
            yield node.process(data=np.array([i])).tolist()
        except ValueError as error:
            yield str(error)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, [[0], [1], [2], [3], [4]]),
        ({"kind": "raise", "at": 2}, [[0], [1], "x: raised on purpose", [3], [4]]),
        ({"kind": "raise", "every": 2}, ["x: raised on purpose", [1], "x: raised on purpose", [3], "x: raised on purpose"]),
        ({"kind": "raise", "at": 1, "every": 3}, [[0], "x: raised on purpose", [2], [3], "x: raised on purpose"]),
        ({"kind": "shape", "at": 0}, [[0, 0], [1], [2], [3], [4]]),
        ({"kind": "leak"}, [[0], [1], [2], [3], [4]]),
    ],
)
def test_fault(config, expected):
    assert list(results(op("test.fault", **config))) == expected


def test_fault_once_leak_and_slow():
    assert list(results(op("test.fault", kind="raise", at=0, once=True, resume=Resume(1, 0, "")), 2)) == [[0], [1]]
    leaky = op("test.fault", kind="leak")
    data = np.array([1])
    leaky.process(data=data)
    assert leaky.kept[0] is data
    start = time.monotonic()
    op("test.fault", kind="slow", slow_ms=20).process(data=data)
    assert time.monotonic() - start >= 0.02
    with pytest.raises(ValueError, match="x: raised on purpose"):
        op("test.fault", kind="raise", in_open=True)


def test_fault_source_raises_once_and_goes_on():
    node = made(driver_class("test.fault_source"), frames=3, kind="raise", at=1)
    node.open()
    assert node.read().item == "000000"
    with pytest.raises(ValueError, match="x: raised on purpose"):
        node.read()
    assert node.read().item == "000002"
    assert node.read() is None


def test_exit_code():
    code = "from pipeline.nodes.faults import misbehave; misbehave('exit', 'x')"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 7


@pytest.mark.parametrize(("hang_in_c", "hold_gil", "ticks"), [(False, False, True), (True, False, True), (True, True, False)])
def test_hang_and_who_still_runs(hang_in_c, hold_gil, ticks):
    """Another thread ticks on, unless the GIL is held."""
    code = (
        "import sys, threading, time\nfrom pipeline.nodes.faults import misbehave\n"
        "def tick():\n    while True:\n        time.sleep(0.01); print('.', end='', flush=True)\n"
        "threading.Thread(target=tick, daemon=True).start(); print('|', end='', flush=True)\n"
        f"misbehave('hang', 'x', {hang_in_c}, {hold_gil})\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.read(1) == b"|"
    time.sleep(0.3)
    os.set_blocking(child.stdout.fileno(), False)
    child.stdout.read()  # what was ticked before it hung
    time.sleep(0.2)
    heard = child.stdout.read()
    alive = child.poll() is None
    child.kill()
    child.wait()
    child.stdout.close()
    assert alive
    assert bool(heard) == ticks


def test_misbehave_none_does_nothing():
    assert misbehave("none", "x") is None
