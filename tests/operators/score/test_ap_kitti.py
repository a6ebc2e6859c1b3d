"""Compared with KITTI's evaluator on the same files (../shared/data/golden/kitti_object): the curves agree to 1e-9."""

import json
import tarfile

import numpy as np
import pytest

from operators.geometry.boxes3d import camera_to_velo
from operators.geometry.transforms import rigid
from operators.score.ap import AveragePrecision
from operators.streams import CLASSES, Boxes3D, Truth

pytestmark = pytest.mark.data

STRAIGHT = rigid(np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]))  # upright here = upright there
LABELS = {name.lower(): label for label, name in enumerate(CLASSES)} | {"dontcare": -1}  # letter case does not matter
SETS = (
    "general", "noisy_logit_scores", "score_ties_duplicates", "all_scores_equal", "small_and_far", "neighbours_dontcare",
    "empty_files_letter_case", "dense_rotated_no_cyclist_result", "main", "height_edge", "iou_2d_edge",
)  # fmt: skip


@pytest.fixture(scope="module")
def golden(shared_data):
    """frame -> (truth, found, their boxes2d); set -> what the evaluator said"""
    folder = shared_data / "golden" / "kitti_object"
    texts = {}
    with tarfile.open(folder / "frames.tar.gz") as tar:
        for member in tar.getmembers():
            if member.isfile():
                kind, name = member.name.split("/")[-2:]
                texts[kind, int(name[:-4])] = tar.extractfile(member).read().decode()
    frames = {n: read(texts["label_2", n], texts["result", n]) for kind, n in texts if kind == "result"}
    return frames, json.loads((folder / "expected.json").read_text())


def table(text, columns):
    rows = [[LABELS[w[0].lower()], *map(float, w[1:])] for w in map(str.split, text.splitlines())]
    return np.array(rows, np.float64).reshape(-1, columns)


def read(label, result):
    t, d = table(label, 15), table(result, 16)
    truth = Truth(camera_to_velo(t[:, 8:15], STRAIGHT), t[:, 4:8], t[:, 0].astype(int), np.full(len(t), -1), t[:, 2], t[:, 1])
    found = Boxes3D(camera_to_velo(d[:, 8:15], STRAIGHT), d[:, 15], d[:, 0].astype(int))
    return truth, found, d[:, 4:8]


@pytest.mark.parametrize("metric", ["3d", "bev", "2d"])
@pytest.mark.parametrize("name", SETS)
def test_same_curves(golden, name, metric):
    frames, expected = golden
    first, last = expected[name]["frames"]
    wanted = expected[name]["evaluators"]["asharakeh/kitti_native_evaluation"]
    ap = AveragePrecision(metric=metric, dontcare=metric == "2d")
    for number in range(first, last + 1):
        truth, found, boxes2d = frames[number]
        ap.add(found, truth, boxes2d)
    result = ap.result()
    compared = 0
    for cls, metrics in wanted.items():
        for k, level in enumerate(("easy", "moderate", "hard")):
            got = result[cls.capitalize()][level]
            assert got.curve == pytest.approx(np.array(metrics[metric]["curve"][k]), abs=1e-9), (cls, level)
            assert got.r40 == pytest.approx(metrics[metric]["R40"][k], abs=1e-3), (cls, level)
            assert got.r11 == pytest.approx(metrics[metric]["R11"][k], abs=1e-3), (cls, level)
            compared += 1
    assert compared >= 3
