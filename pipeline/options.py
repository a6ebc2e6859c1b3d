"""The options of a run, and its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import GraphError

MOST_FRAMES, MOST_S, MOST_RATE = 2**53, 1e9, 1e6
Images = Literal["raw", "png", "jpeg"]


@dataclass(frozen=True)
class Record:
    """Options of a recording.

    path    F.mcap, which `pipe replay` reads; or F.rrd, drawn for Rerun
    ports   sources = all ports of sources, static ones included; all = also every other connected port;
            or "NODE.PORT,NODE.PORT"; None = sources, for F.rrd all
    images  raw, png (lossless, slow) or jpeg (lossy: a replay then gives other bytes than the run)
    """

    path: Path
    ports: str | None = None
    images: Images = "raw"
    overwrite: bool = False


@dataclass(frozen=True)
class RunOptions:
    """Options of one run.

    rate     None = max (no pacing); "step" paces by hand
    digests  write the digest of every frame that a node takes or sends (see digests.py)
    record   what to record into which file
    alone    this process exists for the run only: what nodes start in it (inline) ends with the run
    raises   inline, an exception of an operator passes through, for a debugger; else it is an error of the run as in processes
    report   a further file for the report, beside `out`/report.json
    metrics  (host, port) at which Prometheus reads metrics; port 0 = any free one
    trace    file for a trace of all calls, for ui.perfetto.dev
    view     who looks on while it runs: page = the run page in a browser; foxglove = Foxglove's app
    view_port  of the page, on this machine's loopback; 0 = any free one
    page     leave `out`/run.html, if there was a frame
    """

    out: Path
    rate: float | str | None = None
    frames: int | None = None
    duration_s: float | None = None
    verify: bool = False
    inject: tuple[str, ...] = ()
    quiet: bool = False
    digests: bool = False
    record: Record | None = None
    alone: bool = False
    raises: bool = True
    report: Path | None = None
    metrics: tuple[str, int] | None = None
    trace: Path | None = None
    view: Literal["page", "foxglove"] | None = None
    view_port: int = 0
    page: bool = True

    def __post_init__(self) -> None:
        """Raises GraphError for a number that no clock and no message holds."""
        numbers: list[tuple[str, float | None, float, float]] = [
            ("frames", self.frames, 0, MOST_FRAMES),
            ("duration", self.duration_s, 0, MOST_S),
            ("rate", self.rate if isinstance(self.rate, (int, float)) else None, 1 / MOST_RATE, MOST_RATE),
        ]
        for name, value, least, most in numbers:
            if value is not None and not least <= value <= most:
                raise GraphError(f"--{name}: needs {least:g} .. {most:g}, got {str(value)[:40]}")


@dataclass(frozen=True)
class Recorded:
    """Contents of a finished recording."""

    path: Path
    frames: int
    lost: int
    nbytes: int

    def __str__(self) -> str:
        return f"recorded {self.frames} frames, {self.nbytes / 1e6:.1f} MB, lost {self.lost}: {self.path}"


@dataclass
class Outcome:
    """How a run ended. exit: completed | stopped | failed; recorded: contents of the recording, if there is one."""

    exit: str
    code: int
    wall_s: float
    errors: list[str]
    report: dict[str, Any]
    recorded: Recorded | None = None
