"""From the names in a graph file to classes: `lidar.voxelize` -> operators/lidar/voxelize.py. Nothing registers itself.

Everything is imported by name, at the moment a graph asks for it; listing what there is reads files without running them.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import keyword
import os
import pkgutil
import re
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import GraphError
from pipeline.operator import Operator, Source
from pipeline.recording.message import Format
from pipeline.settings import suggest

# kind of node -> base class, shipped package, entry-point group
_KINDS: dict[str, tuple[type, str, str]] = {
    "op": (Operator, "operators", "pipe.operators"),
    "driver": (Source, "drivers", "pipe.drivers"),
}
_TEST_NODES = "pipeline.nodes"
_EVALUATORS = "operators.score"


def operator_class(name: str) -> type[Operator]:
    """`lidar.voxelize`, `test.null`, the name of an entry point, or `mypkg.module:Class`. Raises GraphError."""
    return _find("op", name)


def driver_class(name: str) -> type[Source]:
    """`kitti.tracking`, `test.counter`, the name of an entry point, or `mypkg.module:Class`. Raises GraphError."""
    return _find("driver", name)


def node_class(name: str) -> type[Any]:
    """An operator or a driver of this name."""
    if ":" in name:
        _from_working_folder()
        cls = class_by_ref(name)
        if not issubclass(cls, (Operator, Source)):
            raise GraphError(f"{name}: needs an operator or a source (see pipeline/operator.py), got {cls.__name__}")
        return cls
    if name in _available("op"):
        return operator_class(name)
    if name in _available("driver"):
        return driver_class(name)
    raise GraphError(f"no operator or driver {name}{suggest(name, _available('op') + _available('driver'))}")


def format_class(name: str) -> type[Format]:
    """How recordings look to other tools: `foxglove` -> operators/record/foxglove.py, or `mypkg.module:Class`."""
    if ":" in name:
        cls = class_by_ref(name)
    else:
        module = f"operators.record.{name}"
        found = _defined_in(_import(module, name), Format, name) if _exists(module) else None
        if found is None:
            raise GraphError(f"unknown format of recordings {name}; there is no {module}")
        cls = found
    if not issubclass(cls, Format):
        raise GraphError(f"{name}: needs a subclass of pipeline.recording.message.Format, got {cls.__name__}")
    return cls


def available_operators() -> list[str]:
    return _available("op")


def available_drivers() -> list[str]:
    return _available("driver")


def evaluator(name: str) -> ModuleType:
    """`kitti-tracking` -> operators/score/kitti_tracking.py. Raises GraphError.

    An evaluator is a module with `evaluate(gt, results, ...)`, paths in, plain numbers by name out ("notes": warnings), and
    `lines(numbers)`, what to print of them.
    """
    if name not in available_evaluators():
        raise GraphError(f"unknown evaluator {name}{suggest(name, available_evaluators())}")
    return _import(f"{_EVALUATORS}.{name.replace('-', '_')}", name)


@cache
def available_evaluators() -> list[str]:
    """Names of all evaluators, found without importing them."""
    spec = importlib.util.find_spec(_EVALUATORS)
    names = []
    for folder in spec.submodule_search_locations or () if spec else ():
        for module in pkgutil.iter_modules([folder]):
            tree = ast.parse((Path(folder) / f"{module.name}.py").read_bytes())
            if any(isinstance(node, ast.FunctionDef) and node.name == "evaluate" for node in tree.body):
                names.append(module.name.replace("_", "-"))
    return sorted(names)


def class_ref(cls: type) -> str:
    """`module:Class`: how a worker process is told its class."""
    return f"{cls.__module__}:{cls.__qualname__}"


def class_by_ref(ref: str) -> type[Any]:
    """The inverse of `class_ref`. Raises GraphError where it cannot be imported or is no class."""
    _from_working_folder()
    module_name, _, class_name = ref.partition(":")
    target: Any = _import(module_name, ref)
    for part in class_name.split("."):
        target = getattr(target, part, None)
    if not isinstance(target, type):
        raise GraphError(f"{ref}: module {module_name} has no class {class_name}")
    return target


def _find(kind: str, name: str) -> Any:
    base, package, group = _KINDS[kind]
    if ":" in name:
        return _checked(class_by_ref(name), base, kind, name)
    if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", name):
        raise GraphError(f"needs a name such as lidar.voxelize or mypkg.module:Class, got {name!r}")
    for module_name in _modules(kind, name):
        if _exists(module_name):
            cls = _defined_in(_import(module_name, name), base, name)
            if cls is not None:
                return cls
    for entry in _entries(group):
        if entry.name == name:
            return _checked(class_by_ref(entry.value.replace(" ", "")), base, kind, name)
    other = "driver" if kind == "op" else "op"
    if name in _available(other):
        raise GraphError(f"{name} is {'a driver' if other == 'driver' else 'an operator'}; write {other}: {name}")
    if name.partition(".")[0] in (package, "drivers", "operators"):
        raise GraphError(f"unknown {kind} {name}; names are without {name.partition('.')[0]}.: {name.partition('.')[2]}?")
    raise GraphError(f"unknown {kind} {name}{suggest(name, _available(kind))}")


def _modules(kind: str, name: str) -> list[str]:
    """Where the class called `name` may be: its file, or a package's file of the same name or `reader`."""
    first, _, rest = name.partition(".")
    if first == "test":
        return [f"{_TEST_NODES}.{rest}{'_' if keyword.iskeyword(rest) else ''}"] if rest else []
    module = f"{_KINDS[kind][1]}.{name}"
    return [module, f"{module}.{name.rpartition('.')[2]}", f"{module}.reader"]


