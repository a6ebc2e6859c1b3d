"""`pipe eval`: official scores of result files against truth files, without engine or graph."""

from __future__ import annotations

import argparse
import inspect
import json
import math
from pathlib import Path
from typing import Any

from pipeline.errors import GraphError, RunError


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Score result files against truth with the rules of the official evaluator. Without a name: which there are."
    )
    parser.epilog = (
        "What a file must look like stands at the top of operators/score/NAME.py. "
        "Exit codes: 0 scored, 2 a file or folder is missing or wrong (the message names file and line)."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="kitti-tracking, kitti-object, mot, coco, kaist, ...")
    parser.add_argument("--gt", type=Path, metavar="PATH", help="the truth")
    parser.add_argument("--results", type=Path, metavar="PATH", help="what is scored, e.g. out/t/results of a run")
    parser.add_argument("--sequences", metavar="A,B", help="score only these")
    parser.add_argument(
        "--align",
        choices=("none", "se3", "sim3"),
        help="of odometry: fit the results to the truth first (6, 7 degrees of freedom)",
    )
    parser.add_argument("--json", type=Path, metavar="F", help="write all numbers there, ratios as fractions")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.graph import lookup
    from pipeline.watch import say

    if args.name is None:
        names = lookup.available_evaluators()
        width = max(map(len, names), default=0)
        for name in names:
            about = inspect.cleandoc(lookup.evaluator(name).__doc__ or "").partition("\n")[0]
            print(f"{name:<{width}}  {about}")
        return 0
    module = lookup.evaluator(args.name)
    if args.gt is None or args.results is None:
        raise GraphError(f"eval {args.name}: needs --gt DIR and --results DIR")
    options: dict[str, Any] = {}
    if args.sequences is not None:
        options["sequences"] = [name for name in args.sequences.split(",") if name]
    if args.align is not None:
        options["align"] = args.align
    for key in options:
        if key not in inspect.signature(module.evaluate).parameters:
            raise GraphError(f"eval {args.name}: takes no --{key}")
    found = module.evaluate(args.gt, args.results, **options)
    for note in found.pop("notes", ()):
        say.warning(note)
    if args.json is not None:
        named = {"evaluator": args.name, "gt": str(args.gt), "results": str(args.results)}
        _write(args.json, named | found)
    print("\n".join(module.lines(found)))
    return 0


def _write(path: Path, found: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_finite(found), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"--json {path}: cannot write: {error.strerror}") from None


def _finite(value: Any) -> Any:
    """JSON has no infinity: null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
