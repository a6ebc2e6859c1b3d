"""The learning rate of every step by hand, and the average of weights."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from operators.train.schedule import follow, rate  # noqa: E402


@pytest.mark.parametrize(
    ("kind", "step", "steps", "expected"),
    [
        ("onecycle", 0, 1000, 0.1),  # a tenth of the highest
        ("onecycle", 150, 1000, 0.55),  # half of the way up
        ("onecycle", 300, 1000, 1.0),
        ("onecycle", 999, 1000, 0.001),
        ("onecycle", 0, 1, 0.1),
        ("cosine", 0, 1000, 0.01),  # one of a hundred steps of warming up
        ("cosine", 999, 1000, 0.001),
        ("constant", 49, 1000, 0.5),
        ("constant", 999, 1000, 1.0),
    ],
)
def test_rate(kind, step, steps, expected):
    assert rate(kind, step, steps, 2.0) == pytest.approx(2 * expected, rel=1e-3)


@pytest.mark.parametrize("kind", ["onecycle", "cosine", "constant"])
def test_no_rate_is_above_the_highest(kind):
    assert max(rate(kind, step, 500, 1.0) for step in range(500)) == pytest.approx(1.0, rel=0.1)


def net(value):
    module = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    for tensor in module.state_dict().values():
        tensor.fill_(value)
    return module


@pytest.mark.parametrize(("step", "share"), [(0, 0.9), (10_000, 0.1)])
def test_the_average_follows_fast_at_first(step, share):
    average = net(0)
    follow(average, net(10), 0.9, step)
    assert average[0].weight.item() == pytest.approx(10 * share)
    assert float(average[1].running_mean) == pytest.approx(10 * share)
    assert int(average[1].num_batches_tracked) == 10, "a count is copied"


def test_without_an_average_it_is_the_net():
    average = net(0)
    follow(average, net(10), 0.0, 5)
    assert average[0].weight.item() == 10
