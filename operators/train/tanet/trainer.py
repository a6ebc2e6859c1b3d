"""Train TANet and its students. Batches, targets, augmentation and files are those of PointPillars."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from operators.detect.anchors import anchor_grid
from operators.nets import weights
from operators.nets.runtimes.torch import fill
from operators.nets.tanet import TANet, TANetHeads
from operators.nets.tanet_config import TANET, TANetConfig
from operators.train.pointpillars.trainer import BatchTargets, Inputs, PointPillarsTrainer
from operators.train.tanet.config import TANetTrainConfig
from operators.train.tanet.losses import StageLosses, hard_losses, soft_losses
from operators.train.tanet.stages import final
from pipeline import training
from pipeline.errors import GraphError, InputError


class TANetTrainer(PointPillarsTrainer):
    Config = TANetTrainConfig
    architecture = TANET
    columns = (("loss", *StageLosses._fields[1:]), *PointPillarsTrainer.columns[1:])

    def __init__(self, spec: training.TrainSpec, options: training.TrainOptions) -> None:
        super().__init__(spec, options)
        config: TANetTrainConfig = self.config
        anchors = anchor_grid(config.model)
        self._sizes = torch.from_numpy(np.ascontiguousarray(anchors[:, 3:5])).to(self.device)
        self._teacher: nn.Module | None = None
        if config.distill is not None:
            self._teacher = teacher(config.distill.teacher, config.model).to(self.device)

    def _make_net(self) -> nn.Module:
        return TANet(self.config.model)

    def _losses(self, inputs: Inputs, targets: BatchTargets) -> tuple[Tensor, ...]:
        config: TANetTrainConfig = self.config
        with self._autocast():
            heads: TANetHeads = self.net(*inputs)
        first, second = hard_losses(*heads, targets, self._sizes, config.refine_weight)
        hard, soft = first.total + second, torch.zeros_like(second)
        if config.distill is None or self._teacher is None:
            return StageLosses(hard, *first[1:], second, soft)
        with torch.no_grad(), self._autocast():
            wanted: TANetHeads = self._teacher(*inputs)
        soft = soft_losses(heads, wanted, self._sizes, config.refine_weight, config.distill.temperature)
        return StageLosses(config.distill.hard * hard + config.distill.soft * soft, *first[1:], second, soft)

    def _final(self, pillars: Tensor, counts: Tensor, cells: Tensor) -> tuple[Tensor, ...]:
        heads: TANetHeads = self.average(pillars, counts, cells)
        return final(*heads, self._sizes)


def teacher(path: str, student: TANetConfig) -> nn.Module:
    """The trained net of a file, in eval mode. Raises GraphError where its outputs cannot be compared with the student's."""
    try:
        loaded = weights.load(path, TANET)
    except InputError as error:
        raise GraphError(f"distill.teacher: {error}") from None
    for key in ("range_m", "cell_m", "max_points", "head_grid", "anchors"):
        needed, got = getattr(student, key), getattr(loaded.config, key)
        if needed != got:
            raise GraphError(f"distill.teacher: {path}: needs {key} {needed} as the student, got {got}")
    if student.layers.refine and not loaded.config.layers.refine:
        raise GraphError(f"distill.teacher: {path}: needs a refine stage as the student, got none (cnn: {loaded.config.cnn})")
    net = TANet(loaded.config)
    fill(net, loaded, path)
    return net.eval().requires_grad_(False)
