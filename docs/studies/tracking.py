"""`python -m studies.tracking`: how well each preset tracks, and how well on sequences that were not used for tuning.

    python -m studies.tracking [DATA]               1 and 2, a minute; DATA holds kitti_tracking/ and kitti_tracking_0000/
    python -m studies.tracking [DATA] --left-out    3, about 5 minutes on an idle core

1. HOTA, MOTA, switches, fragments by boxes in the image (KITTI's rules, as `pipe eval kitti-tracking`), of every preset with
   and without poses, over all sequences with the 95 % interval of a bootstrap over the sequences, and of each sequence.
   `ab3dmot` by its authors' rule: tracks with a mean score below 2.9 (cars) or 2.0 (pedestrians) are left out. For comparison,
   perfect association of the same detections: each has the id of the truth that it overlaps by half, the others are removed.
2. AB3DMOT's tables of the same tracks and of `best` with `unsure: keep`, and the published ones, which are of other sequences;
   `keep` minus `ab3dmot` with each sequence left out.
3. Cars, leave one sequence out: the settings in SEARCHED are chosen on the other sequences, from a neutral start, and scored on
   the one left out. "on all": the same search with nothing left out. The difference is the gain from having seen a sequence;
   subtract it from the scores of the shipped settings too, since they were chosen on all sequences. Pedestrians are mostly in
   one sequence, so their settings are not searched.
Writes docs/studies/results/tracking-<machine>.json and tracking-left-out-<machine>.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from bench.common import data_folder, header, save
from operators.files import exact_decimals
from operators.geometry.boxes3d import velo_to_camera
from operators.geometry.project import in_picture
from operators.score import ab3dmot as table
from operators.score import clear, hota, identity, kitti_tracking
from operators.score.kitti_rows import TYPES, Rows, Truth, read_truth
from operators.streams import CLASSES, Boxes2D, Boxes3D
from operators.track import models
from operators.track.ab3dmot import Ab3dmot, Ab3dmotConfig
from operators.track.best import Best, BestConfig
from operators.track.best_offline import BestOffline
from operators.track.frame import Preset, Seen, Shown
from pipeline.errors import InputError
from studies.recordings import Recording, read

RESULTS = Path(__file__).resolve().parent / "results"
CAR = CLASSES.index("Car")
LEAST_MEAN_SCORE = {"car": 2.9, "pedestrian": 2.0}
BOOTSTRAPS = 1000
IN_TABLES = ("ab3dmot", "best", "keep")
PUBLISHED = {  # AB3DMOT with ego-motion on KITTI's usual validation sequences, 3D IoU 0.25
    "car": {"sAMOTA": 93.34, "MOTA": 86.47, "IDS": 0},
    "pedestrian": {"sAMOTA": 82.73, "MOTA": 73.86, "IDS": 4},
    "cyclist": {"sAMOTA": 93.78, "MOTA": 84.79, "IDS": 1},
}
REPORT_2D = {"car": 85.70, "pedestrian": 59.76, "cyclist": 78.78}  # MOTA by boxes in the picture, seed report, B2
SEARCHED: dict[str, tuple[float, ...]] = {  # of models.Model, and of models.Worth; the search starts from the first value
    "slope": (1.0, 0.5, 0.7, 1.4),  # scores are logits
    "middle": (2.0, 1.0, 1.5, 2.5, 3.0),
    "show": (0.0, -0.5, 0.5),  # as likely true as false
    "odd_size": (0.0, 0.15, 0.3, 0.6),
    "far": (0.0, 0.5, 1.0, 1.5),
    "memory": (0.1, 0.05, 0.2, 0.4),
    "miss": (0.1, 0.03, 0.06, 0.2),
    "max_coast": (3, 0, 5, 8, 12),
    "coast": (0.5, 0.0, 0.25, 1.0),
    "birth": (-1.0, -2.0, 0.0),
    "gate": (3.0, 2.0, 4.0),
    "max_age": (15, 8, 25, 40),
    "acceleration": (0.1, 0.05, 0.2),
    "sigma_xy": (0.2, 0.1, 0.15, 0.3),
}
SWEEPS = 2
LEAST_GAIN = 2e-4  # of HOTA, required to change a setting

Parts = tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]
"""CLEAR, identity and HOTA of one sequence and class."""


def main(data: Path | None = None, left_out: bool = False, results: Path = RESULTS) -> dict[str, Any]:
    folder = data or data_folder()
    root = folder / "kitti_tracking"
    if not (root / "detections").is_dir():
        raise InputError(
            f"studies.tracking: {root}: needs to be there with detections/ calib/ oxts/ label_02/, got no such folder"
        )
    truth = read_truth(root)
    recordings = [read(root, name) for name in truth.rows]
    command = "python -m studies.tracking" + (" --left-out" if left_out else "")
    out: dict[str, Any] = {"about": header(command, f"{', '.join(truth.rows)} ({sum(len(r.frames) for r in recordings)} frames)")}
    if left_out:
        out |= leave_one_out(recordings, truth)
    else:
        found = {
            (preset, is_known): {r.name: tracks(make(preset), r, is_known) for r in recordings}
            for preset in ("ab3dmot", "best", "best_offline")
            for is_known in (True, False)
        }
        out["scores"] = _scores(recordings, truth, found)
        found["keep", True] = {r.name: tracks(make("keep"), r, True) for r in recordings}
        out["ab3dmot"] = _ab3dmots_tables(folder, truth, found)
    save(results, "tracking-left-out" if left_out else "tracking", out)
    return out


def make(preset: str, car: models.Model | None = None, worth: models.Worth | None = None) -> Preset:
    """A tracker for PointRCNN's scores, optionally with another model of cars; keep: `best` with `unsure: keep`."""
    if preset == "ab3dmot":
        return Ab3dmot(Ab3dmotConfig(), 1)
    if preset == "keep":
        return Best(BestConfig(), "logit", 1, "keep")
    made = (BestOffline if preset == "best_offline" else Best)(BestConfig(), "logit", 1)
    if car is not None:
        made.params[CAR] = models.row(car)
    if worth is not None:
        made.worth[CAR] = worth
    return made


