"""From the names in a graph file to classes: `lidar.voxelize` -> operators/lidar/voxelize.py. Nothing registers itself.

A name is a file of the shipped packages, of the user's project (project.py), or an entry point. A module is imported when a graph
names it; `catalog.py` lists the names without importing.
"""

from __future__ import annotations

import importlib
import importlib.util
import keyword
import os
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipeline.errors import GraphError
from pipeline.graph import project
from pipeline.settings import suggest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from pipeline.operator import Operator, Source

# kind of node -> package, entry-point group
_KINDS: dict[str, tuple[str, str]] = {"op": ("operators", "pipe.operators"), "driver": ("drivers", "pipe.drivers")}
_TEST_NODES = "pipeline.nodes"
_TEST_NODES_FOLDER = Path(__file__).resolve().parents[1] / "nodes"
_EVALUATORS = "operators.score"
_CALIBRATORS = "operators.calibrate"
_SENDER = "drivers.sender.send"
_CALIBRATION_IMPORTER = "drivers.calibration.convert"
_WEIGHTS_IMPORTER = "operators.nets.foreign.convert"


def operator_class(name: str) -> type[Operator]:
    """`lidar.voxelize`, `test.null`, the name of an entry point, or `mypkg.module:Class`. Raises GraphError."""
    return _find("op", name)


def driver_class(name: str) -> type[Source]:
    """`kitti.tracking`, `test.counter`, the name of an entry point, or `mypkg.module:Class`. Raises GraphError."""
    return _find("driver", name)


def node_class(name: str) -> type[Any]:
    """The operator or driver of this name."""
    if ":" in name:
        cls = class_by_ref(name)
        if not issubclass(cls, tuple(_bases().values())):
            raise GraphError(f"{name}: needs an operator or a source (see pipeline/operator.py), got {cls.__name__}")
        return cls
    if name in _available("op"):
        return operator_class(name)
    if name in _available("driver"):
        return driver_class(name)
    raise GraphError(f"no operator or driver {name}{suggest(name, _available('op') + _available('driver'))}")


def shipped_class(module: str, base: type, name: str) -> type[Any] | None:
    """The one subclass of `base` in a shipped module; None if there is no such module. `name`: its name in errors."""
    if not project.module_file(project.SHIPPED, module):
        return None
    return _defined_in(_import(module, name), base, name)


def available_operators() -> list[str]:
    return _available("op")


def available_drivers() -> list[str]:
    return _available("driver")


def evaluator(name: str) -> ModuleType:
    """`kitti-tracking` -> operators/score/kitti_tracking.py. Raises GraphError.

    An evaluator is a module with `evaluate(gt, results, ...)`, which takes paths and returns plain numbers by name ("notes":
    warnings), and `lines(numbers)`, the lines to print.
    """
    if name not in available_evaluators():
        raise GraphError(f"unknown evaluator {name}{suggest(name, available_evaluators())}")
    return _import(f"{_EVALUATORS}.{name.replace('-', '_')}", name)


@cache
def available_evaluators() -> list[str]:
    """Names of all evaluators, found without importing them."""
    folder = project.SHIPPED.joinpath(*_EVALUATORS.split("."))
    return sorted(path.stem.replace("_", "-") for path in folder.glob("*.py") if b"\ndef evaluate(" in path.read_bytes())


def weights_importer() -> ModuleType:
    """The module with `MODELS` and `import_file(path, model, out, sets)`, for `pipe weights import`."""
    return _import(_WEIGHTS_IMPORTER, "weights import")


def calibration_importer() -> ModuleType:
    """The module with `import_file(path, form, out)`, which returns lines for the user, for `pipe calibrate import`."""
    return _import(_CALIBRATION_IMPORTER, "calibrate import")


def calibrator(kind: str) -> ModuleType:
    """The module with `CalibrateConfig` and `calibrate(config)`, which returns lines for the user, for `pipe calibrate KIND`."""
    return _import(f"{_CALIBRATORS}.{kind}", f"calibrate {kind}")


def sender() -> ModuleType:
    """The module with `SendConfig`, `Tally` and `send(config, tally)`, for `pipe send`."""
    return _import(_SENDER, "send")


