import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch

from bench import gate, train_gate
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


def test_losses_are_against_the_best_of_four(folder, tmp_path, monkeypatch):
    some = [CLEAN, ("blackout", 2, "thermal"), ("salt_and_pepper", 2, "image")]
    monkeypatch.setattr(gate, "cells", lambda: iter(some))
    monkeypatch.setattr(gate, "TIMED", 1)
    out = gate.main(folder, pairs=2, results=tmp_path / "results")
    assert out["cells"][0]["cell"] == list(CLEAN) and len(out["cells"]) == 3
    for row in out["cells"]:
        assert len(row["others"]) == 4 and row["others"][row["best"]] == max(row["others"].values())
        assert row["loss"] == pytest.approx(row["others"][row["best"]] - row["ap50"])
    (written,) = (tmp_path / "results").glob("gate-*.json")
    assert json.loads(written.read_text())["figures"].keys() == out["figures"].keys()


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
