"""A registered RGB and thermal picture in, a class per pixel out: MFNet, a trained net.      Source: Ha et al. 2017 (MFNet)

in   image      IMAGE      any size
     thermal    GREY       the same view, pixel by pixel, and of the same size: fuse.align makes it so
out  class_map  CLASS_MAP  (H, W) uint8 of the picture's size; the fact class_names says what its numbers mean
State: none.   Pictures of different sizes: refused.
Sides that are no multiple of 16 are padded on the right and below by repeating the last pixel. The net was trained on 640 x 480.
No weights are shipped: `weights` is the state dict that the authors of MFNet-pytorch publish. `pipe check` looks whether the file
is there; only the running node loads torch and the file, which may hold nothing but tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from operators.kernels.argmax import best_class
from operators.nets import device as devices
from operators.streams import CLASS_MAP, CLASS_NAMES, GREY, IMAGE, VOID
from pipeline.errors import FrameError
from pipeline.operator import Operator

NAMES = ("unlabeled", "car", "person", "bike", "curve", "car_stop", "guardrail", "color_cone", "bump")
"""The names of the MFNet data set, in the order of the net's outputs."""


@dataclass(frozen=True, slots=True)
class MfnetConfig:
    weights: str = ""  # path of a state dict, .pth
    unlabeled: Literal["class", "none"] = "class"  # none: 255 in place of class 0, so that render.picture tints the others alone
    device: devices.Device = "cpu"  # auto: cuda where there is one

    def __post_init__(self) -> None:
        devices.check(self.device)
        if not Path(self.weights).is_file():
            got = f"{self.weights} ({'a folder' if Path(self.weights).is_dir() else 'not there'})" if self.weights else "nothing"
            raise ValueError(f"weights: needs the path of MFNet's weights (.pth), got {got}; set --set NODE.config.weights=FILE")


def stacked(image: np.ndarray, thermal: np.ndarray, stride: int) -> np.ndarray:
    """(H, W, 3), (H, W) uint8 -> (1, 4, h, w) float32 R G B thermal 0..1; h, w: next multiples of `stride`, edges repeated."""
    height, width = thermal.shape
    out = np.empty((1, 4, -(-height // stride) * stride, -(-width // stride) * stride), np.float32)
    planes = out[0]
    planes[:3, :height, :width] = image.transpose(2, 0, 1)
    planes[3, :height, :width] = thermal
    planes[:, height:, :width] = planes[:, height - 1 : height, :width]
    planes[:, :, width:] = planes[:, :, width - 1 : width]
    planes /= 255
    return out


class Mfnet(Operator):
    Config, outputs = MfnetConfig, {"class_map": CLASS_MAP}
    inputs = {"image": IMAGE, "thermal": GREY}

    def open(self) -> None:
        import torch

        from operators.nets import mfnet
        from operators.nets.runtimes.torch import TorchNet

        torch.set_num_threads(self.threads)
        device = devices.choose(self.config.device, self.name)
        net = mfnet.load(self.config.weights, len(NAMES)).to(device)
        self.stride = mfnet.STRIDE
        self.net = TorchNet(lambda picture: {"scores": net(picture)}, device)
        self.net.warm_up({"picture": np.zeros((1, 4, 480, 640), np.float32)})

    def process(self, image: np.ndarray, thermal: np.ndarray) -> np.ndarray:
        (height, width), (rows, columns) = image.shape[:2], thermal.shape
        if (height, width) != (rows, columns):
            raise FrameError(
                f"{self.name}: needs image and thermal of one size, got {width} x {height} and {columns} x {rows}; "
                "align them with fuse.align"
            )
        classes = self.alloc("class_map", "class_map", (height, width), np.uint8)
        if classes.size:
            scores = self.net.run({"picture": stacked(image, thermal, self.stride)})["scores"][0, :, :height, :width]
            best_class(np.ascontiguousarray(scores), np.empty(classes.shape, np.float32), classes)
        if self.config.unlabeled == "none":
            classes[classes == 0] = VOID
        self.describe("class_map", **{CLASS_NAMES: NAMES})
        return classes
