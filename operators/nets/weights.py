"""Weight files: the tensors of a trained net and which net they are of, in one .safetensors. No pickle, no torch.

Metadata `model`, JSON: `architecture` (a name), `config` (of the net), `facts` (what made the weights). One key, because the
library writes several in random order. Tensors: float16, those of at most SMALL values float32; all float32 once loaded.
A name without a slash and without .safetensors is a shipped model: NAME.safetensors in the architecture's folder of models.

Loading is strict: InputError names the file, and of wrong tensors the first one with the shape needed and the shape found.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import settings
from pipeline.errors import GraphError, InputError
from pipeline.outside import parse_json

MODELS = Path(__file__).parent.parent / "detect" / "models"
SMALL = 4096
"""Values up to which a tensor stays float32: a mean of 10 with a deviation of 0.1 does not survive float16."""


MOST = 1_000_000
"""Largest number in the config of a file: layers, channels, pillars, metres."""
_DTYPES = ("F16", "F32", "F64")


@dataclass(frozen=True)
class Architecture:
    """One kind of net, as weight files know it.

    name    in the metadata of its files
    config  class of the net's config
    shapes  config -> name and shape of every tensor, in the order of the net; None: the net itself checks them
    train   the command that trains one, for an architecture that needs it; "": weights are shipped
    models  folder of its shipped weights; None: MODELS, or none are shipped if there is a command that trains one
    """

    name: str
    config: type
    shapes: Callable[[Any], dict[str, tuple[int, ...]]] | None = None
    train: str = ""
    models: Path | None = None


@dataclass(frozen=True)
class Weights:
    """config: of the net; tensors: name -> float32 array, in the order of the net; facts: what made them."""

    config: Any
    tensors: dict[str, np.ndarray]
    facts: dict[str, Any] = field(default_factory=dict)


def shipped(models: Path | None = None) -> list[str]:
    """Names of the models in a folder, by default MODELS."""
    return sorted(path.stem for path in (models or MODELS).glob("*.safetensors"))


def find(name: str | Path, architecture: Architecture) -> Path:
    """Path of a shipped model or of a file. Raises InputError where there is none."""
    text = str(name)
    models = architecture.models or (None if architecture.train else MODELS)
    if models is not None and (text or not architecture.train) and "/" not in text and not text.endswith(".safetensors"):
        path = models / f"{text}.safetensors"
        if path.is_file():
            return path
        known = ", ".join(shipped(models))
        if not known and architecture.train:
            raise InputError(
                f"needs {path}, got no such file; train it with {architecture.train} and set weights to its model.safetensors"
            )
        raise InputError(
            f"{text}: needs shipped weights ({known or 'none'}) or the path of a .safetensors file, got no such name"
        )
    if Path(text).is_file():
        return Path(text)
    if architecture.train:
        got = "nothing" if not text else f"{text}, {'a folder' if Path(text).is_dir() else 'which is not there'}"
        raise InputError(
            f"needs the path of a .safetensors file, got {got}; none is shipped: train one with {architecture.train}"
        )
    raise InputError(f"{text}: needs a .safetensors file, got {'a folder' if Path(text).is_dir() else 'nothing there'}")


def save(
    path: str | Path,
    architecture: Architecture,
    config: Any,
    tensors: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write a net's tensors: arrays or a state_dict. Names that are not in the architecture's `shapes` are left out.

    The file appears whole or not at all. Raises InputError where the tensors are not those of `config` or not finite.
    """
    from safetensors.numpy import save as to_bytes

    path = Path(path)
    names = tensors if architecture.shapes is None else architecture.shapes(config)
    arrays = {name: _numpy(tensors[name]) for name in names if name in tensors}
    with np.errstate(over="ignore"):  # what overflows is refused below
        stored = {name: a.astype(np.float16 if a.size > SMALL else np.float32) for name, a in arrays.items()}
    _compare(path, architecture, config, {name: a.shape for name, a in stored.items()})
    _finite(path, architecture, stored)
    model = {"architecture": architecture.name, "config": settings.plain(config), "facts": dict(facts or {})}
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(to_bytes(stored, {"model": json.dumps(model, sort_keys=True)}))  # save_file would make it the owner's alone
    os.replace(part, path)


def load(name: str | Path, architecture: Architecture, config: Any = None) -> Weights:
    """The weights of a file or a shipped model. `config`: the net they are wanted for; None: the one that the file names.

    Raises InputError: missing, no safetensors, cut short, of another net than it says or than `config`, not finite.
    """
    path, model, own, tensors = _open(name, architecture, config, tensors=True)
    _finite(path, architecture, tensors)
    return Weights(own, tensors, dict(model.get("facts", {})))


