"""The nets of `pipe bench students` and `subscenes`, ready to run: trained ones from their files, the others random."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.detector import Detect, detecting, opened
from bench.recipes import TEACHER, model_of, recipes
from operators.detect.tanet import TANetDetector, TANetDetectorConfig
from operators.nets import weights
from operators.nets.tanet_config import TANET
from operators.streams import Boxes3D

THREADS = 2
LOWEST_SCORE = 0.05
"""Of the boxes that are scored, as released."""


@dataclass(frozen=True)
class Row:
    """trained: `1800 steps, 30 min`, or "" for random weights; coarse: without the refine stage."""

    model: Any
    parameters: int
    trained: str
    detect: Detect
    coarse: Detect


@contextmanager
def rows_of(names: Sequence[str], folder: Path) -> Iterator[dict[str, Row]]:
    """Name -> net, while the context lasts. `coarse` is the teacher without its refine stage."""
    every = recipes()
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as made:
        rows: dict[str, Row] = {}
        for name in names:
            file = folder / f"{TEACHER if name == 'coarse' else name}.safetensors"
            trained = file.is_file()
            if not trained:
                file = Path(made) / f"{name}.safetensors"
                _random(file, model_of(every[TEACHER if name == "coarse" else name]))
            rows[name] = _row(file, trained, only_coarse=name == "coarse")
        yield rows


def _random(file: Path, model: Any) -> None:
    """Weights of a net that was never trained."""
    import torch

    from operators.nets.tanet import TANet

    torch.manual_seed(0)
    weights.save(file, TANET, model, TANet(model).eval().state_dict())


def _row(file: Path, trained: bool, only_coarse: bool) -> Row:
    loaded = weights.load(file, TANET)
    counted = {name: array.size for name, array in loaded.tensors.items() if "running_" not in name}
    parameters = sum(size for name, size in counted.items() if not (only_coarse and name.startswith("psa.")))
    facts = loaded.facts
    text = f"{facts.get('steps', '?')} steps, {float(facts.get('trained_s', 'nan')) / 60:.0f} min" if trained else ""
    node = opened(TANetDetector, TANetDetectorConfig(weights=str(file), score_threshold=LOWEST_SCORE), THREADS)
    detect = detecting(node)

    def stage(refine: bool, points: np.ndarray) -> Boxes3D:
        node.set_level(0 if refine else 1)
        return detect(points)

    return Row(loaded.config, parameters, text, partial(stage, not only_coarse), partial(stage, False))
