"""The hop's stamps, its engine rows, and a rival in a small run. Figures are not tested."""

import os
import time

import numpy as np
import pytest

from bench import hop, rivals, stamps
from bench.proc import cpu_ns
from bench.rivals import Measured


@pytest.mark.parametrize("size", [8, 15, 16, 4096])
def test_every_byte_is_written_and_the_stamp_is_read(size):
    data = np.full(size, 7, np.uint8)
    stamps.fill(data, 300)
    assert (data[16:] == 300 - 256).all() and (size < 16 or data[:16].any())
    for frame in (data, bytearray(data), bytes(data)):
        hop_ns, fill_ns = stamps.taken(frame)
        assert 0 < hop_ns < 10**10
        assert (fill_ns > 0) == (size >= 16)


def test_a_buffer_that_is_no_array():
    data = bytearray(64)
    stamps.fill(data, 5)
    assert set(data[16:]) == {5}


def test_cpu_time_of_a_process():
    before = cpu_ns(os.getpid(), itself=True)
    since = time.process_time_ns()
    sum(range(300_000))
    assert cpu_ns(os.getpid(), itself=True) - before >= time.process_time_ns() - since - 10**6
    assert cpu_ns(2**22 + 1, itself=True) == 0, "no such process"


def test_medians_over_rounds():
    rounds = [Measured([1.0, 2.0, 3.0], [0.5], 10.0), Measured([5.0], [0.7], 30.0), Measured([4.0], [0.6], 20.0)]
    assert hop.medians(rounds) == {"p50_us": 4.0, "p99_us": 4.0, "fill_us": 0.6, "cpu_us": 20.0}


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(rivals.importlib.util, "find_spec", lambda name: None)
    assert rivals.installed() == []
    assert rivals.missing()[1] == "iceoryx2: not installed (pip install iceoryx2, or 'perception-pipe[bench]')"
    assert len(rivals.missing()) == 5


def test_bare_pyzmq():
    one = rivals.measure("pyzmq", 4096, 30)
    assert len(one.hop_us) == len(one.fill_us) == 30
    assert min(one.hop_us) > 0 and min(one.fill_us) > 0 and one.cpu_us > 0


def test_a_rival_that_fails_says_why():
    with pytest.raises(rivals.Failed, match=r"did not come to its end: .*No module named bench\.rivals\.nobody"):
        rivals.measure("nobody", 8, 1)


@pytest.mark.quick(1)
@pytest.mark.parametrize("pace", hop.GRAPHS)
def test_the_engine_at_each_pace(pace):
    one = hop.engine(pace, 4096, 60)
    assert 10 <= len(one.hop_us) == len(one.fill_us) <= 40, "without those that warm up; live, a busy machine may drop some"
    assert min(one.hop_us) > 0 and min(one.fill_us) > 0 and one.cpu_us > 0


@pytest.mark.slow
def test_all_of_it_in_small(monkeypatch, capsys):
    monkeypatch.setattr(rivals, "installed", lambda: ["pyzmq", "nobody"])
    out = hop.main(rounds=1, frames=250, paced_frames=40)
    assert [(row["pace"], row["frame"]) for row in out["rows"] if row["who"] == "pipe"] == hop.ROWS
    assert {row["who"] for row in out["rows"]} == {"pipe", "pyzmq"}
    assert out["figures"]["8 B.back-to-back.ratio"] == pytest.approx(
        out["figures"]["8 B.back-to-back.p50_us"] / out["figures"]["8 B.back-to-back.pyzmq.p50_us"]
    )
    assert out["figures"]["8 B.50 Hz.of_8B"] == 1.0
    printed = capsys.readouterr().out
    assert "nobody: no 8 B back-to-back: did not come to its end" in printed
