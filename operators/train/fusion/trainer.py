"""Train the net of fuse.gate, of two modalities or of one. All pairs are read before the first step.

A step of two modalities decodes the same maps three times: fused, and each modality alone. So a net that loses a modality
has been trained for it, and the losses alone say which modality the shares should prefer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from operators.fuse.objects import objects
from operators.nets.fusion_config import FUSION
from operators.nets.fusion_net import Found, FusionNet
from operators.nets.fusion_schemes import Parts
from operators.streams import Boxes2D
from operators.train.base import NetTrainer, Step
from operators.train.fusion.config import FusionTrainConfig
from operators.train.fusion.losses import Wanted, cell_loss, gate_loss, set_losses, total_of, wanted_of
from operators.train.fusion.pairs import Pair, batch, read_pairs
from operators.train.fusion.validate import LEAST_SCORE, ap50
from pipeline import training

_LOSSES = ("total", "class", "box", "giou", "alone", "cells", "gate")


class FusionTrainer(NetTrainer):
    Config = FusionTrainConfig
    architecture = FUSION
    columns = (_LOSSES, "objects", ())

    net: FusionNet
    average: FusionNet

    def __init__(self, spec: training.TrainSpec, options: training.TrainOptions) -> None:
        super().__init__(spec, options)
        config: FusionTrainConfig = self.config
        self.pairs = read_pairs(*self._data, config.data, config)
        self.valid = None if config.valid is None or self._valid is None else read_pairs(*self._valid, config.valid, config)
        self._start_with(FusionNet(config.model), tensors=config.start_from)
        self.scores: dict[str, float] = {}
        if self._saved is not None:
            self._restore(self._saved)

    def _learn(self, lr: float) -> Step:
        config = self.config
        self._set_rate(lr)
        self.net.train()
        torch.manual_seed(config.seed + self.step)  # Gumbel noise; a resumed training draws the same
        drawn = batch(self.pairs, config, self.step)
        size = config.model.image_size
        wanted = [wanted_of(b, c, size, self.device) for b, c in zip(drawn.boxes, drawn.classes, strict=True)]
        pictures = [torch.from_numpy(p).to(self.device) for p in drawn.pictures]
        losses = self._losses(pictures, torch.from_numpy(drawn.present).to(self.device), wanted)
        values = self._finite(losses, "a smaller lr?")
        self.optimizer.zero_grad(set_to_none=True)
        losses[0].backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), config.clip)
        self.optimizer.step()
        return Step(values, sum(len(w.boxes) for w in wanted))

    def _losses(self, pictures: list[Tensor], present: Tensor, wanted: list[Wanted]) -> list[Tensor]:
        """In the order of _LOSSES."""
        config, num, count = self.config, len(pictures), len(wanted)
        parts = self.net.parts(pictures)
        alone = num > 1 and config.alone_weight > 0
        rows = [present, *(_only(m, present) for m in range(num) if alone)]
        many = Parts(
            tuple(f.repeat(len(rows), 1, 1, 1) for f in parts.features if f is not None), parts.values.repeat(len(rows), 1, 1, 1)
        )
        fused = self.net.fusion.combine(many, torch.cat(rows))
        found = self.net.detect(fused.features)
        each = set_losses(found.logits, found.boxes, wanted * len(rows)).unflatten(0, (len(rows), count))  # (rows, B, 3)
        zero = each.new_zeros(())
        first = each[0].mean(0)
        of_alone, of_gate = zero, zero
        if alone:
            totals = total_of(each[1:])  # (S, B)
            of_alone = totals.mean()
            if config.gate_weight and config.model.scheme != "selective":
                counts = present.all(1) & torch.tensor([len(w.boxes) > 0 for w in wanted], device=present.device)
                of_gate = gate_loss(fused.shares[:count].mean((2, 3)), totals, counts)
        of_cells = zero if found.cell_boxes is None else self._cells(found, wanted * len(rows))
        total = total_of(first) + config.alone_weight * of_alone + config.cell_weight * of_cells + config.gate_weight * of_gate
        return [total, *first, of_alone, of_cells, of_gate]

    def _cells(self, found: Found, wanted: list[Wanted]) -> Tensor:
        assert found.cell_logits is not None and found.cell_boxes is not None
        return cell_loss(found.cell_logits, found.cell_boxes, wanted, self.config.model.grid)

    @torch.inference_mode()
    def detect(self, pair: Pair, used: tuple[str, ...]) -> Boxes2D:
        """With the averaged weights and the modalities in `used`. Boxes [px of the net's picture], labels: of the model."""
        model = self.config.model
        given = [
            torch.from_numpy(picture)[None].to(self.device) if name in used else None
            for name, picture in zip(model.modalities, pair.pictures, strict=True)
        ]
        found = self.average(given)[0]
        got = objects(found.logits[-1, 0].cpu().numpy(), found.boxes[-1, 0].cpu().numpy(), LEAST_SCORE)
        boxes = got.boxes * np.array(model.image_size * 2, np.float32) - np.float32(0.5)
        return Boxes2D(boxes, got.scores, got.classes.astype(np.int32))

    def _validate(self) -> None:
        assert self.valid is not None
        names = self.config.model.modalities
        ways = {"+".join(names): names, **{name: (name,) for name in names}}
        classes = len(self.config.model.class_names)
        self.scores = {way: ap50(self.valid, partial(self.detect, used=used), classes) for way, used in ways.items()}
        self._score_rows(("modalities", "ap50"), [[way, f"{score:.4f}"] for way, score in self.scores.items()])

    def _summary(self) -> str:
        if not self.scores:
            return "not validated"
        return "AP50 " + ", ".join(f"{way} {score:.3f}" for way, score in self.scores.items())

    # ---- files

    def _state(self) -> dict[str, Any]:
        return {"scores": dict(self.scores)}

    def _restore(self, saved: Mapping[str, Any]) -> None:
        super()._restore(saved)
        self.scores = dict(saved["scores"])

    def _facts(self) -> dict[str, str]:
        return {**super()._facts(), "score": self._summary()}


def _only(modality: int, present: Tensor) -> Tensor:
    """(B, S) bool: this modality alone."""
    alone = torch.zeros_like(present)
    alone[:, modality] = True
    return alone
