"""Modules that the commands import: a user waits for them at every start, and twice for a worker. Counts modules, not time."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest
from pipe_runs import ROOT

LIBRARIES = {"numpy", "numba", "scipy", "cv2", "zmq", "msgpack", "yaml", "rich", "av", "torch", "filterpy", "hypothesis"}


@cache
def bare() -> set[str]:
    """Modules that an interpreter has by itself: how the package was installed adds some of its own."""
    return loaded("")


def imported(code: str) -> set[str]:
    return loaded(code) - bare()


def loaded(code: str) -> set[str]:
    """All modules loaded at the end of a process."""
    program = f"import sys\n{code}\nprint('modules:', *sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.rpartition("modules:")[2].split())


def command(*words: str) -> str:
    return f"from pipeline.__main__ import main\ntry:\n    main({list(words)!r})\nexcept SystemExit:\n    pass"


@pytest.mark.parametrize(
    ("code", "libraries", "most"),
    [
        (command("--help"), set(), 45),
        (command("run", "--help"), set(), 50),
        (command("new", "--help"), set(), 50),
        (command("ops"), {"numpy"}, 220),
        (command("check", "no_such_graph"), {"numpy", "yaml"}, 215),
        ("import pipeline.runtime.worker", {"numpy", "zmq", "msgpack"}, 250),
        ("import pipeline.api", {"numpy", "zmq", "msgpack", "yaml"}, 310),
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
