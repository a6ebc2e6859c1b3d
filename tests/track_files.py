"""Tracking truth and results written by hand: KITTI's 17 and 18 columns, and scenes as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from operators.score.overlaps import Overlaps, overlaps, starts

CAR = (100, 100, 150, 150)
FAR_AWAY = (-1000, -1000, -1000)


def line(
    frame: int,
    track_id: int,
    box: Any = CAR,
    kind: str = "Car",
    truncated: Any = 0,
    occluded: Any = 0,
    hwl: Any = (1.5, 2, 4),
    xyz: Any = (0, 1.5, 20),
    ry: float = 0,
    score: float | None = None,
) -> str:
    columns = [frame, track_id, kind, truncated, occluded, 0, *box, *hwl, *xyz, ry]
    return " ".join(map(str, columns if score is None else [*columns, score])) + "\n"


def dont_care(frame: int, box: Any) -> str:
    return line(frame, -1, box, "DontCare", -1, -1, (-1, -1, -1), FAR_AWAY, -10)


def write(folder: Path, **sequences: str) -> Path:
    """write(tmp_path / "results", s0000=text): DIR/0000.txt"""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sequences.items():
        (folder / f"{name.removeprefix('s')}.txt").write_text(text)
    return folder


def scene(*frames: tuple[list[int], list[int], Any]) -> Overlaps:
    """A frame: ids of the truth, ids of the tracks, their similarities."""
    truth = [i for frame in frames for i in frame[0]]
    tracks = [i for frame in frames for i in frame[1]]
    similarity = [np.array(frame[2], np.float64).reshape(len(frame[0]), len(frame[1])).ravel() for frame in frames]
    numbers = np.arange(len(frames))
    at_truth, at_tracks = (starts(np.repeat(numbers, [len(f[side]) for f in frames]), len(frames)) for side in (0, 1))
    flat = np.concatenate([np.empty(0), *similarity])
    return overlaps(np.array(truth, np.int64), at_truth, np.array(tracks, np.int64), at_tracks, flat)


def random_scene(rng: np.random.Generator, frames: int = 12, objects: int = 5, tracks: int = 6) -> Overlaps:
    """Similarities with ties, zeros and values exactly at thresholds."""
    out = []
    for _ in range(frames):
        truth = rng.permutation(objects)[: rng.integers(0, objects + 1)].tolist()
        track = (rng.permutation(tracks)[: rng.integers(0, tracks + 1)] * 3 + 7).tolist()
        similarity = rng.choice([0.0, 0.05, 0.3, 0.5, 0.5, 0.6, 0.75, 0.9, 1.0], (len(truth), len(track)))
        blurred = np.where(rng.random(similarity.shape) < 0.5, similarity * rng.random(similarity.shape), similarity)
        out.append((truth, track, blurred))
    return scene(*out)


def as_trackeval(data: Overlaps) -> dict[str, Any]:
    """The input of TrackEval's metrics."""
    frames = range(data.frames)
    g, t = data.truth_starts, data.track_starts
    sizes = np.diff(g) * np.diff(t)
    ends = np.cumsum(sizes)
    matrices = [data.similarity[ends[f] - sizes[f] : ends[f]].reshape(g[f + 1] - g[f], t[f + 1] - t[f]) for f in frames]
    return {
        "num_timesteps": data.frames,
        "num_gt_ids": data.G,
        "num_tracker_ids": data.T,
        "num_gt_dets": len(data.truth_ids),
        "num_tracker_dets": len(data.track_ids),
        "gt_ids": [data.truth_ids[g[f] : g[f + 1]] for f in frames],
        "tracker_ids": [data.track_ids[t[f] : t[f + 1]] for f in frames],
        "similarity_scores": matrices,
    }
