"""A small soak: all its figures are present, and every failure is reported."""

import copy
import json
import os

import pytest

from bench import soak
from pipeline.options import Outcome

REPORT = {"exit": "completed", "edges": {}, "nodes": {"a": {"restarts": 0, "errors": 0}}}
FLAT = {"rss_mb": 100.0, "fds": 20, "threads": 3, "cpu_s": 1.0}


def windows(count: int = 20, **process) -> list[dict]:
    """Windows of one process and one sink; `process`: field -> its values over the windows."""
    out = []
    for i in range(count):
        out.append(
            {
                "t_s": 60.0 * (i + 1),
                "processes": {"a": FLAT | {key: values[i] for key, values in process.items()}},
                "latency": {"snk": {"500": 600}, "idle": {}},
                "disk_mb": {"logs/drops.jsonl": 1.0 * i},
                "load": 0.5,
                "our_cores": 0.1,
                "other_cores": 0.0,
                "bare_us": 500.0,
            }
        )
    return out


def outcome(**changed) -> Outcome:
    report = copy.deepcopy(REPORT)
    report["nodes"]["a"] |= changed
    return Outcome("completed", 0, 1200.0, [], report)


def test_flat():
    made = soak.judge(windows(), 300.0, outcome())
    assert made["ok"] and made["wrong"] == []
    assert made["memory"]["a"]["rss_mb"]["verdict"] == "flat"
    assert set(made["latency_ms"]) == {"snk"}, "a sink without a frame has no latency"
    assert made["files_mb_per_hour"] == {"logs/drops.jsonl": 60.0}
    assert made["windows"] == 15, "the first five minutes are not judged"
    assert made["load"] == [0.5, 0.5, 0.5] and made["bare_us"]["verdict"] == "flat"


@pytest.mark.parametrize(
    ("process", "text"),
    [
        ({"rss_mb": [100 + i for i in range(20)]}, "a: RSS grows, 107.0 -> 117.0 MB"),
        ({"fds": list(range(20))}, "a: fds 5 -> 19"),
        ({"threads": [3] * 19 + [4]}, "a: threads 3 -> 4"),
    ],
)
def test_what_creeps_is_named(process, text):
    made = soak.judge(windows(**process), 300.0, outcome())
    assert not made["ok"]
    assert any(line.startswith(text) for line in made["wrong"]), made["wrong"]


def test_creeping_latency_is_named():
    rows = windows()
    for i, row in enumerate(rows):
        row["latency"]["snk"] = {str(500 + i): 600}
    (line,) = soak.judge(rows, 300.0, outcome())["wrong"]
    assert line.startswith("snk: latency p99 grows, ")


def test_restarts_and_errors_are_named():
    made = soak.judge(windows(), 300.0, outcome(restarts=2, errors=1))
    assert made["wrong"] == ["a: restarted 2 times", "a: 1 errors"]


def test_a_process_as_the_kernel_says():
    me = soak.process(os.getpid())
    assert me["rss_mb"] > 10
    assert me["fds"] >= 3 and me["threads"] >= 1 and me["cpu_s"] > 0
    assert soak.process(2**22 + 1) == {"cpu_s": 0.0}, "no such process"


@pytest.mark.slow
def test_half_a_minute(tmp_path, capsys):
    """One complete soak; tests that the figures exist, not their values."""
    pytest.importorskip("torch")
    pytest.importorskip("mcap")
    made = soak.main(30.0, tmp_path / "soak", results=None)
    assert made["exit"] == "completed"
    assert not [line for line in made["wrong"] if "restarted" in line or "errors" in line or "produced" in line], made["wrong"]
    assert {"(supervisor)", "lidar", "camera", "lot", "tracker", "render", "results", "net", "_record"} <= set(made["memory"])
    assert {"results", "render", "pair", "lot_results", "_record"} <= set(made["latency_ms"])
    assert made["memory"]["tracker"]["rss_mb"]["last"] > 10
    assert made["windows"] >= 11 and made["bare_us"]["last"] > 0
    assert len((tmp_path / "soak" / "windows.jsonl").read_text().splitlines()) >= 14
    assert made["files_mb_per_hour"]["run/results"] > 0
    (summary,) = (tmp_path / "soak").glob("soak-*.json")
    assert json.loads(summary.read_text()) == json.loads(json.dumps(made))
    assert not (tmp_path / "soak" / "soak.mcap").exists()
    printed = capsys.readouterr().out
    assert "(bare process) | " in printed and "soak: " in printed