def tracks(preset: Preset, recording: Recording, is_known: bool) -> Rows:
    """The rows that `write.kitti_tracking` would write, as its reader returns them."""
    shown = []
    for k, (boxes3d, boxes2d) in enumerate(recording.frames):
        pose = recording.poses[k] if is_known else None
        shown.append(preset.step(Seen(*boxes3d, boxes2d.boxes2d, k, 1, pose, recording.calibration, recording.imu)))
    if isinstance(preset, BestOffline):
        told = preset.history()
        return _rows(recording, told.frames, Shown(told.boxes3d, told.scores, told.labels, told.track_ids, told.boxes2d))
    frames = np.repeat(np.arange(len(shown)), [len(frame.labels) for frame in shown])
    return _rows(recording, frames, Shown(*(np.concatenate(parts) for parts in zip(*shown, strict=True))))


def of_class(recording: Recording, label: int) -> Recording:
    """The recording with the detections of one class only."""
    frames = []
    for boxes3d, boxes2d in recording.frames:
        mine = boxes3d.labels == label
        frames.append((Boxes3D(*(a[mine] for a in boxes3d)), Boxes2D(*(a[mine] for a in boxes2d))))
    return recording._replace(frames=frames)


def _rows(recording: Recording, frames: np.ndarray, shown: Shown) -> Rows:
    boxes2d, visible = in_picture(shown.boxes3d, recording.calibration, shown.boxes2d)
    boxes_cam = velo_to_camera(shown.boxes3d, recording.calibration.T_cam_velo).round(6)
    types = np.array([TYPES.index(name.lower()) for name in CLASSES])[shown.labels]
    none = np.zeros(len(frames), np.int64)
    every = Rows(
        Path(recording.name), frames, shown.track_ids, types, none, none, exact_decimals(boxes2d).round(6), boxes_cam,
        exact_decimals(shown.scores).round(6), none,
    )  # fmt: skip
    return every.take(visible)


