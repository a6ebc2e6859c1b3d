"""`pipe check`: all checks of a graph that need no run."""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = "Check a graph without starting it: names, keys, types, coordinate frames, sync, files, memory."
    parser.epilog = "Exit codes: 0 it may start (warnings go to stderr), 2 it may not."
    parser.add_argument("graph", help="path of a graph file, or the name of a shipped graph")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.config.KEY=VALUE", dest="sets", help="override one value"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.graph.check import check
    from pipeline.graph.load import load
    from pipeline.watch import say

    spec = load(args.graph, args.sets)
    checked = check(spec)
    for warning in checked.warnings:
        say.warning(warning)
    places, edges = len(spec.places()), len(spec.edges())
    mode = "live" if spec.live else "offline"
    print(
        f"{spec.path}: ok: {len(spec.nodes)} nodes in {places} process{'es' if places != 1 else ''}, "
        f"{edges} edge{'s' if edges != 1 else ''}, {mode}, {checked.pool_bytes / 1e6:.1f} MB of frames"
    )
    for name, found in checked.found.items():
        rate_hz = spec.rate(name)
        frames = "endless" if found.frames is None else f"{found.frames} frame{'s' if found.frames != 1 else ''}"
        print(f"  {name}: {frames}{f' at {rate_hz:.4g} Hz' if rate_hz else ''}")
    leveled = {name: node.levels for name, node in spec.nodes.items() if node.levels}
    if spec.quality and spec.live and leveled:
        levels = "; ".join(f"{name}: {', '.join(level.name for level in levels)}" for name, levels in leveled.items())
        print(f"  quality: at most {spec.quality['target_latency_ms']:g} ms from capture to every sink, by {levels}")
    return 0
