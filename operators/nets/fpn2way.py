"""A pyramid of features with two ways: from coarse to fine, and back.      Source: Mohan and Valada 2021, sec. 3.1"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from operators.nets.activated import Activated, Layout, conv3x3, resized


class TwoWayFpn(nn.Module):
    """Maps of `inputs` channels, fine to coarse -> as many maps of `channels` channels and of the same sizes.

    Without the weights of one way (zeros), what remains is the usual pyramid of the other.
    """

    def __init__(self, inputs: Sequence[int], channels: int, layout: Layout) -> None:
        super().__init__()
        self.down = nn.ModuleList(Activated(width, channels) for width in inputs)  # from coarse to fine
        self.up = nn.ModuleList(Activated(width, channels) for width in inputs)  # from fine to coarse
        self.out = nn.ModuleList(conv3x3(channels, channels, layout) for _ in inputs)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        down = [side(x) for side, x in zip(self.down, maps, strict=True)]
        for level in range(len(maps) - 2, -1, -1):
            down[level] = down[level] + resized(down[level + 1], down[level])
        up = [side(x) for side, x in zip(self.up, maps, strict=True)]
        for level in range(1, len(maps)):
            up[level] = up[level] + resized(up[level - 1], up[level])
        return [out(a + b) for out, a, b in zip(self.out, down, up, strict=True)]
