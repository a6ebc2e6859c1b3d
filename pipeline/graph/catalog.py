"""Which nodes the files of a folder define. Files are read, not imported."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import sys
from functools import cache
from pathlib import Path

BASES = {"op": ("Operator", "process"), "driver": ("Source", "read")}
"""Kind of node -> the end of its base class's name, and the method that every node of the kind has."""
_MAY_DEFINE = {
    "op": re.compile(rb"^class \w+\([^)]*Operator\b|^    def process\(|^@(\w+\.)*operator\b", re.MULTILINE),
    "driver": re.compile(rb"^class \w+\([^)]*Source\b|^    def read\(", re.MULTILINE),
}
"""A file without a match defines no node and is not parsed: parsing takes milliseconds per file."""
_IMPORT = re.compile(r"^from (\w+)([\w.]*) import \(?\s*(\w+)|^import (\w+)([\w.]*)(?: as \w+)?(?:,.*)?$", re.MULTILINE)


def nodes(folder: Path, kind: str, prefix: str = "") -> dict[str, Path]:
    """Name as in a graph -> file, of all nodes of a kind in a folder and its subfolders; `__init__.py` may be absent."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix == ".py" and path.stem.isidentifier():
            if path.stem != "__init__" and not path.stem.startswith("test_") and defines(path, kind):
                found[graph_name(f"{prefix}{path.stem}")] = path
        elif path.is_dir() and path.name.isidentifier() and path.name != "__pycache__":
            if defines(path / "__init__.py", kind):
                found[f"{prefix}{path.name}"] = path / "__init__.py"
            found |= nodes(path, kind, f"{prefix}{path.name}.")
    return found


def graph_name(name: str) -> str:
    """kitti.reader -> kitti, render.render -> render: the name by which `lookup` finds the module."""
    parent, _, last = name.rpartition(".")
    return parent if parent and last in ("reader", parent.rpartition(".")[2]) else name


def defines(path: Path, kind: str) -> bool:
    """Does the file define a node of this kind? The name of a base class or the kind's method shows it."""
    try:
        source = path.read_bytes()
        if not _MAY_DEFINE[kind].search(source):
            return False
        tree = _parsed(path, source)
    except OSError:
        return False
    except (SyntaxError, ValueError):
        return path.name != "__init__.py"  # listed, so that `pipe ops` can report the error
    base, method = BASES[kind]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            bases = [ast.unparse(b).rpartition(".")[2] for b in node.bases]
            methods = [f.name for f in node.body if isinstance(f, ast.FunctionDef)]
            if any(b.endswith(base) for b in bases) or (bases and method in methods):
                return True
        if isinstance(node, ast.FunctionDef) and kind == "op":
            decorators = [ast.unparse(d).partition("(")[0].rpartition(".")[2] for d in node.decorator_list]
            if "operator" in decorators:
                return True
    return False


@cache
def _parsed(path: Path, source: bytes) -> ast.Module:
    return ast.parse(source)


def about(path: Path) -> str:
    """First line of a node's contract: the docstring of its file, or of its class or function where the file has none.

    `! REASON` for a file that cannot be imported.
    """
    try:
        tree = _parsed(path, path.read_bytes())
    except SyntaxError as error:
        return f"! {error.__class__.__name__}: {error.msg} (line {error.lineno})"
    except (OSError, ValueError) as error:
        return f"! {error}"
    missing = missing_package(path)
    if missing is not None:
        return f"! needs the package {missing}, which is not installed"
    inner = [node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_")]
    texts = (ast.get_docstring(node) for node in (tree, *reversed(inner)))
    text = inspect.cleandoc(next(filter(None, texts), ""))
    return text.partition("\n")[0].partition("   ")[0]  # what follows a gap is its source


def missing_package(path: Path) -> str | None:
    """A missing package that the file imports, or that a file of its project imports for it; None: all are installed."""
    todo = [str(path)]
    seen = set(todo)
    while todo:
        files, missing = _needs(todo.pop(0))
        if missing is not None:
            return missing
        todo += (file for file in files if file not in seen)
        seen.update(files)
    return None


@cache
def _needs(path: str) -> tuple[list[str], str | None]:
    """The files of the same project that a file imports, and a package that it imports and that is not installed."""
    try:
        with open(path, encoding="utf-8") as file:
            source = file.read()
    except (OSError, UnicodeDecodeError):
        return [], None
    files, missing = [], None
    for from_top, from_rest, name, top, rest in _IMPORT.findall(source):
        top, rest = from_top or top, from_rest or rest
        found = _same_project(os.path.dirname(path), top, rest, name)
        if found is not None:
            files.append(found)
        elif not _is_installed(top):
            missing = missing or top
    return files, missing


@cache
def _same_project(folder: str, top: str, rest: str, name: str) -> str | None:
    """The file of a module that a file in this folder imports, if it lies below the folder or one of its parents."""
    for root in _roots(folder, top):
        inside = os.path.join(root, top, *rest.split(".")[1:])
        for file in (os.path.join(inside, f"{name}.py"), f"{inside}.py", os.path.join(inside, "__init__.py")):
            if os.path.isfile(file):
                return file
    return None


@cache
def _roots(folder: str, top: str) -> list[str]:
    """The folders from this one upward that have a module of this name."""
    names = _names(folder)
    here = [folder] if top in names or f"{top}.py" in names else []
    above = os.path.dirname(folder)
    return here if above == folder else here + _roots(above, top)


@cache
def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


@cache
def _is_installed(package: str) -> bool:
    if package in sys.modules or package in sys.builtin_module_names:
        return True
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
