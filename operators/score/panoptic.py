"""Panoptic maps, by panopticapi's rules: PQ, SQ, RQ (all, things, stuff), mIoU; PTQ, sPTQ, MOTSA, sMOTSA, MOTSP of tracks.

in   panoptic        PANOPTIC  facts class_names, things
     panoptic_truth  PANOPTIC  optional; frames without it are not scored, a run without it writes nothing
Classes meet by their names. Truth with a score of 0 is a crowd; truth of a class without a name is void, as is id 0.
Shows the scores so far, and writes DIR/<node>/scores.json and a line per frame in scores.csv: the numbers that
`pipe eval panoptic` gives for the same maps. Definitions: panoptic_scores.py, panoptic_match.py; files: panoptic_files.py.
State: counts of all frames; during the run each frame is a line in .frames.jsonl, which a restarted node reads.
Empty frame: counts; truth in it is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from operators.score import panoptic_files, panoptic_scores
from operators.score.journal import JOURNAL, Journal
from operators.score.panoptic_ap import MaskAP
from operators.score.panoptic_match import Segments, match
from operators.score.panoptic_pairs import PairCounter, Pairs, Rows, areas, rows_of
from operators.score.panoptic_scores import Frame, Scores, frame_of, summary
from operators.streams import PANOPTIC, Panoptic, names_of, things_of
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

_CSV = "frames,frame_id,item,pq,sq,rq,pq_things,pq_stuff,miou,sptq,ptq\n"
_THREADS = 2  # of `pipe eval`


@dataclass(frozen=True, slots=True)
class PanopticConfig:
    every: int = 50  # frames between two results
    keep_journal: bool = False  # leave .frames.jsonl for pipe batch

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every: needs 1 or more, got {self.every}")


class ScorePanoptic(Operator):
    Config = PanopticConfig
    journal_file = JOURNAL
    inputs = {"panoptic": PANOPTIC, "panoptic_truth": optional(PANOPTIC)}

    def open(self) -> None:
        self.counter = PairCounter(self.threads)
        self._compile()
        self.names: list[str] = []
        self.things: set[str] = set()
        self.scores = Scores(())
        self.last: tuple[int, str] | None = None
        self.reported = 0
        self.journal = Journal(self.name, self.out_dir, _CSV)
        if self.resume is not None:
            for frame_id, item, (names, things, plain) in self.journal.kept(self.resume.frame_id):
                if self._add(frame_id, item, names, things, Frame(dict(plain[0]), *plain[1:])):
                    self.reported = self.scores.num_frames

    def process(self, panoptic: Panoptic, panoptic_truth: Panoptic | None) -> None:
        if panoptic_truth is None:
            return
        names = [names_of(self.meta.get(port, {})) for port in ("panoptic_truth", "panoptic")]
        things = [things_of(self.meta.get(port, {})) for port in ("panoptic_truth", "panoptic")]
        for port, own, of in zip(("panoptic_truth", "panoptic"), names, (panoptic_truth, panoptic), strict=True):
            self._check(port, own, of)
        try:
            pairs = self.counter.count(panoptic_truth.panoptic, panoptic.panoptic)
        except ValueError as error:
            raise FrameError(f"{self.name} at {self.header}: {error}") from None
        frame = scored(pairs, panoptic_truth, names[0], panoptic, names[1])
        classes = [*names[0], *names[1]], sorted({*things[0], *things[1]})
        self.journal.add(self.header, [*classes, _plain(frame)])
        if self._add(self.header.frame_id, self.header.item, *classes, frame):
            self._tell()

    def close(self) -> None:
        self.counter.close()
        if self.last is None:
            self.status("no truth, no scores")
            return
        if self.reported < self.scores.num_frames or not self.journal.saved:
            self._tell()
        self.journal.close(self.config.keep_journal)

    def _compile(self) -> None:
        """Before the first frame. Numba compiles once more for maps that may not be written, as views of slots are."""
        map_ = np.zeros((4, 4), np.int32)
        map_.flags.writeable = False
        self.counter.count(map_, map_)

    def _check(self, port: str, names: Sequence[str], of: Panoptic) -> None:
        ids, counts = np.unique(of.segment_ids, return_counts=True)
        if (counts > 1).any():
            raise FrameError(f"{self.name}.{port}: needs every segment id once, got {ids[counts > 1][0]} again")
        if port == "panoptic" and len(wrong := of.labels[(of.labels < 0) | (of.labels >= len(names))]):
            raise FrameError(f"{self.name}.{port}: needs labels of the {len(names)} class_names, got {wrong[0]}")

    def _add(self, frame_id: int, item: str, names: Iterable[str], things: Iterable[str], frame: Frame) -> bool:
        """True when a result is due. This depends on the number of frames only, so a restart changes nothing."""
        self.names += [name for name in dict.fromkeys(names) if name not in self.names]
        self.scores.things |= set(things)
        self.scores.add(item.rpartition("/")[0], frame)
        self.last = frame_id, item
        return self.scores.num_frames >= self.reported + max(self.config.every, self.reported // 10)

    def _tell(self) -> None:
        assert self.last is not None
        result = self.scores.result(self.names)
        self.reported = self.scores.num_frames
        self.status(summary(result))
        cells = [*(result["all"][key] for key in ("pq", "sq", "rq")), *(result[group]["pq"] for group in ("things", "stuff"))]
        cells += [result["all"][key] for key in ("miou", "sptq", "ptq")]
        numbers = ",".join("" if value is None else f"{value:.6f}" for value in cells)
        row = f"{self.reported},{self.last[0]},{self.last[1]},{numbers}\n"
        self.journal.tell(self.header, [row])
        self.journal.save(result, self.reported)


def scored(pairs: Pairs, truth: Panoptic, truth_names: Sequence[str], found: Panoptic, found_names: Sequence[str]) -> Frame:
    """One frame of two PANOPTIC values, whose maps share the pixels of `pairs`. Keys of the classes are their names."""
    names = [*truth_names, *(name for name in found_names if name not in truth_names)]
    known = (truth.labels >= 0) & (truth.labels < len(truth_names))
    void = truth.segment_ids[~known]
    if len(void):  # both void: one id
        pairs = _merged(pairs, void)
    t_rows, t_kept, t_areas = _drawn(truth.segment_ids, known, pairs.truth, pairs.pixels)
    f_rows, f_kept, f_areas = _drawn(found.segment_ids, np.ones(len(found.labels), bool), pairs.found, pairs.pixels)
    rows = Rows(t_rows, f_rows)
    own = np.array([names.index(name) for name in found_names], np.int64)
    t_side = Segments(truth.segment_ids[t_kept], truth.labels[t_kept].astype(np.int64), t_areas, truth.scores[t_kept] == 0)
    f_side = Segments(found.segment_ids[f_kept], own[found.labels[f_kept]], f_areas, np.zeros(len(f_kept), bool))
    matches = match(pairs, rows, t_side, f_side)
    tracks = truth.track_ids[t_kept], found.track_ids[f_kept]
    return frame_of(pairs, rows, t_side, f_side, matches, dict(enumerate(names)), *tracks)


def _drawn(ids: np.ndarray, wanted: np.ndarray, of: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The wanted segments that have pixels: row of each pair among them, -1 = none; which segments; their areas."""
    kept = np.flatnonzero(wanted)
    rows = rows_of(ids[kept], of)
    sums = areas(rows, pixels, len(kept))
    if sums.all():
        return rows, kept, sums
    kept = kept[sums > 0]
    return rows_of(ids[kept], of), kept, sums[sums > 0]


