"""The nets of `pipe bench students` and `pipe bench subscenes`: how each differs from graphs/train/tanet_world.yaml.

`python -m bench.train_students` trains them; a bench reads the config of a net that is not trained from here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from operators.lidar.zones import split_range
from operators.nets.tanet_config import TANetConfig
from pipeline import training

FILE = "tanet_world"
TEACHER = "teacher"
FOLDER = Path.home() / "pipe-training" / "students"


@dataclass(frozen=True)
class Recipe:
    """sets: keys of the file that differ; start: tensors of the teacher that it starts with; taught: learns from the teacher,
    too; first: is trained in the standard run of the bench's tables."""

    sets: tuple[str, ...] = ()
    start: Literal["none", "pillar net", "all that fit"] = "pillar net"
    taught: bool = True
    first: bool = True


def _zone(share: float, side: int) -> Recipe:
    """Of the near (0) or far (1) part of the teacher's range."""
    near_far = split_range(_teacher().range_m, _teacher().cell_m, share)
    return Recipe((f"model.range_m={json.dumps(list(near_far[side]))}",), "all that fit", taught=False, first=side == 0)


def _teacher() -> TANetConfig:
    model: TANetConfig = training.load(FILE).config.model
    return model


def _cnn(name: str, first: bool = False) -> Recipe:
    return Recipe((f"model.cnn={name}",), first=first)


def recipes() -> dict[str, Recipe]:
    """By name, in the order of training: the teacher, then what the standard tables need, then the rest."""
    every = {
        TEACHER: Recipe(start="none", taught=False),
        "crop1+filter1": _cnn("crop1+filter1", True),
        "filter2": _cnn("filter2", True),
        "mobile+crop1": _cnn("mobile+crop1", True),
        "full-mobile1": _cnn("full-mobile1", True),
        "gcn": Recipe(("model.pillar_net=gcn",), "all that fit", taught=False),
        "near-0.5": _zone(0.5, 0),
        "near-0.33": _zone(1 / 3, 0),
        "far-0.5": _zone(0.5, 1),
        "near-0.24": _zone(0.24, 0),
        **{name: _cnn(name) for name in ("crop1", "filter1", "crop1+filter2", "full-mobile2", "full-mobileV2")},
    }
    every["near-0.24"] = Recipe(every["near-0.24"].sets, "all that fit", taught=False, first=False)
    return every


def sets_of(recipe: Recipe, folder: Path, minutes: float, extra: tuple[str, ...] = ()) -> list[str]:
    """KEY=VALUE for `pipe train`; folder: where the teacher's weights lie."""
    teacher = folder / f"{TEACHER}.safetensors"
    sets = [*recipe.sets, f"minutes={minutes:g}", "valid=", "epoch_steps=50", *extra]
    if recipe.start != "none":
        only = ", only: [pillar_net.]" if recipe.start == "pillar net" else ""
        sets.append(f"start_from={{weights: {json.dumps(str(teacher))}{only}}}")
    if recipe.taught:
        sets.append(f"distill={{teacher: {json.dumps(str(teacher))}}}")
    return sets


def model_of(recipe: Recipe) -> Any:
    """The net's config."""
    return training.load(FILE, recipe.sets).config.model
