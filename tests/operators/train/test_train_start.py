"""A new training starts with the tensors of a file that fit."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from operators.nets import weights  # noqa: E402
from operators.nets.pointpillars import PointPillars  # noqa: E402
from operators.nets.pointpillars_config import POINTPILLARS, PointPillarsConfig  # noqa: E402
from operators.train.config import StartConfig  # noqa: E402
from operators.train.start import copy  # noqa: E402
from pipeline.errors import GraphError  # noqa: E402

SMALL = {"cell_m": (0.64, 0.64), "range_m": (0.0, -10.24, -3.0, 20.48, 10.24, 1.0), "pillar_channels": 4}


def config(channels):
    return PointPillarsConfig(**SMALL, block_layers=(1, 1), block_channels=channels, up_channels=(4, 4))


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(1)
    net = PointPillars(config((4, 8)))
    net.pillar_norm.running_mean.fill_(3.0)
    weights.save(tmp_path / "a.safetensors", POINTPILLARS, net.config, net.state_dict())
    return str(tmp_path / "a.safetensors")


def test_all_of_an_equal_net(file):
    net = PointPillars(config((4, 8)))
    tensors = weights.load(file, POINTPILLARS).tensors
    assert copy(net, StartConfig(file), POINTPILLARS) == len(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(net.state_dict()[name].numpy(), array, err_msg=name)


def test_what_does_not_fit_stays(file):
    net = PointPillars(config((4, 16)))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    tensors = weights.load(file, POINTPILLARS).tensors
    num = copy(net, StartConfig(file), POINTPILLARS)
    assert 0 < num < len(tensors)
    changed = net.state_dict()
    np.testing.assert_array_equal(changed["pillar_norm.running_mean"].numpy(), 3)
    torch.testing.assert_close(changed["blocks.1.0.conv.weight"], before["blocks.1.0.conv.weight"])


def test_only_some(file):
    net = PointPillars(config((4, 8)))
    assert copy(net, StartConfig(file, ("pillar_",)), POINTPILLARS) == 5
    assert net.pillar_norm.running_mean.mean() == 3


def test_nothing_fits(file, tmp_path):
    with pytest.raises(
        GraphError, match=r"start_from: needs a tensor that begins with nonsense of the net's own shape in .*, got none"
    ):
        copy(PointPillars(config((4, 8))), StartConfig(file, ("nonsense",)), POINTPILLARS)
    with pytest.raises(GraphError, match=r"start_from\.weights: .*needs a \.safetensors file"):
        copy(PointPillars(config((4, 8))), StartConfig(str(tmp_path / "no.safetensors")), POINTPILLARS)