def panoptic_quality(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], num_classes: int, void: int, max_instances: int
) -> dict[str, Any]:
    """PQ of maps that hold class and instance in one number, by the rules of deeplab2 and panopticapi.

    pairs   (truth, prediction), (H, W) integers each: class * max_instances + instance; void = class `void`
    result  `pq`, `sq`, `rq`: means over the classes that occur (None if none does); `tp`, `fp`, `fn`: a list each, per class;
            `per_class`: `pq`, `sq`, `rq` of each class, None where it does not occur
    Void pixels of the truth (class void, instance 0) leave the union, and a prediction with more than half on them is not wrong.
    Segments of class void, of either side, count nowhere. Raises ValueError for other classes than 0..num_classes - 1 and void.
    """
    num_classes, void, max_instances = int(num_classes), int(void), int(max_instances)  # NumPy's own may overflow below
    if max_instances < 1:
        raise ValueError(f"max_instances: needs 1 or more, got {max_instances}")
    scores, names = Scores(()), {c: c for c in range(num_classes)}
    counter = PairCounter()
    for truth, found in pairs:
        shared = counter.count(np.asarray(truth), np.asarray(found))
        sides = []
        for name, ids in (("truth", shared.truth), ("prediction", shared.found)):
            own = np.unique(ids)
            classes = own // max_instances
            wrong = (classes != void) & ((classes < 0) | (classes >= num_classes))
            if wrong.any():
                needs = f"classes 0..{num_classes - 1}, and {void} for void"
                raise ValueError(f"{name}: needs {needs}, got {classes[wrong][0]} (in {own[wrong][0]})")
            own, classes = own[classes != void], classes[classes != void]
            rows = rows_of(own, ids)
            sides.append((Segments(own, classes, areas(rows, shared.pixels, len(own)), np.zeros(len(own), bool)), rows))
        (t_side, t_rows), (f_side, f_rows) = sides
        both = Rows(t_rows, f_rows)
        matches = match(shared, both, t_side, f_side, void * max_instances)
        untracked = np.full(len(t_side.ids), -1), np.full(len(f_side.ids), -1)
        scores.add("", frame_of(shared, both, t_side, f_side, matches, names, *untracked))
    result = scores.result(range(num_classes))
    classes_of = [result["per_class"][str(c)] for c in range(num_classes)]
    out: dict[str, Any] = {key: result["all"][key] for key in panoptic_scores.QUALITY}
    out |= {key: [int(row[key]) for row in classes_of] for key in ("tp", "fp", "fn")}
    return out | {"per_class": [{key: row[key] for key in panoptic_scores.QUALITY} for row in classes_of]}


