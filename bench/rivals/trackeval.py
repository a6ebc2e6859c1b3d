"""TrackEval as `pipe bench eval` runs it: its own Kitti2DBox with HOTA, CLEAR and Identity, without printing or writing."""

from __future__ import annotations

import contextlib
import importlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import RunError


def imported() -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            return importlib.import_module("trackeval")
    except ModuleNotFoundError:
        return None


def score(trackeval: Any, gt: Path, trackers: Path) -> Any:
    quiet = {"PRINT_CONFIG": False}
    dataset = trackeval.datasets.Kitti2DBox({"GT_FOLDER": str(gt), "TRACKERS_FOLDER": str(trackers), **quiet})
    off = ("PRINT_RESULTS", "TIME_PROGRESS", "OUTPUT_SUMMARY", "OUTPUT_DETAILED", "PLOT_CURVES")
    evaluator = trackeval.Evaluator(quiet | dict.fromkeys(off, False))
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(quiet), trackeval.metrics.Identity(quiet)]
    with contextlib.redirect_stdout(io.StringIO()):
        return evaluator.evaluate([dataset], metrics)[0]["Kitti2DBox"]["ours"]["COMBINED_SEQ"]


def check_same(mine: dict[str, Any], other: dict[str, Any]) -> None:
    for name, numbers in mine.items():
        of_clear, of_hota, of_identity = (other[name][metric] for metric in ("CLEAR", "HOTA", "Identity"))
        pairs = {
            "IDS": (numbers["IDS"], of_clear["IDSW"]),
            "MOTA": (numbers["MOTA"], of_clear["MOTA"]),
            "IDTP": (numbers["IDTP"], of_identity["IDTP"]),
            "HOTA": (numbers["HOTA"], float(np.mean(of_hota["HOTA"]))),
        }
        for key, (ours, theirs) in pairs.items():
            if abs(ours - theirs) > 1e-9:
                raise RunError(f"bench eval: {name} {key}: needs TrackEval's {theirs}, got {ours}")
