"""Modules that the commands import: a user waits for them at every start, and twice for a worker. Counts modules, not time."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pipe_runs import ROOT

LIBRARIES = {"numpy", "numba", "scipy", "cv2", "zmq", "msgpack", "yaml", "rich", "av", "torch", "filterpy", "hypothesis"}


def imported(code: str) -> set[str]:
    """All modules loaded at the end of a process. Without site (-S): how packages were installed would add some of its own."""
    program = f"import sys; sys.path[:] = {[str(ROOT), *sys.path]!r}\n{code}\nprint('modules:', *sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.rpartition("modules:")[2].split())


def command(*words: str) -> str:
    return f"from pipeline.__main__ import main\ntry:\n    main({list(words)!r})\nexcept SystemExit:\n    pass"


@pytest.mark.parametrize(
    ("code", "libraries", "most"),
    [
        (command("--help"), set(), 100),
        (command("run", "--help"), set(), 110),
        (command("new", "--help"), set(), 110),
        (command("ops"), set(), 175),
        (command("check", "no_such_graph"), {"numpy", "yaml"}, 265),
        ("import pipeline.runtime.worker", {"numpy", "zmq", "msgpack"}, 310),
        ("import pipeline.api", {"numpy", "zmq", "msgpack", "yaml"}, 385),
    ],
    ids=["--help", "run --help", "new --help", "ops", "check", "a worker", "a run"],
)
def test_imports(code, libraries, most):
    modules = imported(code)
    assert modules & LIBRARIES == libraries
    assert len(modules) <= most
    assert not {m for m in modules if m.partition(".")[0] in ("operators", "drivers")}


def test_ops_imports_no_node():
    assert not {m for m in imported(command("ops")) if m.startswith("pipeline.nodes.")}


def test_a_worker_reads_no_graph_file():
    modules = imported("import pipeline.runtime.worker")
    assert not modules & {"pipeline.graph.yamlfile", "pipeline.graph.load", "pipeline.graph.spec", "pipeline.watch.report"}
