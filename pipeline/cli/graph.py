"""`pipe graph`: draw a graph."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.errors import GraphError


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = "Draw a graph: Mermaid text, or a picture with -o F.svg."
    parser.add_argument("graph", help="path of a graph file, or the name of a shipped graph")
    parser.add_argument("-o", "--output", type=Path, metavar="F.svg|F.mmd", help="write there instead of printing Mermaid text")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.config.KEY=VALUE", dest="sets", help="override one value"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.graph import draw
    from pipeline.graph.load import load

    drawers = {".svg": draw.svg, ".mmd": draw.mermaid}
    if args.output is not None and args.output.suffix not in drawers:
        raise GraphError(f"-o {args.output}: needs a name ending in .svg or .mmd")
    spec = load(args.graph, args.sets)
    if args.output is None:
        print(draw.mermaid(spec), end="")
        return 0
    try:
        args.output.write_text(drawers[args.output.suffix](spec), encoding="utf-8")
    except OSError as error:
        raise GraphError(f"-o {args.output}: cannot write: {error.strerror}") from None
    return 0