def read_config(name: str | Path, architecture: Architecture) -> Any:
    """The config of the net in a file, without reading its tensors. Raises InputError as `load` does."""
    return _open(name, architecture, None, tensors=False)[2]


def architecture_of(name: str | Path) -> str:
    """The architecture that a .safetensors file names; "" where there is none, or no such file."""
    if importlib.util.find_spec("safetensors") is None:
        return ""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(name, framework="np") as file:
            named = _model(Path(name), file.metadata() or {}).get("architecture")
    except (SafetensorError, OSError, InputError):
        return ""
    return named if isinstance(named, str) else ""


def _open(
    name: str | Path, architecture: Architecture, config: Any, *, tensors: bool
) -> tuple[Path, Mapping[str, Any], Any, dict[str, np.ndarray]]:
    """-> path, metadata, the net's config, its tensors (none where they are not asked for)."""
    path = find(name, architecture)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            model = _model(path, file.metadata() or {})
            slices = {n: file.get_slice(n) for n in file.keys()}  # noqa: SIM118 - no dict
            found = {n: tuple(part.get_shape()) for n, part in slices.items()}
            if config is None:
                config = _own_config(path, architecture, model, found)
            _compare(path, architecture, config, found)
            for name, part in slices.items():
                if part.get_dtype() not in _DTYPES:
                    raise InputError(f"{path}: {name}: needs one of {', '.join(_DTYPES)}, got {part.get_dtype()}")
            names = found if architecture.shapes is None else architecture.shapes(config)
            arrays = {n: file.get_tensor(n).astype(np.float32) for n in names} if tensors else {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: needs a whole .safetensors file, got: {' '.join(str(error).split())}") from None
    return path, model, config, arrays


def _model(path: Path, metadata: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        model = parse_json(metadata.get("model", "{}"))
    except ValueError as error:
        raise InputError(f"{path}: needs JSON in its metadata 'model', got: {error}") from None
    if not isinstance(model, Mapping) or not isinstance(model.get("facts", {}), Mapping):
        raise InputError(f"{path}: needs a mapping in its metadata 'model', facts as another, got {settings.show(model)}")
    return model


def _own_config(path: Path, architecture: Architecture, model: Mapping[str, Any], found: Mapping[str, tuple[int, ...]]) -> Any:
    named = model.get("architecture", "none in its metadata")
    if named != architecture.name:
        if architecture.shapes is not None:
            _compare(path, architecture, architecture.config(), found)  # names the first difference to the default net
        raise InputError(f"{path}: needs weights of the architecture {architecture.name}, got {named}")
    try:
        _bounded(model.get("config"))
        return settings.build(architecture.config, model.get("config"), settings.Where(str(path)))
    except (GraphError, ValueError) as error:
        raise InputError(f"{path}: cannot read its config: {' '.join(str(error).split())}") from None


def _bounded(value: Any) -> None:
    """Raises ValueError for a number so large that the shapes of its net would not fit into memory."""
    if isinstance(value, (int, float)) and not abs(value) <= MOST:
        raise ValueError(f"needs numbers of at most {MOST}, got {settings.show(value)}")
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _bounded(inner)


def _compare(path: Path, architecture: Architecture, config: Any, found: Mapping[str, tuple[int, ...]]) -> None:
    if architecture.shapes is None:
        return
    needed = architecture.shapes(config)
    for name, shape in needed.items():
        if name not in found:
            raise InputError(f"{path}: weights of another net: {name}: needs {list(shape)}, got no such tensor")
        if found[name] != shape:
            raise InputError(f"{path}: weights of another net: {name}: needs {list(shape)}, got {list(found[name])}")
    extra = sorted(set(found) - set(needed))
    if extra:
        raise InputError(f"{path}: weights of another net: needs no tensor {extra[0]}, got {list(found[extra[0]])}")


def _finite(path: Path, architecture: Architecture, tensors: Mapping[str, np.ndarray]) -> None:
    for name, array in tensors.items():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            how_many = "some" if architecture.shapes is None else f"{bad} of {array.size}"
            raise InputError(f"{path}: {name}: needs finite weights, got {how_many} that are not")


def _numpy(tensor: Any) -> np.ndarray:
    """float32, C-contiguous, of the tensor's own shape (np.ascontiguousarray would make a number an array of one)."""
    array = tensor.detach().float().cpu().numpy() if hasattr(tensor, "detach") else tensor
    return np.asarray(array, np.float32, order="C")
