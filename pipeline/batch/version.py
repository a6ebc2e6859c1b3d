"""Which code is this? Part of the key of an item, and compared on all machines of a cluster before they work."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from pipeline.graph import project

_PACKAGES = ("pipeline", "operators", "drivers", "graphs")
_LIBRARIES = ("numpy", "scipy", "numba", "opencv-python-headless", "torch", "onnxruntime")
"""Whose version may change the bytes of a result."""


@functools.cache
def code() -> dict[str, str]:
    """What -> version. sources: a digest of all files of the shipped packages, weights among them."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        folder = project.SHIPPED / package
        paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
        _add(digest, folder, sorted(paths))
    versions = {"pipe": _version("perception-pipe"), "sources": digest.hexdigest()[:16], "python": platform.python_version()}
    return versions | {name: _version(name) for name in _LIBRARIES}


def own_modules(root: Path | None, files: Iterable[str | None]) -> str:
    """Digest of a user's modules: those that are loaded from the project folder `root`, and the files of the classes of nodes."""
    paths = {Path(file).resolve() for file in files if file is not None}
    if root is not None:
        loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        paths |= {path for file in loaded if file and (path := Path(file).resolve()).is_relative_to(root.resolve())}
    digest = hashlib.sha256()
    _add(digest, Path("/"), sorted(path for path in paths if not path.is_relative_to(project.SHIPPED) and path.is_file()))
    return digest.hexdigest()[:16]


def differences(here: dict[str, str], there: dict[str, str]) -> list[str]:
    return [f"{name} {value} here, {there.get(name, 'none')} there" for name, value in here.items() if there.get(name) != value]


def _add(digest: hashlib._Hash, folder: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        digest.update(f"{path.relative_to(folder)}\n".encode(errors="surrogateescape"))
        digest.update(hashlib.sha256(path.read_bytes()).digest())


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
