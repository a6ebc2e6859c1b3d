"""The keys of a training file of detect.fairmot. Unknown keys are refused with file and line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from operators.nets.fairmot_config import FairmotNetConfig
from operators.streams import CLASSES
from operators.train.config import check_loop, within
from pipeline.settings import suggest


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """A driver with the ports image and truth. Truth beyond these limits is ignored: neither object nor background."""

    driver: str
    config: dict[str, Any] = field(default_factory=dict)
    min_height_px: float = 8.0  # of a box, in the net's picture
    max_occluded: int = 1
    max_truncated: float = 0.5
    min_visible: float = 0.3  # share of a box that no nearer box covers

    def __post_init__(self) -> None:
        for key in ("max_truncated", "min_visible"):
            within(self, key, 0, 1)


@dataclass(frozen=True, slots=True)
class FairmotTrainConfig:
    version: Literal[1]
    train: str
    data: VideoConfig
    steps: int
    valid: VideoConfig | None = None
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
        if set(self.classes) != set(self.model.class_names):
            needs = ", ".join(self.model.class_names)
            raise ValueError(f"classes: needs labels for {needs}, as in model.class_names, got {', '.join(self.classes)}")
        for name, labels in self.classes.items():
            for label in labels:
                if label not in CLASSES:
                    raise ValueError(f"classes: {name}: {label} is no label of the streams{suggest(label, CLASSES)}")
