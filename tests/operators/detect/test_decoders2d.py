"""Every decoder of detect.onnx2d: equal to a loop over the places, and the inverse of an encoder."""

import naive_decoders2d as naive
import numpy as np
import pytest

from operators.detect.decoders2d import anchor_free, anchors, centres, detr, distribution, end_to_end, grid
from operators.detect.decoders2d.found import Threshold

SIZE, STRIDES, C = (96, 64), (8, 16, 32), 3  # width, height: 12 x 8, 6 x 4, 3 x 2 cells
N = sum(1 for _ in naive.places(SIZE, STRIDES))
RNG = np.random.default_rng


def in_order(rows_):
    return rows_[np.lexsort((rows_[:, 0].round(2), rows_[:, 4].round(5)))]


def table(found):
    """Found -> (N, 6) by score"""
    return in_order(np.column_stack([found.boxes, found.scores, found.classes]))


def same(found, expected, least=1):
    assert len(expected) >= least, "the case shows nothing"
    assert len(found.scores) == len(expected)
    np.testing.assert_allclose(table(found), in_order(np.array(expected)), rtol=1e-4, atol=1e-3)


def run(module, config, outputs, threshold=0.5, num=C, multi_label=False):
    decoder = module.fit(config, {n: a.shape for n, a in outputs.items()}, num, SIZE)
    return decoder.decode(outputs, Threshold(threshold, multi_label))


def probabilities(rng, shape):
    return rng.uniform(0, 1, shape).astype(np.float32)


def rows(seed=0, objectness=False, n=N):
    """Rows of finished boxes, centre and size."""
    rng = RNG(seed)
    boxes = rng.uniform((20, 20, 4, 4), (70, 50, 30, 30), (n, 4)).astype(np.float32)
    return np.concatenate([boxes, probabilities(rng, (n, C + objectness))], 1)


# ---- one grid


def fastest(seed=0):
    rng = RNG(seed)
    out = rng.normal(0, 1, (1, 5 + C, 4, 6)).astype(np.float32)
    out[0, 0], out[0, 5:] = probabilities(rng, (4, 6)), rng.dirichlet(np.full(C, 0.3), (4, 6)).transpose(2, 0, 1)
    return out


@pytest.mark.parametrize("seed", range(3))
def test_grid(seed):
    out = fastest(seed)
    same(run(grid, grid.GridConfig(), {"758": out}), naive.grid(out, SIZE, 0.5))


def test_grid_of_logits():
    out = fastest()
    raw = out.copy()
    for at in (np.s_[:, :1], np.s_[:, 5:]):
        raw[at] = np.log(np.clip(out[at], 1e-6, 1 - 1e-6) / (1 - np.clip(out[at], 1e-6, 1 - 1e-6)))
    same(run(grid, grid.GridConfig(activation="sigmoid"), {"o": raw}), naive.grid(out, SIZE, 0.5))


# ---- anchors

SIZES = [[(10, 13), (16, 30)], [(30, 61), (62, 45)], [(40, 40), (90, 50)]]
ANCHORS = tuple(tuple(float(x) for pair in own for x in pair) for own in SIZES)


