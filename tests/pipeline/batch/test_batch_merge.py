"""Scores of several runs together are those of one run of all: each scoring sink, from its journals."""

import json
from pathlib import Path

import pytest
from kitti_files import Kitti

from pipeline import api
from pipeline.batch import merge
from pipeline.batch.folder import Folder
from pipeline.batch.items import Item
from pipeline.batch.work import KEEP, journal, keep_journals
from pipeline.graph import lookup
from pipeline.graph.load import load
from pipeline.options import RunOptions

SCORES = [name for name in lookup.available_operators() if name.startswith("score.")]
LABEL = "{frame} {id} {kind} 0 0 -1.57 600 170 640 220 1.5 1.6 3.9 {x} 1.7 {z} -1.57\n"


def test_every_scoring_sink_has_a_journal():
    assert len(SCORES) >= 4
    for name in SCORES:
        assert journal(lookup.operator_class(name)) == ".frames.jsonl", name


@pytest.fixture
def kitti(tmp_path):
    """Two sequences with labels: in 0005 all cars are detected, in 0011 some."""
    made = Kitti(tmp_path / "kitti")
    for sequence, step in (("0005", 1), ("0011", 3)):
        made.calib(f"calib/{sequence}.txt")
        made.oxts(12, f"oxts/{sequence}.txt")
        rows = "".join(f"{k},2,600,170,640,220,9.0,1.5,1.6,3.9,1.0,1.7,{20 + 0.5 * k},-1.57,0.4\n" for k in range(0, 12, step))
        made.write(made.root / f"detections/rcnn_Car/{sequence}.txt", rows)
        labels = "".join(LABEL.format(frame=k, id=1, kind="Car", x=1.0, z=20 + 0.5 * k) for k in range(12))
        made.write(made.root / f"label_02/{sequence}.txt", labels)
    return made.root


def run(root, sequences, out, graph, keep=True):
    spec = load(graph, {"dets.config.root": str(root), "dets.config.sequences": sequences})
    options = RunOptions(Path(out), quiet=True)
    outcome = api.execute(keep_journals(spec) if keep else spec, options, spawner=None, overwrite=False, warn=print)
    assert outcome.exit == "completed"
    return spec


GRAPHS = {
    "tracking": """version: 1
nodes:
  dets:  {driver: detections}
  trk:   {op: track.tracker, inputs: {boxes3d: dets.boxes3d}, config: {preset: ab3dmot}}
  res:   {op: write.kitti_tracking, inputs: {tracks: trk.tracks, calibration: dets.calibration}}
  score: {op: score.tracking, inputs: {tracks: trk.tracks, truth: dets.truth, calibration: dets.calibration}}
""",
    "detection": """version: 1
nodes:
  dets:  {driver: detections}
  score:
    op: score.detection
    inputs: {boxes3d: dets.boxes3d, truth: dets.truth, calibration: dets.calibration}
    config: {rule: kitti, every: 6}
""",
}


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_scores_of_two_items_are_those_of_one_run(name, kitti, tmp_path):
    graph = tmp_path / f"{name}.yaml"
    graph.write_text(GRAPHS[name])
    items = [Item("0005", "0005"), Item("0011", "0011")]
    with Folder(tmp_path / "out", items, False) as folder:
        for item in items:
            spec = run(kitti, item.name, folder.of(item), graph)
        found = merge.merge(spec, folder, items)
        run(kitti, ["0005", "0011"], tmp_path / "whole", graph, keep=False)
        together = (folder.path / "_all/score/scores.json").read_text()
        assert together == (tmp_path / "whole/score/scores.json").read_text()
        parts = [(folder.of(item) / "score/scores.json").read_text() for item in items]
        assert together not in parts and parts[0] != parts[1]
        assert found.problems == [] and found.scores["score"]["items"] == 2 and found.scores["score"]["status"].startswith("Car")
        assert not (folder.path / "_all/score/.frames.jsonl").exists()
        assert not (tmp_path / "whole/score/.frames.jsonl").exists()
        if name == "tracking":
            links = sorted((folder.path / "_all/res").iterdir())
            assert [link.name for link in links] == ["0005.txt", "0011.txt"] and found.results == {"res": "_all/res"}
            assert all(link.resolve() == folder.path / link.stem / "res" / link.name for link in links)
        again = merge.merge(spec, folder, items[:1])
        assert again.scores["score"]["items"] == 1
        assert json.loads((folder.path / "_all/score/scores.json").read_text()) == json.loads(parts[0])


def test_sequences_of_one_name_stay_apart(kitti, tmp_path):
    """Two recordings that both call their sequence 0005: as two sequences, ids of one do not meet those of the other."""
    graph = tmp_path / "tracking.yaml"
    graph.write_text(GRAPHS["tracking"])
    items = [Item("a", "a"), Item("b", "b")]
    with Folder(tmp_path / "out", items, False) as folder:
        for item in items:
            spec = run(kitti, "0005", folder.of(item), graph)
        found = merge.merge(spec, folder, items)
        scores = json.loads((folder.path / "_all/score/scores.json").read_text())
        assert sorted(scores["frames"]) == ["a/0005", "b/0005"] and found.results == {}
        one = json.loads((folder.of(items[0]) / "score/scores.json").read_text())
        for key in ("CLR_TP", "CLR_FN", "CLR_FP", "IDS"):
            assert scores["classes"]["Car"][key] == 2 * one["classes"]["Car"][key]


def test_nothing_to_merge(kitti, tmp_path):
    graph = tmp_path / "tracking.yaml"
    graph.write_text(GRAPHS["tracking"])
    for path in (kitti / "label_02").iterdir():
        path.unlink()
    item = Item("0005", "0005")
    with Folder(tmp_path / "out", [item], False) as folder:
        spec = run(kitti, "0005", folder.of(item), graph)
        assert merge.merge(spec, folder, [item]).scores == {}
        assert merge.merge(spec, folder, []).results == {}
        assert not hasattr(spec.nodes["dets"].config, KEEP)


def test_a_damaged_journal_is_named_and_the_rest_is_done(kitti, tmp_path):
    graph = tmp_path / "tracking.yaml"
    graph.write_text(GRAPHS["tracking"])
    item = Item("0005", "0005")
    with Folder(tmp_path / "out", [item], False) as folder:
        spec = run(kitti, "0005", folder.of(item), graph)
        (folder.of(item) / "score/.frames.jsonl").write_text("[1, 2\n")
        found = merge.merge(spec, folder, [item])
        assert found.scores == {} and found.results == {"res": "_all/res"}
        assert len(found.problems) == 1 and "score: the scores of all items cannot be made" in found.problems[0]
