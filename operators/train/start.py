"""Start a training with tensors of another one: those with the same name and shape."""

from __future__ import annotations

import torch
from torch import nn

from operators.nets import weights
from operators.train.config import StartConfig
from pipeline.errors import GraphError, InputError


def copy(net: nn.Module, start: StartConfig, architecture: weights.Architecture) -> int:
    """Fill the tensors of `net` that the file has -> how many. Raises GraphError where there is none."""
    try:
        tensors = weights.load(start.weights, architecture).tensors
    except InputError as error:
        raise GraphError(f"start_from.weights: {error}") from None
    own = net.state_dict()
    wanted = {name: array for name, array in tensors.items() if not start.only or name.startswith(start.only)}
    fitting = {name: torch.from_numpy(array) for name, array in wanted.items() if name in own and own[name].shape == array.shape}
    if not fitting:
        beginning = f" that begins with {' or '.join(start.only)}" if start.only else ""
        raise GraphError(
            f"start_from: needs a tensor{beginning} of the net's own shape in {start.weights}, got none of {len(tensors)}"
        )
    net.load_state_dict(fitting, strict=False)
    return len(fitting)
