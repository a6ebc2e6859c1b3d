"""MFNet: segmentation of a registered RGB and thermal picture.        Source: Ha et al. 2017 (MFNet), sec. III

Two encoders of the same form, a wide one for RGB and a thin one for thermal, meet in one decoder; each skip is the sum of the
decoder's map, enlarged by two, and both encoders' maps. The names of the layers are those of the published weights
(github.com/haqishen/MFNet-pytorch at 427479c), which `load` therefore takes as they are.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import InputError

STRIDE = 16
"""Height and width of the input are multiples of it."""
RGB, THERMAL = (16, 48, 48, 96, 96), (16, 16, 16, 36, 36)
"""Channels of the five stages of each encoder."""


class ConvNorm(nn.Module):
    """3x3 convolution, batch norm, leaky ReLU of 0.2."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.bn(self.conv(x)), 0.2)


class MiniInception(nn.Module):
    """Three layers, each a plain and a dilated convolution side by side (fig. 3)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for layer, before in enumerate((inputs, outputs, outputs), 1):
            self.add_module(f"conv{layer}_left", ConvNorm(before, outputs // 2))
            self.add_module(f"conv{layer}_right", ConvNorm(before, outputs // 2, dilation=2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in (1, 2, 3):
            sides = [self.get_submodule(f"conv{layer}_{side}") for side in ("left", "right")]
            x = torch.cat([side(x) for side in sides], 1)
        return x


class MFNet(nn.Module):
    def __init__(self, num_classes: int = 9) -> None:
        super().__init__()
        for name, first, (c1, c2, c3, c4, c5) in (("rgb", 3, RGB), ("inf", 1, THERMAL)):
            self.add_module(f"conv1_{name}", ConvNorm(first, c1))
            self.add_module(f"conv2_1_{name}", ConvNorm(c1, c2))
            self.add_module(f"conv2_2_{name}", ConvNorm(c2, c2))
            self.add_module(f"conv3_1_{name}", ConvNorm(c2, c3))
            self.add_module(f"conv3_2_{name}", ConvNorm(c3, c3))
            self.add_module(f"conv4_{name}", MiniInception(c3, c4))
            self.add_module(f"conv5_{name}", MiniInception(c4, c5))
        both = [rgb + thermal for rgb, thermal in zip(RGB, THERMAL, strict=True)]
        self.decode4 = ConvNorm(both[3], both[2])
        self.decode3 = ConvNorm(both[2], both[1])
        self.decode2 = ConvNorm(both[1], both[0])
        self.decode1 = ConvNorm(both[0], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4, H, W) float32, R G B thermal of 0..1, H and W multiples of STRIDE -> (B, C, H, W) scores; as published, the last
        layer has batch norm and leaky ReLU too."""
        rgb, thermal = self._encode(x[:, :3], "rgb"), self._encode(x[:, 3:], "inf")
        skip2, skip3, skip4, x = (torch.cat(pair, 1) for pair in zip(rgb, thermal, strict=True))
        x = self.decode4(_twice(x) + skip4)
        x = self.decode3(_twice(x) + skip3)
        x = self.decode2(_twice(x) + skip2)
        return self.decode1(_twice(x))

    def _encode(self, x: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """-> maps at strides 2, 4, 8 and 16."""
        layer = {part: self.get_submodule(f"conv{part}_{name}") for part in ("1", "2_1", "2_2", "3_1", "3_2", "4", "5")}
        x = functional.max_pool2d(layer["1"](x), 2)
        stride2 = layer["2_2"](layer["2_1"](x))
        stride4 = layer["3_2"](layer["3_1"](functional.max_pool2d(stride2, 2)))
        stride8 = layer["4"](functional.max_pool2d(stride4, 2))
        return stride2, stride4, stride8, layer["5"](functional.max_pool2d(stride8, 2))


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def load(path: str | Path, num_classes: int) -> MFNet:
    """The net with the weights of a state dict (.pth), ready to run. Strict: every tensor of the net, no other one; safe: a file
    that holds anything but tensors is refused and none of its code is run. Raises InputError."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        said = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: needs a state dict of torch (.pth) that holds tensors alone, got: {said}") from None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(f"{path}: needs a state dict of torch (.pth), name -> tensor, got {type(tensors).__name__}")
    net = MFNet(num_classes)
    # Files of torch before 0.4 have no counters of batch norm, which are no weights.
    needed = {name: own for name, own in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    for name, own in needed.items():
        got = list(found[name].shape) if name in found else "no such tensor"
        if got != list(own.shape):
            raise InputError(f"{path}: weights of another net than MFNet: {name}: needs {list(own.shape)}, got {got}")
        if not bool(torch.isfinite(found[name]).all()):
            raise InputError(f"{path}: {name}: needs finite weights, got some that are not")
    if extra := sorted(set(found) - set(needed)):
        raise InputError(
            f"{path}: weights of another net than MFNet: needs no tensor {extra[0]}, got {list(found[extra[0]].shape)}"
        )
    net.load_state_dict(found, strict=False)  # compared above; only counters are missing
    return net.eval()
