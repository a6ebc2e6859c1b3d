"""Names and shapes of the tensors of TANet and its students: the content of a weight file. Imports no torch.

The counters of batch norm (num_batches_tracked) are left out. A test compares this with the net's state_dict.
"""

from __future__ import annotations

from typing import Any

from operators.nets.students_config import EXPANSION

ATTENTION_REDUCTION = 8
"""Hidden width of an attention layer over n values: n // (n // 8), as in the released code."""


def hidden(width: int) -> int:
    """8 for K = 100, 64 or 32; 9 for the 9 features of a point."""
    return width // max(width // ATTENTION_REDUCTION, 1)


class _Shapes(dict[str, tuple[int, ...]]):
    def norm(self, name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            self[f"{name}.{part}"] = (channels,)

    def linear(self, name: str, before: int, channels: int) -> None:
        self[f"{name}.weight"] = (channels, before)
        self[f"{name}.bias"] = (channels,)

    def conv(self, name: str, before: int, channels: int, size: int, bias: bool = False) -> None:
        self[f"{name}.weight"] = (channels, before, size, size)
        if bias:
            self[f"{name}.bias"] = (channels,)

    def conv_norm(self, name: str, before: int, channels: int, size: int = 3) -> None:
        self.conv(f"{name}.conv", before, channels, size)
        self.norm(f"{name}.norm", channels)

    def up(self, name: str, before: int, channels: int, stride: int) -> None:
        self[f"{name}.conv.weight"] = (before, channels, stride, stride)
        self.norm(f"{name}.norm", channels)

    def heads(self, prefix: str, width: int, config: Any) -> None:
        for name, values in (("class_head", len(config.anchors)), ("box_head", 7), ("direction_head", 2)):
            self.conv(f"{prefix}{name}", width, config.anchors_per_location * values, 1, bias=True)

    # ---- pillar nets

    def pillar_net(self, config: Any) -> None:
        channels, points, features = config.pillar_channels, config.max_points, config.features
        if config.pillar_net == "tanet":
            self.attention("pillar_net.first", points, features)
            self.linear("pillar_net.widen", 2 * features, channels)
            self.attention("pillar_net.second", points, channels)
            self.linear("pillar_net.mix", channels, channels)
            self["pillar_net.linear.weight"] = (channels, channels)
        elif config.pillar_net == "pointnet":
            self["pillar_net.linear.weight"] = (channels, features)
        else:
            for i in range(config.gcn.layers):
                self[f"pillar_net.layers.{i}.weight"] = (channels, features if i == 0 else channels)
            if config.gcn.pool != "mean":
                self.linear("pillar_net.connect", points * channels, channels)
        self.norm("pillar_net.norm", channels)

    def attention(self, name: str, points: int, channels: int) -> None:
        for part, width in (("points", points), ("channels", channels)):
            self.linear(f"{name}.{part}.0", width, hidden(width))
            self.linear(f"{name}.{part}.2", hidden(width), width)
        self.linear(f"{name}.of_channels", channels + 3, 1)
        self.linear(f"{name}.of_points", points, 1)

    # ---- blocks and refine stage

    def layer(self, name: str, convolution: str, before: int, channels: int) -> None:
        if convolution == "plain":
            self.conv_norm(name, before, channels)
        elif convolution == "separable":
            self.conv_norm(f"{name}.depth", 1, before)
            self.conv_norm(f"{name}.point", before, channels, 1)
        else:
            wide = EXPANSION * before
            self.conv_norm(f"{name}.expand", before, wide, 1)
            self.conv_norm(f"{name}.depth", 1, wide)
            self.conv_norm(f"{name}.project", wide, channels, 1)

    def refine(self, name: str, channels: tuple[int, ...], up: int, reduced: int) -> None:
        c1, c2, c3 = channels
        self.conv(f"{name}.bottleneck", 3 * up, up, 1, bias=True)
        for level, before, width in (("second_to_first", c2, c1 // 2), ("third_to_second", c3, c2 // 2)):
            self[f"{name}.{level}.weight"] = (before, width, 2, 2)
        self[f"{name}.third_to_first.weight"] = (c3, c1 // 2, 4, 4)
        widths = (c1 + 2 * (c1 // 2), c1 + c2 + c2 // 2, c1 + c2 + c3)
        for i, before in enumerate(widths):
            self.conv(f"{name}.fusions.{i}", before, channels[i], 1, bias=True)
        for i, sizes in enumerate(STACK_SIZES):
            inner = (channels[i], *[reduced] * (len(sizes) - 1), channels[i])
            for j, size in enumerate(sizes):
                self.conv_norm(f"{name}.stacks.{i}.{j}", inner[j], inner[j + 1], size)
        for i in range(3):
            self.up(f"{name}.ups.{i}", channels[i], up, 1 << i)
        for i in range(3):
            self.conv(f"{name}.mixes.{i}", up, up, 3, bias=True)


STACK_SIZES = ((3, 3, 3), (3, 3), (1, 3))
"""Kernel sizes of the convolutions of a refine level, finest level first."""


def tensor_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter and statistic of the net of this TANetConfig, in its order."""
    cnn, shapes = config.layers, _Shapes()
    shapes.pillar_net(config)
    before = config.pillar_channels
    for b, (layers, channels) in enumerate(zip(cnn.layers, cnn.channels, strict=True)):
        for i in range(layers + 1):
            shapes.layer(f"blocks.{b}.{i}", "plain" if b == i == 0 else cnn.convolution, before, channels)
            before = channels
    for b, (channels, up) in enumerate(zip(cnn.channels, cnn.ups, strict=True)):
        shapes.up(f"ups.{b}", channels, up, 1 << b)
    shapes.heads("", sum(cnn.ups), config)
    if cnn.refine:
        shapes.refine("psa", cnn.channels, cnn.ups[0], cnn.reduced)
        shapes.heads("psa.", sum(cnn.ups), config)
    return dict(shapes)
