"""Config of the FairMOT net. Imports no torch, so that `pipe check` takes milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

from operators.nets.weights import Architecture
from operators.streams import CLASSES, MAX_EMBEDDING

STRIDE = 4
MAX_STAGES, MAX_CHANNELS, MAX_SIDE = 6, 2048, 8192
"""Weight files bring their config: no net may take memory by the size of a number."""


@dataclass(frozen=True, slots=True)
class FairmotNetConfig:
    class_names: tuple[str, ...] = ("Pedestrian",)  # a heatmap each
    image_size: tuple[int, int] = (1088, 608)  # width, height of the input; pictures are scaled to it
    stage_channels: tuple[int, ...] = (32, 64, 128, 256)  # of the backbone at strides 4, 8, 16, ..
    feature_channels: int = 64  # of the map at stride 4, the input of the heads
    head_channels: int = 256
    embedding: int = 128

    def __post_init__(self) -> None:
        for name in self.class_names:
            if name not in CLASSES:
                raise ValueError(f"class_names: needs names of {', '.join(CLASSES)}, got {name}")
        if not self.class_names or len(set(self.class_names)) < len(self.class_names):
            raise ValueError(f"class_names: needs one or more different names, got {self.class_names or 'none'}")
        stages = self.stage_channels
        if not 1 <= len(stages) <= MAX_STAGES or min(stages) < 1 or max(stages) > MAX_CHANNELS:
            raise ValueError(f"stage_channels: needs 1 to {MAX_STAGES} numbers of 1 to {MAX_CHANNELS}, got {list(stages)}")
        for key, most in (("feature_channels", 1024), ("head_channels", 1024), ("embedding", MAX_EMBEDDING)):
            if not 1 <= getattr(self, key) <= most:
                raise ValueError(f"{key}: needs 1..{most}, got {getattr(self, key)}")
        for side in self.image_size:
            if side > MAX_SIDE:
                raise ValueError(f"image_size: needs at most {MAX_SIDE} pixels per side, got {list(self.image_size)}")
            if side < self.coarsest or side % self.coarsest:
                raise ValueError(
                    f"image_size: needs multiples of {self.coarsest}, the coarsest stride, got {list(self.image_size)}"
                )

    @property
    def coarsest(self) -> int:
        """Pixels per cell of the last stage."""
        return STRIDE * 2 ** (len(self.stage_channels) - 1)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows, columns of the maps."""
        return self.image_size[1] // STRIDE, self.image_size[0] // STRIDE


FAIRMOT = Architecture("fairmot", FairmotNetConfig, train="pipe train fairmot_world --out out/fairmot")
