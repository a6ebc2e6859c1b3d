"""`pipe replay --verify N`: N runs, each at another rate, placement and load, must give the same bytes everywhere.

Every run writes the digest of each frame that a node takes or sends (see digests.py). If a run differs from the first one, nodes
are compared from the sources down. The message names the first node with a difference.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline import api
from pipeline.errors import GraphError
from pipeline.graph.spec import GraphSpec
from pipeline.options import RunOptions
from pipeline.runtime import digests, outfolder
from pipeline.runtime.spawn import spawner_for
from pipeline.watch import say

PACED_S = (1.0, 4.0)
"""Range of the duration [s] of a paced run."""
MAX_BURNERS = 3
_BURN = """
import ctypes, os, random, signal, sys, time
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(0)
rng = random.Random(int(sys.argv[2]))
while True:
    until = time.monotonic() + rng.uniform(0.0, 0.3)
    while time.monotonic() < until:
        pass
    time.sleep(rng.uniform(0.0, 0.2))
"""


@dataclass(frozen=True)
class Way:
    """Placement, rate and load of one run. places: node -> process, None = inline."""

    places: dict[str, str] | None
    rate: float | None
    burners: int

    def __str__(self) -> str:
        where = "inline" if self.places is None else f"{len(set(self.places.values()))} processes"
        rate = "max" if self.rate is None else f"{self.rate:.3g}"
        return f"{where}, rate {rate}, {self.burners} busy beside it"


def choose(graph: GraphSpec, rng: random.Random, first: bool) -> Way:
    """A random way; the first run is as the file says, without pace and load."""
    if first:
        return Way({name: node.place for name, node in graph.nodes.items()}, None, 0)
    stamps = [found.stamps_ns for found in graph.found.values() if found.stamps_ns is not None and len(found.stamps_ns)]
    span_s = (max(int(s.max()) for s in stamps) - min(int(s.min()) for s in stamps)) * 1e-9 if stamps else 0.0
    rate = span_s / rng.uniform(*PACED_S) if span_s and rng.random() < 0.5 else None
    groups = rng.randint(0, len(graph.nodes))
    places = {name: f"v{rng.randrange(groups)}" for name in graph.nodes} if groups else None
    return Way(places, rate, rng.randint(0, MAX_BURNERS))


@contextlib.contextmanager
def _busy(count: int, rng: random.Random) -> Iterator[None]:
    """Run `count` processes that compute now and then."""
    burners = [
        subprocess.Popen([sys.executable, "-S", "-c", _BURN, str(os.getpid()), str(rng.randrange(2**31))]) for _ in range(count)
    ]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
        for burner in burners:
            burner.wait()


def verify(graph: GraphSpec, options: RunOptions, runs: int, seed: int, overwrite: bool, recorded: Mapping[str, str]) -> int:
    """Run `graph` `runs` times and print a line for each. Returns 0 if all are equal, 1 if not or if a run failed."""
    if runs < 1:
        raise GraphError(f"--verify: needs at least 1 run, got {runs}")
    rng = random.Random(seed)
    folders = [options.out / f"run-{i:03d}" for i in range(runs)]
    there = [folder.name for folder in folders if folder.exists()]
    if there and not overwrite:
        raise GraphError(f"{options.out}: needs a folder without results, got {', '.join(there[:3])}; use --overwrite")
    for name in there:
        outfolder.remove(options.out / name)
    expected: dict[str, str] = {}
    for i, out in enumerate(folders):
        way = choose(graph, rng, i == 0)
        nodes = graph.nodes
        if way.places is not None:
            nodes = {name: dataclasses.replace(node, place=way.places[name]) for name, node in nodes.items()}
        with spawner_for("inline" if way.places is None else None) as spawner, _busy(way.burners, rng):
            outcome = api.execute(
                dataclasses.replace(graph, nodes=nodes, budget={}),  # load and rate are random here
                dataclasses.replace(options, out=out, rate=way.rate, quiet=True, digests=True),
                spawner=spawner,
                overwrite=True,
                warn=lambda text: None,
            )
        got = outcome.report["digest"]
        expected = expected or got
        same = got == expected
        shown = ", ".join(f"{name} {digest[:12]}" for name, digest in got.items())
        print(f"run {i + 1} of {runs}: {way}: {shown if same else 'DIFFERS'}", flush=True)
        if outcome.code or not outcome.report["comparable"]:
            why = "; ".join(outcome.errors) or f"it {outcome.exit}, a node was restarted, or a queue may drop frames"
            say.error(f"run {i + 1} cannot be compared: {why}; see {out}")
            return outcome.code or 1
        difference = None if i == 0 else first_difference(graph, folders[0], out)
        if difference is not None or not same:
            say.error(f"run {i + 1} differs from run 1: {difference or 'only in what sinks got'}; see {out}")
            return 1
        if i:
            outfolder.remove(out)
    print(f"{runs} of {runs}: one digest per sink" + _as_recorded(expected, recorded))
    return 0


def _as_recorded(got: Mapping[str, str], recorded: Mapping[str, str]) -> str:
    both = [name for name in got if name in recorded]
    if not both:
        return ""
    other = [name for name in both if got[name] != recorded[name]]
    return f"; not that of the recorded run: {', '.join(other)}" if other else ", that of the recorded run"


def first_difference(graph: GraphSpec, one: Path, other: Path) -> str | None:
    """The first difference between two runs, from the sources down; None = none."""
    for node in graph.order():
        texts = [_ports(run / "logs" / digests.FOLDER, node) for run in (one, other)]
        for way, port in sorted({*texts[0], *texts[1]}):  # inputs before outputs
            for a, b in itertools.zip_longest(*(text.get((way, port), []) for text in texts)):
                if a != b:
                    return _tell(node, way, port, a, b)
    return None


def _ports(folder: Path, node: str) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(way, port) -> (frame, digest) of each, in order."""
    out: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for line in digests.read(folder, node):
        out.setdefault((line.way, line.port), []).append((line.frame, line.digest))
    return out


def _tell(node: str, way: str, port: str, a: tuple[str, str] | None, b: tuple[str, str] | None) -> str:
    if a is None or b is None:
        frame = (a or b or ("", ""))[0]
        return f"{node} {'took' if way == 'in' else 'gave'} frame {frame} on {port} in only one of them"
    if a[0] != b[0]:
        return f"{node}.{port}: frame {a[0]} came where the other has {b[0]}"
    if way == "in":
        return f"{node}.{port}: with frame {a[0]} it was given another one"
    return f"{node}.{port}: frame {a[0]} has other bytes, though {node} was given the same"
