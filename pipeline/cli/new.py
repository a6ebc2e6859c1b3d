"""`pipe new operator | driver | project NAME`: writes working files and their tests as a start."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
from pathlib import Path
from string import Template

from pipeline.errors import GraphError


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "operator, driver: write NAME.py and its test; in a project to operators/ or drivers/ and tests/, else here. "
        "project: write the folder NAME with a graph, an operator, a driver and their tests."
    )
    parser.add_argument("what", choices=["operator", "driver", "project"], help="what to start")
    parser.add_argument("name", help="its name, as in Python: crop, find_lanes, ...")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    what, name = args.what, args.name
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise GraphError(f"new {what} {name}: needs a Python name such as find_lanes, got {name!r}")
    return _project(name) if what == "project" else _node(what, name)


def _node(what: str, name: str) -> int:
    from pipeline.cli import templates
    from pipeline.graph import project

    root = project.around(Path.cwd())
    package = f"{what}s"
    key = "op" if what == "operator" else "driver"
    cls = "".join(part.capitalize() for part in name.split("_"))
    node, test = (templates.OPERATOR, templates.OPERATOR_TEST) if key == "op" else (templates.DRIVER, templates.DRIVER_TEST)
    if root is None:
        places, module, ref = [Path(f"{name}.py"), Path(f"test_{name}.py")], name, f"{name}:{name if key == 'op' else cls}"
    else:
        places, module, ref = [root / package / f"{name}.py", root / "tests" / f"test_{name}.py"], f"{package}.{name}", name
    texts = [Template(text).substitute(name=name, Class=cls, module=module) for text in (node, test)]
    files = dict(zip(places, texts, strict=True))
    _refuse_existing(f"new {what} {name}", list(files))
    _refuse_shipped(what, name, alone=root is None)
    _write(f"new {what} {name}", files)
    inputs = ", inputs: {points: NODE.points}" if key == "op" else ""
    print(f"wrote {' and '.join(map(str, files))}")
    print(f"test it:  python -m pytest {places[1]}")
    print(f"use it:   {name}: {{{key}: {ref}{inputs}}}")
    return 0


def _project(name: str) -> int:
    from pipeline.cli import templates
    from pipeline.graph.files import SHIPPED

    root = Path(name)
    _refuse_existing(f"new project {name}", [root])
    if (SHIPPED / f"{name}.yaml").is_file():
        raise GraphError(f"new project {name}: {name} is a shipped graph; choose another name")
    if (SHIPPED.parent / name).is_dir():
        raise GraphError(f"new project {name}: {name} is a package that Pipe uses; choose another name")
    texts = {
        f"graphs/{name}.yaml": (templates.GRAPH, {"name": name}),
        "operators/near.py": (templates.OPERATOR, {"name": "near"}),
        "drivers/ring.py": (templates.DRIVER, {"Class": "Ring"}),
        "tests/test_near.py": (templates.OPERATOR_TEST, {"name": "near", "module": "operators.near"}),
        "tests/test_ring.py": (templates.DRIVER_TEST, {"name": "ring", "Class": "Ring", "module": "drivers.ring"}),
        "tests/test_graph.py": (templates.GRAPH_TEST, {"name": name}),
        "conftest.py": (templates.CONFTEST, {}),
        ".gitignore": (templates.IGNORE, {}),
    }
    _write(f"new project {name}", {root / path: Template(text).substitute(names) for path, (text, names) in texts.items()})
    print(f"wrote {name}/ with {', '.join(texts)}")
    print(f"test it:  cd {name} && python -m pytest")
    print(f"run it:   pipe run {name}/graphs/{name}.yaml")
    return 0


def _refuse_existing(who: str, paths: list[Path]) -> None:
    for path in paths:
        if path.exists():
            raise GraphError(f"{who}: {path} exists; it is left as it is, choose another name")


def _refuse_shipped(what: str, name: str, *, alone: bool) -> None:
    """alone: the file is not part of a project, so its module has the bare name."""
    from pipeline.graph import lookup, project

    for kind in ("op", "driver"):
        if name in (shipped := lookup.shipped_nodes(kind)):
            raise GraphError(f"new {what} {name}: has the name of the shipped {shipped[name]}; choose another name")
    for path in (project.SHIPPED / f"{what}s" / name, project.SHIPPED / f"{what}s" / f"{name}.py"):
        if path.exists():
            raise GraphError(f"new {what} {name}: has the name of the shipped {path}; choose another name")
    if alone and importlib.util.find_spec(name) is not None:
        raise GraphError(f"new {what} {name}: {name} is a module of Python or of an installed package; choose another name")


def _write(who: str, files: dict[Path, str]) -> None:
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise GraphError(f"{who}: cannot write {path}: {error.strerror}") from None
