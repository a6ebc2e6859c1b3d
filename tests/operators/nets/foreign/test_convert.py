"""Foreign weights give the foreign net's boxes: a forward pass of both, for every anchor."""

import math
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

from foreign_nets import MMDet3D, OldMMDet3D, OpenPCDet, ReleasedTANet, Zhulf  # noqa: E402
from operators.detect.anchors import anchor_grid, decode  # noqa: E402
from operators.nets import weights  # noqa: E402
from operators.nets.foreign.convert import MODELS, import_file  # noqa: E402
from operators.nets.pointpillars import PointPillars  # noqa: E402
from operators.nets.pointpillars_config import POINTPILLARS  # noqa: E402
from operators.nets.pointpillars_inference import InferencePointPillars  # noqa: E402
from operators.nets.pointpillars_sparse import SparsePointPillars  # noqa: E402
from operators.nets.runtimes.torch import fill  # noqa: E402
from operators.nets.tanet import TANet  # noqa: E402
from operators.nets.tanet_config import TANET  # noqa: E402
from pillar_nets import liven, scene  # noqa: E402
from pipeline.errors import InputError  # noqa: E402

LIMITS, CELL, GRID = (2.0, -4.0, -3.0, 18.0, 4.0, 1.0), (1.0, 0.5), (16, 16)
SETS = {"range_m": list(LIMITS), "cell_m": list(CELL)}
THREE = ("Car", "Pedestrian", "Cyclist")


def boxes_of(heads, config, coarse=None):
    """boxes3d (A, 7), scores (A, C) of our net's heads, without thresholds and NMS"""
    scores, residuals, directions = (head[0].numpy() for head in heads)
    anchors = anchor_grid(config)
    if coarse is not None:
        anchors = decode(coarse.box_residuals[0].numpy(), np.zeros(len(anchors), int), anchors)
    boxes = decode(residuals, directions.argmax(1), anchors, config.direction_offset_rad)
    return boxes, 1 / (1 + np.exp(-scores.astype(np.float64)))


def same(ours, theirs, classes, order, tolerance=2e-4):
    """Boxes as bodies with a heading; scores by class name. Tensors of more than 4096 values are float16 in our files."""
    (boxes, scores), (expected, expected_scores) = ours, (part.numpy() for part in theirs)
    assert np.unique(expected_scores.round(3)).size > 20 and expected[:, :6].std(0).min() > 0.01, "they say something"
    np.testing.assert_allclose(boxes[:, :6], expected[:, :6], rtol=tolerance, atol=tolerance)
    turn = np.angle(np.exp(1j * (boxes[:, 6] - expected[:, 6])))
    assert (np.abs(turn) > tolerance).mean() < 0.002, "but for boxes that point along a border of the directions"
    np.testing.assert_allclose(scores, expected_scores[:, [order.index(name) for name in classes]], atol=tolerance)


def foreign(net, seed=0):
    """In eval mode, with uncertain scores and headings in every direction."""
    torch.manual_seed(seed)
    net = liven(net)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if re.search(r"(conv_reg|conv_box|refine_loc)\.weight$", name):
                value.normal_(0, 0.1)
            if re.search(r"(conv_reg|conv_box|refine_loc)\.bias$", name):
                value.uniform_(-0.3, 0.3)
    return net


def imported(net, tmp_path, model="pointpillars", sets=SETS, wrap=lambda state: state, name="foreign.pth"):
    torch.save(wrap(net.state_dict()), tmp_path / name)
    lines = import_file(str(tmp_path / name), model, tmp_path / "ours.safetensors", sets)
    loaded = weights.load(tmp_path / "ours.safetensors", TANET if model.startswith("tanet") else POINTPILLARS)
    return loaded, lines


