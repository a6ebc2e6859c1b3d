"""As decode.py, in torch: candidates, boxes and suppression stay on the device of the net; one copy brings the boxes to the host.

in   class_logits (A, C) float32, anchors (A, 7) float32     on one device
out  Boxes3D, at most max_boxes, best first
Overlaps are computed in float64 for pairs of boxes whose circles touch. Of candidates with equal scores at the limit of
max_candidates any may be taken; otherwise the boxes are those of decode.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from operators.detect.anchors import DIRECTION_OFFSET_RAD, MAX_LOG_SIZE
from operators.detect.decode import DecodeConfig
from operators.streams import Boxes3D

BoxesAt = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Anchors (n,) int64 -> box residuals (n, 7), direction logits (n, 2), on the device."""


def decode_on_device(
    class_logits: Tensor,
    boxes_at: BoxesAt,
    anchors: Tensor,
    labels: list[int],
    config: DecodeConfig,
    offset_rad: float = DIRECTION_OFFSET_RAD,
) -> Boxes3D:
    """labels: output label of each column of class_logits; columns with a negative label are left out."""
    least = math.log(config.score_threshold / (1 - config.score_threshold))
    columns = [c for c, label in enumerate(labels) if label >= 0]
    chosen = []
    for c in columns:
        logits = torch.nan_to_num(class_logits[:, c], nan=-math.inf)
        some = logits.topk(min(config.max_candidates, len(logits)), sorted=False).indices.sort().values
        order = torch.argsort(logits[some], descending=True, stable=True)
        chosen.append(some[order][logits[some[order]] > least])
    at = torch.cat(chosen)
    column = torch.cat([torch.full_like(group, c) for group, c in zip(chosen, columns, strict=True)])
    residuals, directions = boxes_at(at)
    boxes = decode_boxes(residuals, directions[:, 1] > directions[:, 0], anchors[at], offset_rad)
    kept = suppress(boxes.float().double(), column, config.nms_iou)
    rows = kept.nonzero()[:, 0]
    place = _rank_in_class(column[rows])
    rows = rows[place < config.max_boxes]
    logits = class_logits[at[rows], column[rows]]
    best = torch.argsort(logits, descending=True, stable=True)[: config.max_boxes]
    rows, scores = rows[best], torch.sigmoid(logits[best].double())
    known = torch.tensor(labels, device=at.device)[column[rows]]
    host = torch.cat([boxes[rows], scores[:, None], known[:, None].double()], 1).cpu().numpy()
    return Boxes3D(host[:, :7].astype("float32"), host[:, 7].astype("float32"), host[:, 8].astype("int32"))


def decode_boxes(residuals: Tensor, bins: Tensor, anchors: Tensor, offset_rad: float) -> Tensor:
    """As `decode` of anchors.py: residuals (n, 7), bins (n,) of the half turn, anchors (n, 7) -> boxes (n, 7) float64."""
    diff, anchor = residuals.double(), anchors.double()
    diagonal = torch.hypot(anchor[:, 3], anchor[:, 4])
    scale = torch.stack([diagonal, diagonal, anchor[:, 5]], 1)
    sizes = torch.exp(diff[:, 3:6].clamp(-MAX_LOG_SIZE, MAX_LOG_SIZE)) * anchor[:, 3:6]
    yaw = diff[:, 6] + anchor[:, 6]
    yaw = yaw - math.pi * torch.floor((yaw - offset_rad) / math.pi) + math.pi * bins
    yaw = torch.remainder(yaw + math.pi, 2 * math.pi) - math.pi
    return torch.cat([diff[:, :3] * scale + anchor[:, :3], sizes, yaw[:, None]], 1)


