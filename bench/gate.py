"""`pipe bench gate`: fuse.gate on damaged pictures, against the better of its two modalities.

    pipe bench gate [--weights DIR]

DIR has fusion, image and thermal.safetensors (docs/training.md); the other schemes' weights, DIR/SCHEME.safetensors, are scored
on clean pairs and in the worst cell, if they are there. Generated pairs with streets and bodies that training never sees. A cell
is one kind of damage, of one severity, to one modality of every pair. Its loss is that against the best of four: the same weights
with one modality, and the nets trained on one modality alone; AP50 as COCO counts it, hard truth forgiven, upper 95 % bound of a
bootstrap over the pairs. salt_and_pepper is a kind that training does not use. Prints the heat map in Markdown
(bench/gate_table.py). Writes bench/results/gate-<machine>.json.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from bench import gate_table
from bench.common import RESULTS, header, save
from bench.pairs import CLEAN, KINDS, LEAST_SCORE, MODALITIES, SEED, Cell, Made
from operators.detect.scaled import scaled
from operators.fuse.gate import FuseGateConfig, torch_net
from operators.nets.fusion_config import FUSION, Scheme
from operators.nets.weights import load, read_config
from operators.score.ap50 import coco_ap50, paired_ap50
from pipeline.errors import InputError

FOLDER, PAIRS, TIMED = Path.home() / "pipe-training" / "fusion", 200, 20


def main(weights: Path = FOLDER, pairs: int = PAIRS, results: Path = RESULTS) -> dict[str, Any]:
    files = {name: weights / f"{name}.safetensors" for name in ("fusion", *MODALITIES)}
    for file in files.values():
        if not file.is_file():
            raise InputError(f"bench gate: needs {file}, got no such file; docs/training.md has the commands")
    about = header("pipe bench gate", f"{pairs} generated pairs of seed {SEED}, weights in {weights}")
    made = Made(pairs)
    rows = [measured(made, files, cell) for cell in cells()]
    rows.sort(key=lambda row: -row["loss"])
    worst: Cell = next(tuple(row["cell"]) for row in rows if row["cell"][0] != "clean")
    out: dict[str, Any] = {"about": about, "cells": rows, "schemes": {}, "ms": spent(made, files["fusion"])}
    own = read_config(files["fusion"], FUSION).scheme
    for scheme in get_args(Scheme):
        file = files["fusion"] if scheme == own else weights / f"{scheme}.safetensors"
        out["schemes"][scheme] = None  # not trained
        if file.is_file():
            scores = {c: coco_ap50(made.truth, made.found(file, c, MODALITIES)) for c in (CLEAN, worst)}
            out["schemes"][scheme] = {gate_table.name(c): ap for c, ap in scores.items()}
    worst_of = {f"worst {key}": max(row[key] for row in rows) for key in ("loss", "upper95")}
    out["figures"] = {**worst_of, **out["ms"]}
    print("\n".join(gate_table.lines(out)))
    save(results, "gate", out)
    return out


def cells() -> Iterator[Cell]:
    yield CLEAN
    for modality in MODALITIES:
        for kind in KINDS:
            yield from ((kind, severity, modality) for severity in range(3))


def measured(made: Made, files: Mapping[str, Path], cell: Cell) -> dict[str, Any]:
    print(gate_table.name(cell), file=sys.stderr)
    fused = made.found(files["fusion"], cell, MODALITIES)
    others = {f"fusion, {m} alone": made.found(files["fusion"], cell, [m]) for m in MODALITIES}
    others |= {f"{m} net": made.found(files[m], cell, [m]) for m in MODALITIES}
    ap = {name: coco_ap50(made.truth, found) for name, found in others.items()}
    best = max(ap, key=lambda name: ap[name])
    paired = paired_ap50(made.truth, others[best], fused)
    return {
        "cell": list(cell), "ap50": 100 * paired.candidate, "others": {name: 100 * value for name, value in ap.items()},
        "best": best, "loss": 100 * paired.loss, "upper95": 100 * paired.upper95,
    }  # fmt: skip


def spent(made: Made, file: Path) -> dict[str, float]:
    """Median milliseconds of the net with both modalities and with each alone, in turns, with two threads."""
    config = FuseGateConfig(weights=str(file), score_threshold=LEAST_SCORE)
    loaded = load(str(file), FUSION)
    net = torch_net(config, loaded, 2, "bench gate")
    took: dict[str, list[float]] = {}
    for index in range(min(TIMED, len(made.pairs))):
        for used in (MODALITIES, *((m,) for m in MODALITIES)):
            given = {m: scaled(made.shown(index, CLEAN, m), loaded.config.image_size) for m in used}
            begun = time.perf_counter()
            net.run(given)
            took.setdefault(f"{' + '.join(used)}.ms", []).append(1e3 * (time.perf_counter() - begun))
    return {name: statistics.median(ms) for name, ms in took.items()}
