"""`pipe bench rivals`: rows, medians, what is not installed, where Pipe is not ahead; processes are found, stopped, killed."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from bench import rivals
from bench.rivals import comparison, joins, lives, sessions
from bench.rivals.pairing import Reader, Task, sense, stamp_of

LIFE = {
    "cold_start_ms": 500.0, "cpu_us": 900.0, "pss_mb": 60.0, "stop_ms": 80.0, "stop_left": {"entries": 0, "mb": 0.0},
    "producer": {"again_ms": 400.0, "by": "itself", "left": {"entries": 0, "mb": 0.0}},
    "consumer": {"again_ms": None, "by": "never (15 s)", "left": {"entries": 3, "mb": 12.5}},
}  # fmt: skip
JOIN = {
    "pairs": 60, "sent": 240, "late": 0, "lost": 180, "age_first_ms": 90.0, "age_last_ms": 95.0, "skew_ms": 20.0, "grown_mb": 0.1,
    "says": 1, "said": "180 queue_full",
}  # fmt: skip


def test_all_of_it_with_what_is_not_installed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        comparison, "found", lambda who: "not installed (pip install x)" if who in ("dora", "mediapipe") else "1.0"
    )
    monkeypatch.setattr(lives, "measure", life)
    monkeypatch.setattr(joins, "measure", lambda who, seconds: JOIN | {"lost": 180 if who == "pipe" else 0})
    out = comparison.main(rounds=3, folder=tmp_path)
    assert out["lives"]["dora"] == {"none": "not installed (pip install x)"} == out["joins"]["mediapipe"]
    assert out["lives"]["zenoh"] == {"none": "no frame within 60 s: no"}
    assert out["lives"]["pipe"]["consumer.again_ms"] is None and out["lives"]["pipe"]["consumer.left.mb"] == 12.5
    assert "command to first frame, ms: pyzmq 100, Pipe 500" in out["behind"]
    assert "frames not read: ezmsg 0, Pipe 180" in out["behind"]
    assert out["figures"]["pipe.stop_ms"] == 80 and "pipe.consumer.again_ms" not in out["figures"]
    printed = capsys.readouterr().out
    assert "dora: not installed (pip install x)" in printed and "not ahead:\n  command to first frame, ms: pyzmq 100" in printed


def life(who, steady_s):
    if who == "zenoh":
        raise rivals.Failed("no frame within 60 s: no")
    return LIFE | ({"cold_start_ms": 100.0} if who == "pyzmq" else {})


def test_a_round_that_never_ended_is_not_averaged_away():
    assert comparison.middle([{"a": 1, "by": "x"}, {"a": 2, "by": "y"}, {"a": 9, "by": "z"}]) == {"a": 2, "by": "z"}
    assert comparison.middle([{"a": 1}, {"a": None}]) == {"a": None}


def test_started_again_by_hand_is_said():
    rows = {"pipe": {"producer.again_ms": 300}, "x": {"producer.again_ms": 200, "producer.by": "hand"}, "y": {"none": "no"}}
    assert comparison.behind(rows, {"producer.again_ms": "again"}) == ["again: x 200 (started again by hand), Pipe 300"]


def test_figures_of_a_join():
    rows = [(k * 33_000_000, k * 33_000_000 - 5_000_000, k * 33_000_000 + 90_000_000 + k * 10_000_000) for k in range(10)]
    row = joins.figures("x", rows, 25, 1.0, [50.0, 58.0, 57.0], ["all is well", "WARN Discarding event for input `a`"])
    assert (row["pairs"], row["sent"], row["late"], row["lost"], row["grown_mb"], row["says"]) == (10, 25, 5, 15, 8.0, 1)
    assert (row["age_first_ms"], row["age_last_ms"], row["skew_ms"]) == pytest.approx((95, 175, 5))
    with pytest.raises(rivals.Failed, match="no pair was read"):
        joins.figures("x", [], 25, 1.0, [50.0, 50.0], [])


def test_a_sensor_does_not_wait(tmp_path):
    got = []

    def send(data):
        got.append(stamp_of(data))
        time.sleep(0.08 if len(got) == 3 else 0)  # two frames of 25 ms are due meanwhile, and not taken

    assert sense(Task(str(tmp_path), 0.25), 40, 64, send) == len(got) < 10
    assert got == sorted(got)


def test_a_reader_notes_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.rivals.pairing.WORK_S", 0.0)
    task = Task(str(tmp_path), 1.0)
    Reader(task).take(1, 2)
    a, b, taken = map(int, task.rows.read_text().split())
    assert (a, b) == (1, 2) and abs(time.monotonic_ns() - taken) < 60e9
    assert stamp_of(np.arange(2, dtype=np.int64).view(np.uint8)) == 0


def test_processes_in_other_sessions_are_found_and_killed():
    sleep = "import subprocess, sys, time; time.sleep(60)"
    spawn = f"subprocess.Popen([sys.executable, '-c', {sleep!r}], start_new_session=True)"
    inner = sleep.replace("time.sleep", f"{spawn}; time.sleep")
    top = subprocess.Popen([sys.executable, "-c", inner], start_new_session=True)
    sids = [top.pid]
    try:
        assert sessions.wait_for(lambda: len(sessions.pids(sids)) == 2, 30) is not None
        assert sessions.use(sids)[1] > 0 and os.getpid() not in sessions.pids(sids)
    finally:
        sessions.kill(sids)
        top.wait()
    assert sessions.wait_for(lambda: not sessions.pids(sids), 10) is not None


@pytest.mark.slow
@pytest.mark.parametrize("who", ["pipe", "pyzmq"])
def test_a_life(who):
    row = lives.measure(who, 1.0)
    assert row["stop_left"]["entries"] == 0 and row["stop_ms"] is not None and row["cpu_us"] > 0 and row["pss_mb"] > 1
    for end in ("producer", "consumer"):
        assert row[end]["again_ms"] is not None and row[end]["by"] == ("itself" if who == "pipe" else "hand")
        assert row[end]["left"]["entries"] == 0


@pytest.mark.slow
def test_a_join_of_pipe():
    row = joins.measure("pipe", 3.0)
    assert row["sent"] == 90 and row["pairs"] < 40 and row["lost"] > 30 and row["says"] > 0 and row["late"] == 0
