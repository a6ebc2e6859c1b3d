import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.nets.tanet import TANet  # noqa: E402
from operators.nets.tanet_config import GcnConfig, TANetConfig  # noqa: E402
from operators.nets.tanet_inference import Shift, folded  # noqa: E402
from pillar_nets import liven, scene  # noqa: E402

TINY = TANetConfig(
    cell_m=(1.0, 0.5), range_m=(0.0, -4.0, -3.0, 16.0, 4.0, 1.0), max_points=4, pillar_channels=8, block_layers=(1, 0, 2),
    block_channels=(8, 8, 8), up_channels=(8, 8, 8), reduced_channels=4,
)  # fmt: skip


@pytest.mark.parametrize("num", [0, 1, 40])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"pillar_net": "pointnet", "cnn": "mobile", "padded_maximum": True},
        {"pillar_net": "gcn", "cnn": "full-mobileV2", "gcn": GcnConfig(pool="both")},
    ],
)
def test_it_is_the_net_in_eval_mode(changed, num):
    torch.manual_seed(0)
    net = liven(TANet(dataclasses.replace(TINY, **changed)))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fast = folded(net)
    with torch.inference_mode():
        for ours, theirs in zip(fast(*scene(TINY, num)), net(*scene(TINY, num)), strict=True):
            for a, b in zip(ours or (), theirs or (), strict=True):
                np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2e-4)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()), "the trained net is not changed"
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fast.modules())


def test_a_shift_is_added_by_channel():
    shift = Shift(torch.tensor([1.0, 2.0]))
    assert shift(torch.zeros(1, 2, 1, 1)).flatten().tolist() == [1, 2] and shift(torch.zeros(1, 2)).tolist() == [[1, 2]]
