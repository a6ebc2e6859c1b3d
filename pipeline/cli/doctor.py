"""`pipe doctor`: compares this machine with Pipe's requirements and says how to fix each difference."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.cli.checks import clocks, devices, resources, software, system
from pipeline.cli.checks.line import FAIL, OK, WARN, Line

EVERYWHERE: tuple[Callable[[], Line | list[Line]], ...] = (
    software.python, software.packages, software.optional, software.encoder,
    system.kernel, system.memfd, system.pidfd, system.runtime, system.kernels, system.results, system.process, system.open_files,
    system.memlock,
)  # fmt: skip
BELOW_ROOT: tuple[Callable[[Path], Line], ...] = (
    resources.cores, resources.memory, devices.udp, clocks.clock, clocks.ptp, clocks.chrony, devices.gpu, devices.cameras,
    devices.jetson,
)  # fmt: skip
"""These take the folder that contains proc, sys, dev and etc."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = "Check this machine: packages, memory, limits, clocks, network buffers, GPU, cameras, video encoder."
    parser.epilog = "Exit codes: 0 nothing FAILs, 1 something does. A warning is about what some graphs need."
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    lines = []
    for line in examine():
        print(line, flush=True)
        lines.append(line)
    count = {level: sum(line.level == level for line in lines) for level in (OK, WARN, FAIL)}
    print(f"{count[OK]} ok, {count[WARN]} to look at, {count[FAIL]} failed")
    return 1 if count[FAIL] else 0


def examine(root: Path = Path("/")) -> Iterator[Line]:
    """All findings. `root`: folder that contains proc, sys, dev and etc."""
    checks = [(c.__name__, c) for c in EVERYWHERE] + [(c.__name__, functools.partial(c, root)) for c in BELOW_ROOT]
    for name, check in checks:
        try:
            found = check()
        except Exception as error:  # an unforeseen state of the machine is a finding, not a crash
            found = Line(FAIL, name, f"cannot be examined: {type(error).__name__}: {error}; please report this")
        yield from found if isinstance(found, list) else [found]
