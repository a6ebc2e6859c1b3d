"""The keys of a training file of detect.tanet: those of detect.pointpillars, a second stage, a teacher."""

from __future__ import annotations

from dataclasses import dataclass, field

from operators.nets.tanet_config import TANetConfig
from operators.train.config import at_least
from operators.train.pointpillars.config import TrainConfig


@dataclass(frozen=True, slots=True)
class DistillConfig:
    """Learn from another net on the same grid, too: loss = soft * (against its outputs) + hard * (against the truth)."""

    teacher: str  # path of the .safetensors file of a trained detect.tanet
    soft: float = 0.5
    hard: float = 0.5
    temperature: float = 1.0  # divides all logits of the soft loss

    def __post_init__(self) -> None:
        for key in ("soft", "hard"):
            at_least(self, key, 0)
        if self.soft + self.hard == 0:
            raise ValueError("soft, hard: needs one of them above 0, got 0 and 0")
        if not self.temperature > 0:
            raise ValueError(f"temperature: needs more than 0, got {self.temperature}")


@dataclass(frozen=True, slots=True)
class TANetTrainConfig(TrainConfig):
    model: TANetConfig = field(default_factory=TANetConfig)
    refine_weight: float = 2.0  # of the loss of the second stage, as in the released code
    distill: DistillConfig | None = None

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        at_least(self, "refine_weight", 0)
