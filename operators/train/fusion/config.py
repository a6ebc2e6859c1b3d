"""The keys of a training file of fuse.gate. Unknown keys are refused with file and line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from operators.augment.shadows_highlights import ShadowsHighlightsConfig
from operators.nets.fusion_config import FusionNetConfig
from operators.train.config import PicturesConfig, StartConfig, check_loop, check_names, within
from pipeline.settings import suggest

KINDS = ("blackout", "whiteout", "glare", "noise", "salt_and_pepper", "blur")


@dataclass(frozen=True, slots=True)
class PairsConfig(PicturesConfig):
    """The pictures are those of the net's modalities."""

    min_height_px: float = 10.0


@dataclass(frozen=True, slots=True)
class CorruptConfig:
    """With probability p one modality of a pair is damaged by one of the kinds, of a level drawn up to `level`."""

    p: float = 0.5
    kinds: tuple[str, ...] = KINDS
    level: float = 1.0

    def __post_init__(self) -> None:
        within(self, "p", 0, 1)
        within(self, "level", 0, 1)
        for kind in self.kinds:
            if kind not in KINDS:
                raise ValueError(f"kinds: {kind} is no corruption{suggest(kind, KINDS)}")
        if not self.kinds:
            raise ValueError(f"kinds: needs one or more of {', '.join(KINDS)}, got none")


@dataclass(frozen=True, slots=True)
class FusionTrainConfig:
    version: Literal[1]
    train: str
    data: PairsConfig
    steps: int
    valid: PairsConfig | None = None
    classes: dict[str, list[str]] = field(
        default_factory=lambda: {"Car": ["Car", "Van"], "Pedestrian": ["Pedestrian"], "Cyclist": ["Cyclist"]}
    )  # of the model -> of the data; boxes with other labels are ignored
    model: FusionNetConfig = field(default_factory=FusionNetConfig)
    start_from: StartConfig | None = None
    shadows_highlights: ShadowsHighlightsConfig | None = None  # RSH on the image
    corrupt: CorruptConfig | None = None
    drop: float = 0.0  # probability that one modality of a pair is absent in the fused loss
    alone_weight: float = 0.5  # of the losses of each modality alone, through the same decoder; 0: none
    gate_weight: float = 0.5  # scalar and mask schemes: pulls the shares to the modality with the smaller loss; 0: not
    cell_weight: float = 1.0  # deformable decoder: of the losses of the encoder's cells
    flip: float = 0.5  # probability, left and right
    brightness: float = 0.2  # largest change of each modality, as a share
    batch: int = 4
    lr: float = 1e-3  # highest rate of the schedule
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.995  # decay of the averaged weights, which are validated and exported; 0: no average
    seed: int = 0
    minutes: float | None = None  # of steps, at most; the schedule then follows the time
    threads: int = 2
    device: Literal["cpu", "cuda"] = "cpu"
    epoch_steps: int = 500  # validation, checkpoint

    def __post_init__(self) -> None:
        check_loop(self, shares=("drop", "flip", "brightness"))
        for key in ("alone_weight", "gate_weight", "cell_weight"):
            within(self, key, 0, 100)
        if self.drop and len(self.model.modalities) < 2:
            raise ValueError(f"drop: needs a net of two modalities, got {', '.join(self.model.modalities)}")
        check_names(self.classes, self.model.class_names)
