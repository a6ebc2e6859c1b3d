"""Arrays of the CPU to a CUDA device.

From a page-locked pool the device copies by itself; where CPU and GPU share their memory (Jetson) it reads the frame in its slot
and nothing is copied; other arrays go through a page-locked buffer, which is counted (`pipeline.machine.pinned.PINNED.staged`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.machine.pinned import PINNED, Pinned


class Upload:
    """Of one net. The frame of the last call must be done on the device before the next call: buffers are used again.

    torch   the module
    pinned  what is page-locked; of this process
    """

    def __init__(self, torch: Any, device: Any, pinned: Pinned = PINNED) -> None:
        self._torch, self._device, self._pinned = torch, device, pinned
        self._staging: dict[str, Any] = {}

    def tensor(self, name: str, array: np.ndarray) -> Any:
        """The array as a tensor on the device; a tensor of the CPU where that is the device. name: of the input."""
        torch = self._torch
        if self._device.type != "cuda":
            return torch.from_numpy(array)
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        address = array.__array_interface__["data"][0]
        found = self._pinned.find(address, array.nbytes) if array.nbytes else None
        if found is None:
            return self._staged(name, array)
        if found.device:
            return torch.as_tensor(_OnDevice(array, address - found.start + found.device), device=self._device)
        return torch.from_numpy(array).to(self._device, non_blocking=True)

    def _staged(self, name: str, array: np.ndarray) -> Any:
        torch = self._torch
        host = torch.from_numpy(array)
        kept = self._staging.get(name)
        if kept is None or kept.numel() < host.numel() or kept.dtype != host.dtype:
            kept = self._staging[name] = torch.empty(max(1, host.numel()), dtype=host.dtype, pin_memory=True)
        part = kept[: host.numel()].view(host.shape)
        part.copy_(host)
        self._pinned.staged += 1
        self._pinned.staged_bytes += array.nbytes
        return part.to(self._device, non_blocking=True)


class _OnDevice:
    """A C-contiguous array as the device sees it. torch knows no read-only tensors: nets must not write to their inputs."""

    def __init__(self, array: np.ndarray, address: int) -> None:
        self.array = array  # its slot stays leased while a tensor of it lives
        self.__cuda_array_interface__ = {
            "data": (address, False), "shape": array.shape, "typestr": array.dtype.str, "strides": None, "version": 3,
        }  # fmt: skip
