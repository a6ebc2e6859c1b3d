"""Config of EfficientPS and PanopticTrackNet. Imports no torch, so that `pipe check` takes milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from operators.nets.weights import Architecture
from operators.streams import MAX_CLASSES

COARSEST = 32
MASK = 28
"""Rows and columns of a mask."""
STRIDE = 4
"""Pixels per cell of the semantic logits before they are enlarged."""
MAX_SIDE, MAX_FACTOR, MAX_CHANNELS = 8192, 4, 2048
"""Weight files bring their config: no net may take memory by the size of a number."""


@dataclass(frozen=True, slots=True)
class EfficientPSConfig:
    class_names: tuple[str, ...] = ()  # a plane of the semantic logits each, stuff and things
    things: tuple[str, ...] = ()  # those of class_names that can be counted
    image_size: tuple[int, int] = (2048, 1024)  # width, height of the input; pictures are scaled to it
    width: float = 1.6  # of EfficientNet: channels as a multiple of B0's; 1.6 and 2.2 are B5
    depth: float = 2.2  # blocks as a multiple of B0's
    channels: int = 256  # of the pyramid and the heads
    semantic_channels: int = 128
    hidden: int = 1024  # of the two layers of the box head
    layout: Literal["separable", "standard"] = "separable"  # 3x3 convolutions of the pyramid and the mask head
    rpn_layout: Literal["separable", "standard"] = "standard"
    anchor_scale: float = 8.0  # side of an anchor, in strides of its map
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    whole_px: float = 224.0  # side of a box whose features come from the third map, stride 16
    embedding: int = 0  # of the tracking head, per class (PanopticTrackNet: 32); 0: no tracking head

    def __post_init__(self) -> None:
        for key in ("class_names", "things"):
            names = getattr(self, key)
            if not names or len(set(names)) < len(names):
                raise ValueError(f"{key}: needs one or more different names, got {list(names) or 'none'}")
        unknown = [name for name in self.things if name not in self.class_names]
        if unknown:
            raise ValueError(f"things: needs names of class_names ({', '.join(self.class_names)}), got {unknown[0]}")
        if len(self.class_names) > MAX_CLASSES:
            raise ValueError(f"class_names: needs at most {MAX_CLASSES}, got {len(self.class_names)}")
        for side in self.image_size:
            if not COARSEST <= side <= MAX_SIDE or side % COARSEST:
                raise ValueError(
                    f"image_size: needs multiples of {COARSEST} up to {MAX_SIDE} pixels, got {list(self.image_size)}"
                )
        for key in ("width", "depth"):
            if not 0.1 <= getattr(self, key) <= MAX_FACTOR:
                raise ValueError(f"{key}: needs 0.1..{MAX_FACTOR}, got {getattr(self, key)}")
        for key, least in (("channels", 1), ("semantic_channels", 1), ("hidden", 1), ("embedding", 0)):
            if not least <= getattr(self, key) <= MAX_CHANNELS:
                raise ValueError(f"{key}: needs {least}..{MAX_CHANNELS}, got {getattr(self, key)}")
        if not self.anchor_ratios or min(self.anchor_ratios) <= 0 or len(self.anchor_ratios) > 16:
            raise ValueError(f"anchor_ratios: needs 1 to 16 numbers above 0, got {list(self.anchor_ratios)}")
        for key in ("anchor_scale", "whole_px"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key}: needs more than 0, got {getattr(self, key)}")

    @property
    def thing_indices(self) -> tuple[int, ...]:
        """Index into class_names of each thing."""
        return tuple(self.class_names.index(name) for name in self.things)


MODELS = Path(__file__).parent.parent / "segment" / "models"
EFFICIENTPS = Architecture("efficientps", EfficientPSConfig, train="pipe train panoptic_world --out out/panoptic", models=MODELS)