@pytest.mark.parametrize(
    ("make", "classes", "sets"),
    [
        (OpenPCDet, THREE, {}),
        (MMDet3D, ("Pedestrian", "Cyclist", "Car"), {}),
        (OldMMDet3D, ("Pedestrian", "Cyclist", "Car"), {"anchor_span_m": [2.0, -4.0, 70.4, 4.0]}),
        (Zhulf, ("Pedestrian", "Cyclist", "Car"), {}),
    ],
)
@pytest.mark.parametrize("num", [1, 60])
def test_pointpillars_of_others(tmp_path, make, classes, sets, num):
    net = foreign(make(CELL, LIMITS, GRID))
    loaded, lines = imported(net, tmp_path, sets=SETS | sets)
    config = loaded.config
    assert config.class_names == classes and config.features == net.features and config.max_points == 32
    assert (config.block_layers, config.block_channels, config.up_channels) == (net.layers, net.channels, net.ups)
    ours = PointPillars(config)
    fill(ours, loaded, "ours")
    fast = InferencePointPillars(ours.eval())
    inputs = scene(config, num)
    with torch.inference_mode():
        theirs = net.boxes(*inputs)
        same(boxes_of(ours(*inputs), config), theirs, classes, net.order)
        logits, levels = fast(*inputs)
        heads = (logits, *fast.boxes(levels, torch.arange(config.num_anchors)))
        same(boxes_of([head[None] for head in heads], config), theirs, classes, net.order)
    sparse = SparsePointPillars(ours, 1)
    logits = torch.from_numpy(sparse(*(part.numpy() for part in inputs)))
    heads = (logits, *map(torch.from_numpy, sparse.boxes(np.arange(config.num_anchors))))
    same(boxes_of([head[None] for head in heads], config), theirs, classes, net.order)
    assert ", ".join(classes) in lines[0] and "range_m: [2.0, -4.0, -3.0, 18.0, 4.0, 1.0], max_points: 32" in lines[1]


@pytest.mark.parametrize("num", [1, 60])
@pytest.mark.parametrize(
    ("model", "order", "sets"),
    [
        ("tanet_car_16", ("Car",), {}),
        ("tanet_ped_cycle_20", ("Cyclist", "Pedestrian"), {}),
    ],
)
def test_tanet_of_its_authors(tmp_path, model, order, sets, num):
    net = foreign(ReleasedTANet(CELL, LIMITS, GRID, order, points=16, F=16, c=(8, 12, 16), u=8, layers=(1, 0, 2)))
    loaded, _ = imported(net, tmp_path, model, SETS | sets)
    config = loaded.config
    assert config.class_names == order and config.first_stride == net.stride and config.max_points == 16
    ours = TANet(config)
    fill(ours, loaded, "ours")
    inputs = scene(config, num)
    with torch.inference_mode():
        coarse, refine = ours.eval()(*inputs)
        first, second = net.boxes(*inputs)
    same(boxes_of(coarse, config), first, order, order)
    same(boxes_of(refine, config, coarse), second, order, order, 2e-3)


def test_the_released_sizes_are_those_of_the_presets(tmp_path):
    """The tensors of the released car model, by name and shape; ours keep the numbers of the preset."""
    net = ReleasedTANet((0.16, 0.16), (0, -39.68, -3, 69.12, 39.68, 1), (496, 432), ("Car",), layers=(3, 5, 5))
    loaded, lines = imported(net, tmp_path, "tanet_car_16", {})
    given = MODELS["tanet_car_16"]
    for key in ("block_layers", "block_channels", "up_channels", "max_points", "pillar_channels", "reduced_channels", "grid"):
        assert getattr(loaded.config, key) == getattr(given, key), key
    assert "tanet of happinesslz/TANet, Car, 6,499,159 parameters" in lines[0] and "op: detect.tanet" in lines[2]
    assert loaded.facts == {"imported from": "happinesslz/TANet", "file": "foreign.pth"}


def test_cars_alone(tmp_path):
    class Cars(OpenPCDet):
        order = ("Car",)

    loaded, _ = imported(foreign(Cars(CELL, LIMITS, GRID)), tmp_path)
    assert loaded.config.class_names == ("Car",)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model_state": state, "epoch": 80, "it": 1, "optimizer_state": None, "version": "pcdet+0.6"},
        lambda state: {"state_dict": state, "meta": {"CLASSES": ["Car"], "hook_msgs": {}}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {name: value.to(torch.float64) if value.is_floating_point() else value for name, value in state.items()},
        lambda state: dict(reversed(list(state.items()))),
    ],
)
def test_checkpoints_are_unwrapped(tmp_path, wrap):
    net = foreign(OpenPCDet(CELL, LIMITS, GRID))
    plain, _ = imported(net, tmp_path)
    other, _ = imported(net, tmp_path, wrap=wrap)
    assert other.config == plain.config
    assert all(np.array_equal(other.tensors[name], array) for name, array in plain.tensors.items())


