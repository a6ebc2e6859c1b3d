"""Weight files of detect.fairmot: what a net learned and which net it is, in one .safetensors. No pickle.

Metadata `model`, JSON: `architecture` ("fairmot"), `config` (FairmotNetConfig), `facts`. Tensors: the net's state, float16, the
small ones float32. A graph's check reads the metadata alone, without torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from operators.detect.weights import SMALL
from operators.nets.fairmot_config import FairmotNetConfig
from pipeline import settings
from pipeline.errors import GraphError, InputError

ARCHITECTURE = "fairmot"


def save(path: Path, config: FairmotNetConfig, tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """The file appears whole or not at all."""
    from safetensors.numpy import save as to_bytes

    stored = {name: array.astype(np.float16 if array.size > SMALL else np.float32) for name, array in tensors.items()}
    for name, array in stored.items():
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {name}: needs finite weights, got some that are not")
    model = {"architecture": ARCHITECTURE, "config": settings.plain(config), "facts": dict(facts)}
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(to_bytes(stored, {"model": json.dumps(model, sort_keys=True)}))
    os.replace(part, path)


def read_config(name: str) -> FairmotNetConfig:
    """Of the net in a file. Raises InputError where it is none of ours."""
    return _open(name, tensors=False)[0]


def load(name: str) -> tuple[FairmotNetConfig, dict[str, np.ndarray]]:
    """The net's config and its tensors, float32. Raises InputError."""
    return _open(name, tensors=True)


def _open(name: str, tensors: bool) -> tuple[FairmotNetConfig, dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    if not Path(name).is_file():
        got = "nothing" if not name else f"{name}, {'a folder' if Path(name).is_dir() else 'which is not there'}"
        raise InputError(
            f"needs the path of a .safetensors file, got {got}; none is shipped: train one with "
            "pipe train fairmot_world --out out/fairmot"
        )
    try:
        with safe_open(name, framework="np") as file:
            model = json.loads((file.metadata() or {}).get("model", "{}"))
            found = {n: file.get_tensor(n).astype(np.float32) for n in file.keys()} if tensors else {}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{name}: needs a whole .safetensors file, got: {' '.join(str(error).split())}") from None
    architecture = model.get("architecture", "none in its metadata") if isinstance(model, Mapping) else "no mapping"
    if architecture != ARCHITECTURE:
        raise InputError(f"{name}: needs weights of the architecture {ARCHITECTURE}, got {architecture}")
    try:
        config = settings.build(FairmotNetConfig, model.get("config"), settings.Where(name))
    except GraphError as error:
        raise InputError(f"{name}: cannot read its config: {' '.join(str(error).split())}") from None
    for tensor, array in found.items():
        if not np.isfinite(array).all():
            raise InputError(f"{name}: {tensor}: needs finite weights, got some that are not")
    return config, found
