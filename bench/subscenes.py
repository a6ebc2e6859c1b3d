"""`pipe bench subscenes`: nets for the near part of the scene, in the layout of the report's Tables 26 and 27.

    pipe bench subscenes [--weights DIR]

Modes: 1/2 counts all truth of the level, 1/1 that in the net's own range alone, (1+1)/2 a near and a far net, merged, against
all truth. Coarse and refine are the two stages of one net. Weights, scenes, score and times as in `pipe bench students`; nets
that are not trained are timed. Writes bench/results/subscenes-<machine>.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.common import RESULTS, header, save
from bench.detector import Detect
from bench.nets import Row, rows_of
from bench.recipes import FOLDER, TEACHER
from bench.scenes import Scene, cell, generate, score, times
from bench.students import SCENES, TIMED
from operators.detect.merge import MergeConfig, merge

NAMES = (TEACHER, "near-0.5", "near-0.33", "near-0.24", "far-0.5")
PAIR = ("near-0.5", "far-0.5")
LEVEL = "easy"
TABLES = {
    TEACHER: ("87.64 88.17", "87.64 88.17", 47.8, 20211, 659),
    "near-0.5": ("85.60 87.26", "85.90 87.42", 64.4, 14575, 6295),
    "near-0.33": ("67.46 68.16", "87.40 88.70", 76.9, 10109, 10761),
    "near-0.24": ("43.41 45.42", "86.41 87.47", 83.4, 6841, 14029),
}  # fmt: skip
"""As published: Car AP coarse and refine of mode 1/2, of mode 1/1, frames/s on an RTX 2080, truth in and out of range."""


def main(
    weights: Path = FOLDER,
    scenes: int = SCENES,
    timed: int = TIMED,
    names: Sequence[str] = NAMES,
    results: Path = RESULTS,
) -> dict[str, Any]:
    about = header("pipe bench subscenes", f"{scenes} generated scenes, cars in the camera's view, weights in {weights}")
    made = generate(max(scenes, timed))
    out: dict[str, Any] = {"about": about, "level": LEVEL, "rows": []}
    with rows_of(names, weights) as nets:
        spent = times({name: row.detect for name, row in nets.items()}, made[:timed])
        out["rows"] = [{"name": name, "ms": spent[name], **_scored(row, made[:scenes])} for name, row in nets.items()]
        if all(name in nets and nets[name].trained for name in PAIR):
            both = score(_merged(*(nets[name].detect for name in PAIR)), made[:scenes])[0]
            out["both"] = {"name": "(1+1)/2", "refine": both.ap[LEVEL], "ms": sum(spent[name] for name in PAIR)}
    out["figures"] = {f"{row['name']}.ms": row["ms"] for row in out["rows"]}
    print("\n".join(_lines(out)))
    save(results, "subscenes", out)
    return out


def _merged(near: Detect, far: Detect) -> Detect:
    config = MergeConfig()
    return lambda points: merge([near(points), far(points)], config)


def _scored(row: Row, scenes: Sequence[Scene]) -> dict[str, Any]:
    """AP by stage and mode; truth in and out of the net's range, which needs no trained net."""
    x0, y0, _, x1, y1, _ = row.model.range_m
    stages: dict[str, Any] = {}
    detects = {"coarse": row.coarse, "refine": row.detect} if row.trained else {"": row.detect}
    for stage, detect in detects.items():
        every, inside = score(detect, scenes, (x0, y0, x1, y1))
        stages[stage] = {"1/2": every.ap[LEVEL], "1/1": inside.ap[LEVEL]}
    truth = {"in": inside.truth[LEVEL], "out": every.truth[LEVEL] - inside.truth[LEVEL]}
    return {"trained": row.trained, "truth": truth, **(stages if row.trained else {})}


def _lines(out: dict[str, Any]) -> list[str]:
    modes = (f"{mode + ' coarse':>20} {'refine':>20}" for mode in ("1/2", "1/1"))
    head = f"{'net':>10} | {' | frames/s | '.join(modes)} | {'in':>5} {'out':>5}"
    lines = [f"{head} | Tables 26, 27: 1/2, 1/1, frames/s, in, out | training"]
    for row in out["rows"]:
        whole = [cell(row[stage]["1/2"]) if row["trained"] else "not trained" for stage in ("coarse", "refine")]
        own = [cell(row[stage]["1/1"]) if row["trained"] else "not trained" for stage in ("coarse", "refine")]
        published = ", ".join(str(value) for value in TABLES.get(row["name"], ("-",)))
        lines.append(
            f"{row['name']:>10} | {whole[0]:>20} {whole[1]:>20} | {1e3 / row['ms']:8.1f} | {own[0]:>20} {own[1]:>20} | "
            f"{row['truth']['in']:5d} {row['truth']['out']:5d} | {published} | {row['trained'] or '-'}"
        )
    if "both" in out:
        lines.append(
            f"(1+1)/2, near-0.5 and far-0.5 merged: {cell(out['both']['refine'])}, {out['both']['ms']:.1f} ms one after the other"
        )
    return lines