def test_safetensors_will_do(tmp_path):
    net = foreign(Zhulf(CELL, LIMITS, GRID))
    plain, _ = imported(net, tmp_path)
    save_file(net.state_dict(), tmp_path / "theirs.safetensors")
    import_file(str(tmp_path / "theirs.safetensors"), "pointpillars", tmp_path / "sub" / "other.safetensors", SETS)
    other = weights.load(tmp_path / "sub" / "other.safetensors", POINTPILLARS)
    assert all(np.array_equal(other.tensors[name], array) for name, array in plain.tensors.items())


def test_the_numbers_of_batch_norm_are_one_thousandth():
    """All four programs set eps = 1e-3, as ours does: nothing to convert."""
    net = PointPillars(MODELS["pointpillars"])
    norms = [m for m in net.modules() if isinstance(m, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d))]
    assert {norm.eps for norm in norms} == {1e-3}


def test_conventions_in_the_config(tmp_path):
    loaded, _ = imported(foreign(OpenPCDet(CELL, LIMITS, GRID)), tmp_path)
    config = loaded.config
    assert config.anchor_yaws_rad == (0.0, 1.57) and config.direction_offset_rad == 0.78539 and config.padded_maximum
    assert config.anchor_span_m == (2.0, -4.0, 18.0, 4.0)
    anchors = anchor_grid(config)
    np.testing.assert_allclose(anchors[[0, -1], :2], [[2, -4], [18, 4]], atol=1e-6)
    assert anchors[0, 2] == pytest.approx(-1.0) and anchors[1, 6] == pytest.approx(1.57)
    old, _ = imported(foreign(OldMMDet3D(CELL, LIMITS, GRID)), tmp_path)
    assert old.config.anchor_span_m == (0.0, -39.68, 70.4, 39.68) and old.config.direction_offset_rad == math.pi / 2


# ---- what is refused


def refused(message, path, model="pointpillars", sets=None):
    with pytest.raises(InputError, match=message) as caught:
        import_file(str(path), model, path.with_name("ours.safetensors"), sets)
    assert "\n" not in str(caught.value) and not path.with_name("ours.safetensors").exists()


def saved(tmp_path, content):
    torch.save(content, tmp_path / "f.pth")
    return tmp_path / "f.pth"


def test_missing_and_broken_files(tmp_path):
    refused(r"f.pth: needs a weight file, got nothing there$", tmp_path / "f.pth")
    refused(r": needs a weight file, got a folder$", tmp_path / ".")
    for content in (b"", b"version: 1\n" * 9, b"PK\x03\x04" + bytes(200), b"\x80\x04\x95" * 50):
        (tmp_path / "f.pth").write_bytes(content)
        refused(r"f.pth: needs a file of torch.save or a .safetensors, got: ", tmp_path / "f.pth")
        (tmp_path / "f.safetensors").write_bytes(content)
        refused(r"f.safetensors: needs a whole .safetensors file, got: ", tmp_path / "f.safetensors")
    whole = saved(tmp_path, {"a": torch.zeros(1000)}).read_bytes()
    (tmp_path / "f.pth").write_bytes(whole[:-300])
    refused(r"f.pth: needs a file of torch.save or a .safetensors, got: ", tmp_path / "f.pth")


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


class HistoryBuffer:
    pass


def test_nothing_is_executed(tmp_path, capsys):
    refused(r"got a pickle with .*print, which is not loaded; in the program that wrote it", saved(tmp_path, {"a": Evil()}))
    assert "executed" not in capsys.readouterr().out
    refused(r"got a pickle with [\w.]*HistoryBuffer, which is not loaded", saved(tmp_path, {"meta": HistoryBuffer()}))


