"""Nets in torch, on a CPU or a CUDA device."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from operators.nets.upload import Upload
from operators.nets.weights import Weights
from pipeline.errors import InputError


class TorchNet:
    """`Net` of a function on tensors.

    forward  tensors by name, on the device -> tensors by name, on any device
    """

    def __init__(self, forward: Callable[..., Mapping[str, Tensor]], device: torch.device) -> None:
        self._forward, self._upload = forward, Upload(torch, device)

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """On a CPU the tensors are views of the arrays: `forward` must write to none of them."""
        with torch.inference_mode():
            outputs = self._forward(**{name: self._upload.tensor(name, array) for name, array in arrays.items()})
            return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}

    def warm_up(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Run once on a frame nobody waits for: the first run compiles, and chooses algorithms.

        The arrays are made read-only, as frames are; torch warns once per process that they are.
        """
        for array in arrays.values():
            array.flags.writeable = False
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            self.run(arrays)


def fill(net: nn.Module, weights: Weights, name: str) -> None:
    """Copy the tensors of a weight file into a net. Raises InputError, naming the file, where they do not fit.

    The counters of batch norm (num_batches_tracked) are no weights: a file may lack them.
    """
    tensors = {n: torch.from_numpy(array) for n, array in weights.tensors.items()}
    own = {n: tensor for n, tensor in net.state_dict().items() if n.endswith("num_batches_tracked")}
    try:
        net.load_state_dict(own | tensors)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise InputError(f"{name}: weights of another net than its config says: {said[:200]}") from None
