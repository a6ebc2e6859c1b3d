"""Arrays in, arrays out, with torch in between."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from operators.nets.runtimes.torch import TorchNet, fill  # noqa: E402
from operators.nets.weights import Weights  # noqa: E402
from pipeline.errors import InputError  # noqa: E402

CPU = torch.device("cpu")


def total(a, b):
    return {"sum": a + b, "first": a[:1]}


@pytest.mark.parametrize("num", [0, 1, 5])
def test_names_go_in_and_come_out(num):
    a = np.arange(num, dtype=np.float32)
    got = TorchNet(total, CPU).run({"b": np.ones(num, np.float32), "a": a})
    assert set(got) == {"sum", "first"}
    np.testing.assert_array_equal(got["sum"], a + 1)
    np.testing.assert_array_equal(got["first"], a[:1])


def test_on_a_cpu_nothing_is_copied_on_the_way_in():
    a = np.zeros(3, np.float32)
    seen = []

    def forward(a):
        seen.append(a.numpy())
        return {}

    assert TorchNet(forward, CPU).run({"a": a}) == {}
    assert np.shares_memory(seen[0], a)


def test_no_gradients_are_kept():
    layer = nn.Linear(2, 1)
    got = TorchNet(lambda x: {"y": layer(x)}, CPU).run({"x": np.ones((1, 2), np.float32)})
    assert got["y"].shape == (1, 1)


def test_an_input_that_the_net_does_not_have():
    with pytest.raises(TypeError, match="unexpected keyword argument 'c'"):
        TorchNet(total, CPU).run({"a": np.zeros(1), "b": np.zeros(1), "c": np.zeros(1)})


def test_warming_up_runs_on_a_frame_like_those_to_come():
    seen = []
    arrays = {"a": np.zeros(3, np.float32)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        TorchNet(lambda a: seen.append(a.shape) or {}, CPU).warm_up(arrays)
    assert seen == [(3,)] and not arrays["a"].flags.writeable


# ---- weights into a net


def tensors(net):
    return {name: np.full(tensor.shape, 2.0, np.float32) for name, tensor in net.state_dict().items()}


def test_fill():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    fill(net, Weights(None, tensors(net)), "w.safetensors")
    assert all(bool((tensor == 2).all()) for tensor in net.state_dict().values())


def test_fill_without_the_counters_of_batch_norm():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    fill(net, Weights(None, {n: a for n, a in tensors(net).items() if not n.endswith("num_batches_tracked")}), "w.safetensors")
    assert bool((net[0].weight == 2).all()) and int(net[1].num_batches_tracked) == 0


@pytest.mark.parametrize(
    "change", [lambda t: t.pop("0.weight"), lambda t: t.update(more=np.zeros(1)), lambda t: t.update({"0.weight": np.zeros(1)})]
)
def test_fill_refuses_another_net(change):
    net = nn.Sequential(nn.Linear(2, 3))
    wrong = tensors(net)
    change(wrong)
    with pytest.raises(InputError, match=r"^w.safetensors: weights of another net than its config says: .*(0.weight|more)"):
        fill(net, Weights(None, wrong), "w.safetensors")
