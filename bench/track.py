"""`pipe bench track`: frames per second of the tracker on one core, with detections already in arrays.

Rows: every preset on each recording, all classes at once, called as in a graph (`Tracker.process`): frames/s over all frames in
wall-clock time, which other load on this machine slows down; then in the thread's CPU time: frames/s, median and 99th percentile
of a frame. Table 24 (the report's layout: AB3DMOT, frames/s by device and mode) and the thousand objects use CPU time. Beside
them are the figures that AB3DMOT's authors publish for their code on their machine.
Also: 1,000 objects on 200 x 200 m; the same frames end to end through a graph of processes.
Data: sequences of ../shared/data (or PIPE_DATA) if present, else generated traffic.
"""

from __future__ import annotations

import gc
import time
from typing import Any, NamedTuple

import numpy as np

from bench.common import data_folder, header, quantile, run_graph
from bench.rivals import published
from drivers.detections import Detections
from drivers.synthetic.traffic import SyntheticTraffic
from operators.streams import Boxes3D
from operators.track.tracker import Tracker
from pipeline.frame import Header
from pipeline.operator import Source, prepare
from pipeline.testing import run_source, statics_of

PRESETS = ("best", "ab3dmot")
RECORDINGS = {"kitti_tracking_0000": ("0000",), "kitti_tracking": ("0004", "0011")}
ROUNDS = 3
PERIOD_NS = 100_000_000


def main(rounds: int = ROUNDS) -> dict[str, Any]:
    recordings = _real() or [generated()]
    about = header("pipe bench track", ", ".join(f"{r.name} ({len(r.frames)} frames)" for r in recordings))
    out: dict[str, Any] = {"about": about, "rows": [], "figures": {}}
    print(f"\n{'recording':>12} {'preset':>20} | frames/s by the clock | by CPU time | median ms | p99 ms")
    for recording in recordings:
        for preset, poses in ((p, known) for p in PRESETS for known in (True, False)):
            took = min((play(preset, recording, poses) for _ in range(rounds)), key=lambda took: sum(took.cpu))
            _row(out, recording.name, preset if poses else f"{preset}, no poses", took)
    _table_24(out, recordings)
    for poses in (True, False):
        ms = _thousand(poses)
        out["figures"][f"1000 objects{'' if poses else ', no poses'}.ms"] = ms
        print(f"1,000 objects on 200 x 200 m, best{'' if poses else ', no poses'}: {ms:.1f} ms per frame")
    out["figures"]["end to end.fps"] = fps = _end_to_end(recordings[-1])
    print(f"end to end, files -> tracker -> files in three processes: {fps:.0f} frames/s")
    return out


class Recording(NamedTuple):
    """kind: of the scores; frames, statics: port -> value."""

    name: str
    kind: str
    frames: list[Any]
    statics: dict[str, Any]


class Took(NamedTuple):
    """Seconds of each frame."""

    clock: list[float]
    cpu: list[float]

    def add(self, since: tuple[float, float]) -> None:
        cpu, clock = time.thread_time(), time.perf_counter()
        self.clock.append(clock - since[0])
        self.cpu.append(cpu - since[1])


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.thread_time()


def _row(out: dict[str, Any], name: str, what: str, took: Took) -> None:
    row = {
        "recording": name,
        "preset": what,
        "clock_fps": len(took.clock) / sum(took.clock),
        "fps": len(took.cpu) / sum(took.cpu),
        "median_ms": quantile(took.cpu, 0.5) * 1e3,
        "p99_ms": quantile(took.cpu, 0.99) * 1e3,
    }
    out["rows"].append(row)
    out["figures"] |= {f"{name}.{what}.{key}": row[key] for key in ("clock_fps", "fps", "p99_ms")}
    print(
        f"{name:>12} {what:>20} | {row['clock_fps']:21.0f} | {row['fps']:11.0f} | {row['median_ms']:9.3f} | {row['p99_ms']:.3f}",
        flush=True,
    )


