"""The keys of a training file of segment.efficientps. Unknown keys are refused with file and line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from operators.nets.efficientps_config import EfficientPSConfig
from operators.train.config import StartConfig, at_least, check_loop, within


@dataclass(frozen=True, slots=True)
class ClipsConfig:
    """A driver with the ports image and panoptic_truth."""

    driver: str
    config: dict[str, Any] = field(default_factory=dict)
    min_area_px: int = 48  # of a thing in the net's picture; smaller ones are neither object nor background

    def __post_init__(self) -> None:
        at_least(self, "min_area_px", 1)


@dataclass(frozen=True, slots=True)
class PanopticTrainConfig:
    version: Literal[1]
    train: str
    data: ClipsConfig
    steps: int
    model: EfficientPSConfig
    valid: ClipsConfig | None = None
    classes: dict[str, list[str]] = field(default_factory=dict)  # of the model -> of the data; a class left out: that of its name
    start_from: StartConfig | None = None
    clip_frames: int = 3  # t_w: frames of a mini-sequence, whose objects the triplet loss compares; 1 without a tracking head
    margin: float = 0.2  # alpha of the triplet loss
    anchor_positive: float = 0.7  # T_H: an anchor with a larger IoU is an object, and so is the best one of each object
    anchor_negative: float = 0.3  # T_L: one with a smaller IoU is none
    region_positive: float = 0.5  # T_N: a proposal with a larger IoU is an object, any other is none
    anchors: int = 256  # N_s, sampled of each picture, at most half of them objects
    regions: int = 512  # K_s, sampled of each picture, at most a quarter of them objects
    proposals: int = 1000  # of each picture
    scale: tuple[float, float] = (0.5, 2.0)  # of the picture, then cut or filled to the size of the net
    flip: float = 0.5  # probability, left and right
    brightness: float = 0.2  # largest change, as a share
    batch: int = 2  # mini-sequences
    lr: float = 1e-3  # highest rate of the schedule
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    weight_decay: float = 0.01
    clip: float = 10.0  # largest norm of the gradient
    ema: float = 0.995  # decay of the averaged weights, which are validated and exported; 0: no average
    seed: int = 0
    minutes: float | None = None  # of steps, at most; the schedule then follows the time
    threads: int = 2
    device: Literal["cpu", "cuda"] = "cpu"
    epoch_steps: int = 500  # validation, checkpoint

    def __post_init__(self) -> None:
        thresholds = ("anchor_positive", "anchor_negative", "region_positive")
        check_loop(self, counts=("clip_frames", "anchors", "regions", "proposals"), shares=("flip", "brightness", *thresholds))
        if self.anchor_negative > self.anchor_positive:
            raise ValueError(
                f"anchor_negative: needs at most anchor_positive ({self.anchor_positive}), got {self.anchor_negative}"
            )
        within(self, "margin", 0, 100)
        if not 0.1 <= self.scale[0] <= self.scale[1] <= 10:
            raise ValueError(f"scale: needs 0.1 <= least <= largest <= 10, got {list(self.scale)}")
        unknown = [name for name in self.classes if name not in self.model.class_names]
        if unknown:
            raise ValueError(f"classes: needs names of model.class_names, got {unknown[0]}")
        if self.batch * self.clip_frames < 2:
            raise ValueError("batch: needs two or more pictures a step for the norms, got 1; batch: 2?")
