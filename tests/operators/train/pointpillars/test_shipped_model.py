"""The shipped detector: its size, its record, its first losses again."""

import csv
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from operators.detect.pointpillars import DetectorConfig
from operators.nets import weights
from operators.nets.pointpillars_config import POINTPILLARS

ROOT = Path(__file__).parents[4]
NAME = "pointpillars_world"


pytestmark = pytest.mark.skipif(find_spec("safetensors") is None, reason="the shipped weights need safetensors (extra torch)")


def losses(path):
    with path.open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_it_is_the_default_and_small():
    assert DetectorConfig().weights == NAME
    assert weights.shipped() == [NAME]
    assert weights.find(NAME, POINTPILLARS).stat().st_size < 12e6


def test_it_was_trained_on_generated_scenes_only():
    facts = weights.load(NAME, POINTPILLARS).facts
    assert '"driver": "synthetic.world"' in facts["training"]
    assert "kitti" not in facts["training"].lower()
    assert "root" not in facts["training"]


def test_it_has_a_card_that_names_commit_and_seed():
    facts = weights.load(NAME, POINTPILLARS).facts
    card = weights.MODELS.joinpath(f"{NAME}.md").read_text()
    assert facts["commit"] in card
    assert f"seed {facts['seed']}:" in card
    assert not facts["commit"].endswith("+")


@pytest.mark.slow
def test_its_first_losses_come_again(tmp_path):
    """Equal on the machine of the training; on others float32 adds in another order, and the losses drift apart slowly."""
    pytest.importorskip("torch")
    trained = json.loads(weights.load(NAME, POINTPILLARS).facts["training"])
    if trained["data"]["config"] != yaml.safe_load((ROOT / "graphs/train" / f"{NAME}.yaml").read_text())["data"]["config"]:
        pytest.skip(f"the shipped weights were trained on other scenes than {NAME}.yaml makes: train them again")
    start = subprocess.run(["git", "show", trained["start_from"]["weights"]], cwd=ROOT, capture_output=True, check=False)
    if start.returncode:
        pytest.skip(f"the training began with weights of an earlier commit: {start.stderr.decode().strip()}")
    (tmp_path / "start.safetensors").write_bytes(start.stdout)
    command = [sys.executable, "-m", "pipeline", "train", NAME, "--steps", "50", "--out", str(tmp_path / "t"), "--quiet"]
    command += ["--set", f"start_from.weights={tmp_path / 'start.safetensors'}", "--set", f"lr={trained['lr']}"]
    subprocess.run(command, cwd=ROOT, check=True)
    again, first = losses(tmp_path / "t" / "losses.csv"), losses(weights.MODELS / f"{NAME}.losses.csv")
    assert len(again) == len(first) == 50
    assert again[:3] == pytest.approx(first[:3], rel=0.02)
    assert sum(again) == pytest.approx(sum(first), rel=0.05)
