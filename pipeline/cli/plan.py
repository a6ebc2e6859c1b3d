"""`pipe plan`: what a graph would reach on a board that is not here. Predicted, never measured there."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import GraphError, InputError, RunError
from pipeline.machine.devices import BOARDS, REFERENCE_MIPS, checked
from pipeline.machine.predict import CPU, NET, SOURCE, Measured, Prediction, predict

if TYPE_CHECKING:
    from pipeline.graph.spec import GraphSpec, NodeSpec

FRAMES, SECONDS = 30, 20.0


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Predict frames/s and memory of a graph on a board: nets by their multiply-adds, other nodes by their time on this "
        "machine and the ratio of CPU cores. Runs the graph here for 30 frames, or reads the report of a run."
    )
    parser.epilog = "Ratios, their sources and their error on published rows: pipeline/machine/devices.py, docs/jetson.md."
    parser.add_argument("graph", help="path of a graph file, or the name of a shipped graph")
    parser.add_argument("--device", required=True, choices=sorted(BOARDS), metavar="|".join(sorted(BOARDS)))
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.config.KEY=VALUE", dest="sets", help="override one value of the file"
    )
    parser.add_argument("--report", type=Path, metavar="F.json", help="of a run of this graph here; nothing is run then")
    parser.add_argument(
        "--mips",
        type=float,
        default=float(REFERENCE_MIPS),
        metavar="N",
        help=f"7-zip's single-thread rating of this machine (7z b -mmt1); default {REFERENCE_MIPS}, an AMD Zen core at 2.6 GHz",
    )
    parser.add_argument("--json", type=Path, metavar="F", help="also write the prediction there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.graph.check import check
    from pipeline.graph.load import load

    if not args.mips > 0:
        raise GraphError(f"--mips: needs more than 0, got {args.mips:g}")
    spec = load(args.graph, args.sets)
    checked_graph = check(spec)
    report = read(args.report, spec) if args.report else _run_here(args.graph, args.sets)
    board = BOARDS[args.device]
    found = predict(measured(spec, report), board, checked_graph.pool_bytes / 1e6, args.mips)
    print("\n".join(lines(spec.name, args.device, found)))
    if args.json is not None:
        made = {"graph": spec.name, "device": args.device, "predicted": True, **asdict(found), "checked": checked(args.device)}
        args.json.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return 0


def _run_here(graph: str, sets: list[str]) -> dict[str, Any]:
    from pipeline import api

    with tempfile.TemporaryDirectory(prefix="pipe-plan-") as folder:
        outcome = api.run(graph, sets, out=Path(folder) / "out", frames=FRAMES, duration_s=SECONDS, quiet=True)
    if outcome.exit != "completed":
        raise RunError(f"{graph}: needs to run here first, but {outcome.exit}: {'; '.join(outcome.errors)}")
    return outcome.report


def read(path: Path, spec: GraphSpec) -> dict[str, Any]:
    """A report of this graph. Raises InputError."""
    from pipeline.outside import parse_json

    try:
        report = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: needs the report of a run (report.json), got: {error}") from None
    nodes = report.get("nodes") if isinstance(report, dict) else None
    if not isinstance(nodes, dict) or not isinstance(report.get("frames"), int):
        raise InputError(f"{path}: needs the report of a run (report.json), got another file")
    lacking = sorted(set(spec.nodes) - set(nodes))
    if lacking:
        raise InputError(f"{path}: needs the report of a run of {spec.name}, got one without {', '.join(lacking)}")
    return report


def measured(spec: GraphSpec, report: dict[str, Any]) -> list[Measured]:
    """Raises InputError where a report has no times."""
    frames = report["frames"]
    if frames < 1:
        raise InputError(f"{spec.name}: needs a run of 1 frame or more, got one of {frames}")
    rows = []
    for name, node in spec.nodes.items():
        found = report["nodes"][name]
        try:
            ms, rss_mb = float(found["compute_ms"]["p50"] or 0.0), float(found["rss_mb"])
            calls = float(found["in"]) / max(1, len(node.streams)) / frames
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{spec.name}: needs compute_ms, rss_mb and in of {name} in the report") from None
        adds = node.cls.multiply_adds(node.config)
        gmac = None if adds is None else adds / 1e9
        rows.append(Measured(name, node.place, kind(node), ms, 1.0 if node.is_source else calls, rss_mb, node.threads, gmac))
    return rows


def kind(node: NodeSpec) -> str:
    """A node whose config says on which device or in which runtime it computes is a net."""
    if node.is_source:
        return SOURCE
    return NET if any(hasattr(node.config, key) for key in ("device", "runtime")) else CPU


def lines(graph: str, device: str, found: Prediction) -> list[str]:
    board = BOARDS[device]
    out = [
        f"{graph} on {board.about}: PREDICTED from times on this machine; nothing ran on such a board",
        f"  {'node':<16} {'kind':<6} {'here ms':>9} {'predicted ms':>12} {'memory MB':>10}   for each frame of the first source",
    ]
    for node in found.nodes:
        there = "sensor" if node.kind == SOURCE else f"{'* ' if node.by_time else ''}{node.ms:.2f}"
        out.append(f"  {node.name:<16} {node.kind:<6} {node.here_ms:9.2f} {there:>12} {node.memory_mb:10.0f}")
    most = found.limits[0][1]
    out.append(f"frames/s: {found.fps:.1f} predicted, limited by {found.limit} ({most:.1f} ms)")
    fits = "" if found.memory_mb <= board.ram_mb else ", TOO MUCH"
    out.append(f"memory: {found.memory_mb:.0f} MB predicted of {board.ram_mb} MB{fits}")
    return [*out, *(f"error of the prediction: {line}" for line in checked(device))]
