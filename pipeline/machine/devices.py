"""Boards that nobody has here, and how much faster or slower they are than the machine whose times are known.

Cores: 7-zip's single-thread rating [MIPS], from the public results of sbc-bench (github.com/ThomasKaiser/sbc-bench,
Sorted-Results.md): Jetson AGX Orin at 2.2 GHz, AGX Xavier at 2.25 GHz; TX2: the same core (Cortex-A57) at TX2's clock, 2.0 GHz,
on a Jetson Nano; the reference: the same core (Zen) at 2.6 GHz, since that of the reference machine has no row.
Nets whose multiply-adds are known: how many a board does in a second, from the frames/s of the report's Tables 22 and 23 (MAXN)
and the multiply-adds of the same nets (torch's counter, operators/nets/operations.py). Other nets: the same rows beside the times
of the nets on the reference machine (`pipe bench devices`, torch, 2 threads, AMD EPYC, commit fedea0b). Each is one number per
board, the geometric mean of its rows. AGX Orin has no row: Xavier's numbers times the geometric mean of what Orin has more of,
float32 operations (5.3 / 1.4 TFLOPS) and memory bandwidth (205 / 137 GB/s), by NVIDIA's data sheets.
Memory of a net on the GPU: Table 21 (RTX 2080) beside the resident memory of the same nets on the reference machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import geometric_mean

REFERENCE_MIPS = 2854
REFERENCE_THREADS = 2
REFERENCE = {  # net and voxel size [cm] -> milliseconds, resident MB
    "TANet 16": (2347.9, 963), "TANet 20": (1598.7, 950), "TANet 24": (1125.2, 746), "TANet 28": (984.3, 706),
    "PointPillars 16": (363.6, 857), "PointPillars 28": (219.1, 711),
}  # fmt: skip
MULTIPLY_ADDS = {"TANet 16": 69.6, "TANet 20": 46.7, "TANet 28": 25.8, "PointPillars 16": 31.2}
"""Billions, dense, of nets for cars."""
PUBLISHED_FPS = {
    "tx2": {"TANet 20": 1.13, "TANet 28": 1.74, "PointPillars 16": 1.07},
    "xavier": {"TANet 16": 3.17, "TANet 28": 13.16, "PointPillars 16": 6.12},
}
PUBLISHED_MB = {
    "TANet 16": 6449, "TANet 20": 6085, "TANet 24": 5271, "TANet 28": 4303, "PointPillars 16": 4869, "PointPillars 28": 3223,
}  # fmt: skip
ORIN_FLOPS, ORIN_BANDWIDTH = 5.3 / 1.4, 205 / 137


@dataclass(frozen=True)
class Board:
    """gmac_s: billions of multiply-adds of a net in a second; net: milliseconds there / milliseconds on the reference machine;
    core: the same for what a CPU core does."""

    name: str
    about: str
    cores: int
    ram_mb: int
    mips: int
    gmac_s: float
    net: float

    @property
    def core(self) -> float:
        return REFERENCE_MIPS / self.mips


def gmac_s(board: str, without: str = "") -> float:
    """Geometric mean of a board's rows but one."""
    return geometric_mean(MULTIPLY_ADDS[net] * fps for net, fps in PUBLISHED_FPS[board].items() if net != without)


def net_ratio(board: str, without: str = "") -> float:
    """Geometric mean of a board's rows but one."""
    rows = {net: fps for net, fps in PUBLISHED_FPS[board].items() if net != without}
    return geometric_mean(1e3 / fps / REFERENCE[net][0] for net, fps in rows.items())


def memory_ratio(without: str = "") -> float:
    """Memory on the GPU / resident memory of the same net on a CPU."""
    return geometric_mean(mb / REFERENCE[net][1] for net, mb in PUBLISHED_MB.items() if net != without)


def errors(board: str) -> Mapping[str, float]:
    """The check: each published row predicted from the other ones by multiply-adds; predicted / published milliseconds."""
    rows = PUBLISHED_FPS[board]
    return {net: MULTIPLY_ADDS[net] / gmac_s(board, without=net) * fps for net, fps in rows.items()}


def errors_by_time(board: str) -> Mapping[str, float]:
    """The same by times on the reference machine."""
    rows = PUBLISHED_FPS[board]
    return {net: REFERENCE[net][0] * net_ratio(board, without=net) * fps / 1e3 for net, fps in rows.items()}


def memory_errors() -> Mapping[str, float]:
    return {net: REFERENCE[net][1] * memory_ratio(without=net) / mb for net, mb in PUBLISHED_MB.items()}


_MORE = math.sqrt(ORIN_FLOPS * ORIN_BANDWIDTH)
BOARDS = {
    "tx2": Board("tx2", "Jetson TX2, MAXN", 6, 8_000, 1977, gmac_s("tx2"), net_ratio("tx2")),
    "xavier": Board("xavier", "Jetson AGX Xavier 32 GB, MAXN", 8, 32_000, 2742, gmac_s("xavier"), net_ratio("xavier")),
    "orin": Board("orin", "Jetson AGX Orin 64 GB, MAXN", 12, 64_000, 3187, gmac_s("xavier") * _MORE, net_ratio("xavier") / _MORE),
}


def checked(board: str) -> list[str]:
    """Lines: how far the rules are off on the rows that the report has."""
    memory = memory_errors().values()
    if board in PUBLISHED_FPS:
        parts = ", ".join(f"{net} {_factor(off)}" for net, off in errors(board).items())
        by_time = max(max(off, 1 / off) for off in errors_by_time(board).values())
        nets = (
            f"nets by multiply-adds: the report's rows, each from the other ones: {parts}; by time here (*): up to x{by_time:.1f}"
        )
    else:
        nets = "nets: not checked, the report has no row of this board; its numbers are Xavier's and the data sheets'"
    return [
        nets,
        "CPU cores: not checked, the report's only rows (Table 24) are of other code; ratio of 7-zip's single-thread ratings",
        f"memory of nets: rows of the report's Table 21, each from the other ones: up to x{max(*memory, 1 / min(memory)):.1f}",
    ]


def _factor(off: float) -> str:
    return f"x{off:.1f}" if off >= 1 else f"/{1 / off:.1f}"