def suppress(boxes: Tensor, group: Tensor, max_iou: float) -> Tensor:
    """(n,) bool: boxes that stay. boxes (n, 7) float64, the best of a group first; boxes of one group suppress each other.

    A box goes when its IoU seen from above with a better one that stays is above max_iou. All boxes are decided at once, again
    and again, until nothing changes: as many rounds as the longest chain of boxes that free each other.
    """
    radius = torch.hypot(boxes[:, 3], boxes[:, 4]) / 2
    near = torch.cdist(boxes[:, :2], boxes[:, :2]) < radius[:, None] + radius
    better, worse = torch.triu(near & (group[:, None] == group), 1).nonzero(as_tuple=True)
    over = iou_bev(boxes[better], boxes[worse]) > max_iou
    better, worse = better[over], worse[over]
    stays = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    while True:
        beaten = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device).index_add_(0, worse, stays[better].long())
        now = beaten == 0
        if torch.equal(now, stays):
            return stays
        stays = now


def iou_bev(a: Tensor, b: Tensor) -> Tensor:
    """(n,): of pairs of boxes (n, 7) float64, seen from above."""
    one, two = _corners(a), _corners(b)
    inside_two, inside_one = _inside(one, b), _inside(two, a)
    crossings, cross = _crossings(one, two)
    points = torch.cat([one, two, crossings], 1)  # (n, 24, 2): the corners of the overlap are among them
    real = torch.cat([inside_two, inside_one, cross], 1)
    count = real.sum(1, keepdim=True)
    middle = (points * real[..., None]).sum(1, keepdim=True) / count.clamp(min=1)[..., None]
    points = torch.where(real[..., None], points - middle, 0.0)
    angle = torch.where(real, torch.atan2(points[..., 1], points[..., 0]), math.inf)
    order = angle.argsort(1)
    points = points.gather(1, order[..., None].expand_as(points))
    # what is not real lies behind, as copies of the first corner: the polygon closes there
    points = torch.where((torch.arange(points.shape[1], device=a.device) < count)[..., None], points, points[:, :1])
    following = points.roll(-1, 1)
    area = (points[..., 0] * following[..., 1] - points[..., 1] * following[..., 0]).sum(1).abs() / 2
    return area / (a[:, 3] * a[:, 4] + b[:, 3] * b[:, 4] - area).clamp(min=1e-12)


def _corners(boxes: Tensor) -> Tensor:
    """(n, 4, 2), counter-clockwise"""
    sides = boxes.new_tensor([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]]) * boxes[:, None, 3:5]
    cos, sin = torch.cos(boxes[:, 6:7]), torch.sin(boxes[:, 6:7])
    x, y = sides[..., 0] * cos - sides[..., 1] * sin, sides[..., 0] * sin + sides[..., 1] * cos
    return torch.stack([x, y], 2) + boxes[:, None, :2]


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """(n, k) bool: points (n, k, 2) within the footprint of each pair's box, its border included."""
    offset = points - boxes[:, None, :2]
    cos, sin = torch.cos(boxes[:, 6:7]), torch.sin(boxes[:, 6:7])
    along, across = offset[..., 0] * cos + offset[..., 1] * sin, offset[..., 1] * cos - offset[..., 0] * sin
    return (along.abs() <= boxes[:, 3:4] / 2 + 1e-9) & (across.abs() <= boxes[:, 4:5] / 2 + 1e-9)


def _crossings(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """(n, 16, 2), (n, 16) bool: where the sides of two polygons (n, 4, 2) cross."""
    start, way = one[:, :, None], (one.roll(-1, 1) - one)[:, :, None]
    other, other_way = two[:, None], (two.roll(-1, 1) - two)[:, None]
    between = other - start
    turn = way[..., 0] * other_way[..., 1] - way[..., 1] * other_way[..., 0]
    parallel = turn.abs() < 1e-12
    turn = torch.where(parallel, 1.0, turn)
    t = (between[..., 0] * other_way[..., 1] - between[..., 1] * other_way[..., 0]) / turn
    u = (between[..., 0] * way[..., 1] - between[..., 1] * way[..., 0]) / turn
    cross = ~parallel & (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)
    return (start + t[..., None] * way).flatten(1, 2), cross.flatten(1)


def _rank_in_class(column: Tensor) -> Tensor:
    """(n,): how many before it have its class; column (n,): sorted."""
    number = torch.arange(len(column), device=column.device)
    return number - torch.searchsorted(column, column)
