"""`pipe bench detect`: average precision of the shipped detector in generated scenes with unseen streets and bodies.

    pipe bench detect [--set world.config.drives=100] [--set detect.config.weights=FILE]

500 scenes, each of another street; Van counts as Car, as in training. Scored twice: all objects within 50 m in the camera's
view, and KITTI's easy, moderate and hard (by heights in an image of KITTI's size). Also the median time of each node per scene.
Writes bench/results/detect-<machine>.json.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.common import RESULTS, header, run_graph, save
from operators.detect.pointpillars import DetectorConfig
from operators.nets import weights
from operators.nets.pointpillars_config import POINTPILLARS
from pipeline import settings

GRAPH = Path(__file__).with_name("detect.yaml")
_SHIPPED = str(DetectorConfig.__dataclass_fields__["weights"].default)


def main(sets: Sequence[str] = (), results: Path = RESULTS) -> dict[str, Any]:
    chosen = [text.partition("=")[2] for text in sets if text.startswith("detect.config.weights=")]
    model = chosen[-1] if chosen else _SHIPPED
    loaded = weights.load(model, POINTPILLARS)
    command = shlex.join(["pipe", "bench", "detect", *(word for text in sets for word in ("--set", text))])
    about = header(command, f"generated scenes ({', '.join(sets) or 'seed 3000, 500 drives of one scene, shapes: test'})")
    about |= {"weights": model, "facts": loaded.facts}
    grid = [f"voxelize.config.{key}={json.dumps(settings.plain(getattr(loaded.config, key)))}" for key in ("cell_m", "range_m")]
    scores: dict[str, Any] = {}

    def keep(folder: Path) -> None:
        for node in ("all", "kitti"):
            scores[node] = json.loads((folder / node / "scores.json").read_text())

    report = run_graph(GRAPH.read_text(), sets=[*grid, *sets], quiet=False, results=keep)
    medians = {name: report["nodes"][name]["compute_ms"]["p50"] for name in ("world", "voxelize", "detect")}
    out: dict[str, Any] = {"about": about, "rows": _rows(scores), "median_ms": medians}
    out["figures"] = {f"{row['class']}.{row['level']}.ap_r40": row["r40"] for row in out["rows"] if row["r40"] is not None}
    for line in _lines(out):
        print(line)
    save(results, "detect", out)
    return out


def _rows(scores: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, of_class in scores["all"]["classes"].items():
        rows.append({"class": name, "level": "all", **of_class["ap"]["all"], "centres": of_class["centres"]})
        rows += [{"class": name, "level": level, **ap} for level, ap in scores["kitti"]["classes"][name]["ap"].items()]
    return rows


def _lines(out: dict[str, Any]) -> list[str]:
    lines = [f"{'class':>10} {'level':>9} | {'3D AP R40':>9} {'R11':>5} | recall  truth | centres within 2 m: recall, precision"]
    for row in out["rows"]:
        text = f"{row['class']:>10} {row['level']:>9} | {_number(row['r40'], 1):>9} {_number(row['r11'], 1):>5} | "
        text += f"{_number(row['recall'], 3):>6} {row['truth']:6d}"
        if "centres" in row:
            text += f" | {_number(row['centres']['recall'], 3)}, {_number(row['centres']['precision'], 3)}"
        lines.append(text)
    lines.append("median ms per scene: " + ", ".join(f"{name} {_number(ms, 1)}" for name, ms in out["median_ms"].items()))
    return lines


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