def class_ref(cls: type) -> str:
    """`module:Class`: the name of a class in the plan of a worker process."""
    return f"{cls.__module__}:{cls.__qualname__}"


def class_file(cls: type) -> str | None:
    """The file in which the class is written."""
    return getattr(sys.modules.get(cls.__module__), "__file__", None)


def class_by_ref(ref: str, file: str | None = None) -> type[Any]:
    """The inverse of `class_ref`; the module may also lie in the project, or else in the working folder.

    Raises GraphError if it cannot be imported, is no class, or lies in another file than `file`.
    """
    module_name, _, class_name = ref.partition(":")
    _reach(module_name)
    target: Any = _import(module_name, ref)
    for part in class_name.split("."):
        target = getattr(target, part, None)
    if not isinstance(target, type):
        raise GraphError(f"{ref}: module {module_name} has no class {class_name}{_hidden(module_name)}")
    got = getattr(sys.modules[module_name], "__file__", None)
    if file is not None and got != file:
        raise GraphError(f"{ref}: needs the module that was checked, {file}, got {got}")
    return target


def _reach(module_name: str) -> None:
    """Put the user's folder on `sys.path` if only that folder has the module."""
    root = project.current()
    own = root is not None and _is_in(root, module_name)
    if own and (module_name.partition(".")[0] in project.PACKAGES or _home(module_name) in (None, str(root))):
        project.enter()
    elif _home(module_name) is None and _is_in(Path.cwd(), module_name):
        project.append(Path.cwd())


def _is_in(folder: Path, module_name: str) -> bool:
    return project.module_file(folder, module_name) is not None


def _home(module_name: str) -> str | None:
    """The folder on `sys.path` that a module would be imported from; "" for a module without a file, None if there is none."""
    if module_name.partition(".")[0] in project.PACKAGES:
        project.shipped_package(module_name.partition(".")[0])
    if not _exists(module_name):
        return None
    spec = importlib.util.find_spec(module_name)
    origin = spec.origin if spec is not None and spec.has_location else None
    if origin is None:
        return ""
    path = Path(os.path.abspath(origin))
    return str(path.parents[module_name.count(".") + (path.name == "__init__.py")])


def _hidden(module_name: str) -> str:
    """A hint if a module of the user has the name of another one, which comes first on `sys.path`."""
    got = getattr(sys.modules.get(module_name), "__file__", None) or f"the built-in {module_name}"
    for folder in (project.current(), Path.cwd()):
        file = folder and project.module_file(folder, module_name)
        if file is not None and str(file) != got:
            return f"; {file} has the name of {got}; rename it"
    return ""


def _find(kind: str, name: str) -> Any:
    base, package = _bases()[kind], _KINDS[kind][0]
    if ":" in name:
        return _checked(class_by_ref(name), base, kind, name)
    if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", name):
        raise GraphError(f"needs a name such as lidar.voxelize or mypkg.module:Class, got {name!r}")
    shipped, own = _shipped(kind, name), _own(kind, name)
    if own:
        _refuse_shipped_name(kind, name, own)
        project.enter()
    for module_name in [*shipped, *own]:
        cls = _defined_in(_import(module_name, name), base, name)
        if cls is not None:
            return cls
    if name in (installed := entries(kind)):
        return _checked(class_by_ref(installed[name]), base, kind, name)
    other = "driver" if kind == "op" else "op"
    if name in _available(other):
        raise GraphError(f"{name} is {'a driver' if other == 'driver' else 'an operator'}; write {other}: {name}")
    if name.partition(".")[0] in (package, "drivers", "operators"):
        raise GraphError(f"unknown {kind} {name}; names are without {name.partition('.')[0]}.: {name.partition('.')[2]}?")
    raise GraphError(f"unknown {kind} {name}{suggest(name, _available(kind))}")


def _modules(kind: str, name: str) -> list[str]:
    """Modules that may have the class called `name`: its file, or a package's file of the same name or `reader`."""
    module = f"{_KINDS[kind][0]}.{name}"
    return [module, f"{module}.{name.rpartition('.')[2]}", f"{module}.reader"]


