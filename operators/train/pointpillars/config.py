"""The keys of a training file of detect.pointpillars. Unknown keys are refused with file and line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from operators.nets.pointpillars_config import PointPillarsConfig
from operators.train.config import StartConfig, at_least, check_labels, check_loop, within
from operators.train.scenes import DataConfig, ValidConfig
from pipeline.settings import suggest


@dataclass(frozen=True, slots=True)
class PasteConfig:
    """Objects of earlier scenes, pasted on the ground of this one at their original distance."""

    counts: dict[str, int] = field(default_factory=dict)  # class -> number of objects in a scene after pasting
    scenes: int = 64  # number of earlier scenes that objects come from
    min_points: int = 10
    turn_rad: float = 0.0  # largest turn about the sensor


@dataclass(frozen=True, slots=True)
class NoiseConfig:
    """Each object with its points, moved and turned a little where it then touches no other.    SECOND, sec. 3.2.2"""

    move_m: tuple[float, float, float] = (0.0, 0.0, 0.0)  # standard deviation along x, y, z
    turn_rad: float = 0.0  # largest turn about its own vertical axis
    tries: int = 10  # random places of an object before it stays where it is

    def __post_init__(self) -> None:
        if min(*self.move_m, self.turn_rad) < 0:
            raise ValueError(f"move_m, turn_rad: needs 0 or more, got {list(self.move_m)} and {self.turn_rad}")
        at_least(self, "tries", 1)

    @property
    def still(self) -> bool:
        return max(*self.move_m, self.turn_rad) == 0


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    flip: float = 0.5  # probability, left and right
    rotate_rad: float = 0.785  # largest turn about the sensor
    scale: tuple[float, float] = (0.95, 1.05)
    raise_m: float = 0.0  # largest move up or down
    paste: PasteConfig = field(default_factory=PasteConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    intensity_gain: tuple[float, float] = (1.0, 1.0)
    intensity_noise: float = 0.0  # standard deviation per point
    intensity_drop: float = 0.0  # probability that all intensities of a scene are 0
    point_drop: float = 0.0  # largest share of dropped points

    def __post_init__(self) -> None:
        for key in ("flip", "intensity_drop", "point_drop"):
            within(self, key, 0, 1)
        for key in ("scale", "intensity_gain"):
            low, high = getattr(self, key)
            if not 0 < low <= high:
                raise ValueError(f"{key}: needs [low, high] with 0 < low <= high, got {[low, high]}")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    version: Literal[1]
    train: str
    data: DataConfig
    steps: int
    valid: ValidConfig | None = None
    classes: dict[str, list[str]] = field(  # class of the model -> labels of the data; other labels are ignored regions
        default_factory=lambda: {"Car": ["Car", "Van"], "Pedestrian": ["Pedestrian"], "Cyclist": ["Cyclist"]}
    )
    model: PointPillarsConfig = field(default_factory=PointPillarsConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    batch: int = 2
    lr: float = 2e-3  # highest rate of the schedule
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    weight_decay: float = 0.01
    clip: float = 10.0  # largest norm of the gradient
    ema: float = 0.999  # decay of the averaged weights, which are validated and exported; 0: no average
    seed: int = 0
    minutes: float | None = None  # of steps, at most; the schedule then follows the time
    start_from: StartConfig | None = None  # tensors of another training to start with
    threads: int = 2
    prefetch: int = 4  # batches that a thread makes ahead
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of the convolutions
    epoch_steps: int = 500  # validation, picture, checkpoint

    def __post_init__(self) -> None:
        check_loop(self, counts=("prefetch",))
        if self.device == "cpu" and self.precision == "float16":
            raise ValueError("precision: float16 is for cuda; on a cpu: float32 or bfloat16")
        _check_classes(self)


def _check_classes(config: TrainConfig) -> None:
    """Raises ValueError naming the key."""
    anchored = config.model.class_names
    for name in anchored:
        if name not in config.classes:
            raise ValueError(f"classes: needs labels for {name}, which the model has anchors of, got {', '.join(config.classes)}")
    seen: dict[str, str] = {}
    for name, labels in config.classes.items():
        if name not in anchored:
            raise ValueError(f"classes: {name} has no anchors in model.anchors{suggest(name, anchored)}")
        check_labels(name, labels)
        for label in labels:
            if label in seen:
                raise ValueError(f"classes: {label} is given to {seen[label]} and to {name}")
            seen[label] = name
    tables: list[tuple[str, Mapping[str, Any]]] = [("augment.paste.counts", config.augment.paste.counts)]
    tables += [("data.min_points", config.data.min_points)]
    if config.valid is not None:
        tables += [("valid.min_points", config.valid.min_points)]
    for key, table in tables:
        for name in table:
            if name not in config.classes:
                raise ValueError(f"{key}: {name} is no class of this training{suggest(name, config.classes)}")
