"""The keys of a training file of detect.fairmot. Unknown keys are refused with file and line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from operators.nets.fairmot_config import FairmotNetConfig
from operators.train.config import PicturesConfig, check_loop, check_names


@dataclass(frozen=True, slots=True)
class FairmotTrainConfig:
    version: Literal[1]
    train: str
    data: PicturesConfig
    steps: int
    valid: PicturesConfig | None = None
    classes: dict[str, list[str]] = field(default_factory=lambda: {"Pedestrian": ["Pedestrian"]})  # of the model -> of the data
    model: FairmotNetConfig = field(default_factory=FairmotNetConfig)
    flip: float = 0.5  # probability, left and right; a flipped object keeps its identity
    brightness: float = 0.2  # largest change, as a share
    batch: int = 4
    lr: float = 1e-3  # highest rate of the schedule
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    weight_decay: float = 0.01
    clip: float = 10.0  # largest norm of the gradient
    ema: float = 0.99  # decay of the averaged weights, which are validated and exported; 0: no average
    seed: int = 0
    minutes: float | None = None  # of steps, at most; the schedule then follows the time
    threads: int = 2
    device: Literal["cpu", "cuda"] = "cpu"
    epoch_steps: int = 200  # validation, checkpoint

    def __post_init__(self) -> None:
        check_loop(self, shares=("flip", "brightness"))
        check_names(self.classes, self.model.class_names)
