"""Where a net runs: `cpu`, `cuda`, or `auto`, which takes cuda where there is one.

A config is checked without loading torch, so that `pipe check` takes milliseconds; only a node's `open()` loads it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.errors import RunError

if TYPE_CHECKING:
    import torch

Device = Literal["cpu", "cuda", "auto"]


def check(device: Device) -> None:
    """Raises ValueError where torch or the device is missing."""
    for package in ("torch", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"needs {package}, which is not installed; pip install 'perception-pipe[torch]'")
    if device == "cuda" and (reason := no_cuda()):
        raise ValueError(f"device: needs a CUDA device, got {reason}; device: auto takes the CPU where there is none")


def no_cuda() -> str:
    """The reason why there is no CUDA device; "" where there may be one, which only torch can tell."""
    spec = importlib.util.find_spec("torch")
    version = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if version and version.is_file() and re.search(r"^cuda\b.*= *None", version.read_text(), re.MULTILINE):
        return "a torch that was built without CUDA"
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver (libcuda.so.1)"
    return ""


def choose(device: Device, node: str) -> torch.device:
    """The torch device for a node's config. Raises RunError where torch finds no CUDA device."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RunError(f"{node}: device: needs a CUDA device, got none that torch {torch.__version__} can use")
    return torch.device(device)