def _exists(module_name: str) -> bool:
    try:
        return importlib.util.find_spec(module_name) is not None
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            return False
        raise


def _import(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if (module_name + ".").startswith(missing + "."):
            raise GraphError(f"{name}: there is no module {missing}; is it installed, or in the folder you are in?") from error
        package = missing.partition(".")[0]
        raise GraphError(
            f"{name}: cannot import {module_name}: needs the package {package}, which is not installed; pip install {package}"
        ) from error
    except Exception as error:  # a module may fail at import in any way
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        raise GraphError(f"{name}: cannot import {module_name}: {type(error).__name__}: {text}{line}") from error


def _defined_in(module: ModuleType, base: type, name: str) -> type[Any] | None:
    """The one class of this kind written in `module` itself, not imported into it."""
    classes = {id(value): value for value in vars(module).values() if isinstance(value, type) and issubclass(value, base)}
    found = [c for c in classes.values() if c.__module__ == module.__name__ and not c.__name__.startswith("_")]
    if len(found) > 1:
        names = ", ".join(cls.__name__ for cls in found)
        raise GraphError(f"{name}: {module.__name__} defines {names}; say which one: {module.__name__}:{found[0].__name__}")
    return found[0] if found else None


def _checked(cls: type, base: type, kind: str, name: str) -> type:
    if not issubclass(cls, base):
        what = "an operator" if base is Operator else "a source"
        hint = ""
        if issubclass(cls, (Operator, Source)):
            hint = f"; write {'op' if kind == 'driver' else 'driver'}: {name}"
        raise GraphError(f"{name}: needs {what} (a subclass of pipeline.operator.{base.__name__}), got {cls.__name__}{hint}")
    return cls


def _from_working_folder() -> None:
    """The `pipe` script does not look for modules where the user stands; `op: mymodule:Class` means exactly that."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _entries(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


@cache
def _available(kind: str) -> list[str]:
    """Names of all nodes of a kind, found without importing them."""
    base, package, group = _KINDS[kind]
    names = [entry.name for entry in _entries(group)]
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        names += [_graph_name(name) for name in _files(Path(folder), "", base.__name__)]
    test_folder = Path(__file__).parent.parent / "nodes"
    names += [f"test.{name.rstrip('_')}" for name in _files(test_folder, "", base.__name__)]
    return sorted(set(names))


def _graph_name(name: str) -> str:
    """kitti.reader -> kitti, render.render -> render: how `_modules` finds them back."""
    parent, _, last = name.rpartition(".")
    return parent if parent and last in ("reader", parent.rpartition(".")[2]) else name


def _files(folder: Path, prefix: str, base: str) -> list[str]:
    names = []
    for module in pkgutil.iter_modules([str(folder)]):
        path = folder / module.name
        name = f"{prefix}{module.name}"
        if module.ispkg:
            names += [name] if _defines(path / "__init__.py", base) else []
            names += _files(path, f"{name}.", base)
        elif _defines(path.with_suffix(".py"), base):
            names.append(name)
    return names


def _defines(path: Path, base: str) -> bool:
    """Does the file define a node of this kind? A subclass is told by its base's name, or by the method that makes it one."""
    method = "process" if base == "Operator" else "read"
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return path.name != "__init__.py"  # listed, so that `pipe ops` can say what is wrong with it
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            bases = [ast.unparse(b).rpartition(".")[2] for b in node.bases]
            methods = [f.name for f in node.body if isinstance(f, ast.FunctionDef)]
            if any(b.endswith(base) for b in bases) or (bases and method in methods):
                return True
        if isinstance(node, ast.FunctionDef) and base == "Operator":
            decorators = [ast.unparse(d).partition("(")[0].rpartition(".")[2] for d in node.decorator_list]
            if "operator" in decorators:
                return True
    return False
