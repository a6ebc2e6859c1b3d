"""checkpoint.pt: everything that a training needs to go on."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline import settings
from pipeline.errors import GraphError, InputError
from pipeline.outside import parse_json


def save(path: Path, config: Any, state: Mapping[str, Any]) -> None:
    """The file appears whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    torch.save({"config": json.dumps(settings.plain(config)), **state}, part)
    os.replace(part, path)


def load(path: Path, config: Any, free_to_change: Container[str]) -> dict[str, Any]:
    """A checkpoint of the same training. The top keys in `free_to_change` may differ. Raises InputError or GraphError."""
    if not path.is_file():
        raise InputError(f"--resume: needs {path}, got no such file; leave --resume out to start")
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        before = _flat(parse_json(saved["config"]))
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        said = str(error).partition("\n")[0] or "no whole file"
        raise InputError(f"{path}: cannot read the checkpoint: {type(error).__name__}: {said}") from None
    now = _flat(settings.plain(config))
    for key in [*now, *(k for k in before if k not in now)]:
        if key.partition(".")[0] not in free_to_change and before.get(key) != now.get(key):
            raise GraphError(f"--resume: {key}: needs {before.get(key)} as in {path}, got {now.get(key)}")
    return saved


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Nested keys with dots -> values."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out