def measured(truth: Truth, recording: Recording, rows: Rows, name: str) -> Parts:
    pairs = kitti_tracking.pairs(truth.rows[recording.name], rows, len(recording.frames), name)
    return clear.clear(pairs), identity.identity(pairs), hota.hota(pairs)


def together(parts: Iterable[Parts]) -> dict[str, float]:
    """Per cent and counts over several sequences."""
    listed = list(parts)
    of_clear = clear.combine(part[0] for part in listed)
    of_hota = hota.summary(hota.combine(part[2] for part in listed))
    of_identity = identity.combine(part[1] for part in listed)
    out = {key: 100 * of_hota[key] for key in ("HOTA", "DetA", "AssA", "LocA")}
    out |= {"MOTA": 100 * of_clear["MOTA"], "IDF1": 100 * of_identity["IDF1"]}
    return out | {key: of_clear[key] for key in ("IDS", "FRAG", "CLR_FP", "CLR_FN")}


def interval(parts: list[Parts], seed: int = 0) -> tuple[float, float]:
    """95 % interval of HOTA from a bootstrap over the sequences."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(parts), (BOOTSTRAPS, len(parts)))
    values = [100 * hota.combine(parts[i][2] for i in draw)["HOTA"].mean() for draw in draws.tolist()]
    low, high = np.quantile(values, [0.025, 0.975]).tolist()
    return low, high


def confident(rows: Rows) -> Rows:
    """Removes tracks with a mean score below LEAST_MEAN_SCORE of their class: the rule of AB3DMOT's authors."""
    _, of_row = np.unique(rows.ids, return_inverse=True)
    mean = np.bincount(of_row, rows.scores) / np.maximum(np.bincount(of_row), 1)
    least = np.array([LEAST_MEAN_SCORE.get(name, -np.inf) for name in TYPES])[rows.types]
    return rows.take(mean[of_row] >= least)


def perfect(truth: Truth, recording: Recording, name: str) -> Rows:
    """The detections that overlap a truth of their class by half or more in the image, with its id; the others are removed."""
    labels = truth.rows[recording.name].of(name, *kitti_tracking.NEIGHBOURS[name])
    label = [c.lower() for c in CLASSES].index(name)
    parts = []
    for k, (boxes3d, _) in enumerate(recording.frames):
        mine = boxes3d.labels == label
        boxes2d, _ = in_picture(boxes3d.boxes3d[mine], recording.calibration)
        here = np.flatnonzero(labels.frames == k)
        overlap = _overlaps(boxes2d, labels.boxes2d[here])
        rows, columns = linear_sum_assignment(np.where(overlap >= 0.5, overlap, 0), maximize=True)
        right = overlap[rows, columns] >= 0.5
        chosen, ids = np.flatnonzero(mine)[rows[right]], labels.ids[here[columns[right]]]
        parts.append((np.full(len(ids), k), *(a[chosen] for a in boxes3d), ids, boxes2d[rows[right]]))
    frames, *shown = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _rows(recording, frames, Shown(*shown))


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, 4), (B, 4) -> (A, B) IoU."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(2)
    sizes = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    return shared / np.maximum(sizes[0][:, None] + sizes[1][None] - shared, 1e-9)


def _scores(
    recordings: list[Recording], truth: Truth, found: Mapping[tuple[str, bool], Mapping[str, Rows]]
) -> list[dict[str, Any]]:
    out = []
    for name in kitti_tracking.CLASSES:
        print(f"\n{name:<24} | HOTA  (95 %)         DetA  AssA  LocA | MOTA  IDF1   IDS FRAG | HOTA of each sequence")
        for preset, is_known in found:
            of_preset = found[preset, is_known]
            rows = {s: confident(r) for s, r in of_preset.items()} if preset == "ab3dmot" else of_preset
            what = f"{preset}{'' if is_known else ', no poses'}"
            out.append(_row(name, what, {r.name: measured(truth, r, rows[r.name], name) for r in recordings}))
        parts = {r.name: measured(truth, r, perfect(truth, r, name), name) for r in recordings}
        out.append(_row(name, "perfect association", parts))
    return out


