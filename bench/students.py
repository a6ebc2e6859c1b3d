"""`pipe bench students`: TANet's students beside their teacher, in the layout of the report's Table 25.

    pipe bench students [--weights DIR]

Trains nothing: a net whose weights lie in DIR (`python -m bench.train_students`) is scored on 300 generated scenes, cars alone,
3D AP R40 by KITTI's levels with the 95 % interval of a bootstrap over scenes; the others are built with random weights, counted
and timed. Times: points in, boxes out, all nets in turns. Gain: frames/s against the teacher's. A ranking is claimed only between
nets whose intervals do not overlap. Writes bench/results/students-<machine>.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.common import RESULTS, header, save
from bench.nets import Row, rows_of
from bench.recipes import FOLDER, TEACHER
from bench.scenes import apart, cell, generate, score, times

SCENES, TIMED = 300, 40
NAMES = (
    TEACHER, "crop1", "filter1", "filter2", "crop1+filter1", "crop1+filter2", "mobile+crop1", "full-mobile1", "full-mobile2",
    "full-mobileV2", "coarse", "gcn",
)  # fmt: skip
TABLE_25 = {
    TEACHER: (88.17, 0.0, None), "crop1": (85.81, 22.73, 9.63), "filter1": (84.95, 28.57, 8.87), "filter2": (83.75, 35.00, 7.91),
    "crop1+filter1": (85.68, 50.00, 20.08), "crop1+filter2": (84.75, 42.11, 12.31), "mobile+crop1": (78.30, 42.11, 4.26),
    "full-mobile1": (84.24, 28.12, 7.16), "full-mobile2": (84.00, 31.88, 7.65), "full-mobileV2": (82.66, 33.56, 6.09),
    "coarse": (87.64, 29.72, 56.08),
}  # fmt: skip
"""As published, on KITTI and a GPU: Car Easy 3D AP, gain of frames/s [%], gain per AP point lost."""


def main(
    weights: Path = FOLDER,
    scenes: int = SCENES,
    timed: int = TIMED,
    names: Sequence[str] = NAMES,
    results: Path = RESULTS,
) -> dict[str, Any]:
    about = header("pipe bench students", f"{scenes} generated scenes, cars in the camera's view, weights in {weights}")
    made = generate(max(scenes, timed))
    out: dict[str, Any] = {"about": about, "rows": [], "apart": []}
    with rows_of(names, weights) as nets:
        spent = times({name: row.detect for name, row in nets.items()}, made[:timed])
        for name, row in nets.items():
            out["rows"].append(_row(name, row, spent))
            if row.trained:
                out["rows"][-1]["ap"] = score(row.detect, made[:scenes])[0].ap
    rows = {row["name"]: row for row in out["rows"]}
    best = rows[TEACHER]["ap"]["easy"][1] if "ap" in rows[TEACHER] else None
    for row in out["rows"]:
        mine = row["ap"]["easy"][1] if "ap" in row else None
        row["gain_per_ap"] = gain_per_point(row["gain_percent"], best, mine)
    out["apart"] = apart({name: row["ap"]["easy"] for name, row in rows.items() if "ap" in row})
    out["figures"] = {f"{name}.ms": row["ms"] for name, row in rows.items()}
    out["figures"] |= {f"{name}.easy": row["ap"]["easy"][1] for name, row in rows.items() if "ap" in row}
    print("\n".join(_lines(out)))
    save(results, "students", out)
    return out


def gain_per_point(gain_percent: float, teacher_ap: float | None, ap: float | None) -> float | None:
    """Percent of frames/s gained per point of AP lost; None where nothing is lost, or an AP is unknown."""
    if teacher_ap is None or ap is None or ap >= teacher_ap:
        return None
    return gain_percent / (teacher_ap - ap)


def _row(name: str, row: Row, spent: Mapping[str, float]) -> dict[str, Any]:
    gain = 100 * (spent[TEACHER] / spent[name] - 1)
    return {"name": name, "parameters": row.parameters, "trained": row.trained, "ms": spent[name], "gain_percent": gain}


def _lines(out: dict[str, Any]) -> list[str]:
    lines = [
        f"{'net':>14} {'parameters':>10} | {'Car easy 3D AP R40':>22} {'moderate':>22} | {'ms':>6} {'gain %':>7} {'per AP':>7} | "
        "Table 25: AP, gain %, per AP | training"
    ]
    for row in out["rows"]:
        easy, moderate = (cell(row["ap"][level]) if "ap" in row else "not trained" for level in ("easy", "moderate"))
        published = TABLE_25.get(row["name"])
        theirs = "-" if published is None else ", ".join(_number(value) for value in published)
        lines.append(
            f"{row['name']:>14} {row['parameters']:10,d} | {easy:>22} {moderate:>22} | {row['ms']:6.1f} "
            f"{row['gain_percent']:7.1f} {_number(row['gain_per_ap']):>7} | {theirs:>28} | {row['trained'] or '-'}"
        )
    claims = "; ".join(out["apart"]) or "none, so no ranking"
    return [*lines, f"intervals that do not overlap (easy): {claims}"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
