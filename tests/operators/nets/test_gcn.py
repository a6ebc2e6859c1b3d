import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.nets.gcn import GcnNet, adjacency  # noqa: E402
from operators.nets.tanet import TANet  # noqa: E402
from operators.nets.tanet_config import GcnConfig, TANetConfig  # noqa: E402
from operators.nets.tanet_shapes import tensor_shapes  # noqa: E402
from pillar_nets import liven, scene  # noqa: E402

TINY = TANetConfig(
    cell_m=(1.0, 0.5), range_m=(0.0, -4.0, -3.0, 16.0, 4.0, 1.0), max_points=6, pillar_channels=8, block_layers=(1, 1, 1),
    block_channels=(8, 8, 8), up_channels=(8, 8, 8), reduced_channels=4, pillar_net="gcn", cnn="coarse",
)  # fmt: skip


def naive(points, num, config):
    """The normalised adjacency of one pillar, one pair after the other."""
    K = len(points)
    A = np.zeros((K, K))
    for i in range(num):
        apart = [(np.linalg.norm(points[i] - points[j]), j) for j in range(num) if j != i]
        near = sorted(apart)[: config.neighbours] if config.graph == "nearest" else [a for a in apart if a[0] < config.radius_m]
        for _, j in near:
            A[i, j] = A[j, i] = 1
    A[np.arange(num), np.arange(num)] = 1
    scale = 1 / np.sqrt(np.maximum(A.sum(1), 1))
    return scale[:, None] * A * scale


@pytest.mark.parametrize("config", [GcnConfig(radius_m=0.5), GcnConfig(graph="nearest", neighbours=2), GcnConfig(radius_m=9.0)])
def test_adjacency_is_the_naive_one(config):
    pillars, counts, _ = scene(TINY, 40)
    kept = torch.arange(6) < counts[:, None]
    A = adjacency(pillars[..., :3], kept, config)
    assert A.shape == (40, 6, 6) and torch.equal(A, A.transpose(1, 2))
    for p in range(40):
        np.testing.assert_allclose(A[p].numpy(), naive(pillars[p, :, :3].numpy(), int(counts[p]), config), atol=1e-6)


def test_closer_than_the_radius_and_not_farther():
    points = torch.tensor([[[0.0, 0, 0], [0.2, 0, 0], [0.5, 0, 0]]])
    A = adjacency(points, torch.ones(1, 3, dtype=torch.bool), GcnConfig(radius_m=0.25))
    assert (A[0] > 0).tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_one_point_is_its_own_neighbour():
    A = adjacency(torch.zeros(1, 3, 3), torch.tensor([[True, False, False]]), GcnConfig(graph="nearest"))
    assert A[0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert adjacency(torch.zeros(0, 3, 3), torch.zeros(0, 3, dtype=torch.bool), GcnConfig()).shape == (0, 3, 3)


@pytest.mark.parametrize("pool", ["mean", "linear", "both"])
def test_the_net_is_its_formula(pool):
    config = dataclasses.replace(TINY, gcn=GcnConfig(graph="nearest", neighbours=2, pool=pool))
    torch.manual_seed(0)
    net = liven(GcnNet(config)).double()
    pillars, counts, cells = scene(config, 20)
    with torch.inference_mode():
        found = net(pillars.double(), counts, cells).numpy()
    W = [layer.weight.detach().numpy() for layer in net.layers]
    for p in range(20):
        num = int(counts[p])
        points, (row, column) = pillars[p, :num].double().numpy(), cells[p].tolist()
        near = [column + 0.5, -4 + (row + 0.5) * 0.5]
        H = np.concatenate([points, points[:, :3] - points[:, :3].mean(0), points[:, :2] - near], 1)
        A = naive(points[:, :3], num, config.gcn)
        for weight in W:
            H = np.maximum(A @ H @ weight.T, 0)
        pooled = H.mean(0) if pool != "linear" else 0
        if pool != "mean":
            padded = np.zeros((6, 8))
            padded[:num] = H
            pooled = pooled + net.connect(torch.from_numpy(padded.reshape(-1))).detach().numpy()
        expected = net.norm(torch.from_numpy(pooled)[None])[0].relu().detach().numpy()
        np.testing.assert_allclose(found[p], expected, atol=1e-5)


def test_the_order_of_the_points_does_not_matter_to_the_mean():
    net = liven(GcnNet(TINY))
    pillars, counts, cells = scene(TINY, 30)
    turned = pillars.clone()
    for p, num in enumerate(counts.tolist()):
        turned[p, :num] = pillars[p, :num].flip(0)
    with torch.inference_mode():
        np.testing.assert_allclose(net(turned, counts, cells).numpy(), net(pillars, counts, cells).numpy(), atol=1e-5)


@pytest.mark.parametrize(("pool", "layers"), [("mean", 1), ("linear", 2), ("both", 3)])
def test_parameters_by_hand(pool, layers):
    config = dataclasses.replace(TINY, gcn=GcnConfig(layers=layers, pool=pool))
    state = TANet(config).state_dict()
    assert list(tensor_shapes(config).items()) == [(n, tuple(v.shape)) for n, v in state.items() if "num_batches" not in n]
    parameters = 9 * 8 + (layers - 1) * 8 * 8 + (0 if pool == "mean" else 6 * 8 * 8 + 8) + 2 * 8
    assert sum(p.numel() for p in GcnNet(config).parameters()) == parameters


def test_the_whole_net_sees_the_graph():
    net = liven(TANet(TINY))
    with torch.inference_mode():
        some, none = net(*scene(TINY, 30)).coarse, net(*scene(TINY, 0)).coarse
    assert (some.class_logits - none.class_logits).abs().max() > 1e-3