def _row(name: str, what: str, parts: dict[str, Parts]) -> dict[str, Any]:
    """Prints a row; sequences without truth of the class count in the total, but have no figure."""
    row: dict[str, Any] = {"class": name, "tracks": what, **together(parts.values())}
    row["low"], row["high"] = interval(list(parts.values()))
    row["sequences"] = {s: together([p]) for s, p in parts.items() if p[2]["HOTA_TP"][0] + p[2]["HOTA_FN"][0] > 0}
    each = "  ".join(f"{s} {of['HOTA']:.1f}" for s, of in row["sequences"].items())
    print(
        f"{what:<24} | {row['HOTA']:.2f} ({row['low']:.1f} .. {row['high']:.1f})  {row['DetA']:.1f}  {row['AssA']:.1f}  "
        f"{row['LocA']:.1f} | {row['MOTA']:.1f}  {row['IDF1']:.1f}  {row['IDS']:>4} {row['FRAG']:>4} | {each}",
        flush=True,
    )
    return row


def _ab3dmots_tables(
    folder: Path, truth: Truth, found: Mapping[tuple[str, bool], Mapping[str, Rows]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Cars and pedestrians of all sequences; cyclists of 0000, the only sequence with cyclist detections."""
    riders, root = {}, folder / "kitti_tracking_0000"
    truth_0000 = read_truth(root, ["0000"]) if (root / "label_02").is_dir() else None
    if truth_0000 is not None:
        recording = read(root, "0000")
        truth_0000.frames["0000"] = len(recording.frames)
        rows = truth_0000.rows["0000"]
        truth_0000.rows["0000"] = rows.take(rows.frames < len(recording.frames))
        riders = {preset: {"0000": tracks(make(preset), recording, True)} for preset in IN_TABLES}
    out: dict[str, dict[str, dict[str, Any]]] = {}
    print("\nAB3DMOT's tables, with poses. Published: KITTI's usual validation sequences, none of which is here")
    print(f"{'':<30} | sAMOTA  MOTA   IDS FRAG | published sAMOTA MOTA IDS")
    for preset in IN_TABLES:
        scores = table.score_rows(truth, found[preset, True], ("3D IoU 0.25", "2D IoU 0.5"))
        if truth_0000 is not None:
            of_0000 = table.score_rows(truth_0000, riders[preset], ("3D IoU 0.25", "2D IoU 0.5"))
            for criterion, classes in of_0000.items():
                if "cyclist" in classes:
                    scores[criterion]["cyclist"] = classes["cyclist"]
        for criterion, classes in scores.items():
            for name, numbers in classes.items():
                best = numbers["best"]
                row = {"sAMOTA": 100 * numbers["sAMOTA"], "MOTA": 100 * best["MOTA"], "IDS": best["IDS"], "FRAG": best["FRAG"]}
                out.setdefault(preset, {})[f"{criterion} {name}"] = row
                beside = (
                    "{sAMOTA:.2f} {MOTA:.2f} {IDS}".format(**PUBLISHED[name])
                    if criterion.startswith("3D")
                    else f"report: MOTA {REPORT_2D[name]:.2f}"
                )
                print(
                    f"{preset:<8} {criterion + ' ' + name:<21} | {row['sAMOTA']:6.2f} {row['MOTA']:6.2f} {row['IDS']:4d} "
                    f"{row['FRAG']:4d} | {beside if preset == 'ab3dmot' else ''}",
                    flush=True,
                )
    out["keep - ab3dmot"] = _left_out_gains(truth, found)
    return out


def _left_out_gains(truth: Truth, found: Mapping[tuple[str, bool], Mapping[str, Rows]]) -> dict[str, dict[str, float]]:
    """Lowest and highest gain of `keep` over `ab3dmot`, 3D IoU 0.25, over the sets of sequences that lack one sequence."""
    gains: dict[str, list[float]] = {}
    for left_out in truth.rows:
        rest = Truth(
            {s: r for s, r in truth.rows.items() if s != left_out}, {s: n for s, n in truth.frames.items() if s != left_out}
        )
        scores = {
            preset: table.score_rows(rest, {s: r for s, r in found[preset, True].items() if s != left_out}, ("3D IoU 0.25",))
            for preset in ("keep", "ab3dmot")
        }
        for name, kept in scores["keep"]["3D IoU 0.25"].items():
            other = scores["ab3dmot"]["3D IoU 0.25"][name]
            gains.setdefault(f"{name} sAMOTA", []).append(100 * (kept["sAMOTA"] - other["sAMOTA"]))
            gains.setdefault(f"{name} MOTA", []).append(100 * (kept["best"]["MOTA"] - other["best"]["MOTA"]))
    out = {key: {"low": min(values), "high": max(values)} for key, values in gains.items()}
    for key, of in out.items():
        print(f"keep - ab3dmot, one sequence left out: {key:<18} {of['low']:+.2f} .. {of['high']:+.2f}", flush=True)
    return out


def chosen_model(settings: Mapping[str, float]) -> tuple[models.Model, models.Worth]:
    of_model: dict[str, Any] = {key: value for key, value in settings.items() if key not in models.Worth._fields}
    return replace(models.CAR, **of_model), models.Worth(settings["slope"], settings["middle"])


def search(score: Callable[[dict[str, float]], float]) -> dict[str, float]:
    """Searches one setting at a time, from the first value of each; ignores values that gain less than LEAST_GAIN."""
    settings = {key: values[0] for key, values in SEARCHED.items()}
    best = score(settings)
    for _ in range(SWEEPS):
        before = dict(settings)
        for key, values in SEARCHED.items():
            for value in values:
                if value != settings[key] and (found := score(settings | {key: value})) > best + LEAST_GAIN:
                    best, settings = found, settings | {key: value}
        if settings == before:
            break
    return settings


def leave_one_out(recordings: list[Recording], truth: Truth) -> dict[str, Any]:
    """Scores each sequence with cars with the settings chosen on the others; then all with the settings chosen on all ("on all"),
    which shows the gain from seeing them. Sequences without cars use the latter."""
    known: dict[tuple[float, ...], dict[str, Parts]] = {}
    recordings = [of_class(recording, CAR) for recording in recordings]

    def parts(settings: dict[str, float]) -> dict[str, Parts]:
        key = tuple(settings.values())
        if key not in known:
            known[key] = {r.name: of_cars(settings, "best", r, True) for r in recordings}
        return known[key]

    def of_cars(settings: dict[str, float], preset: str, recording: Recording, is_known: bool) -> Parts:
        rows = tracks(make(preset, *chosen_model(settings)), recording, is_known)
        return measured(truth, recording, rows, "car")

    def left_out(name: str) -> dict[str, float]:
        def score(settings: dict[str, float]) -> float:
            return float(hota.combine(part[2] for s, part in parts(settings).items() if s != name)["HOTA"].mean())

        chosen = search(score)
        changed = {key: value for key, value in chosen.items() if value != SEARCHED[key][0]}
        print(f"  {name}: {', '.join(f'{key} {value:g}' for key, value in changed.items())}", flush=True)
        return chosen

    print("\ncars, leave one sequence out: chosen on the others")
    folds = {r.name: left_out(r.name) for r in recordings if len(truth.rows[r.name].of("car").ids)}
    on_all = left_out("none")
    rows = []
    for preset in ("best", "best_offline"):
        for is_known in (True, False):
            what = f"{preset}{'' if is_known else ', no poses'}"
            for chosen, how in ((folds, ""), ({}, ": on all")):
                of_all = {r.name: of_cars(chosen.get(r.name, on_all), preset, r, is_known) for r in recordings}
                rows.append(_row("car", what + how, of_all))
    return {"searched": SEARCHED, "folds": folds, "on_all": on_all, "scores": rows, "settings_tried": len(known)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="studies.tracking", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--left-out", action="store_true")
    args = parser.parse_args()
    try:
        main(args.data, args.left_out)
    except InputError as error:
        sys.exit(f"error: {error}")