def maps(seed=0):
    rng = RNG(seed)
    return [rng.normal(-0.5, 1.5, (2, 64 // s, 96 // s, 5 + C)).astype(np.float32) for s in STRIDES]


FORMS = {
    "ahwk": lambda m: m[None],
    "akhw": lambda m: m.transpose(0, 3, 1, 2).reshape(1, -1, *m.shape[1:3]),
    "hwak": lambda m: m.transpose(1, 2, 0, 3)[None],
    "hwa*k": lambda m: m.transpose(1, 2, 0, 3).reshape(1, *m.shape[1:3], -1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_anchors(form, shuffled):
    outputs = {f"o{i}": np.ascontiguousarray(FORMS[form](m)) for i, m in enumerate(maps())}
    if shuffled:
        outputs = dict(reversed(outputs.items()))
    found = run(anchors, anchors.AnchorsConfig(ANCHORS), outputs, 0.6)
    same(found, naive.anchors(maps(), STRIDES, SIZES, 0.6), 5)


def test_anchors_of_yolov3():
    config = anchors.AnchorsConfig(ANCHORS, sizes="exp", scale_xy=(1.0,))
    found = run(anchors, config, {f"o{i}": m[None] for i, m in enumerate(maps(1))}, 0.6)
    same(found, naive.anchors(maps(1), STRIDES, SIZES, 0.6, square=False, scale=1.0), 5)


def test_anchors_already_activated():
    raw = {f"o{i}": m[None] for i, m in enumerate(maps())}
    done = {n: (1 / (1 + np.exp(-m))).astype(np.float32) for n, m in raw.items()}
    a, b = (run(anchors, anchors.AnchorsConfig(ANCHORS, activation=k), o, 0.6) for k, o in (("sigmoid", raw), ("none", done)))
    np.testing.assert_allclose(table(a), table(b), rtol=1e-4, atol=1e-3)


def test_yolov2_has_softmax_over_classes():
    config = anchors.AnchorsConfig((ANCHORS[2],), (32,), "exp", (1.0,), softmax=True)
    (values,) = maps()[2:]
    found = run(anchors, config, {"o": values[None]}, 0.2)
    scores = 1 / (1 + np.exp(-values[..., 4])) * np.exp(values[..., 5:]).max(-1) / np.exp(values[..., 5:]).sum(-1)
    np.testing.assert_allclose(np.sort(found.scores), np.sort(scores[scores > 0.2]), rtol=1e-5)


def test_anchors_round_trip():
    """Boxes -> logits of a net -> the same boxes."""
    boxes = [(8, 8, 28, 20, 0.9, 2), (40, 10, 70, 60, 0.8, 0)]
    out = [np.full((1, *m.shape), -9, np.float32) for m in maps()]
    for (x1, y1, x2, y2, score, label), level, a in zip(boxes, (0, 1), (1, 0), strict=True):
        stride, (w, h) = STRIDES[level], SIZES[level][a]
        cx, cy = (x1 + x2) / 2 / stride, (y1 + y2) / 2 / stride
        cell = out[level][0, a, int(cy), int(cx)]
        cell[0], cell[1] = naive.logit((cx - int(cx) + 0.5) / 2), naive.logit((cy - int(cy) + 0.5) / 2)
        cell[2], cell[3] = naive.logit(np.sqrt((x2 - x1) / w) / 2), naive.logit(np.sqrt((y2 - y1) / h) / 2)
        cell[4], cell[5 + label] = 30, naive.logit(score)
    same(run(anchors, anchors.AnchorsConfig(ANCHORS), {f"o{i}": o for i, o in enumerate(out)}), boxes, 2)


# ---- anchor-free


@pytest.mark.parametrize("objectness", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_decoded_boxes(objectness, transposed):
    """YOLOv5 and YOLOX have an objectness and rows first, YOLOv8 and later neither."""
    values = rows(0, objectness)
    out = values.T[None] if transposed else values[None]
    said = objectness if objectness == transposed else None  # as no net has it
    found = run(anchor_free, anchor_free.AnchorFreeConfig(objectness=said), {"output0": np.ascontiguousarray(out)}, 0.6)
    same(found, naive.decoded(values, 0.6, objectness), 5)


def test_boxes_and_scores_in_two_outputs():
    values = rows()
    outputs = {"scores": values[None, :, 4:], "boxes": values[None, :, None, :4]}  # (1, N, 1, 4)
    same(run(anchor_free, anchor_free.AnchorFreeConfig(), outputs, 0.6), naive.decoded(values, 0.6, False), 5)


@pytest.mark.parametrize(
    ("order", "reorder"),
    [
        ("xyxy", lambda c: np.concatenate([c[:, :2] - c[:, 2:] / 2, c[:, :2] + c[:, 2:] / 2], 1)),
        ("yxyx", lambda c: np.concatenate([c[:, 1::-1] - c[:, :1:-1] / 2, c[:, 1::-1] + c[:, :1:-1] / 2], 1)),
        ("xywh", lambda c: np.concatenate([c[:, :2] - c[:, 2:] / 2, c[:, 2:]], 1)),
    ],
)
@pytest.mark.parametrize("unit", ["input", "share"])
def test_orders_and_units(order, reorder, unit):
    values = rows()
    scale = np.array([96, 64, 96, 64] if order != "yxyx" else [64, 96, 64, 96], np.float32)
    boxes = reorder(values[:, :4]) / (scale if unit == "share" else 1)
    outputs = {"boxes": boxes[None].astype(np.float32), "scores": values[None, :, 4:]}
    config = anchor_free.AnchorFreeConfig(order=order, unit=unit)
    same(run(anchor_free, config, outputs, 0.6), naive.decoded(values, 0.6, False), 5)


def test_columns_after_the_scores_are_left_alone():
    """YOLOv8-seg: 32 mask coefficients, and a second output of prototypes."""
    values = rows()
    wide = np.concatenate([values, RNG(1).normal(0, 9, (N, 32))], 1).astype(np.float32)
    outputs = {"output0": wide.T[None], "output1": np.zeros((1, 32, 16, 24), np.float32)}
    config = anchor_free.AnchorFreeConfig(extra_columns=32)
    same(run(anchor_free, config, outputs, 0.6), naive.decoded(values, 0.6, False), 5)


def test_background_is_no_class():
    """SSD-like: softmax over classes with the background first."""
    values, rng = rows(), RNG(2)
    logits = rng.normal(0, 3, (N, C + 1)).astype(np.float32)
    sure = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = naive.decoded(np.concatenate([values[:, :4], sure[:, 1:]], 1), 0.6, False)
    config = anchor_free.AnchorFreeConfig(activation="softmax", background="first")
    same(run(anchor_free, config, {"bbox": values[None, :, :4], "cls": logits[None]}, 0.6), expected, 5)


def yolox_rows(seed=0):
    rng = RNG(seed)
    box = np.concatenate([rng.uniform(0, 1, (N, 2)), rng.normal(0, 0.7, (N, 2))], 1)
    return np.concatenate([box, probabilities(rng, (N, 1 + C))], 1).astype(np.float32)


def split(values, form):
    """Rows of all grids -> one output per grid."""
    out, start = {}, 0
    for stride in STRIDES:
        h, w = 64 // stride, 96 // stride
        part = values[start : start + h * w]
        out[f"s{stride}"] = part[None] if form == "rows" else part.T.reshape(1, -1, h, w)
        start += h * w
    return out


@pytest.mark.parametrize("form", ["together", "rows", "maps"])
def test_yolox_before_its_decoder(form):
    values = yolox_rows()
    outputs = {"output": values[None]} if form == "together" else split(values, form)
    config = anchor_free.AnchorFreeConfig(boxes="offsets")
    same(run(anchor_free, config, outputs, 0.5), naive.yolox(values, SIZE, STRIDES, 0.5), 5)


def test_yolox_heads_of_nine_outputs():
    """Boxes, objectness and scores of each grid in outputs of their own, named for one class."""
    values = yolox_rows()[:, :6]
    outputs = {}
    for name, at in (("box", np.s_[:, :4]), ("obj", np.s_[:, 4:5]), ("cls", np.s_[:, 5:6])):
        outputs |= {f"{name}{n}": a for n, a in split(values[at], "maps").items()}
    names = {role: tuple(f"{n}s{s}" for s in STRIDES) for role, n in (("boxes", "box"), ("objectness", "obj"), ("scores", "cls"))}
    config = anchor_free.AnchorFreeConfig(boxes="offsets", outputs=anchor_free.OutputNames(**names))
    same(run(anchor_free, config, outputs, 0.4, num=1), naive.yolox(values, SIZE, STRIDES, 0.4), 5)
    usual = run(anchor_free, anchor_free.AnchorFreeConfig(boxes="offsets"), outputs, 0.4, num=1)
    same(usual, naive.yolox(values, SIZE, STRIDES, 0.4), 5)
    numbered = {str(i): a for i, a in enumerate(outputs.values())}
    with pytest.raises(ValueError, match=r"may hold objectness or scores: name the outputs, outputs: \{boxes: \[..\]"):
        run(anchor_free, anchor_free.AnchorFreeConfig(boxes="offsets"), numbered, num=1)


def test_yolox_round_trip():
    boxes = [(8, 8, 28, 20, 0.9, 2), (40, 10, 70, 60, 0.8, 0)]
    values = np.zeros((N, 5 + C), np.float32)
    for (x1, y1, x2, y2, score, label), (row, stride, i, j) in zip(
        boxes, [(1 * 12 + 2, 8, 1, 2), (96 + 2 * 6 + 3, 16, 2, 3)], strict=True
    ):
        values[row, :4] = (
            (x1 + x2) / 2 / stride - j,
            (y1 + y2) / 2 / stride - i,
            np.log((x2 - x1) / stride),
            np.log((y2 - y1) / stride),
        )
        values[row, 4], values[row, 5 + label] = 1, score
    same(run(anchor_free, anchor_free.AnchorFreeConfig(boxes="offsets"), {"o": values[None]}), boxes, 2)


def test_distances_from_grid_points():
    """FCOS: left, top, right, bottom, in strides."""
    values = np.zeros((N, 4 + C), np.float32)
    values[96 + 2 * 6 + 3] = [1, 0.5, 2, 1.5, 0, 0.9, 0]  # row 2, column 3 of the grid of stride 16: (56, 40)
    found = run(anchor_free, anchor_free.AnchorFreeConfig(boxes="distances"), {"o": values[None]})
    np.testing.assert_allclose(table(found), [[40, 32, 88, 64, 0.9, 1]], rtol=1e-6)


def test_more_than_the_best_class_if_wanted():
    values = rows()
    config = anchor_free.AnchorFreeConfig()
    every = run(anchor_free, config, {"o": values.T[None]}, 0.6, multi_label=True)
    assert len(every.scores) == (values[:, 4:] > 0.6).sum() > (values[:, 4:].max(1) > 0.6).sum()


# ---- distributions


def nanodet(seed=0, bins=8):
    rng = RNG(seed)
    return probabilities(rng, (N, C)), rng.normal(0, 2, (N, 4 * bins)).astype(np.float32)


@pytest.mark.parametrize("bins", [8, 16])
@pytest.mark.parametrize("form", ["by grid", "together", "maps", "in one"])
def test_distribution(bins, form):
    scores, boxes = nanodet(bins=bins)
    expected = naive.distribution(scores, boxes, SIZE, STRIDES, 0.6, 0.5, -0.5)
    if form == "together":
        outputs = {"scores": scores[None], "boxes": boxes[None]}
    elif form == "in one":
        outputs = {"o": np.concatenate([boxes, scores], 1).T[None]}
    else:
        outputs = {
            f"{n}{k}": a
            for n, v in (("cls", scores), ("reg", boxes))
            for k, a in split(v, "maps" if form == "maps" else "rows").items()
        }
    found = run(distribution, distribution.DistributionConfig(bins=bins, shift_px=-0.5), outputs, 0.6)
    same(found, expected, 5)


def test_nanodet_plus_has_scores_first_and_grid_points_at_corners():
    scores, boxes = nanodet()
    config = distribution.DistributionConfig(point=0, columns=("scores", "boxes"))
    found = run(distribution, config, {"output": np.concatenate([scores, boxes], 1)[None]}, 0.6)
    same(found, naive.distribution(scores, boxes, SIZE, STRIDES, 0.6, 0.0), 5)


def test_a_grid_that_does_not_divide_the_input():
    """320 / 64 = 5, but 100 / 64: two cells."""
    config = distribution.DistributionConfig(strides=(64,))
    shapes = {"s": (1, 2, C), "b": (1, 2, 32)}
    assert distribution.fit(config, shapes, C, (100, 64)) is not None


def test_distribution_round_trip():
    """All of a distribution in one bin, or in two: exact distances."""
    scores, boxes = np.zeros((N, C), np.float32), np.full((N, 4, 8), -60, np.float32)
    row = 96 + 2 * 6 + 3  # (56, 40), stride 16
    scores[row, 1] = 0.9
    for side, bin_ in enumerate((1, 0, 2, 1)):
        boxes[row, side, bin_] = 0
    boxes[row, 3, 2] = 0  # 1.5 strides
    found = run(distribution, distribution.DistributionConfig(), {"s": scores[None], "b": boxes.reshape(1, N, 32)})
    np.testing.assert_allclose(table(found), [[40, 40, 88, 64, 0.9, 1]], rtol=1e-6)


# ---- queries


def queries(seed=0, columns=C + 1):
    rng = RNG(seed)
    return rng.normal(0, 3, (20, columns)).astype(np.float32), rng.uniform(0.2, 0.5, (20, 4)).astype(np.float32)


def test_detr():
    logits, boxes = queries()
    found = run(detr, detr.DetrConfig(), {"pred_logits": logits[None], "pred_boxes": boxes[None]})
    same(found, naive.detr(logits, boxes, SIZE, 0.5), 5)


def test_rt_detr_with_both_in_one_output():
    logits, boxes = queries(1, C)
    sure = 1 / (1 + np.exp(-logits))
    both = np.concatenate([boxes, sure], 1).astype(np.float32)
    config = detr.DetrConfig(activation="none", background="none")
    pixels = boxes * np.array([96, 64, 96, 64])
    expected = naive.decoded(np.concatenate([pixels, sure], 1), 0.5, False)
    same(run(detr, config, {"output0": both[None]}), expected, 5)
    logits_only = detr.DetrConfig(activation="sigmoid", background="none")
    same(run(detr, logits_only, {"l": logits[None], "b": boxes[None]}), expected, 5)


# ---- finished boxes

FINISHED = [(8, 8, 28, 20, 0.9, 2), (40, 10, 70, 60, 0.8, 0)]
PADDING = [(0, 0, 0, 0, 0, 0)] * 3


def finished(reorder=lambda r: r):
    return np.array([reorder(list(r)) for r in (*FINISHED, *PADDING)], np.float32)


@pytest.mark.parametrize("shape", [(1, 5, 6), (5, 6), (1, 1, 5, 6)])
def test_end_to_end(shape):
    same(run(end_to_end, end_to_end.EndToEndConfig(), {"output0": finished().reshape(shape)}), FINISHED, 2)


@pytest.mark.parametrize(
    ("columns", "reorder"),
    [
        (("picture", "box", "class", "score"), lambda r: [0, *r[:4], r[5], r[4]]),  # YOLOv7
        (("picture", "class", "score", "box"), lambda r: [0, r[5], r[4], *r[:4]]),  # SSD of Caffe
        (("class", "score", "box"), lambda r: [r[5], r[4], *r[:4]]),  # PaddleDetection
    ],
)
def test_end_to_end_columns(columns, reorder):
    config = end_to_end.EndToEndConfig(columns=columns)
    same(run(end_to_end, config, {"output": finished(reorder)[None]}), FINISHED, 2)


def test_a_negative_picture_is_padding():
    rows_ = np.array([[0, *FINISHED[0]], [-1, 0, 0, 9, 9, 0.9, 1]], np.float32)
    config = end_to_end.EndToEndConfig(columns=("picture", "box", "score", "class"))
    same(run(end_to_end, config, {"o": rows_}), FINISHED[:1])


def test_separate_outputs_as_tensorflow_names_them():
    table_ = finished()
    scale = np.array([64, 96, 64, 96], np.float32)
    outputs = {
        "detection_boxes:0": (table_[None, :, [1, 0, 3, 2]] / scale).astype(np.float32),
        "detection_classes:0": table_[None, :, 5] + 1,
        "detection_scores:0": table_[None, :, 4],
        "num_detections:0": np.array([2], np.float32),
    }
    config = end_to_end.EndToEndConfig(columns=("box",), order="yxyx", unit="share", first_class=1)
    same(run(end_to_end, config, outputs), FINISHED, 2)


def test_num_cuts_what_does_not_count():
    outputs = {
        "num_dets": np.array([[1]], np.int32),
        "det_boxes": finished()[None, :, :4],
        "det_scores": finished()[None, :, 4],
        "det_classes": finished()[None, :, 5].astype(np.int32),
    }
    same(run(end_to_end, end_to_end.EndToEndConfig(columns=("box",)), outputs), FINISHED[:1])


def test_labels_beside_boxes_with_scores():
    """mmdeploy: dets (1, N, 5), labels (1, N)"""
    outputs = {"dets": finished()[None, :, :5], "labels": finished()[None, :, 5].astype(np.int64)}
    same(run(end_to_end, end_to_end.EndToEndConfig(columns=("box", "score")), outputs), FINISHED, 2)


def test_rows_may_be_free_and_none():
    shapes = {"output0": (1, None, 6)}
    decoder = end_to_end.fit(end_to_end.EndToEndConfig(), shapes, C, SIZE)
    found = decoder.decode({"output0": np.empty((1, 0, 6), np.float32)}, Threshold(0.5))
    assert [a.shape for a in found] == [(0, 4), (0,), (0,)]


def test_a_class_without_a_name():
    with pytest.raises(
        ValueError, match=r"names: needs a name for class 2, which an output has, got 2 names; set end_to_end.first"
    ):
        run(end_to_end, end_to_end.EndToEndConfig(), {"o": finished()[None]}, num=2)


# ---- peaks


def test_centres():
    rng = RNG(3)
    heat = rng.normal(-1, 2, (C, 16, 24)).astype(np.float32)
    sizes, offsets = rng.uniform(1, 5, (2, 16, 24)).astype(np.float32), rng.uniform(0, 1, (2, 16, 24)).astype(np.float32)
    expected = naive.centres(heat, sizes, offsets, 4, 0.6)
    outputs = {"hm": heat[None], "wh": sizes[None], "reg": offsets[None]}
    same(run(centres, centres.CentresConfig(), outputs, 0.6), expected, 5)


# ---- nothing found, bad numbers

CASES = [
    (grid, grid.GridConfig(), {"o": np.zeros((1, 5 + C, 4, 6), np.float32)}),
    (anchors, anchors.AnchorsConfig(ANCHORS), {f"o{i}": np.full((1, *m.shape), -99, np.float32) for i, m in enumerate(maps())}),
    (anchor_free, anchor_free.AnchorFreeConfig(), {"o": np.zeros((1, 4 + C, N), np.float32)}),
    (anchor_free, anchor_free.AnchorFreeConfig(boxes="offsets"), {"o": np.zeros((1, N, 5 + C), np.float32)}),
    (distribution, distribution.DistributionConfig(), {"o": np.zeros((1, N, 32 + C), np.float32)}),
    (detr, detr.DetrConfig(), {"o": np.zeros((1, 9, 4 + C + 1), np.float32)}),
    (end_to_end, end_to_end.EndToEndConfig(), {"o": np.zeros((1, 9, 6), np.float32)}),
    (centres, centres.CentresConfig(), {"h": np.full((1, C, 4, 6), -99, np.float32), "wh": np.zeros((1, 2, 4, 6), np.float32)}),
]


@pytest.mark.parametrize(("module", "config", "outputs"), CASES)
def test_nothing_above_the_threshold(module, config, outputs):
    found = run(module, config, outputs)
    assert [a.shape for a in found] == [(0, 4), (0,), (0,)]


@pytest.mark.parametrize(("module", "config", "outputs"), CASES)
def test_nan_is_above_no_threshold(module, config, outputs):
    found = run(module, config, {n: np.full_like(a, np.nan) for n, a in outputs.items()})
    assert len(found.scores) == 0


# ---- shapes that do not fit: one line with both


@pytest.mark.parametrize(
    ("module", "config", "shapes", "message"),
    [
        (grid, grid.GridConfig(), {"o": (1, 84, 8400)}, r"^needs \(1, 8, H, W\) for 3 names, got o \(1, 84, 8400\)$"),
        (
            anchor_free,
            anchor_free.AnchorFreeConfig(),
            {"output0": (1, 84, 8400)},
            r"^needs \(1, N, 8\) or \(1, 7, N\), or boxes \(1, N, 4\) and scores \(1, N, 3\), got output0 \(1, 84, 8400\); "
            r"a net of 80 classes\? names has 3$",
        ),
        (
            anchor_free,
            anchor_free.AnchorFreeConfig(boxes="offsets"),
            {"o": (1, 8400, 8)},
            r"with N = 126 = 8x12 \+ 4x6 \+ 2x3 rows, together or by grid, got o \(1, 8400, 8\)$",
        ),
        (
            distribution,
            distribution.DistributionConfig(),
            {"s": (1, N, C), "b": (1, N, 64)},
            r"boxes \(1, N, 32\) and scores \(1, N, 3\) with N = 126 .*, got s \(1, 126, 3\), b \(1, 126, 64\)",
        ),
        (
            anchors,
            anchors.AnchorsConfig(ANCHORS),
            {"o": (1, 25200, 85)},
            r"^needs \(1, 2, 8, 12, 8\) or \(1, 16, 8, 12\) for stride 8 and 3 names, got o \(1, 25200, 85\)$",
        ),
        (
            detr,
            detr.DetrConfig(),
            {"logits": (1, 20, C), "boxes": (1, 20, 4)},
            r"scores \(1, N, 4\), got logits \(1, 20, 3\), boxes \(1, 20, 4\)",
        ),
        (
            end_to_end,
            end_to_end.EndToEndConfig(),
            {"o": (1, 300, 7)},
            r"^needs an output \(1, N, 6\) of columns box, score, class, got o \(1, 300, 7\); set end_to_end.columns as the file",
        ),
        (
            end_to_end,
            end_to_end.EndToEndConfig(columns=("box",)),
            {"a": (1, 9, 4), "b": (1, 9), "c": (1, 9)},
            r"needs an output of scores \(1, N\), got b \(1, 9\), c \(1, 9\); set end_to_end.outputs.scores",
        ),
        (
            centres,
            centres.CentresConfig(),
            {"h": (1, 80, 4, 6)},
            r"^needs heatmap \(1, 3, H, W\), size .*, got h \(1, 80, 4, 6\)",
        ),
    ],
)
def test_another_family(module, config, shapes, message):
    with pytest.raises(ValueError, match=message):
        module.fit(config, shapes, C, SIZE)


def test_detr_without_no_object_is_named():
    with pytest.raises(ValueError, match=r"set detr\.background: none"):
        detr.fit(detr.DetrConfig(), {"l": (1, 20, C), "b": (1, 20, 4)}, C, SIZE)


@pytest.mark.parametrize(
    ("shapes", "num", "message"),
    [
        (
            {"o": (1, 7, 8)},
            3,
            r"^output o \(1, 7, 8\) may hold boxes\+objectness\+scores or boxes\+scores: set objectness: true or f",
        ),
        (
            {"a": (1, N, 4), "b": (1, N, 4)},
            4,
            r"^output a \(1, 126, 4\) may hold boxes or scores: name the outputs, outputs: \{boxes",
        ),
    ],
)
def test_shapes_that_do_not_say(shapes, num, message):
    with pytest.raises(ValueError, match=message):
        anchor_free.fit(anchor_free.AnchorFreeConfig(), shapes, num, SIZE)


@pytest.mark.parametrize(("shape", "word"), [((1, N, 7), "false"), ((1, 8, N), "true")])
def test_an_objectness_that_is_not_where_it_usually_is(shape, word):
    """One name more or less is not read as another kind of net."""
    with pytest.raises(ValueError, match=rf"; set objectness: {word} if names is right$"):
        anchor_free.fit(anchor_free.AnchorFreeConfig(), {"o": shape}, C, SIZE)


def test_outputs_that_are_not_there():
    config = anchor_free.AnchorFreeConfig(outputs=anchor_free.OutputNames(boxes=("bbox",)))
    with pytest.raises(ValueError, match=r"outputs: needs names of outputs \(o\), got bbox"):
        anchor_free.fit(config, {"o": (1, N, 7)}, C, SIZE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: anchors.AnchorsConfig(((1, 2),), (8, 16)), r"needs a list for each of the strides \[8, 16\], got 1 lists"),
        (lambda: anchors.AnchorsConfig(((1, 2, 3),), (8,)), r"needs pairs w h, the same number for each stride"),
        (lambda: anchors.AnchorsConfig(scale_xy=(1.0, 2.0)), "scale_xy: needs one number, or one per stride"),
        (lambda: distribution.DistributionConfig(bins=1), "bins: needs 2 or more"),
        (lambda: end_to_end.EndToEndConfig(columns=("score", "class")), "columns: needs box once"),
    ],
)
def test_configs_that_mean_nothing(make, message):
    with pytest.raises(ValueError, match=message):
        make()
