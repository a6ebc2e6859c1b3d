"""`pipe bench`: measure, beside a rival or baseline in the same run."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

from pipeline.errors import GraphError, RunError
from pipeline.settings import suggest

BENCHES = (
    "startup", "hop", "overhead", "flow", "record", "eval", "track", "detect", "runtimes", "world", "voxelize", "students",
    "subscenes", "devices", "align", "gate", "quality", "panoptic", "udp", "rectify", "velodyne", "odometry", "live",
    "telemetry", "rivals", "scale", "batch", "taps",
)  # fmt: skip
WITH_SETS = ("detect",)  # benches that run a graph that --set may change
WITH_WEIGHTS = ("students", "subscenes", "gate")  # benches of nets that their user has trained


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure on this machine; every bench prints its command, machine, commit and data, and its rival beside it."
    )
    parser.add_argument(
        "name",
        choices=[*BENCHES, "all"],
        help="startup: from a command to its first output; "
        "hop: latency and CPU of one hop beside bare pyzmq, and iceoryx2, zenoh, ezmsg, dora where installed; "
        "overhead: CPU per frame and operator; "
        "flow: after a stall, under overload, beside a reader that keeps views; "
        "record: recording beside the disk's own rate; eval: scoring beside TrackEval; "
        "track: the tracker beside a naive twin; "
        "detect: average precision of the shipped weights in generated scenes they never saw; "
        "runtimes: the full PointPillars, points to boxes, beside its dense part alone in torch, OpenVINO, onnxruntime; "
        "world: rays of the generated world beside Open3D's, a whole step of it; "
        "voxelize: scans to pillars beside spconv; "
        "students: TANet's students beside their teacher; subscenes: nets for the near part of the scene; "
        "devices: Tables 21-24 and 28 of the report: frames/s of detectors, tracker, FairMOT, with board and power mode; "
        "align: fuse.align beside cv2.warpPerspective, fuse.health; "
        "gate: fuse.gate on damaged pictures, against the better of its two modalities; "
        "quality: frames on time with half of the cores for 60 of 180 s, beside a run without quality; "
        "panoptic: fuse.panoptic beside one read of its logits, PQ of a frame; "
        "udp: datagrams of a LiDAR over loopback, at its rate and twice that; "
        "rectify: camera.rectify and fuse.paint beside OpenCV's functions; "
        "velodyne: packets of a VLP-16 over loopback to points, beside velodyne-decoder; "
        "odometry: lidar.odometry beside KISS-ICP, error and scans/s on one core; "
        "live: live_full on loopback sensors for 10 minutes, then with each of them cut and back; "
        "telemetry: frames/s of a small graph with and without events on disk, pipe top, metrics; "
        "rivals: start, stop, kill -9, CPU and memory, a slow reader of two sensors, beside the rivals of hop and MediaPipe; "
        "scale: cost against nodes, edges, fan-out, frame size, rate; "
        "batch: items/s of pipe batch with 1 to 8 workers, beside xargs; "
        "taps: latency of a live graph without a viewer, beside one that reads, beside one that is stopped",
    )
    parser.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="N.config.K=V", help="change the graph of detect; see its file"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="of students, subscenes and gate: the nets of python -m bench.train_students, bench.train_gate",
    )
    parser.add_argument("--json", type=Path, metavar="F", help="also write the figures there")
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="K=V",
        help="fail (exit 1) when figure K is above V, e.g. hop.8 B.back-to-back.ratio=2; names the stage where it is known",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    budgets = [_budget(text) for text in args.budget]
    if args.sets and args.name not in WITH_SETS:
        raise GraphError(f"--set: needs a bench that runs a graph of operators ({', '.join(WITH_SETS)}), got {args.name}")
    if args.weights is not None and args.name not in WITH_WEIGHTS:
        raise GraphError(f"--weights: needs one of the benches {', '.join(WITH_WEIGHTS)}, got {args.name}")
    results: dict[str, Any] = {}
    for name in BENCHES if args.name == "all" else (args.name,):
        settings: dict[str, Any] = {"sets": args.sets} if name in WITH_SETS else {}
        if args.weights is not None:
            settings["weights"] = args.weights
        results[name] = importlib.import_module(f"bench.{name}").main(**settings)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    figures = {f"{name}.{key}": value for name, result in results.items() for key, value in result["figures"].items()}
    stages = {f"{name}.{key}": text for name, result in results.items() for key, text in result.get("stages", {}).items()}
    for key, _ in budgets:
        if key not in figures:
            raise GraphError(f"--budget {key}: needs a figure of the bench{suggest(key, figures)}")
    over = [
        f"{key}: needs at most {limit:g}, got {figures[key]:.4g}" + (f"; {stages[key]}" if key in stages else "")
        for key, limit in budgets
        if figures[key] > limit
    ]
    if over:
        raise RunError("\n".join(over))
    return 0


def _budget(text: str) -> tuple[str, float]:
    key, equals, value = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return key, float(value)
    except ValueError:
        raise GraphError(f"--budget {text}: needs K=V with a number V") from None