def evaluate(gt: Path, results: Path) -> dict[str, Any]:
    """All scores of COCO panoptic files; keys of `per_class` are ids of categories. Raises InputError."""
    truth = panoptic_files.read_truth(gt)
    found = panoptic_files.read_results(results, truth)
    things = [own for own, category in truth.categories.items() if category.is_thing]
    scores, counter = Scores(things), PairCounter(_THREADS)
    has_scores = any(not np.isnan(listed.scores).all() for listed in found.values() if len(listed.ids))
    ap = MaskAP() if has_scores else None
    try:
        for sequence, t, f, truth_map, found_map in panoptic_files.maps_of(truth, found):
            scores.add(sequence, coco_frame(t, f, counter.count(truth_map, found_map)))
            if ap is not None:
                ap.add(truth_map, _things(t, things, t.crowd), found_map, _things(f, things, np.nan_to_num(f.scores)))
    finally:
        counter.close()
    result = scores.result(list(truth.categories))
    for own, category in truth.categories.items():
        result["per_class"][str(own)]["name"] = category.name
    if ap is not None:
        result["ap"], of_category = ap.result(things)
        for own, value in of_category.items():
            result["per_class"][str(own)]["ap"] = value
    return result | {"notes": _notes(truth, found)}


def coco_frame(truth: panoptic_files.Listed, found: panoptic_files.Listed, pairs: Pairs) -> Frame:
    """One frame of COCO panoptic files: areas of the truth as its file states them, crowd regions. Raises InputError."""
    drawn, of_pair = np.unique(pairs.found, return_inverse=True)
    panoptic_files.check_drawn(found, drawn, areas(of_pair.reshape(-1), pairs.pixels, len(drawn)))
    rows = Rows(rows_of(truth.ids, pairs.truth), rows_of(found.ids, pairs.found))
    counted = areas(rows.truth, pairs.pixels, len(truth.ids))
    t_side = Segments(truth.ids, truth.classes, np.where(truth.areas >= 0, truth.areas, counted), truth.crowd)
    f_areas = areas(rows.found, pairs.pixels, len(found.ids))
    f_side = Segments(found.ids, found.classes, f_areas, np.zeros(len(found.ids), bool))
    names = {int(c): int(c) for side in (t_side, f_side) for c in side.classes}
    matches = match(pairs, rows, t_side, f_side, panoptic_files.VOID)
    return frame_of(pairs, rows, t_side, f_side, matches, names, truth.tracks, found.tracks)


def lines(found: Mapping[str, Any]) -> list[str]:
    table = panoptic_scores.lines(found)
    if "ap" in found:
        shown = (f"{key.upper()} {'n/a' if value is None else f'{100 * value:.2f}'}" for key, value in found["ap"].items())
        table += ["", f"mask {', '.join(shown)} of things"]
    return table


def _things(listed: panoptic_files.Listed, things: Sequence[int], values: np.ndarray) -> list[tuple[int, int, Any]]:
    rows = zip(listed.ids.tolist(), listed.classes.tolist(), values.tolist(), strict=True)
    return [row for row in rows if row[1] in things]


def _notes(truth: panoptic_files.TruthFile, found: Mapping[panoptic_files.ImageId, panoptic_files.Listed]) -> list[str]:
    notes = []
    if not truth.frames:
        notes.append(f"--gt {truth.path}: has no annotation: n/a instead of scores")
    if more := sum(image not in truth.frames for image in found):
        notes.append(f"--results: {more} images without truth are not scored")
    return notes


def _merged(pairs: Pairs, void: np.ndarray) -> Pairs:
    """The ids of `void` become 0."""
    truth = np.where(np.isin(pairs.truth, void), 0, pairs.truth)
    keys, inverse = np.unique(np.stack([truth, pairs.found]), axis=1, return_inverse=True)
    return Pairs(keys[0], keys[1], np.bincount(inverse.reshape(-1), pairs.pixels).astype(np.int64))


def _plain(frame: Frame) -> list[Any]:
    return [list(frame.counts.items()), frame.switched, frame.pixels]