def _table_24(out: dict[str, Any], recordings: list[Recording]) -> None:
    """All recordings together: frames / time."""
    here = {}
    for preset in PRESETS:
        speeds = {r.name: out["figures"][f"{r.name}.{preset}.fps"] for r in recordings}
        here[preset] = sum(len(r.frames) for r in recordings) / sum(len(r.frames) / speeds[r.name] for r in recordings)
    table = published.TABLE_24 | {"this machine": {f"one core, {preset}": fps for preset, fps in here.items()}}
    print("\n".join(published.lines(table)))
    out["table_24"] = table
    out["figures"] |= {f"all.{preset}.fps": fps for preset, fps in here.items()}


def _real() -> list[Recording]:
    roots = ((data_folder() / folder, name) for folder, names in RECORDINGS.items() for name in names)
    return [
        _recording(name, "logit", Detections, {"root": str(root), "sequences": name})
        for root, name in roots
        if (root / "detections").is_dir()
    ]


def generated(frames: int = 400) -> Recording:
    config = {"frames": frames, "cars": 14, "pedestrians": 8, "cyclists": 4}
    return _recording("generated", "probability", SyntheticTraffic, config)


def _recording(name: str, kind: str, driver: type[Source], config: dict[str, Any]) -> Recording:
    """The values that a driver sends to a tracker, and its static values."""
    readings = run_source(driver, config, wanted=[port for port in ("boxes3d", "boxes2d", "pose") if port in driver.outputs])
    return Recording(name, kind, [reading.values for reading in readings], statics_of(driver, config))


def _tracker(preset: Any, kind: Any) -> Tracker:
    op = prepare(Tracker(), "tracker", Tracker.Config(preset=preset, score_kind=kind))
    op.open()
    return op


def play(preset: str, recording: Recording, is_known: bool) -> Took:
    op, took = _tracker(preset, recording.kind), Took([], [])
    gc.collect()
    for k, values in enumerate(recording.frames):
        op.header = Header("dets", k, f"0000/{k:06d}", k * PERIOD_NS)
        inputs = {**values, **recording.statics, "pose": values.get("pose") if is_known else None}
        start = _now()
        op.process(**inputs)
        took.add(start)
    return took


def _thousand(is_known: bool, frames: int = 20) -> float:
    """Median ms per frame of 1,000 cars on 200 x 200 m, 1 in 20 missed."""
    random, op, took = np.random.default_rng(0), _tracker("best", "probability"), Took([], [])
    places, speeds = random.uniform(-100, 100, (1000, 2)), random.normal(0, 0.3, (1000, 2))
    for k in range(frames):
        boxes3d = np.empty((1000, 7), np.float32)
        boxes3d[:, :2] = places + k * speeds + random.normal(0, 0.1, (1000, 2))
        boxes3d[:, 2:] = -1.0, 4.0, 1.7, 1.5, 0.0
        boxes3d = boxes3d[random.random(1000) < 0.95]
        op.header = Header("dets", k, f"0000/{k:06d}", k * PERIOD_NS)
        seen = Boxes3D(boxes3d, np.full(len(boxes3d), 0.95, np.float32), np.zeros(len(boxes3d), np.int32))
        start = _now()
        op.process(boxes3d=seen, pose=np.eye(4) if is_known else None)
        took.add(start)
    return quantile(took.cpu[2:], 0.5) * 1e3


def _end_to_end(recording: Recording) -> float:
    """Frames/s of a graph, start-up removed by subtracting a short run. Real data: all sequences of the folder."""
    source = f"driver: synthetic.traffic, config: {{frames: {len(recording.frames)}, cars: 14}}"
    if recording.kind == "logit":
        source = f'driver: detections, config: {{root: "{data_folder() / "kitti_tracking"}"}}'
    text = f"""version: 1
nodes:
  dets: {{{source}}}
  tracker: {{op: track.tracker, inputs: {{boxes3d: dets.boxes3d, pose: dets.pose, calibration: dets.calibration}}}}
  results: {{op: write.kitti_tracking, inputs: {{tracks: tracker.tracks, calibration: dets.calibration}}}}
"""
    short = min(100, len(recording.frames) // 4)
    first, second = run_graph(text, frames=short), run_graph(text)
    return (second["frames"] - first["frames"]) / (second["wall_s"] - first["wall_s"])
