"""GPU, cameras, network buffers, the board."""

from __future__ import annotations

import ctypes
import importlib
import os
from pathlib import Path
from typing import Any

from pipeline.cli.checks.line import OK, WARN, Line, read

MIN_RMEM = 8_000_000
"""A LiDAR sends bursts; what the kernel cannot queue while Python sleeps is lost without a trace."""


def udp(root: Path) -> Line:
    most = int(read(root / "proc/sys/net/core/rmem_max") or 0)
    if most < MIN_RMEM:
        return Line(
            WARN,
            "udp",
            f"rmem_max is {most / 1e6:.3g} MB: packets of a LiDAR get lost; sudo sysctl -w net.core.rmem_max={1 << 23}",
        )
    return Line(OK, "udp", f"rmem_max is {most / 1e6:.3g} MB")


def gpu(root: Path) -> Line:
    """The GPU according to its driver: torch may be absent, or built without CUDA."""
    devices = sorted(p.name for p in (root / "dev").glob("nvidia[0-9]*"))
    try:
        cuda: Any = ctypes.CDLL("libcuda.so.1")
    except OSError:
        if devices:
            return Line(
                WARN,
                "gpu",
                f"{', '.join(devices)} but no libcuda.so.1; install the NVIDIA driver's libraries (container: --gpus all)",
            )
        return Line(OK, "gpu", "none; everything runs on the CPU")
    count = ctypes.c_int(0)
    failed = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if failed or not count.value:
        return Line(WARN, "gpu", f"libcuda.so.1 is there, but cuInit says {failed} for {count.value} devices; see nvidia-smi")
    return Line(OK, "gpu", ", ".join(_gpu_name(cuda, i) for i in range(count.value)))


def _gpu_name(cuda: Any, index: int) -> str:
    device, name, size = ctypes.c_int(0), ctypes.create_string_buffer(128), ctypes.c_size_t(0)
    if cuda.cuDeviceGet(ctypes.byref(device), index) or cuda.cuDeviceGetName(name, len(name), device):
        return f"device {index} without a name"
    cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    return f"{name.value.decode(errors='replace')} ({size.value / 1e9:.0f} GB)"


def cameras(root: Path) -> Line:
    devices = sorted((root / "dev").glob("video[0-9]*"))
    if not devices:
        return Line(OK, "cameras", "none at /dev/video*")
    closed = [d.name for d in devices if not os.access(d, os.R_OK | os.W_OK)]
    if closed:
        return Line(WARN, "cameras", f"no right to use {', '.join(closed)}: sudo usermod -aG video $USER, then log in again")
    return Line(OK, "cameras", ", ".join(map(_camera, devices)))


def _camera(path: Path) -> str:
    """`video0 (HD Webcam: MJPG YUYV)`; the name alone of what does not answer."""
    v4l2 = importlib.import_module("drivers.camera.v4l2")
    try:
        device = v4l2.ask(path)
    except OSError:
        return path.name
    formats = " ".join(offer.fourcc for offer in device.offers) if device.captures else "no pictures"
    return f"{path.name} ({device.card}: {formats or 'no formats'})"


def jetson(root: Path) -> Line:
    release = read(root / "etc/nv_tegra_release")
    return Line(OK, "jetson", release.partition(", GCID")[0].lstrip("# ") if release else "no")
