"""`PYTHONPATH=tests python -m chaos.restart [ROOT] [--frames N]`: kill -9 parts of kitti_lidar; are the result files complete?

ROOT is a folder of the KITTI tracking layout (velodyne/, calib/, oxts/) with one sequence; without ROOT a drive is generated. The
graph is graphs/kitti_lidar.yaml with an additional sink, which writes the detections of every frame into one file each. There is
one undisturbed run; then one run each for the source, the detector, the tracker, each writer, and detector and writers together,
in which these processes get SIGKILL inside `process()` of a frame in the middle (the source: after it has sent the frame). The
files of each run are compared with those of the first, frame by frame:

- a frame not named in drops.jsonl as lost on the way to the sink has the same detections, byte for byte; a named one has no file;
- tracks: the same bytes up to the first frame lost before the tracker, or up to the death of the tracker; if only the writer was
  killed, in all frames except the lost ones. A tracker's successor has no state: differences from then on must be in tracks of
  the successor, whose ids carry the restart count (engine.md section 5).

The table shows the losses and the time of the restart: detect (from the kernel's notice until all is settled), spawn, import,
open, first frame. Detect, spawn and first frame are the engine's share: together at most one second.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.common import header
from chaos.losses import lost_on_the_way
from operators.track.tracker import IDS_PER_RESTART
from pipeline.graph.load import parse
from pipeline.options import Outcome, RunOptions
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import run
from pipeline.watch.display import Display

GRAPH = Path(__file__).resolve().parents[2] / "graphs" / "kitti_lidar.yaml"
BOXES = "  boxes: {op: write.kitti_object, inputs: {boxes3d: detect.boxes3d, calibration: scans.calibration}}\n"
DRIVE = """
version: 1
nodes:
  world:  {driver: synthetic.world, config: {seed: 7, frames: FRAMES, lidar: {view_deg: 180}}}
  layout:
    op: write.kitti_layout
    inputs: {points: world.points, pose: world.pose, truth: world.truth, calibration: world.calibration}
"""
KILLS: dict[str, tuple[str, ...]] = {
    "source": ("scans",),
    "detector": ("detect",),
    "tracker": ("tracker",),
    "writer of tracks": ("results",),
    "writer of boxes": ("boxes",),
    "detector, then writers": ("detect", "results", "boxes"),
}
LIMIT_MS = 1000.0


@dataclass(frozen=True)
class Names:
    """Names of the nodes in the graph."""

    source: str = "scans"
    tracker: str = "tracker"
    tracks: str = "results"
    boxes: str = "boxes"
    before_tracker: frozenset[str] = frozenset({"scans", "voxelize", "detect"})


@dataclass
class Ran:
    """A run: its folder, its report, and the frames lost on the way to a sink."""

    out: Path
    outcome: Outcome
    lost: dict[str, set[int]] = field(default_factory=dict)


def run_graph(text: str, sets: Sequence[str], out: Path, kills: Mapping[str, int], names: Names, step: str = "processing") -> Ran:
    """kills: node -> the frame, counted from 1, at whose `step` its process kills itself; a source after sending it.

    Raises RuntimeError if a node was not killed exactly once, another node was killed, or the run did not complete.
    """
    shutil.rmtree(out, ignore_errors=True)
    graph = parse(text, "restart.yaml", sets)
    faults = tuple(f"{node}:{'sent' if node == names.source else step}@{frame}" for node, frame in kills.items())
    session = Session(graph, RunOptions(out, quiet=True, inject=faults))
    outcome = run(session, Display(session, quiet=True))
    restarts = {n: row["restarts"] for n, row in outcome.report["nodes"].items() if row["restarts"]}
    if outcome.exit != "completed" or restarts != dict.fromkeys(kills, 1):
        raise RuntimeError(
            f"restart: needs a run to its end with one restart each of {', '.join(kills) or 'nobody'}, got {outcome.exit}, "
            f"restarts {restarts}, {outcome.errors}; a busy machine? see {out}"
        )
    edges = [(e.name, e.src_node, e.dst_node) for e in graph.edges()]
    return Ran(out, outcome, {sink: lost_on_the_way(out, edges, sink) for sink in (names.tracks, names.boxes)})


def wrong(plain: Ran, killed: Ran, kills: Mapping[str, int], frames: int, names: Names) -> list[str]:
    """Violations of the promises above; empty if there are none. kills: node -> the frame, from 1, at which it died."""
    out = []
    expected, got = (files_of(r.out / names.boxes) for r in (plain, killed))
    for frame in range(frames):
        if frame in killed.lost[names.boxes]:
            if frame in got:
                out.append(f"detections of frame {frame} are there, but named as lost")
        elif frame not in got:
            out.append(f"detections of frame {frame} are missing, and no line of drops.jsonl names it")
        elif got[frame] != expected[frame]:
            out.append(f"detections of frame {frame} differ from those of the run that nobody disturbed")
    tracks = [lines_of(r.out / names.tracks) for r in (plain, killed)]
    lost = killed.lost[names.tracks]
    fed_otherwise = bool(names.before_tracker & set(kills))
    first = min([*(lost if fed_otherwise else ()), kills.get(names.tracker, frames + 1) - 1])
    for frame in range(frames):
        before, after = (t.get(frame, []) for t in tracks)
        if frame in lost and after:
            out.append(f"tracks of frame {frame} are there, but named as lost")
        elif frame in lost or before == after:
            continue
        elif frame < first:
            out.append(f"tracks of frame {frame} differ")
        elif not fed_otherwise and 0 in restarts_in(after):
            out.append(f"tracks of frame {frame} differ, and not by the successor's")
    if names.tracker in kills:
        restarts = restarts_in(line for lines in tracks[1].values() for line in lines)
        if restarts != {0, 1}:
            out.append(f"track ids: need restarts 0 and 1 in them, got {sorted(restarts)}")
    return out


def restarts_in(lines: Iterable[str]) -> set[int]:
    """Restart counts in the track ids."""
    return {int(line.split()[1]) // IDS_PER_RESTART for line in lines}


def files_of(folder: Path) -> dict[int, bytes]:
    return {int(p.stem): p.read_bytes() for p in folder.rglob("*.txt") if p.stem.isdecimal()}


def lines_of(folder: Path) -> dict[int, list[str]]:
    out: dict[int, list[str]] = {}
    for path in sorted(folder.glob("*.txt")):
        for line in path.read_text().splitlines():
            out.setdefault(int(line.split()[0]), []).append(line)
    return out


def generate(root: Path, frames: int) -> None:
    """A drive in KITTI's tracking layout at `root`."""
    graph = parse(DRIVE.replace("FRAMES", str(frames)), "drive.yaml", ())
    session = Session(graph, RunOptions(root.parent / "drive", quiet=True))
    outcome = run(session, Display(session, quiet=True))
    if outcome.exit != "completed":
        raise RuntimeError(f"restart: cannot generate a drive: {outcome.errors}")
    (root.parent / "drive" / "layout").rename(root)


