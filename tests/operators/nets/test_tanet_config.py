import dataclasses
import re
import subprocess
import sys

import pytest

from operators.nets import weights
from operators.nets.pointpillars_config import CAR, PointPillarsConfig
from operators.nets.tanet_config import PRESETS, TANET, GcnConfig, TANetConfig
from operators.nets.tanet_shapes import hidden, tensor_shapes
from pipeline import settings
from pipeline.errors import InputError


@pytest.mark.parametrize(
    ("preset", "columns", "rows", "head_grid"),
    [
        ("car_16", 432, 496, (248, 216)),
        ("car_20", 352, 400, (200, 176)),
        ("car_24", 296, 336, (168, 148)),
        ("car_28", 256, 288, (144, 128)),
        ("ped_cycle_16", 296, 248, (248, 296)),
        ("ped_cycle_20", 240, 200, (200, 240)),
        ("ped_cycle_24", 200, 164, (164, 200)),
        ("ped_cycle_28", 168, 144, (144, 168)),
        ("car_32_half", 216, 248, (124, 108)),
    ],
)
def test_released_grids(preset, columns, rows, head_grid):
    config = PRESETS[preset]
    assert config.grid == (rows, columns) and config.head_grid == head_grid
    other = PRESETS.get(preset.replace("car", "three"), config)
    assert other.grid == config.grid


def test_presets_are_car_and_three_class_heads_of_four_voxel_sizes():
    assert {name: config.class_names for name, config in PRESETS.items() if name.startswith(("car", "three"))} == {
        **{f"car_{cm}": ("Car",) for cm in (16, 20, 24, 28)},
        **{f"three_{cm}": ("Car", "Pedestrian", "Cyclist") for cm in (16, 20, 24, 28)},
        "car_32_half": ("Car",),
    }
    assert all(config.max_points == 100 for name, config in PRESETS.items() if name != "car_32_half")
    assert TANetConfig() == PRESETS["three_16"]


def test_the_walkers_anchors_stand_lower():
    bottoms = [anchor.z_m - anchor.size_m[2] / 2 for anchor in PRESETS["ped_cycle_16"].anchors]
    assert bottoms == pytest.approx([-1.465, -1.465])


def test_hidden_widths_are_the_released_ones():
    assert [hidden(n) for n in (100, 9, 64, 32, 10, 7, 1)] == [8, 9, 8, 8, 10, 7, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_points": 2000}, "max_points: needs at most 1024 for this net, got 2000"),
        ({"reduced_channels": 0}, "reduced_channels: needs 1..4096, got 0"),
        (
            {"block_layers": (1, 1), "block_channels": (8, 8), "up_channels": (8, 8)},
            "block_layers: needs 3 blocks for the refine stage of tanet, got 2",
        ),
        ({"up_channels": (8, 8, 4)}, "up_channels: needs equal numbers for the refine stage, got [8, 8, 4]"),
        ({"block_channels": (7, 8, 8)}, "block_channels: needs even numbers for the refine stage, got [7, 8, 8]"),
        ({"features": 11}, "features: needs 9 or 10, got 11"),
        ({"max_points": 0}, "max_points: needs 1 or more, got 0"),
    ],
)
def test_wrong_settings(wrong, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        dataclasses.replace(TANetConfig(), **wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"neighbours": 0}, "neighbours: needs 1 or more, got 0"),
        ({"radius_m": 0.0}, "radius_m: needs more than 0, got 0"),
        ({"radius_m": float("nan")}, "radius_m: needs more than 0, got nan"),
        ({"layers": 9}, "layers: needs 1..8, got 9"),
    ],
)
def test_wrong_graphs(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        GcnConfig(**wrong)


def test_without_a_refine_stage_any_number_of_blocks_will_do():
    config = TANetConfig(cnn="coarse", block_layers=(1, 1), block_channels=(7, 8), up_channels=(8, 4), anchors=(CAR,))
    assert not any(name.startswith("psa.") for name in tensor_shapes(config))


def test_weight_files_there_and_back(tmp_path):
    pytest.importorskip("safetensors")
    config = dataclasses.replace(
        PRESETS["car_32_half"], pillar_net="gcn", gcn=GcnConfig(graph="nearest", pool="both"), cnn="crop1+filter2"
    )
    tensors = {name: [0.5] * shape[0] if len(shape) == 1 else _filled(shape) for name, shape in tensor_shapes(config).items()}
    weights.save(tmp_path / "t.safetensors", TANET, config, tensors)
    loaded = weights.load(tmp_path / "t.safetensors", TANET)
    assert loaded.config == config and list(loaded.tensors) == list(tensor_shapes(config))
    assert settings.build(TANetConfig, settings.plain(config), settings.Where("f")) == config


def _filled(shape):
    import numpy as np

    return np.full(shape, 0.5, np.float32)


def test_pointpillars_files_keep_their_config():
    """A file written before the newer keys has none of them: the defaults are what it was trained with."""
    old = {k: v for k, v in settings.plain(PointPillarsConfig()).items() if k != "features"}
    assert settings.build(PointPillarsConfig, old, settings.Where("f")) == PointPillarsConfig()


def test_no_weights_are_shipped_and_the_message_names_the_command():
    with pytest.raises(InputError, match=r"got nothing; none is shipped: train one with pipe train tanet_world --out out/tanet$"):
        weights.load("", TANET)


def test_the_config_needs_no_torch():
    code = "import sys, operators.nets.tanet_config; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
