import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch

from bench import gate, gate_table, train_gate
from bench.pairs import CLEAN, Made
from operators.nets import weights
from operators.nets.fusion_config import FUSION, FusionNetConfig
from operators.nets.fusion_net import FusionNet
from pipeline import training
from pipeline.errors import InputError

TINY = {
    "image_size": (128, 96),
    "stage_channels": (4, 4, 8, 8),
    "map_channels": 8,
    "hidden": 8,
    "feedforward": 8,
    "key_pool": 2,
    "queries": 8,
}


@pytest.fixture
def folder(tmp_path):
    for name, modalities in (("fusion", ("image", "thermal")), ("image", ("image",)), ("thermal", ("thermal",))):
        config = FusionNetConfig(modalities=modalities, **TINY)
        torch.manual_seed(3)
        weights.save(tmp_path / f"{name}.safetensors", FUSION, config, FusionNet(config).state_dict())
    return tmp_path


def test_a_net_that_is_not_trained_is_named(tmp_path):
    with pytest.raises(InputError, match=r"bench gate: needs .*fusion\.safetensors, got no such file; docs/training\.md"):
        gate.main(tmp_path)


def test_cells_are_two_modalities_five_kinds_three_severities():
    cells = list(gate.cells())
    assert cells[0] == CLEAN and len(cells) == len(set(cells)) == 1 + 2 * 5 * 3


def test_losses_are_against_the_best_of_four(folder, tmp_path, monkeypatch, capsys):
    """Undamaged and two cells; of the other schemes one is trained."""
    some = [CLEAN, ("blackout", 2, "thermal"), ("salt_and_pepper", 2, "image")]
    monkeypatch.setattr(gate, "cells", lambda: iter(some))
    monkeypatch.setattr(gate, "TIMED", 1)
    config = FusionNetConfig(scheme="selective", **TINY)
    weights.save(folder / "selective.safetensors", FUSION, config, FusionNet(config).state_dict())
    out = gate.main(folder, pairs=2, results=tmp_path / "results")
    assert sorted(map(tuple, (row["cell"] for row in out["cells"]))) == sorted(some)
    assert [row["loss"] for row in out["cells"]] == sorted((row["loss"] for row in out["cells"]), reverse=True)
    for row in out["cells"]:
        assert len(row["others"]) == 4 and row["others"][row["best"]] == max(row["others"].values())
        assert row["loss"] == pytest.approx(row["others"][row["best"]] - row["ap50"])
    worst = gate_table.name(next(row["cell"] for row in out["cells"] if row["cell"][0] != "clean"))
    assert [scheme for scheme, of in out["schemes"].items() if of] == ["scalar_concat", "selective"]
    assert all(list(of) == ["clean", worst] for of in out["schemes"].values() if of)
    printed = capsys.readouterr().out
    assert "mask_concat: not trained" in printed and f"selective: clean 0.0, {worst} " in printed
    (written,) = (tmp_path / "results").glob("gate-*.json")
    read = json.loads(written.read_text())
    assert read["figures"].keys() == out["figures"].keys() and "\n".join(gate_table.markdown(read)) in printed


def row(cell, loss, upper95):
    others = {"image net": 60 + loss}
    return {"cell": list(cell), "ap50": 60.0, "others": others, "best": "image net", "loss": loss, "upper95": upper95}


def test_the_heat_map_has_a_place_for_every_cell_and_marks_what_misses_an_aim():
    rows = [row(cell, -0.5, 1.0) for cell in gate.cells()]
    rows[1] = row(rows[1]["cell"], 1.25, 3.0)  # blackout 1 of the image
    rows[-1] = row(rows[-1]["cell"], 0.5, 4.5)  # salt_and_pepper 3 of the thermal
    made = gate_table.markdown({"cells": rows})
    assert made[0].split(" | ")[1:4] == ["image 1", "image 2", "image 3"] and len({line.count("|") for line in made[:7]}) == 1
    assert made[2].startswith("| blackout | **60.0, +1.2 (+3.0)** | 60.0, -0.5 (+1.0) |")
    assert made[6].startswith("| salt_and_pepper |") and made[6].endswith("| **60.0, +0.5 (+4.5)** |")
    assert made[-1] == (
        "Undamaged: 60.0, -0.5 (+1.0). loss of at most 1 in 30 of 31 cells, upper 95 % bound of at most 4 in 30; "
        "worst: +1.25, +4.50."
    )


def test_damage_meets_its_modality_alone_and_comes_again():
    made = Made(1)
    cell = ("salt_and_pepper", 2, "image")
    image, thermal = (made.shown(0, cell, name) for name in ("image", "thermal"))
    assert thermal is made.shown(0, CLEAN, "thermal")
    assert np.array_equal(image, made.shown(0, cell, "image"))
    assert 0.2 < (image != made.shown(0, CLEAN, "image")).any(2).mean() < 0.4
    assert made.truth[0].crowd.sum() % 3 == 0 and not made.truth[0].crowd[: (~made.truth[0].crowd).sum()].any()


def test_jobs_are_trainings_with_equal_damage_of_each_modality(tmp_path, capsys):
    jobs = train_gate.jobs(40)
    assert list(jobs) == ["image", "thermal", "fusion", "scalar_average", "mask_average", "mask_concat", "selective"]
    loaded = {name: training.load("fusion_world", sets).config for name, sets in jobs.items()}
    assert [config.minutes for config in loaded.values()] == [40, 40, 80, 8, 8, 8, 8]
    assert [config.model.modalities for config in loaded.values()][:3] == [("image",), ("thermal",), ("image", "thermal")]
    assert loaded["fusion"].model.scheme == "scalar_concat" and loaded["selective"].model.scheme == "selective"
    assert 2 * loaded["image"].corrupt.p == loaded["fusion"].corrupt.p
    with pytest.raises(SystemExit):
        train_gate.main(["--only", "image,theraml", "--out", str(tmp_path)])
    assert "needs names of image, thermal, fusion" in capsys.readouterr().err
