"""Shared by all benches: the header they print, and running a graph."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.flow.log import STAMP, VALUES
from pipeline.graph.load import parse
from pipeline.machine.facts import ROOT, facts
from pipeline.machine.heat import temperatures
from pipeline.options import RunOptions
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import run
from pipeline.watch.display import Display


def machine() -> dict[str, Any]:
    """Processor, cores, memory, kernel, Python, commit; of a board also model, software, power mode, clocks."""
    found = facts()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") / 2**30
    board: dict[str, Any] = {
        key: found[key] for key in ("model", "l4t", "power_mode", "governor", "clocks_mhz", "gpu") if key in found
    }
    warm = temperatures(ROOT)
    return {
        "processor": found["cpu"] if "l4t" not in found else found["model"],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit(),
        "load": round(os.getloadavg()[0], 2),
        **board,
        **({"hottest_c": max(warm.values())} if warm else {}),
    }


def watch_sinks(session: Session, sinks: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """Sink -> capture [s], latency [ms] of each frame; filled while the session runs, beside what its books are watched for."""
    nodes, inner = list(session.plan.node_index), session.accountant.watch
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in sinks}

    def watch(index: int, rows: np.ndarray) -> None:
        if nodes[index] in seen:
            seen[nodes[index]] += [(row[STAMP] * 1e-9, row[VALUES + 1] * 1e-6) for row in rows.tolist()]
        if inner is not None:
            inner(index, rows)

    session.accountant.watch = watch
    return seen


def commit() -> str:
    """Short hash, with + when the tree has changes; "unknown" outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        git = ["git", "-C", str(folder)]
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if dirty else "")


def header(command: str, data: str) -> dict[str, Any]:
    about = {"command": command, **machine(), "data": data}
    print("  ".join(f"{k}: {v}" for k, v in about.items()))
    return about


def machine_name() -> str:
    """Processor and cores, for file names."""
    about = machine()
    words = re.findall(r"[a-z0-9.]+", about["processor"].lower().replace("(r)", "").replace("(tm)", ""))
    return "-".join([*words, f"{about['cores']}-cores"])


RESULTS = Path(__file__).resolve().parent / "results"


def data_folder() -> Path:
    """Folder of the real data, which may be absent: PIPE_DATA, or shared/data beside the repository."""
    return Path(os.environ.get("PIPE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def save(folder: Path, name: str, made: dict[str, Any]) -> None:
    """Writes a summary, named for the machine."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{machine_name()}.json"
    path.write_text(_lines(made) + "\n", encoding="utf-8")
    print(f"written to {path}")


def _lines(value: Any, depth: int = 1) -> str:
    """JSON with each innermost table on one line."""
    pad = "\n" + " " * depth
    if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
        return f"{{{pad}" + f",{pad}".join(f"{json.dumps(k)}: {_lines(v, depth + 1)}" for k, v in value.items()) + f"{pad[:-1]}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"[{pad}" + f",{pad}".join(json.dumps(inner) for inner in value) + f"{pad[:-1]}]"
    return json.dumps(value)


def run_graph(
    text: str,
    *,
    frames: int | None = None,
    verify: bool = False,
    sets: Sequence[str] = (),
    quiet: bool = True,
    results: Callable[[Path], None] = lambda folder: None,
) -> dict[str, Any]:
    """Run a graph given as YAML text in a temporary folder, which `results` may read before it is deleted; returns the report."""
    graph = parse(text, "bench.yaml", sets)
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        session = Session(graph, RunOptions(Path(folder), frames=frames, verify=verify, quiet=quiet))
        before = time.process_time()
        outcome = run(session, Display(session, quiet))
        outcome.report["supervisor_cpu_s"] = time.process_time() - before
        if outcome.exit != "completed":
            raise RuntimeError(f"bench graph {outcome.exit}: {outcome.errors}")
        results(Path(folder))
        return outcome.report


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]
