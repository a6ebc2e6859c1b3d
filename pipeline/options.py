"""What a run is asked for, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Images = Literal["raw", "png", "jpeg"]


@dataclass(frozen=True)
class Record:
    """What the command line says about recording.

    ports   sources = all ports of sources, static ones included; all = those, and every port that something is connected to;
            or "NODE.PORT,NODE.PORT"
    images  raw, png (lossless, slow) or jpeg (lossy: a replay then gives other bytes than the run)
    """

    path: Path
    ports: str = "sources"
    images: Images = "raw"
    overwrite: bool = False


@dataclass(frozen=True)
class RunOptions:
    """What the command line says about one run.

    rate     None = max (no pacing); "step" paces by hand
    digests  write down what every node took and gave, frame by frame (see digests.py)
    record   what to write into which file
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


@dataclass(frozen=True)
class Recorded:
    """What a recording holds in the end."""

    path: Path
    frames: int
    lost: int
    nbytes: int

    def __str__(self) -> str:
        return f"recorded {self.frames} frames, {self.nbytes / 1e6:.1f} MB, lost {self.lost}: {self.path}"


@dataclass
class Outcome:
    """How a run ended. exit: completed | stopped | failed; recorded: what a recording holds."""

    exit: str
    code: int
    wall_s: float
    errors: list[str]
    report: dict[str, Any]
    recorded: Recorded | None = None
