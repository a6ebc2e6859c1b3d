import dataclasses

import numpy as np
import pytest

import pillar_nets

torch = pytest.importorskip("torch")

from operators.nets.pointpillars import PointPillars  # noqa: E402
from operators.nets.pointpillars_config import CAR, PointPillarsConfig  # noqa: E402
from operators.nets.pointpillars_sparse import SparsePointPillars  # noqa: E402

TINY = PointPillarsConfig(
    cell_m=(1.0, 0.5),
    range_m=(0.0, -10.0, -3.0, 40.0, 10.0, 1.0),  # 40 x 40 cells: the last block's map has odd sizes, 5 x 5
    max_points=4,
    pillar_channels=8,
    block_layers=(1, 2, 1),
    block_channels=(8, 16, 24),
    up_channels=(8, 16, 4),
)


def near(config, num, seed=0):
    """Pillars in the grid's corners and in a quarter of it: pillars, counts, cells, read-only as frames are."""
    arrays = [part.numpy() for part in pillar_nets.scene(config, num, seed)]
    kept = np.arange(num) < 4
    kept |= (arrays[2] < np.array(config.grid) // 2).all(1)
    return [_frozen(array[kept]) for array in arrays]


def _frozen(array):
    array.flags.writeable = False
    return array


def trained(config):
    torch.manual_seed(0)
    return pillar_nets.liven(PointPillars(config))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"first_stride": 1},
        {"first_stride": 4, "range_m": (0.0, -8.0, -3.0, 16.0, 8.0, 1.0)},
        {"features": 10, "padded_maximum": True, "centre_grid_m": (0.9, 0.6, 0.1, -9.0)},
        {"block_layers": (0,), "block_channels": (8,), "up_channels": (4,), "anchors": (CAR,)},
    ],
)
def test_it_is_the_net_in_eval_mode(changed):
    config = dataclasses.replace(TINY, **changed)
    net, at = trained(config), np.arange(config.num_anchors)
    sparse = SparsePointPillars(net, threads=1)
    for num in (60, 0, 1, 9):
        with torch.inference_mode():
            expected = [head[0].numpy() for head in net(*(torch.from_numpy(a.copy()) for a in near(config, num, num)))]
        logits = sparse(*near(config, num, num))
        residuals, directions = sparse.boxes(at)
        assert expected[0].std() > 0.05 and expected[1].std() > 0.05, "they say something"
        for ours, theirs in zip((logits, residuals, directions), expected, strict=True):
            assert ours.dtype == np.float32
            np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_boxes_of_chosen_anchors_only():
    sparse = SparsePointPillars(trained(TINY), threads=1)
    sparse(*near(TINY, 30))
    everywhere = sparse.boxes(np.arange(TINY.num_anchors))
    some = np.array([7, 3, TINY.num_anchors - 1, 7])
    for part, whole in zip(sparse.boxes(some), everywhere, strict=True):
        np.testing.assert_allclose(part, whole[some], atol=1e-5)
    assert [part.shape for part in sparse.boxes(some[:0])] == [(0, 7), (0, 2)]


def test_most_of_the_maps_is_not_computed():
    sparse = SparsePointPillars(trained(TINY), threads=1)
    sparse(*near(TINY, 1))
    assert [int(conv.after.active.sum()) for conv in sparse.convs] == [4, 4, 9, 16, 9, 16]


def test_the_same_bytes_for_any_threads_and_history(monkeypatch):
    monkeypatch.setattr("operators.nets.pointpillars_sparse.CHUNK", 2048)  # several chunks each layer
    net, frames = trained(TINY), [near(TINY, 60), near(TINY, 9, 1), near(TINY, 60)]
    out = [
        [sparse(*frame).tobytes() for frame in frames] for sparse in (SparsePointPillars(net, threads) for threads in (1, 2, 4))
    ]
    assert out[0][0] == out[0][2] and out[0][0] != out[0][1]
    assert out[0] == out[1] == out[2]


def test_the_trained_net_is_not_changed():
    net = trained(TINY)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    SparsePointPillars(net, threads=1)(*near(TINY, 30))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.requires_grad for p in net.parameters())
