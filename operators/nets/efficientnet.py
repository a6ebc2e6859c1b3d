"""EfficientNet without classifier and squeeze-excite: a picture -> maps at strides 4, 8, 16, 32.

Source: Tan and Le 2019 (EfficientNet), as EfficientPS takes it (report, C2.1): every norm followed by leaky ReLU. `width` and
`depth` scale the table of B0; 1.6 and 2.2 make B5, whose maps have 40, 64, 176 and 2048 channels.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from operators.nets.activated import Activated

_STAGES = (
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
    (6, 320, 3, 1, 1),
)
"""B0: expansion, channels, kernel, stride of the first block, blocks."""
_STEM, _LAST = 32, 1280
_TAPS = (1, 2, 4)
"""Stages whose output is a map; the fourth map is that of the last convolution."""


def scaled_channels(channels: int, width: float) -> int:
    """The multiple of 8 nearest to channels * width, at most a tenth smaller."""
    wanted = channels * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * wanted else nearest + 8


def tap_channels(width: float) -> tuple[int, int, int, int]:
    """Channels of the maps at strides 4, 8, 16, 32."""
    first, second, third = (scaled_channels(_STAGES[stage][1], width) for stage in _TAPS)
    return first, second, third, scaled_channels(_LAST, width)


class InvertedBottleneck(nn.Module):
    """1x1 to more channels, k x k per channel, 1x1 to fewer; a shortcut where the size stays (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = Activated(inputs, inner) if expansion > 1 else nn.Identity()
        self.depthwise = Activated(inner, inner, kernel, stride, groups=inner)
        self.project = Activated(inner, outputs, activate=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class EfficientNet(nn.Module):
    """(B, 3, H, W) -> maps at strides 4, 8, 16, 32 with `tap_channels(width)` channels; H, W multiples of 32."""

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        channels = scaled_channels(_STEM, width)
        self.stem = Activated(3, channels, 3, 2)
        stages = []
        for expansion, base, kernel, stride, blocks in _STAGES:
            outputs, made = scaled_channels(base, width), list[nn.Module]()
            for block in range(math.ceil(blocks * depth)):
                made.append(InvertedBottleneck(channels, outputs, expansion, kernel, stride if block == 0 else 1))
                channels = outputs
            stages.append(nn.Sequential(*made))
        self.stages = nn.ModuleList(stages)
        self.last = Activated(channels, scaled_channels(_LAST, width))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in _TAPS:
                maps.append(x)
        return [*maps, self.last(x)]
