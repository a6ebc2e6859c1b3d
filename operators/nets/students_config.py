"""The CNN of TANet and its smaller students, as changes of one set of layers.

Source: Table 25 of the report; Howard et al. 2017 (MobileNet); Sandler et al. 2018 (MobileNetV2)

The report names the reductions and gives no numbers; these are ours:
crop     the layers behind the strided one of a block: half of them, rounded up; (3, 5, 5) -> (2, 3, 3)
filter   channels of all blocks and levels and of the refine stage, in steps of 8: filter1 3/4, filter2 1/2
mobile   each 3x3 convolution of the blocks but the first is separable: depthwise 3x3, then 1x1
mobileV2 they are inverted residuals with an expansion of 2 (with the paper's 6 they have more weights than the 3x3 convolution)
full-    the whole CNN is the MobileNet: its blocks as above, no refine stage; full-mobile2 is full-mobile1 at 3/4 of the channels
coarse   the teacher without its refine stage
The first convolution stays a 3x3 one: MobileNet begins so, and on pillars it is sparse. Crop, filter and mobile keep the refine
stage: in the report they gain less speed than `coarse`, which only drops it.
3/4, 1/2 and (2, 3, 3) are near the report's gains if, as it says, the CNN takes half of the time: 1.29 -> 0.56 of the CNN's
time for filter1 (0.56 of the multiplications), 1.23 -> 0.63 for crop1 (0.69).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

CnnName = Literal[
    "tanet", "coarse", "crop1", "filter1", "filter2", "crop1+filter1", "crop1+filter2", "mobile", "mobileV2", "mobile+crop1",
    "full-mobile1", "full-mobile2", "full-mobileV2",
]  # fmt: skip
Convolution = Literal["plain", "separable", "inverted"]

EXPANSION = 2
"""Channels of the depthwise convolution of an inverted residual, per channel of its input."""


class Reduction(NamedTuple):
    crop: bool = False
    width: float = 1.0
    convolution: Convolution = "plain"
    refine: bool = True


REDUCTIONS: dict[CnnName, Reduction] = {
    "tanet": Reduction(),
    "coarse": Reduction(refine=False),
    "crop1": Reduction(crop=True),
    "filter1": Reduction(width=3 / 4),
    "filter2": Reduction(width=1 / 2),
    "crop1+filter1": Reduction(crop=True, width=3 / 4),
    "crop1+filter2": Reduction(crop=True, width=1 / 2),
    "mobile": Reduction(convolution="separable"),
    "mobileV2": Reduction(convolution="inverted"),
    "mobile+crop1": Reduction(crop=True, convolution="separable"),
    "full-mobile1": Reduction(convolution="separable", refine=False),
    "full-mobile2": Reduction(width=3 / 4, convolution="separable", refine=False),
    "full-mobileV2": Reduction(convolution="inverted", refine=False),
}


@dataclass(frozen=True, slots=True)
class Cnn:
    """The layers of one CNN.

    convolution  of the layers of the blocks but the first
    layers, channels, ups  of each block: layers behind the strided one, channels, channels of its level
    reduced      channels in the middle of the refine stage's convolutions
    refine       whether there is a refine stage
    """

    convolution: Convolution
    layers: tuple[int, ...]
    channels: tuple[int, ...]
    ups: tuple[int, ...]
    reduced: int
    refine: bool


def reduce(name: CnnName, layers: tuple[int, ...], channels: tuple[int, ...], ups: tuple[int, ...], reduced: int) -> Cnn:
    """The CNN of this name; the numbers are those of the teacher."""
    reduction = REDUCTIONS[name]

    def narrow(width: int) -> int:
        """In steps of 8, and never wider than the teacher's."""
        return min(width, max(8, round(width * reduction.width / 8) * 8))

    return Cnn(
        convolution=reduction.convolution,
        layers=tuple(-(-n // 2) for n in layers) if reduction.crop else layers,
        channels=tuple(narrow(c) for c in channels),
        ups=tuple(narrow(u) for u in ups),
        reduced=narrow(reduced),
        refine=reduction.refine,
    )
