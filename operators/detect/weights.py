"""Weight files: what a net learned and which net it is, in one .safetensors. No pickle, no torch.

Metadata `model`, JSON: `architecture` ("pointpillars"), `config` (PointPillarsConfig), `facts` (whatever the model card wants
to keep). One key, because the library writes several in random order.
Tensors: those of `tensor_shapes(config)`; float16, the small ones (statistics, biases) float32, all float32 once loaded.
A name without a slash and without .safetensors is a shipped model: operators/detect/models/NAME.safetensors.

Loading is strict: InputError names the file, and of wrong tensors the first one with the shape needed and the shape found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from operators.nets.pointpillars_config import PointPillarsConfig, tensor_shapes
from pipeline import settings
from pipeline.errors import GraphError, InputError

ARCHITECTURE = "pointpillars"
MODELS = Path(__file__).parent / "models"
SMALL = 4096
"""Values up to which a tensor stays float32: a mean of 10 with a deviation of 0.1 does not survive float16."""


@dataclass(frozen=True)
class Weights:
    """config: of the net; tensors: name -> float32 array, in the order of the net; facts: what the file says besides."""

    config: PointPillarsConfig
    tensors: dict[str, np.ndarray]
    facts: dict[str, Any] = field(default_factory=dict)


def shipped() -> list[str]:
    return sorted(path.stem for path in MODELS.glob("*.safetensors"))


def find(name: str | Path) -> Path:
    """Path of a shipped model or of a file. Raises InputError where there is none."""
    text = str(name)
    if "/" in text or text.endswith(".safetensors"):
        if not Path(text).is_file():
            raise InputError(f"{text}: needs a .safetensors file, got {'a folder' if Path(text).is_dir() else 'nothing there'}")
        return Path(text)
    path = MODELS / f"{text}.safetensors"
    if not path.is_file():
        known = ", ".join(shipped()) or "none"
        raise InputError(f"{text}: needs shipped weights ({known}) or the path of a .safetensors file, got no such name")
    return path


def save(
    path: str | Path, config: PointPillarsConfig, tensors: Mapping[str, Any], facts: Mapping[str, Any] | None = None
) -> None:
    """Write a net's tensors (its state_dict will do: names the file does not need, such as batch counters, are left out).

    The file appears whole or not at all. Raises InputError where the tensors are not those of `config` or not finite.
    """
    from safetensors.numpy import save as to_bytes

    path = Path(path)
    shapes = tensor_shapes(config)
    arrays = {name: np.ascontiguousarray(_numpy(tensors[name])) for name in shapes if name in tensors}
    with np.errstate(over="ignore"):  # what overflows is refused below
        stored = {name: a.astype(np.float16 if a.size > SMALL else np.float32) for name, a in arrays.items()}
    _compare(path, shapes, {name: a.shape for name, a in stored.items()})
    _finite(path, stored)
    model = {"architecture": ARCHITECTURE, "config": settings.plain(config), "facts": dict(facts or {})}
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(to_bytes(stored, {"model": json.dumps(model, sort_keys=True)}))  # save_file would make it the owner's alone
    os.replace(part, path)


def load(name: str | Path, config: PointPillarsConfig | None = None) -> Weights:
    """The weights of a file or a shipped model. `config`: the net they are wanted for, else the file's own word.

    Raises InputError: missing, no safetensors, cut short, of another net than it says or than `config`, not finite.
    """
    from safetensors import SafetensorError, safe_open

    path = find(name)
    try:
        with safe_open(path, framework="np") as file:
            model = _model(path, file.metadata() or {})
            found = {n: tuple(file.get_slice(n).get_shape()) for n in file.keys()}  # noqa: SIM118 - no dict
            if config is None:
                config = _own_config(path, model, found)
            shapes = tensor_shapes(config)
            _compare(path, shapes, found)
            tensors = {n: file.get_tensor(n).astype(np.float32) for n in shapes}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: needs a whole .safetensors file, got: {' '.join(str(error).split())}") from None
    _finite(path, tensors)
    return Weights(config, tensors, dict(model.get("facts", {})))


def _model(path: Path, metadata: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        model = json.loads(metadata.get("model", "{}"))
    except ValueError as error:
        raise InputError(f"{path}: needs JSON in its metadata 'model', got: {error}") from None
    if not isinstance(model, Mapping) or not isinstance(model.get("facts", {}), Mapping):
        raise InputError(f"{path}: needs a mapping in its metadata 'model', facts as another, got {settings.show(model)}")
    return model


def _own_config(path: Path, model: Mapping[str, Any], found: Mapping[str, tuple[int, ...]]) -> PointPillarsConfig:
    architecture = model.get("architecture", "none in its metadata")
    if architecture != ARCHITECTURE:
        _compare(path, tensor_shapes(PointPillarsConfig()), found)  # the published net: says what is different
        raise InputError(f"{path}: needs weights of the architecture {ARCHITECTURE}, got {architecture}")
    try:
        return settings.build(PointPillarsConfig, model.get("config"), settings.Where(str(path)))
    except GraphError as error:
        raise InputError(f"{path}: cannot read its config: {' '.join(str(error).split())}") from None


def _compare(path: Path, needed: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in needed.items():
        if name not in found:
            raise InputError(f"{path}: weights of another net: {name}: needs {list(shape)}, got no such tensor")
        if found[name] != shape:
            raise InputError(f"{path}: weights of another net: {name}: needs {list(shape)}, got {list(found[name])}")
    extra = sorted(set(found) - set(needed))
    if extra:
        raise InputError(f"{path}: weights of another net: needs no tensor {extra[0]}, got {list(found[extra[0]])}")


def _finite(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    for name, array in tensors.items():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise InputError(f"{path}: {name}: needs finite weights, got {bad} of {array.size} that are not")


def _numpy(tensor: Any) -> np.ndarray:
    return tensor.detach().float().cpu().numpy() if hasattr(tensor, "detach") else np.asarray(tensor, np.float32)
