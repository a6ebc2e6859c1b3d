"""Train EfficientPS or, with a tracking head, PanopticTrackNet. All frames are read before the first step.

L = L_semantic + L_instance + L_track, the instance loss an unweighted sum of five. Proposals are constants for the second stage,
whose losses so teach the backbone and not the RPN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from operators.nets.efficientps import Dense, EfficientPS
from operators.nets.efficientps_config import EFFICIENTPS, STRIDE
from operators.nets.instance_head import BOX_CELLS, MASK_CELLS
from operators.nets.region_proposals import ProposalConfig, offsets_to, proposals
from operators.nets.roi_align import align
from operators.nets.semantic_head import enlarged
from operators.train.base import NetTrainer, Step
from operators.train.panoptic.clips import Batch, Clips, batch
from operators.train.panoptic.config import PanopticTrainConfig
from operators.train.panoptic.losses import (
    box_loss,
    class_loss,
    hard_pixel_loss,
    mask_loss,
    objectness_loss,
    triplet_loss,
)
from operators.train.panoptic.targets import Objects, anchors_for, masks_of, objects_of, regions_for, semantic_of
from operators.train.panoptic.validate import Score, judge
from pipeline import training

_LOSSES = ("total", "semantic", "object", "proposal", "class", "box", "mask", "track")


class PanopticTrainer(NetTrainer):
    Config = PanopticTrainConfig
    architecture = EFFICIENTPS
    columns = (_LOSSES, "objects", ())

    net: EfficientPS
    average: EfficientPS

    def __init__(self, spec: training.TrainSpec, options: training.TrainOptions) -> None:
        super().__init__(spec, options)
        config: PanopticTrainConfig = self.config
        self.clips = Clips(*self._data, config.data, config)
        self.valid = None if config.valid is None or self._valid is None else Clips(*self._valid, config.valid, config)
        self._start_with(EfficientPS(config.model), tensors=config.start_from)
        self.score: Score | None = None
        if self._saved is not None:
            self._restore(self._saved)

    def _learn(self, lr: float) -> Step:
        config = self.config
        self._set_rate(lr)
        self.net.train()
        torch.manual_seed(config.seed + self.step)  # of the samples; a resumed training draws the same
        drawn = batch(self.clips, config, self.step)
        things, least = config.model.thing_indices, config.data.min_area_px
        objects = [
            Objects(*(t.to(self.device) for t in objects_of(s, c, i, things, least)))
            for s, c, i in zip(drawn.segments, drawn.classes, drawn.identities, strict=True)
        ]
        losses = self._losses(drawn, objects)
        values = self._finite(losses, "a smaller lr?")
        self.optimizer.zero_grad(set_to_none=True)
        losses[0].backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), config.clip)
        self.optimizer.step()
        return Step(values, sum(len(o.boxes) for o in objects))

    def _losses(self, drawn: Batch, objects: list[Objects]) -> list[Tensor]:
        """In the order of _LOSSES."""
        truth = torch.stack([semantic_of(s, c) for s, c in zip(drawn.segments, drawn.classes, strict=True)]).to(self.device)
        segments = torch.from_numpy(drawn.segments.astype(np.int64)).to(self.device)
        dense = self.net.dense(torch.from_numpy(drawn.images).to(self.device))
        parts = [hard_pixel_loss(enlarged(dense.semantic, STRIDE), truth), *self._first_stage(dense, objects)]
        parts += self._second_stage(dense, objects, segments, truth)
        return [torch.stack(parts).sum(), *parts]

    def _first_stage(self, dense: Dense, objects: list[Objects]) -> list[Tensor]:
        """L_os, L_op"""
        config, of_objects, of_boxes = self.config, [], []
        for number, mine in enumerate(objects):
            anchors = dense.anchors.boxes
            rows = anchors_for(anchors, mine, config.anchor_positive, config.anchor_negative, config.anchors)
            logits = dense.objects[number]
            of_objects.append(objectness_loss(logits[rows.positive], logits[rows.negative]))
            goals = offsets_to(anchors[rows.positive], mine.boxes[rows.objects])
            of_boxes.append(box_loss(dense.offsets[number, rows.positive], goals, len(rows.positive) + len(rows.negative)))
        return [torch.stack(of_objects).mean(), torch.stack(of_boxes).mean()]

    def _second_stage(self, dense: Dense, objects: list[Objects], segments: Tensor, truth: Tensor) -> list[Tensor]:
        """L_cls, L_bbx, L_mask, L_track"""
        config, nothing = self.config, len(self.config.model.things)
        height, width = segments.shape[1:]
        limits = ProposalConfig(before=config.proposals, after=config.proposals)
        regions, classes, goals, positive = [], [], [], []
        for number, mine in enumerate(objects):
            found, _ = proposals(
                dense.objects[number].detach(), dense.offsets[number].detach(), dense.anchors, height, width, limits
            )
            found = torch.cat([found, mine.boxes])
            chosen = regions_for(found, mine, config.region_positive, config.regions)
            regions.append(found[torch.cat([chosen.positive, chosen.negative])])
            wanted = torch.full((len(regions[-1]),), nothing, device=self.device)
            wanted[: len(chosen.positive)] = mine.things[chosen.objects]
            classes.append(wanted)
            goals.append(offsets_to(found[chosen.positive], mine.boxes[chosen.objects]))
            positive.append(chosen)
        counts = [len(r) for r in regions]
        logits, offsets = self.net.boxes(align(dense.maps, regions, BOX_CELLS, config.model.whole_px))
        of_class, of_box = [], []
        each = zip(logits.split(counts), offsets.split(counts), classes, goals, strict=True)
        for mine_logits, mine_offsets, wanted, goal in each:
            of_class.append(class_loss(mine_logits, wanted))
            rows = torch.arange(len(goal), device=self.device)
            of_box.append(box_loss(mine_offsets[rows, wanted[: len(goal)]], goal, len(wanted)))
        insides = [r[: len(g)] for r, g in zip(regions, goals, strict=True)]
        things = torch.cat([c[: len(g)] for c, g in zip(classes, goals, strict=True)])
        numbers = [o.segments[p.objects] for o, p in zip(objects, positive, strict=True)]
        identities = [o.identities[p.objects] for o, p in zip(objects, positive, strict=True)]
        of_mask = of_track = logits.new_zeros(())
        if len(things):
            cells = align(dense.maps, insides, MASK_CELLS, config.model.whole_px)
            truths = [masks_of(*given) for given in zip(segments, truth, insides, numbers, strict=True)]
            masks, known = (torch.cat(part) for part in zip(*truths, strict=True))
            row = torch.arange(len(things), device=self.device)
            of_mask = mask_loss(self.net.masks(cells)[row, things], masks, known)
            if self.net.looks is not None:  # embeddings of the true masks
                looks = self.net.looks.of_things(self.net.looks(cells, masks.float() - 0.5), things)
                of_track = self._track(looks, things, identities)
        return [torch.stack(of_class).mean(), torch.stack(of_box).mean(), of_mask, of_track]

    def _track(self, looks: Tensor, things: Tensor, identities: list[Tensor]) -> Tensor:
        """Mean over the mini-sequences."""
        length, parts = self.config.clip_frames, []
        counts = [sum(len(i) for i in identities[k : k + length]) for k in range(0, len(identities), length)]
        for mine, of_class, who in zip(
            looks.split(counts), things.split(counts), torch.cat(identities).split(counts), strict=True
        ):
            known = who >= 0
            parts.append(triplet_loss(mine[known], of_class[known], who[known], self.config.margin))
        return torch.stack(parts).mean()

    # ---- validation

    def _validate(self) -> None:
        assert self.valid is not None
        self.score = judge(self.average, self.valid.frames, self.config.model, self.device)
        self._score_rows(Score._fields, [[f"{value:.4f}" for value in self.score]])

    def _summary(self) -> str:
        if self.score is None:
            return "not validated"
        return ", ".join(f"{name} {value:.3f}" for name, value in self.score._asdict().items())

    # ---- files

    def _state(self) -> dict[str, Any]:
        return {"score": None if self.score is None else list(self.score)}

    def _restore(self, saved: Mapping[str, Any]) -> None:
        super()._restore(saved)
        self.score = None if saved["score"] is None else Score(*saved["score"])

    def _facts(self) -> dict[str, str]:
        return {**super()._facts(), "score": self._summary()}
