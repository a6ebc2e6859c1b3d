"""Start-up times that a user waits for. Medians of five, alternating; milliseconds."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import common

GRAPH = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 1}}
  s: {op: test.null, inputs: {in: a.out}, config: {write: true}}
"""
AIMS_MS = {"pipe --help": 100, "pipe ops": 400, "pipe check demo, but for its operators": 400, "first frame of two nodes": 350}
ROUNDS = 5


def main() -> dict[str, Any]:
    out = common.header("pipe bench startup", f"none; medians of {ROUNDS}")
    times: dict[str, list[float]] = {name: [] for name in AIMS_MS}
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(ROUNDS):
            times["pipe --help"].append(_ms("--help"))
            times["pipe ops"].append(_ms("ops"))
            operators = _python("from pipeline.graph.load import load; load('demo')") - _python("import pipeline.graph.load")
            times["pipe check demo, but for its operators"].append(_ms("check", "demo") - operators)
            times["first frame of two nodes"].append(_first_frame(Path(folder), round_))
    figures = {name: statistics.median(values) for name, values in times.items()}
    for name, ms in figures.items():
        print(f"  {name:<40} {ms:6.0f} ms   (aim {AIMS_MS[name]})")
    return out | {"figures": figures}


def _python(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


def _ms(*words: str) -> float:
    return _python(f"import sys; sys.argv = ['pipe', *{words!r}]; from pipeline.__main__ import cli; cli()")


def _first_frame(folder: Path, number: int) -> float:
    """Time from the start of the command until the sink has written its first line."""
    graph, out = folder / "two.yaml", folder / f"out{number}"
    graph.write_text(GRAPH)
    began = time.time()
    _ms("run", str(graph), "--out", str(out), "--quiet")
    return ((out / "s" / "frames.txt").stat().st_mtime - began) * 1e3
