"""Tensors of a foreign weight file. Nothing in it is executed: torch reads it with weights_only, or it is a .safetensors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError

STATES = ("model_state", "state_dict", "model")
"""Keys of a checkpoint under which a program keeps the tensors of its net: OpenPCDet, mmdetection3d, others."""


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Name -> array, float32 or an integer type. Raises InputError in one line for a file of another kind."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: needs a weight file, got {'a folder' if path.is_dir() else 'nothing there'}")
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    for key in STATES:
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and hasattr(value, "shape")}
    if not tensors:
        raise InputError(f"{path}: needs the tensors of a net by name, got none among the keys {_some(content)}")
    if all(name.startswith("module.") for name in tensors):  # of a net trained on several GPUs
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return {name: _numpy(value) for name, value in tensors.items()}


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: needs a whole .safetensors file, got: {' '.join(str(error).split())}") from None


def _torch(path: Path) -> Mapping[str, Any]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old and new formats of torch.save
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the bytes of a foreign file make torch raise
        said = " ".join(str(error).split())
        found = re.search(r"GLOBAL ([\w.]+)", said)
        if found:
            raise InputError(
                f"{path}: needs tensors and plain data, got a pickle with {found[1]}, which is not loaded; in the program that "
                "wrote it, save the tensors alone: torch.save(torch.load(FILE)['state_dict'], NEW)"
            ) from None
        raise InputError(f"{path}: needs a file of torch.save or a .safetensors, got: {said[:120]}") from None
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: needs the tensors of a net by name, got a {type(content).__name__}")
    return content


def _numpy(tensor: Any) -> np.ndarray:
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _some(content: Mapping[Any, Any]) -> str:
    names = [str(key) for key in content][:3]
    return ", ".join(names) + (", ..." if len(content) > 3 else "") or "of an empty file"
