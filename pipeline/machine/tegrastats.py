"""Lines of NVIDIA's program tegrastats, and the program as a power meter where sysfs shows no rails.

Source: NVIDIA's developer guides (Tegrastats Utility). The lines differ between boards and releases; a field that a line lacks is
left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.machine.power import Rails, whole

PROGRAM = "tegrastats"
INTERVAL_MS = 1000


@dataclass(frozen=True)
class Line:
    """ram_mb    used, of all
    gpu         load 0..1
    celsius     sensor -> temperature
    watts       rail -> power at this moment
    """

    ram_mb: tuple[int, int] | None = None
    gpu: float | None = None
    celsius: Mapping[str, float] = field(default_factory=dict)
    watts: Mapping[str, float] = field(default_factory=dict)


def parse(line: str) -> Line:
    ram = re.search(r"\bRAM (\d+)/(\d+)MB", line)
    gpu = re.search(r"\bGR3D_FREQ (\d+)%", line)
    return Line(
        (int(ram[1]), int(ram[2])) if ram else None,
        int(gpu[1]) / 100 if gpu else None,
        {name: float(value) for name, value in re.findall(r"\b([A-Za-z]\w*)@(-?\d+(?:\.\d+)?)C", line)},
        {rail: int(now) * 1e-3 for rail, now in re.findall(r"\b(?!RAM |SWAP )([A-Z]\w*) (\d+)(?:mW)?/\d+(?:mW)?(?![\w.])", line)},
    )


class Tegrastats(Rails):
    """The program, asked for a line each second. `close` ends it; without its reader it ends by itself at its next line."""

    def __init__(self, program: str) -> None:
        words = [program, "--interval", str(INTERVAL_MS)]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        os.set_blocking(self._fd, False)
        self._rest, self.line = b"", Line()
        super().__init__(self._latest, ())

    def _latest(self) -> dict[str, float]:
        """Watts of the newest line; the old ones again while no new one has come."""
        try:
            while came := os.read(self._fd, 1 << 16):
                self._rest += came
        except BlockingIOError:
            pass
        *lines, self._rest = self._rest.split(b"\n")
        if lines:
            self.line = parse(lines[-1].decode(errors="replace"))
            if (rails := whole(self.line.watts)) is not None and not self._whole:
                self.scope, self._whole = f"{' + '.join(rails)} (tegrastats)", rails
        return dict(self.line.watts) if self._whole else {}

    def energy(self, now_s: float) -> tuple[float, float]:
        return super().energy(now_s) if self._latest() else (0.0, 0.0)

    def close(self) -> None:
        self._process.terminate()
        assert self._process.stdout is not None
        self._process.stdout.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start() -> Tegrastats | None:
    """None: there is no such program."""
    program = shutil.which(PROGRAM)
    if program is None:
        return None
    try:
        return Tegrastats(program)
    except OSError:
        return None
