"""Import a foreign weight file: find its layout, convert, write a weight file of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from operators.nets import device as devices
from operators.nets import weights
from operators.nets.foreign import files
from operators.nets.foreign.layouts import MMDET3D, OPENPCDET, ZHULF, Layout, Tensors, mmdet3d, openpcdet, zhulf
from operators.nets.foreign.tanet_layout import PILLARS, SPARE, tanet
from operators.nets.pointpillars_config import POINTPILLARS, PointPillarsConfig
from operators.nets.tanet_config import PRESETS, TANET
from pipeline import settings
from pipeline.errors import GraphError, InputError

LAYOUTS = (
    Layout("OpenPCDet PointPillars", (OPENPCDET.linear, "dense_head.conv_cls.weight"), openpcdet, spare=("global_step",)),
    Layout("mmdetection3d PointPillars", (MMDET3D.linear, "bbox_head.conv_cls.weight"), mmdet3d),
    Layout("zhulf0804/PointPillars", (ZHULF.linear, "head.conv_cls.weight"), zhulf),
    Layout("happinesslz/TANet", (f"{PILLARS}.VoxelFeature_TA.FC1.0.weight", "rpn.block1.1.weight"), tanet, TANET, SPARE),
)
MODELS: dict[str, PointPillarsConfig] = {"pointpillars": PointPillarsConfig()} | {f"tanet_{n}": c for n, c in PRESETS.items()}
"""What --model may name: a net and its grid. The rest of the config comes from the file and its layout."""


def import_file(path: str, model: str, out: Path, sets: Mapping[str, Any] | None = None) -> list[str]:
    """Convert a file and write `out`; -> lines that say what it is. sets: keys of the net's config, which override all others.

    Raises InputError in one line: the model, the file, its layout or its shapes are not known.
    """
    try:
        devices.check("cpu")
    except ValueError as error:  # a package is missing
        raise InputError(f"weights import: {error}") from None
    if model not in MODELS:
        raise InputError(f"--model {model}: needs one of {', '.join(MODELS)}{settings.suggest(model, MODELS)}")
    tensors = files.read(path)
    layout = _layout(path, tensors)
    architecture = TANET if model.startswith("tanet") else POINTPILLARS
    if layout.model is not architecture:
        names = [name for name in MODELS if name.startswith(layout.model.name)]
        raise InputError(f"{path}: needs --model {' or '.join(names)} for a file of {layout.name}, got {model}")
    left = Tensors(path, layout.name, tensors, layout.spare)
    ours, keys = layout.convert(left)
    left.finish()
    config = _config(path, MODELS[model], keys, dict(sets or {}))
    facts = {"imported from": layout.name, "file": Path(path).name}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        weights.save(out, architecture, config, ours, facts)
    except OSError as error:
        raise InputError(f"-o {out}: cannot write: {error.strerror}") from None
    return _lines(out, layout, architecture.name, config, ours)


def _layout(path: str, tensors: Mapping[str, np.ndarray]) -> Layout:
    for layout in LAYOUTS:
        if all(mark in tensors for mark in layout.marks):
            return layout
    known = ", ".join(layout.name for layout in LAYOUTS)
    name = next(iter(tensors))
    got = f"{len(tensors)} tensors, the first one {name} {list(tensors[name].shape)}"
    if "pillar_linear.weight" in tensors or "pillar_net.norm.weight" in tensors:
        got += ": a weight file of this program already"
    if f"{PILLARS}.VoxelFeature_TA.FC1.0.weight" in tensors:
        got += ": TANet on second.pytorch 1.6, which has other conventions; only its version on PointPillars is known"
    raise InputError(f"{path}: needs a file of {known}, got {got}")


def _config(path: str, base: PointPillarsConfig, keys: dict[str, Any], sets: dict[str, Any]) -> PointPillarsConfig:
    plain = settings.plain(base) | settings.plain(keys) | sets
    if plain["anchor_span_m"] == "range":
        x0, y0, _, x1, y1, _ = plain["range_m"]
        plain["anchor_span_m"] = [x0, y0, x1, y1]
    try:
        return settings.build(type(base), plain, settings.Where(path))
    except GraphError as error:
        raise InputError(" ".join(str(error).split())) from None


def _lines(
    out: Path, layout: Layout, architecture: str, config: PointPillarsConfig, tensors: Mapping[str, np.ndarray]
) -> list[str]:
    parameters = sum(array.size for name, array in tensors.items() if "running_" not in name)
    grid = f"cell_m: {list(config.cell_m)}, range_m: {list(config.range_m)}, max_points: {config.max_points}"
    return [
        f"{out}: {architecture} of {layout.name}, {', '.join(config.class_names)}, {parameters:,} parameters",
        f"  voxelize: {{op: lidar.voxelize, config: {{{grid}}}}}",
        f"  detect:   {{op: detect.{architecture}, config: {{weights: {out}}}}}",
    ]