def kitti_lidar() -> str:
    return GRAPH.read_text() + BOXES


def main(root: Path | None, out: Path, frames: int | None = None, kills: Mapping[str, Sequence[str]] = KILLS) -> dict[str, Any]:
    """Returns the JSON summary; `ok`: all promises hold."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    data = str(root)
    if root is None:
        frames, root, data = frames or 60, out / "drive_root", f"a generated drive of {frames or 60} frames"
        generate(root, frames)
    about = header("python -m chaos.restart", data)
    there = len(list((root / "velodyne").glob("*/*.bin")))
    frames = there if frames is None else min(frames, there)
    part = out / "root"
    cut(root, part, frames)
    names, sets = Names(), [f"scans.config.root={part}"]
    plain = run_graph(kitti_lidar(), sets, out / "plain", {}, names)
    rows = []
    print(f"{'killed':>22} | detections lost, tracks lost of {frames} | detect spawn import open first: engine's, ms")
    for label, nodes in kills.items():
        at = {node: max(1, frames * (i + 1) // (len(nodes) + 2)) for i, node in enumerate(nodes)}
        killed = run_graph(kitti_lidar(), sets, out / re.sub(r"\W+", "_", label), at, names)
        bad = wrong(plain, killed, at, frames, names)
        times = {node: killed.outcome.report["nodes"][node]["restart_ms"][0] for node in nodes}
        ours = {node: t["detect"] + t["spawn"] + (t["first_frame"] or 0.0) for node, t in times.items()}
        rows.append(
            {"killed": list(nodes), "lost": {k: sorted(v) for k, v in killed.lost.items()}, "restart_ms": times, "wrong": bad}
        )
        for node, t in times.items():
            cells = " ".join(f"{t[k] or 0.0:6.1f}" for k in ("detect", "spawn", "import", "open", "first_frame"))
            told = f"{len(killed.lost[names.boxes]):3d}, {len(killed.lost[names.tracks]):3d}"
            late = "" if ours[node] <= LIMIT_MS else f"  above {LIMIT_MS:.0f}"
            print(f"{label:>22} | {node:>8} {told} | {cells}: {ours[node]:6.1f}{late}", flush=True)
        for text in bad:
            print(f"{label}: {text}")
    ok = not any(row["wrong"] for row in rows)
    print("all frames but those named are there, byte for byte" if ok else "NOT as promised")
    return {"about": about, "frames": frames, "rows": rows, "ok": ok}


def cut(root: Path, part: Path, frames: int) -> None:
    """The first frames of the first sequence, by links."""
    folder = sorted((root / "velodyne").iterdir())[0]
    (part / "velodyne" / folder.name).mkdir(parents=True)
    for path in sorted(folder.glob("*.bin"))[:frames]:
        (part / "velodyne" / folder.name / path.name).symlink_to(path.resolve())
    for name in ("calib", "oxts", "label_02"):
        if (root / name).exists():
            (part / name).symlink_to((root / name).resolve())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m chaos.restart", description=str(__doc__).partition("\n")[0])
    parser.add_argument("root", type=Path, nargs="?")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--out", type=Path, default=Path("out/restart"))
    args = parser.parse_args()
    sys.exit(0 if main(args.root, args.out.resolve(), args.frames)["ok"] else 1)
