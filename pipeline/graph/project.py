"""A user's project: a folder with `operators/`, `drivers/` and `graphs/` of its own (docs/decisions/013-user-projects.md).

The packages `operators` and `drivers` are always the shipped ones. A project adds its folders of the same name behind them, so
that both `operators.near` and `operators.streams` are found. The project itself comes last on `sys.path`, and only when a graph
uses a module of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from pipeline.errors import GraphError

SHIPPED = Path(__file__).resolve().parents[2]
"""The folder of the packages `pipeline`, `operators`, `drivers` and `graphs`."""
PACKAGES = ("operators", "drivers")

_current: Path | None = None
"""The project of the graph that was loaded last."""
_folders: list[str] = []
"""User folders that this module appended to `sys.path`."""
_modules_before: set[str] = set()
"""Names in `sys.modules` before the first of these folders was appended."""
_extended: list[ModuleType] = []
"""Packages to which a project adds modules; the first folder of each is the shipped one."""


# ---- which project


def of_file(path: Path) -> Path | None:
    """The project of a graph file: its folder, or the folder above `graphs/` (`graphs/train/`). None for a shipped file."""
    folder = path.resolve().parent
    if folder.name == "train" and folder.parent.name == "graphs":
        folder = folder.parent
    root = folder.parent if folder.name == "graphs" else folder
    return None if root == SHIPPED else root


def around(folder: Path) -> Path | None:
    """The nearest folder, from this one upward, that has `operators/` or `drivers/`. None in the shipped one."""
    for root in (folder.resolve(), *folder.resolve().parents):
        if any((root / package).is_dir() for package in PACKAGES):
            return None if root == SHIPPED else root
    return None


def current() -> Path | None:
    return _current


def use(root: Path | None) -> None:
    """Look names up in this project, too, from now on. Forget the modules of another project."""
    global _current
    if root != _current:
        _leave()
        _current = root


# ---- its modules


def module_file(root: Path, module: str) -> Path | None:
    """The file of a module below a folder: `a/b.py` or `a/b/__init__.py`; None if there is none."""
    path = root.joinpath(*module.split("."))
    for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def shipped_package(name: str) -> ModuleType:
    """The shipped package `operators` or `drivers`, even if another folder of that name comes first on `sys.path`."""
    folder = SHIPPED / name
    module = sys.modules.get(name)
    if module is not None and str(folder) in getattr(module, "__path__", ()):
        return module
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None or not folder.is_dir():
        raise GraphError(f"needs the package {name} in {SHIPPED}, got none; is perception-pipe installed completely?")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def enter() -> None:
    """Make the modules of the current project importable. Raises GraphError if one has the name of a shipped module."""
    if _current is None or str(_current) in _folders:
        return
    problems = [
        f"{own}: has the name of the shipped {there}; rename it"
        for package in PACKAGES
        for own, there in _clashes(_current / package, SHIPPED / package)
    ]
    if problems:
        raise GraphError("\n".join(problems))
    append(_current)
    for package in PACKAGES:
        shipped_package(package)
        _extend(package, SHIPPED / package, _current / package)


def append(folder: Path) -> None:
    """Add a folder of the user at the end of `sys.path`."""
    global _modules_before
    if not _folders:
        _modules_before = set(sys.modules)
    if str(folder) not in _folders:
        _folders.append(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _extend(name: str, shipped: Path, own: Path) -> None:
    """Search the modules of a package and of its subpackages in both folders, in the shipped one first."""
    if own.is_dir():
        module = importlib.import_module(name)
        module.__path__ = [str(shipped), str(own)]
        _extended.append(module)
        for folder in _packages(shipped):
            _extend(f"{name}.{folder.name}", folder, own / folder.name)


def _packages(folder: Path) -> list[Path]:
    return sorted(init.parent for init in folder.glob("*/__init__.py"))


def _clashes(own: Path, shipped: Path) -> Iterator[tuple[Path, Path]]:
    """Pairs of an own and a shipped module of the same name. Packages of the same name do not clash: they are merged."""
    for path in sorted(own.iterdir()) if own.is_dir() else ():
        is_module = path.suffix == ".py" and path.stem != "__init__"
        if not is_module and not (path.is_dir() and path.name.isidentifier() and path.name != "__pycache__"):
            continue
        module, package = shipped / f"{path.stem}.py", shipped / path.stem / "__init__.py"
        if module.is_file():
            yield path, module
        elif package.is_file() and is_module:
            yield path, package.parent
        elif package.is_file():
            yield from _clashes(path, package.parent)


def _leave() -> None:
    """Forget the user folders, and the modules imported from there."""
    for name in set(sys.modules) - _modules_before if _folders else ():
        if home(sys.modules[name]) in _folders:
            del sys.modules[name]
    for module in _extended:
        module.__path__ = module.__path__[:1]
    sys.path[:] = [place for place in sys.path if place not in _folders]
    _folders.clear()
    _extended.clear()
    importlib.invalidate_caches()


def home(module: ModuleType | None) -> str | None:
    """The folder on `sys.path` that a module comes from: `/a` for `b.c` in /a/b/c.py. None for a module without a file."""
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return None
    path = Path(os.path.abspath(file))
    return str(path.parents[module.__name__.count(".") + (path.name == "__init__.py")])


# ---- worker processes


def engine_path() -> list[str]:
    """This process's `sys.path` without the folders of users."""
    return _path_without(_user_folders(None))


def worker_path(classes: Iterable[type], root: Path | None) -> tuple[list[str], Path | None]:
    """`sys.path` of a process that finds the modules of these classes where this process found them, and the project to enter.

    User folders come last, or are left out if no class is the user's own.
    """
    homes = {home(sys.modules.get(cls.__module__)) for cls in classes}
    users = _user_folders(root)
    path = _path_without(users)
    if homes.intersection(users):
        path += [folder for folder in users if folder in map(os.path.abspath, sys.path)]
    return path, root if root is not None and str(root) in homes else None


def _path_without(users: list[str]) -> list[str]:
    # What is no folder or file is the mark of an editable install: its hook knows it by this very text.
    path = dict.fromkeys(os.path.abspath(place) if os.path.exists(place or ".") else place for place in sys.path)
    rest = [place for place in path if place not in users]
    return rest if str(SHIPPED) in rest else [str(SHIPPED), *rest]


def _user_folders(root: Path | None) -> list[str]:
    """The project, the working folder, the folder of the script that runs; not the shipped one."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    script_folder = [os.path.dirname(os.path.abspath(script))] if script else []
    folders = dict.fromkeys([*([str(root)] if root else []), *_folders, os.getcwd(), *script_folder])
    return [folder for folder in folders if folder != str(SHIPPED)]
