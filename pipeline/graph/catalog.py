"""Which nodes the files of a folder define, read without importing them."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from functools import cache
from pathlib import Path

BASES = {"op": ("Operator", "process"), "driver": ("Source", "read")}
"""Kind of node -> the end of its base class's name, the method that makes a subclass a node."""
_MAY_DEFINE = re.compile(rb"^class \w+\(|^@(\w+\.)*operator\b", re.MULTILINE)
_IMPORT = re.compile(r"^from (\w+)([\w.]*) import \(?\s*(\w+)|^import (\w+)([\w.]*)(?: as \w+)?(?:,.*)?$", re.MULTILINE)


def nodes(folder: Path, kind: str, prefix: str = "") -> dict[str, Path]:
    """Name as in a graph -> file, of all nodes of a kind in a folder and those in it; `__init__.py` may be absent."""
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
    """kitti.reader -> kitti, render.render -> render: how `lookup` finds them back."""
    parent, _, last = name.rpartition(".")
    return parent if parent and last in ("reader", parent.rpartition(".")[2]) else name


def defines(path: Path, kind: str) -> bool:
    """Does the file define a node of this kind? A subclass is known by its base's name, or by the method that makes it one."""
    try:
        source = path.read_bytes()
        if not _MAY_DEFINE.search(source):
            return False
        tree = _parsed(path, source)
    except OSError:
        return False
    except (SyntaxError, ValueError):
        return path.name != "__init__.py"  # listed, so that `pipe ops` can say what is wrong with it
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


def missing_package(path: Path, seen: set[Path] | None = None) -> str | None:
    """A package that is needed and not installed: by the file, or by one of the project that it imports."""
    seen = set() if seen is None else seen
    seen.add(path)
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    for from_top, from_rest, name, top, rest in _IMPORT.findall(source):
        inner = _same_project(path, (from_top or top) + (from_rest or rest), name)
        if inner is not None:
            missing = None if inner in seen else missing_package(inner, seen)
        else:
            missing = None if _is_installed(from_top or top) else (from_top or top)
        if missing is not None:
            return missing
    return None


def _same_project(path: Path, module: str, name: str) -> Path | None:
    """The file of an imported module, where it lies below a folder that the importing file lies in."""
    for root in path.parents:
        inside = root.joinpath(*module.split("."))
        for file in (inside / f"{name}.py", inside.with_name(f"{inside.name}.py"), inside / "__init__.py"):
            if file.is_file():
                return file
    return None


@cache
def _is_installed(package: str) -> bool:
    if package in sys.modules or package in sys.builtin_module_names:
        return True
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
