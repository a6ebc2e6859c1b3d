"""Messages while nodes open: which nodes, soon, and not too often."""

from __future__ import annotations

import time

import pytest
from pipe_runs import Runs

from pipeline.watch import opening
from pipeline.watch.opening import Opening, waiting_text

SLOW = """import time
from pipeline.schema import ANY
from pipeline.operator import Operator

class Slow(Operator):
    inputs = {"in": ANY}
    def open(self):
        time.sleep(8)
    def process(self, **inputs): ...
"""
GRAPH = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 2}}
  late: {op: "slow:Slow", inputs: {in: a.out}}
"""


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "waiting for the processes to import their nodes"),
        (["a"], "waiting for a to open (kernels compile once per machine, cached afterwards)"),
        (["a", "b"], "waiting for a, b to open (kernels compile once per machine, cached afterwards)"),
    ],
)
def test_text(names, text):
    assert waiting_text(names) == text


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b"]])
def test_one_line_until_the_next_is_due(monkeypatch, names):
    monkeypatch.setattr(opening, "FIRST_S", 0.02)
    monkeypatch.setattr(opening, "NEXT_S", 60.0)
    said: list[str] = []
    thread = Opening(lambda: names, said.append)
    thread.start()
    time.sleep(0.3)
    thread.stop()
    assert said == [waiting_text(names)]
    assert not thread.is_alive()


def test_stopped_before_the_first_line():
    said: list[str] = []
    thread = Opening(lambda: ["a"], said.append)
    thread.start()
    thread.stop()
    assert (said, thread.is_alive()) == ([], False)


@pytest.mark.quick(1)
@pytest.mark.parametrize("more", [[], ["--place", "inline"]], ids=["processes", "inline"])
def test_a_run_says_what_it_waits_for(tmp_path, runtime, more):
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "g.yaml").write_text(GRAPH)
    runs = Runs(tmp_path, runtime)
    ended = runs.run(tmp_path / "g.yaml", *more)
    assert ended.code == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "g: 2 nodes in 2 processes, 0 MB of frames"
    late = "waiting for late to open (kernels compile once per machine, cached afterwards)"
    assert late in lines[1:3]  # on a busy machine the processes may still import at the first line


@pytest.mark.slow
def test_quiet_says_nothing(tmp_path, runtime):
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "g.yaml").write_text(GRAPH)
    ended = Runs(tmp_path, runtime).run(tmp_path / "g.yaml", "--quiet")
    assert (ended.code, "waiting" in ended.stdout) == (0, False)
