"""Keys of the loop that every training file has."""

import re
from dataclasses import dataclass

import pytest

from operators.train.config import at_least, check_loop, within


@dataclass
class Config:
    steps: int = 1
    batch: int = 1
    threads: int = 1
    epoch_steps: int = 1
    ema: float = 0.9
    lr: float = 0.1
    clip: float = 1.0
    minutes: float | None = None
    prefetch: int = 1
    flip: float | None = None


def test_what_is_right_passes():
    check_loop(Config(), ("prefetch",), ("flip",))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps: needs 1 or more, got 0"),
        ({"epoch_steps": -1}, "epoch_steps: needs 1 or more, got -1"),
        ({"prefetch": 0}, "prefetch: needs 1 or more, got 0"),
        ({"ema": 1.5}, "ema: needs 0..1, got 1.5"),
        ({"flip": -0.5}, "flip: needs 0..1, got -0.5"),
        ({"lr": 0}, "lr: needs more than 0, got 0"),
        ({"clip": float("nan")}, "clip: needs more than 0, got nan"),
        ({"minutes": 0}, "minutes: needs more than 0, got 0"),
    ],
)
def test_what_is_wrong_is_named(wrong, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_loop(Config(**wrong), ("prefetch",), ("flip",))


def test_limits_are_within():
    at_least(Config(), "steps", 1)
    within(Config(), "lr", 0.1, 1)
