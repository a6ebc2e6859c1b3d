"""LiDAR panoptic segmentation per scan: the net, the fuser, the way back to the points, the whole graph.

A part of `pipe bench panoptic`. Generated scans, the graph panoptic_lidar_world with its shipped weights; without them a net that
was never trained, whose time is that of 100 instances in every scan. The first scan does not count. Back to the points:
lidar.unproject with the vote of its 5 nearest neighbours in 5 x 5, and without. Graph: processes of their own, all sinks but
the picture; compute time of each node, and by how much a run is longer for each scan.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.common import run_graph
from drivers.synthetic.world import SyntheticWorld, WorldConfig
from operators.lidar.range_image import Projection, RangeImageConfig
from operators.lidar.range_picture import RangePictureConfig, as_picture
from operators.lidar.unproject import UnprojectConfig, of_points
from operators.nets import weights
from operators.nets.efficientps_config import EFFICIENTPS, MODELS, EfficientPSConfig
from operators.segment.efficientps import SegmentEfficientps, SegmentEfficientpsConfig
from operators.streams import RangeImage
from pipeline import training
from pipeline.graph.files import find_file
from pipeline.operator import prepare

GRAPH, SCANS, SEED = "panoptic_lidar_world", 12, 60_000


@contextmanager
def trained() -> Iterator[tuple[str, str]]:
    """Weights, and what they are."""
    if (MODELS / f"{GRAPH}.safetensors").is_file():
        yield GRAPH, "shipped weights"
        return
    import torch

    from operators.nets.efficientps import EfficientPS

    torch.manual_seed(0)
    config = untrained()
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        path = Path(folder) / "net.safetensors"
        weights.save(path, EFFICIENTPS, config, EfficientPS(config).eval().state_dict())
        yield str(path), "a net that was never trained"


def untrained() -> EfficientPSConfig:
    model: EfficientPSConfig = training.load(GRAPH).config.model
    return model


def rows(threads: int, scans: int = SCANS) -> dict[str, Any]:
    """Part -> median ms per scan; `weights` says of which net."""
    with trained() as (name, what):
        found = {"weights": what, **_parts(name, threads, scans)}
        return found | _graph(name, scans)


def _parts(name: str, threads: int, scans: int) -> dict[str, float]:
    node = prepare(SegmentEfficientps(), "segment", SegmentEfficientpsConfig(name, semantic="quarter"), threads=threads)
    node.open()
    width, height = node.net_config.image_size
    project, world = Projection(RangeImageConfig(height, width)), WorldConfig(SEED, 1, frames=scans + 1, shapes="test")
    source = prepare(SyntheticWorld(), "world", world, wanted=("points", "point_rings"))
    source.open(0)
    ms: dict[str, list[float]] = {}
    while (reading := source.read()) is not None:
        points, rings = (np.array(reading.values[port]) for port in ("points", "point_rings"))
        made = RangeImage(np.empty((5, height, width), np.float32), np.empty((len(points), 2), np.int32))
        project(points, rings, *made)
        for part, took in _scan(node, points, made).items():
            ms.setdefault(part, []).append(took)
    source.close()
    return {part: statistics.median(values[1:]) for part, values in ms.items()}


def _scan(node: SegmentEfficientps, points: np.ndarray, made: RangeImage) -> dict[str, float]:
    """Part -> ms."""
    image, (height, width) = as_picture(made.range_image, RangePictureConfig()), made.range_image.shape[1:]
    classes = node.process(image)["semantic"].argmax(0).repeat(4, 0).repeat(4, 1)
    labels = np.ascontiguousarray(classes[:height, :width], np.int32)
    turns: dict[str, Callable[[], Any]] = {
        "segment.efficientps": lambda: node.process(image),
        "to the points, 5 of 5 x 5": lambda: of_points(points, made, labels, UnprojectConfig()),
        "to the points, no vote": lambda: of_points(points, made, labels, UnprojectConfig(neighbours=0)),
    }
    took = {}
    for part, turn in turns.items():
        begun = time.perf_counter()
        turn()
        took[part] = 1e3 * (time.perf_counter() - begun)
    return took


def _graph(name: str, scans: int) -> dict[str, float]:
    short, long = (_run(name, num) for num in (2, 2 + scans))
    computed = {f"graph, {node}": of["compute_ms"]["p50"] for node, of in long["nodes"].items() if of["compute_ms"]["p50"]}
    return computed | {"graph, per scan": 1e3 * (long["wall_s"] - short["wall_s"]) / scans}


def _run(name: str, scans: int) -> dict[str, Any]:
    """The report of a run."""
    graph = yaml.safe_load(find_file(GRAPH).read_text())
    del graph["nodes"]["render"]
    graph["nodes"]["world"]["config"] |= {"seed": SEED, "drives": 1, "frames": scans}
    graph["nodes"]["segment"]["config"]["weights"] = name
    report = run_graph(yaml.safe_dump(graph))
    if report["sinks"]["score"]["frames"] != scans or any(edge["dropped"] for edge in report["edges"].values()):
        raise RuntimeError(f"bench panoptic: needs {scans} scans at the end of {GRAPH}, got {report['sinks']}")
    return report


def lines(found: dict[str, Any]) -> Sequence[str]:
    return [f"LiDAR, {found['weights']}", *(f"{part:>27} {ms:9.2f} ms" for part, ms in found.items() if part != "weights")]