def test_files_that_hold_no_net(tmp_path):
    refused(r"f.pth: needs the tensors of a net by name, got a list$", saved(tmp_path, [torch.zeros(1)]))
    refused(
        r"f.pth: needs the tensors of a net by name, got none among the keys epoch, it$", saved(tmp_path, {"epoch": 1, "it": 2})
    )
    refused(r"got none among the keys of an empty file$", saved(tmp_path, {}))


def test_another_layout_names_what_was_found(tmp_path):
    refused(
        r"^\S*f.pth: needs a file of OpenPCDet PointPillars, mmdetection3d PointPillars, zhulf0804/PointPillars, "
        r"happinesslz/TANet, got 2 tensors, the first one conv1.weight \[4, 3, 7, 7\]$",
        saved(tmp_path, {"conv1.weight": torch.zeros(4, 3, 7, 7), "fc.bias": torch.zeros(9)}),
    )
    ours = PointPillars(MODELS["pointpillars"]).state_dict()
    refused(r"\[64, 9\]: a weight file of this program already$", saved(tmp_path, ours))
    second = {"voxel_feature_extractor.VoxelFeature_TA.FC1.0.weight": torch.zeros(1), "rpn.blocks.0.1.weight": torch.zeros(1)}
    refused(r": TANet on second.pytorch 1.6, which has other conventions; ", saved(tmp_path, second))


def test_models_that_do_not_fit(tmp_path):
    path = saved(tmp_path, foreign(OpenPCDet(CELL, LIMITS, GRID)).state_dict())
    refused(
        r"^--model pointpilars: needs one of pointpillars, tanet_car_16, .*; did you mean pointpillars\?$", path, "pointpilars"
    )
    refused(r"f.pth: needs --model pointpillars for a file of OpenPCDet PointPillars, got tanet_car_16$", path, "tanet_car_16")
    net = ReleasedTANet(CELL, LIMITS, GRID, ("Cyclist", "Pedestrian"), points=16, F=16, c=(8, 12, 16), u=8)
    path = saved(tmp_path, net.state_dict())
    refused(r"needs --model tanet_car_16 or .* for a file of happinesslz/TANet, got pointpillars$", path)
    refused(r"class_head.weight: needs \[2, 24, 1, 1\], got \[8, 24, 1, 1\]$", path, "tanet_car_16", SETS)


def test_nets_with_other_layers(tmp_path):
    state = foreign(OpenPCDet(CELL, LIMITS, GRID)).state_dict()
    two = dict(state)
    del two["dense_head.conv_dir_cls.weight"]
    refused(r"OpenPCDet PointPillars: needs the tensor dense_head.conv_dir_cls.weight, got none$", saved(tmp_path, two))
    more = state | {"roi_head.fc.weight": torch.zeros(3, 4)}
    refused(r"needs no tensor roi_head.fc.weight, got \[3, 4\]: a net with other layers$", saved(tmp_path, more))
    wide = dict(state)
    wide["dense_head.conv_cls.bias"] = torch.zeros(8)
    refused(r"needs a class head of 2 \(Car\) or 18 \(three classes\) values per location, got 8$", saved(tmp_path, wide))
    square = state | {"backbone_2d.blocks.1.1.weight": torch.zeros(12, 9, 3, 3)}
    refused(r"blocks.1.0.conv.weight: needs \[12, 8, 3, 3\], got \[12, 9, 3, 3\]$", saved(tmp_path, square), sets=SETS)
    nan = state | {"vfe.pfn_layers.0.norm.bias": torch.full((8,), torch.nan)}
    refused(r"pillar_norm.bias: needs finite weights, got 8 of 8 that are not$", saved(tmp_path, nan), sets=SETS)


def test_keys_that_are_wrong(tmp_path):
    path = saved(tmp_path, foreign(OpenPCDet(CELL, LIMITS, GRID)).state_dict())
    refused(r"f.pth: cell: unknown key; did you mean cell_m\?$", path, sets={"cell": [1, 1]})
    refused(r"f.pth: range_m: needs a multiple of 8 cells, got x from 0.0 to 3.0 ", path, sets={"range_m": [0, 0, 0, 3, 3, 1]})