def _shipped(kind: str, name: str) -> list[str]:
    """The shipped ones of `_modules`."""
    first, _, rest = name.partition(".")
    if first == "test":
        module = f"{_TEST_NODES}.{rest}{'_' if keyword.iskeyword(rest) else ''}"
        return [module] if rest and project.module_file(_TEST_NODES_FOLDER, module.removeprefix(f"{_TEST_NODES}.")) else []
    return [module for module in _modules(kind, name) if project.module_file(project.SHIPPED, module)]


def _own(kind: str, name: str) -> list[str]:
    """The ones of `_modules` in the project."""
    root = project.current()
    return [module for module in _modules(kind, name) if root is not None and project.module_file(root, module)]


def _refuse_shipped_name(kind: str, name: str, own: list[str]) -> None:
    from pipeline.graph import catalog

    root = project.current()
    shipped = shipped_nodes(kind).get(name)
    for module in own:
        path = root and project.module_file(root, module)
        if shipped is not None and path is not None and catalog.defines(path, kind):
            raise GraphError(f"{name}: {path} has the name of the shipped {shipped}; rename it")


def _exists(module_name: str) -> bool:
    try:
        return importlib.util.find_spec(module_name) is not None
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            return False
        raise


def _import(module_name: str, name: str) -> ModuleType:
    if module_name.partition(".")[0] in project.PACKAGES:
        project.shipped_package(module_name.partition(".")[0])
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
    except Exception as error:  # an import may raise anything
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        raise GraphError(f"{name}: cannot import {module_name}: {type(error).__name__}: {text}{line}") from error


def _defined_in(module: ModuleType, base: type, name: str) -> type[Any] | None:
    """The one class of this kind that `module` defines, not one that it imports."""
    classes = {id(value): value for value in vars(module).values() if isinstance(value, type) and issubclass(value, base)}
    found = [c for c in classes.values() if c.__module__ == module.__name__ and not c.__name__.startswith("_")]
    if len(found) > 1:
        names = ", ".join(cls.__name__ for cls in found)
        raise GraphError(f"{name}: {module.__name__} defines {names}; say which one: {module.__name__}:{found[0].__name__}")
    return found[0] if found else None


def _checked(cls: type, base: type, kind: str, name: str) -> type:
    if not issubclass(cls, base):
        what = "an operator" if kind == "op" else "a source"
        hint = ""
        if issubclass(cls, tuple(_bases().values())):
            hint = f"; write {'op' if kind == 'driver' else 'driver'}: {name}"
        raise GraphError(f"{name}: needs {what} (a subclass of pipeline.operator.{base.__name__}), got {cls.__name__}{hint}")
    return cls


def _bases() -> dict[str, type]:
    """Kind -> base class of its nodes."""
    from pipeline.operator import Operator, Source  # brings numpy, which a list of names does not need

    return {"op": Operator, "driver": Source}


def _entries(group: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points

    return tuple(entry_points(group=group))


def _available(kind: str) -> list[str]:
    """Names of all nodes of a kind, found without importing them."""
    return sorted({*shipped_nodes(kind), *own_nodes(kind), *entries(kind)})


def entries(kind: str) -> dict[str, str]:
    """Name -> `module:Class` of the nodes of a kind in installed packages."""
    return {entry.name: entry.value.replace(" ", "") for entry in _entries(_KINDS[kind][1])}


@cache
def shipped_nodes(kind: str) -> dict[str, Path]:
    """Name -> file of the shipped nodes of a kind, test nodes included."""
    from pipeline.graph import catalog

    test_nodes = catalog.nodes(_TEST_NODES_FOLDER, kind)
    shipped = catalog.nodes(project.SHIPPED / _KINDS[kind][0], kind)
    return shipped | {f"test.{name.rstrip('_')}": path for name, path in test_nodes.items()}


def own_nodes(kind: str) -> dict[str, Path]:
    """Name -> file of the nodes of a kind in the current project."""
    from pipeline.graph import catalog

    root = project.current()
    return {} if root is None else catalog.nodes(root / _KINDS[kind][0], kind)
