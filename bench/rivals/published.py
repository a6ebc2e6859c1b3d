"""Published speeds of AB3DMOT on its authors' machines, which `pipe bench track` prints beside ours [frames/s]."""

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


def lines(table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """device -> mode -> frames/s, in the layout of the report's Table 24."""
    out = ["", f"{'device':>20} {'mode':>22} | frames/s   (Table 24 of the report, then this machine)"]
    out += [f"{device:>20} {mode:>22} | {fps:.1f}" for device, modes in table.items() for mode, fps in modes.items()]
    return [*out, "AB3DMOT as published, on its authors' machine: {} to {} frames/s".format(*AB3DMOT_FPS), ""]
