"""Published speeds [frames/s]: Tables 21-24 and 28 of the report, which `pipe bench track` and `devices` print beside ours."""

from __future__ import annotations

from collections.abc import Mapping

AB3DMOT_FPS = (97, 212)
"""By its authors, from slowest to fastest."""
TABLE_24 = {
    "Jetson TX2": {"MAXN": 43.1, "MAXP CORE ARM": 42.9, "MAXP CORE ALL": 31.0, "MAXQ": 27.3},
    "Jetson AGX Xavier": {
        "MAXN": 23.3, "30W 2CORE": 23.3, "15W DESKTOP": 14.7, "30W ALL": 14.5, "30W 4CORE": 13.1, "30W 6CORE": 9.5, "15W": 8.6,
    },
}  # fmt: skip

TABLE_21 = {
    ("TANet", 16): (17.67, 6449), ("TANet", 20): (20.04, 6085), ("TANet", 24): (21.77, 5271), ("TANet", 28): (23.64, 4303),
    ("PointPillars", 16): (40.32, 4869), ("PointPillars", 28): (58.10, 3223),
}  # fmt: skip
"""RTX 2080: net, voxel size [cm] -> frames/s, GPU memory [MB]."""
TABLE_22 = {
    "MAXN": {("TANet", 20): 1.13, ("TANet", 28): 1.74, ("PointPillars", 16): 1.07},
    "MAXP CORE ARM": {("TANet", 20): 0.93, ("TANet", 28): 1.52, ("PointPillars", 16): 0.95},
    "MAXP CORE ALL": {("TANet", 20): 0.86, ("TANet", 28): 1.35, ("PointPillars", 16): 0.89},
    "MAXQ": {("TANet", 20): 0.75, ("TANet", 28): 1.19, ("PointPillars", 16): 0.73},
}
"""Jetson TX2: power mode -> net, voxel size -> frames/s."""
TABLE_23 = {
    "MAXN": {("TANet", 16): 3.17, ("TANet", 28): 13.16, ("PointPillars", 16): 6.12},
    "30W 4CORE": {("TANet", 16): 2.20, ("PointPillars", 16): 4.14},
    "30W 2CORE": {("TANet", 16): 2.20, ("PointPillars", 16): 3.30},
    "30W 6CORE": {("TANet", 16): 2.15, ("PointPillars", 16): 4.02},
    "30W ALL": {("TANet", 16): 2.09, ("PointPillars", 16): 3.48},
    "15W DESKTOP": {("TANet", 16): 1.70, ("PointPillars", 16): 3.74},
    "15W": {("TANet", 16): 1.62, ("TANet", 28): 6.7, ("PointPillars", 16): 2.93},
}
"""Jetson AGX Xavier."""
TABLE_28 = {
    "Jetson TX2": {"MAXN": 0.76, "MAXP CORE ARM": 0.68, "MAXP CORE ALL": 0.62, "MAXQ": 0.53},
    "Jetson AGX Xavier": {
        "MAXN": 2.01, "30W 2CORE": 1.55, "30W ALL": 1.51, "30W 6CORE": 1.49, "30W 4CORE": 1.44, "15W DESKTOP": 1.07, "15W": 1.01,
    },
}  # fmt: skip
"""FairMOT, on a GPU."""


def lines(table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """device -> mode -> frames/s, in the layout of the report's Table 24."""
    out = by_mode("24", table)
    return [*out, "AB3DMOT as published, on its authors' machine: {} to {} frames/s".format(*AB3DMOT_FPS), ""]


def by_mode(number: str, table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """device -> mode -> frames/s."""
    out = ["", f"{'device':>20} {'mode':>22} | frames/s   (Table {number} of the report, then this machine)"]
    return out + [f"{device:>20} {mode:>22} | {fps:.2f}" for device, modes in table.items() for mode, fps in modes.items()]
