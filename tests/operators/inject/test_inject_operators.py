"""The operators of `inject:` alone: ports, levels, what follows from the seed and what from the frame."""

import re

import numpy as np
import pytest

from operators.inject import beam_loss, blackout, fog, freeze, glare, noise, rain, salt_and_pepper, sector_loss, shift, whiteout
from operators.streams import THERMAL_RAW
from pipeline.testing import run_operator

PICTURES = {
    "blackout": (blackout.Blackout, False),
    "whiteout": (whiteout.Whiteout, False),
    "glare": (glare.Glare, True),
    "noise": (noise.Noise, True),
    "salt_and_pepper": (salt_and_pepper.SaltAndPepper, True),
    "shift": (shift.Shift, False),
}
SWEEPS = {
    "beam_loss": (beam_loss.BeamLoss, False),
    "sector_loss": (sector_loss.SectorLoss, False),
    "rain": (rain.Rain, True),
    "fog": (fog.Fog, True),
}
GIVEN = {
    "image": np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8),
    "grey": np.random.default_rng(1).integers(0, 255, (20, 30)).astype(np.uint8),
    "thermal_raw": np.random.default_rng(2).integers(7000, 9000, (20, 30)).astype(np.uint16),
}
SWEEP = np.random.default_rng(3).uniform(-40, 40, (3000, 4)).astype(np.float32)


@pytest.mark.parametrize("port", GIVEN)
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_comes_out_of_its_own_port_changed(name, port):
    cls, by_frame = PICTURES[name]
    outs = run_operator(cls, [{port: GIVEN[port]}] * 2)
    assert [list(out) for out in outs] == [[port]] * 2
    assert not np.array_equal(outs[0][port], GIVEN[port])
    assert np.array_equal(outs[0][port], outs[1][port]) != by_frame


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_loses_points(name):
    cls, by_frame = SWEEPS[name]
    outs = run_operator(cls, [SWEEP, SWEEP, SWEEP[:0]])
    assert 0 < len(outs[0]) < len(SWEEP) and len(outs[2]) == 0
    assert np.array_equal(outs[0], outs[1]) != by_frame
    if name != "fog":
        assert len(outs[0]) > len(SWEEP) / 4


def test_freeze_repeats_its_first_picture_of_each_port():
    raw = GIVEN["thermal_raw"]
    both = [{"image": GIVEN["image"] // n, "thermal_raw": raw // n} for n in (1, 2, 3)]
    outs = run_operator(freeze.Freeze, both)
    assert all(np.array_equal(out["image"], GIVEN["image"]) and np.array_equal(out["thermal_raw"], raw) for out in outs)
    assert THERMAL_RAW.arrays["thermal_raw"].dtype == "uint16"


@pytest.mark.parametrize(("cls", "level", "needs"), [
    (blackout.Blackout, 1.5, "0 .. 1"), (shift.Shift, -1, "0 .. 2048"), (fog.Fog, 0, "5 .. 10000"),
    (rain.Rain, float("inf"), "0 .. 500"), (sector_loss.SectorLoss, 361, "0 .. 360"), (noise.Noise, float("nan"), "0 .. 1"),
])  # fmt: skip
def test_levels_out_of_range(cls, level, needs):
    with pytest.raises(ValueError, match=re.escape(f"level: needs {needs}, got")):
        cls.Config(level=level)
