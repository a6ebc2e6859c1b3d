import json
import math

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from bench import nets, recipes, students, subscenes, train_students
from bench.scenes import apart, cell
from operators.nets.tanet_config import TANetConfig
from pipeline import training


@pytest.mark.parametrize("name", sorted(set(students.TABLE_25) - {"teacher"}))
def test_the_last_column_of_table_25(name):
    """Ten rows, each to the hundredth that is printed."""
    ap, gain, published = students.TABLE_25[name]
    assert students.gain_per_point(gain, students.TABLE_25["teacher"][0], ap) == pytest.approx(published, abs=0.01)


def test_no_gain_per_point_where_nothing_is_lost_or_known():
    assert len(students.TABLE_25) == 11
    assert students.gain_per_point(20.0, 80.0, 80.0) is None
    assert students.gain_per_point(20.0, 80.0, 81.0) is None
    assert students.gain_per_point(20.0, None, 81.0) is None and students.gain_per_point(20.0, 80.0, None) is None


def test_truth_of_tables_26_and_27_adds_up():
    assert {row[3] + row[4] for row in subscenes.TABLES.values()} == {20870}


def test_a_ranking_needs_intervals_apart():
    rows = {"a": [80, 85, 88], "b": [70, 75, 79], "c": [78, 80, 83], "d": [None, None, None]}
    assert apart(rows) == ["a > b"]
    assert apart({}) == [] and apart({"a": [1, 2, 3]}) == []
    assert (cell([80.04, 85.0, 88.0]), cell([None, None, None])) == ("85.0 (80.0 .. 88.0)", "-")


def test_recipes_are_nets_that_can_be_built():
    every = recipes.recipes()
    assert set(students.NAMES) - {"coarse"} <= set(every) and set(subscenes.NAMES) <= set(every)
    models = {name: recipes.model_of(recipe) for name, recipe in every.items()}
    assert all(isinstance(model, TANetConfig) for model in models.values())
    teacher = models["teacher"]
    assert (teacher.cell_m, teacher.max_points, teacher.class_names) == ((0.32, 0.32), 32, ("Car",))
    for name, model in models.items():
        if name.startswith(("near", "far")):
            assert model.grid[1] % 8 == 0 and model.grid[0] == teacher.grid[0]
        else:
            assert model.grid == teacher.grid and model.anchors == teacher.anchors
    assert models["near-0.5"].grid[1] + models["far-0.5"].grid[1] == teacher.grid[1]
    assert models["near-0.5"].range_m[3] == models["far-0.5"].range_m[0]


def test_what_a_student_is_trained_with(tmp_path):
    sets = recipes.sets_of(recipes.recipes()["crop1"], tmp_path, 4)
    config = training.load(recipes.FILE, sets).config
    assert config.minutes == 4 and config.valid is None and config.model.cnn == "crop1"
    assert config.distill.teacher == config.start_from.weights == str(tmp_path / "teacher.safetensors")
    assert config.start_from.only == ("pillar_net.",)
    near = training.load(recipes.FILE, recipes.sets_of(recipes.recipes()["near-0.33"], tmp_path, 4)).config
    assert near.distill is None and near.start_from.only == ()
    assert training.load(recipes.FILE, recipes.sets_of(recipes.recipes()["teacher"], tmp_path, 30)).config.start_from is None


def test_a_name_that_is_none(tmp_path, capsys):
    with pytest.raises(SystemExit):
        train_students.main(["--only", "crop9", "--out", str(tmp_path)])
    assert "--only: needs names of teacher, " in capsys.readouterr().err


TINY = (
    "data={driver: synthetic.traffic, config: {frames: 20, seed: 3, rate_hz: 2}}", "data.camera_view=0", "threads=1",
    "model.range_m=[0, -10.24, -3, 20.48, 10.24, 1]", "model.pillar_channels=8", "model.block_layers=[1, 1, 1]",
    "model.block_channels=[8, 8, 8]", "model.up_channels=[8, 8, 8]", "model.reduced_channels=8", "model.max_points=8",
    "augment.paste.scenes=2", "steps=2",
)  # fmt: skip


def train(folder, *words):
    return train_students.main(["--out", str(folder), *words, *(word for text in TINY for word in ("--set", text))])


@pytest.mark.slow
def test_train_cut_and_go_on(tmp_path, capsys, monkeypatch):
    """Two nets; what is there is not trained again, what was cut goes on from its checkpoint."""
    monkeypatch.setattr("sys.argv", ["python"])
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    assert train(tmp_path, "--only", "teacher") == 0
    assert (tmp_path / "teacher.safetensors").is_file()
    assert train(tmp_path, "--only", "crop1") == 0
    made = (tmp_path / "crop1.safetensors").read_bytes()
    (tmp_path / "crop1.safetensors").unlink()
    assert train(tmp_path, "--only", "crop1") == 0
    assert "teacher: is there" in capsys.readouterr().out
    assert (tmp_path / "crop1.safetensors").read_bytes() == made
    assert train(tmp_path, "--only", "filter1", "--minutes-each", "-1") == 2, "the code of the training that failed"


@pytest.mark.slow
def test_both_benches_on_a_few_scenes(tmp_path, capsys):
    """Without weights all are timed and counted, none scored; then one with weights."""
    small = {"scenes": 3, "timed": 1, "results": tmp_path / "results"}
    out = students.main(tmp_path, names=("teacher", "coarse", "crop1+filter2"), **small)
    assert all(not row["trained"] and row["ms"] > 0 and math.isfinite(row["gain_percent"]) for row in out["rows"])
    parameters = {row["name"]: row["parameters"] for row in out["rows"]}
    assert parameters["teacher"] > parameters["coarse"] and parameters["teacher"] > parameters["crop1+filter2"]
    parts = subscenes.main(tmp_path, names=("teacher", "near-0.5", "near-0.33"), **small)
    truth = {row["name"]: row["truth"] for row in parts["rows"]}
    assert len({t["in"] + t["out"] for t in truth.values()}) == 1
    assert truth["teacher"]["in"] >= truth["near-0.5"]["in"] >= truth["near-0.33"]["in"]
    printed = capsys.readouterr().out
    assert "not trained" in printed and "intervals that do not overlap (easy): none, so no ranking" in printed
    assert {path.name.partition("-")[0] for path in (tmp_path / "results").iterdir()} == {"students", "subscenes"}
    (path,) = (tmp_path / "results").glob("students-*.json")
    assert json.loads(path.read_text()) == json.loads(json.dumps(out))

    nets._random(tmp_path / "teacher.safetensors", recipes.model_of(recipes.recipes()["teacher"]))
    (row,) = students.main(tmp_path, names=("teacher",), **small)["rows"]
    assert row["trained"].startswith("? steps") and set(row["ap"]) == {"easy", "moderate"}
