"""Config of the nets of fuse.gate. Imports no torch, so that `pipe check` takes milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from operators.nets.weights import Architecture
from operators.streams import CLASSES

Scheme = Literal["scalar_average", "scalar_concat", "mask_average", "mask_concat", "selective"]
MODALITY_NAMES = ("image", "thermal", "depth")
RESNET50_CHANNELS = 2048
MAX_STAGES, MAX_CHANNELS, MAX_SIDE, MAX_LAYERS, MAX_QUERIES = 6, 4096, 2048, 12, 1024
"""Weight files bring their config: no net may take memory by the size of a number."""


@dataclass(frozen=True, slots=True)
class FusionNetConfig:
    """The defaults are the light net. `REPORT` has the values of the report's net."""

    class_names: tuple[str, ...] = ("Car", "Pedestrian", "Cyclist")
    modalities: tuple[str, ...] = ("image", "thermal")  # one or two; the second one is thermal or depth
    scheme: Scheme = "scalar_concat"
    image_size: tuple[int, int] = (640, 512)  # width, height of the input; pictures are scaled to it
    backbone: Literal["light", "resnet50"] = "light"
    stage_channels: tuple[int, ...] = (16, 24, 40, 80, 160)  # of the light backbone at strides 2, 4, 8, ..
    map_channels: int = 96  # C of the light backbone's feature map; 2048 with resnet50
    map_stride: int = 16  # pixels per cell of that map; 32 with resnet50
    weight_net: Literal["pooled", "released"] = "pooled"  # scalar schemes: pooled = convolution, mean over the map, two layers
    tau: float = 1.0  # selective: temperature of the Gumbel softmax
    evaluation_noise: bool = False  # selective: Gumbel noise outside of training, too
    decoder: Literal["dense", "deformable"] = "deformable"  # dense: learned queries (DETR); deformable: queries from the encoder
    queries: int = 64
    hidden: int = 64  # channels of encoder and decoder
    heads: int = 4
    points: int = 4  # deformable: samples per head
    feedforward: int = 128
    encoder_layers: int = 1
    decoder_layers: int = 2
    key_pool: int = 8  # the encoder's keys are means over so many cells each way; 1: all cells

    def __post_init__(self) -> None:
        for name in self.class_names:
            if name not in CLASSES:
                raise ValueError(f"class_names: needs names of {', '.join(CLASSES)}, got {name}")
        if not self.class_names or len(set(self.class_names)) < len(self.class_names):
            raise ValueError(f"class_names: needs one or more different names, got {self.class_names or 'none'}")
        _check_modalities(self.modalities)
        stages = self.stage_channels
        if not 3 <= len(stages) <= MAX_STAGES or min(stages) < 1 or max(stages) > MAX_CHANNELS:
            raise ValueError(f"stage_channels: needs 3 to {MAX_STAGES} numbers of 1 to {MAX_CHANNELS}, got {list(stages)}")
        for key, most in (
            ("map_channels", MAX_CHANNELS),
            ("queries", MAX_QUERIES),
            ("hidden", MAX_CHANNELS),
            ("heads", 64),
            ("points", 64),
            ("feedforward", 4 * MAX_CHANNELS),
            ("decoder_layers", MAX_LAYERS),
            ("key_pool", 16),
        ):
            if not 1 <= getattr(self, key) <= most:
                raise ValueError(f"{key}: needs 1..{most}, got {getattr(self, key)}")
        if not 0 <= self.encoder_layers <= MAX_LAYERS:
            raise ValueError(f"encoder_layers: needs 0..{MAX_LAYERS}, got {self.encoder_layers}")
        if self.map_channels % 2:
            raise ValueError(f"map_channels: needs an even number, half of it per modality, got {self.map_channels}")
        if self.hidden % 4 or self.hidden % self.heads:
            raise ValueError(f"hidden: needs a multiple of 4 and of heads ({self.heads}), got {self.hidden}")
        if not 0 < self.tau <= 1000:
            raise ValueError(f"tau: needs more than 0, at most 1000, got {self.tau}")
        if self.backbone == "light" and self.map_stride not in [2 << k for k in range(1, len(stages))]:
            raise ValueError(f"map_stride: needs a stride of stage_channels, 4 to {2 ** len(stages)}, got {self.map_stride}")
        for side in self.image_size:
            if side > MAX_SIDE or side < self.coarsest or side % self.coarsest:
                raise ValueError(
                    f"image_size: needs multiples of {self.coarsest}, the coarsest stride, up to {MAX_SIDE}, "
                    f"got {list(self.image_size)}"
                )
        rows, columns = self.grid
        if rows % self.key_pool or columns % self.key_pool:
            raise ValueError(f"key_pool: needs a divisor of the map's {rows} rows and {columns} columns, got {self.key_pool}")
        if self.decoder == "deformable" and self.queries > rows * columns:
            raise ValueError(f"queries: needs at most the map's {rows * columns} cells, got {self.queries}")

    @property
    def coarsest(self) -> int:
        """Pixels per cell of the last stage."""
        return 32 if self.backbone == "resnet50" else 2 ** len(self.stage_channels)

    @property
    def channels(self) -> int:
        """C of a modality's feature map."""
        return RESNET50_CHANNELS if self.backbone == "resnet50" else self.map_channels

    @property
    def stride(self) -> int:
        """Pixels per cell of the feature map."""
        return 32 if self.backbone == "resnet50" else self.map_stride

    @property
    def grid(self) -> tuple[int, int]:
        """Rows, columns of the feature map."""
        return self.image_size[1] // self.stride, self.image_size[0] // self.stride


def _check_modalities(names: tuple[str, ...]) -> None:
    if not 1 <= len(names) <= 2 or any(name not in MODALITY_NAMES for name in names):
        raise ValueError(f"modalities: needs one or two of {', '.join(MODALITY_NAMES)}, got {', '.join(names) or 'none'}")
    if len(names) == 2 and (names[0] != "image" or names[1] == "image"):
        raise ValueError(f"modalities: needs image first, then thermal or depth, got {', '.join(names)}")


REPORT = FusionNetConfig(
    backbone="resnet50",
    weight_net="released",
    decoder="dense",
    queries=100,
    hidden=256,
    heads=8,
    feedforward=2048,
    encoder_layers=6,
    decoder_layers=6,
    key_pool=1,
)
"""The net of the report: ResNet-50 per modality, DETR's encoder and decoder, 100 learned queries."""

MODELS = Path(__file__).parent.parent / "fuse" / "models"
FUSION = Architecture("fusion", FusionNetConfig, train="pipe train fusion_world --out out/fusion", models=MODELS)
