"""The tracker on real detections: against AB3DMOT's own output, and against the truth of sequence 0000.

Read and scored here with plain code of its own: nothing of the drivers, nothing of the scorers.
"""

import gzip
from collections import defaultdict

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from operators.geometry.boxes3d import camera_to_velo, velo_to_camera, wrap_angle
from operators.geometry.project import boxes_to_image
from operators.kernels.iou import giou_3d
from operators.streams import CLASSES, Boxes3D, Calibration
from operators.track import assign
from operators.track.tracker import Tracker
from pipeline.frame import Header

CAR, PEDESTRIAN = CLASSES.index("Car"), CLASSES.index("Pedestrian")
LABEL_OF_TYPE = {1: 1, 2: 0, 3: 2}  # of the detection files: pedestrian, car, cyclist

pytestmark = pytest.mark.data


def read_calibration(path):
    numbers = {line.split()[0].rstrip(":"): np.array(line.split()[1:], float) for line in path.read_text().splitlines() if line}
    T = np.eye(4)
    T[:3, :3] = numbers["R0_rect"].reshape(3, 3)
    T = T @ np.vstack([numbers["Tr_velo_to_cam"].reshape(3, 4), [0, 0, 0, 1]])
    return Calibration(numbers["P2"].reshape(3, 4), T, np.array([1242, 375], np.int32))


def read_detections(folder, sequence, classes):
    """frame -> rows of h w l x y z ry score type, all classes together"""
    frames = defaultdict(list)
    for name in classes:
        for line in (folder / "detections" / f"pointrcnn_{name}" / f"{sequence}.txt").read_text().splitlines():
            row = [float(v) for v in line.split(",")]
            frames[int(row[0])].append([*row[7:14], row[6], row[1]])
    return {frame: np.array(rows) for frame, rows in frames.items()}


def num_frames(folder, sequence):
    return len((folder / "oxts" / f"{sequence}.txt").read_text().splitlines())


def play(op, sequence, detections, count, T_cam_velo, lower_to_bottom=False):
    """-> Tracks of every frame"""
    out = []
    for frame in range(count):
        rows = detections.get(frame, np.empty((0, 9)))
        boxes3d = camera_to_velo(rows[:, :7], T_cam_velo)
        if lower_to_bottom:
            boxes3d[:, 2] -= boxes3d[:, 5] / 2
        labels = np.array([LABEL_OF_TYPE[int(t)] for t in rows[:, 8]], np.int32)
        op.header = Header("dets", frame, f"{sequence}/{frame:06d}", frame * 100_000_000)
        out.append(op.process(boxes3d=Boxes3D(boxes3d, rows[:, 7].astype(np.float32), labels)))
    return out


@pytest.mark.parametrize(("sequence", "num_lines"), [("0004", 3193), ("0011", 5382)])
def test_every_line_of_ab3dmots_own_output(make, shared_data, monkeypatch, sequence, num_lines):
    """Given its frame and its reference point, the tracker is AB3DMOT: same tracks in the same frames, within 2 mm.

    AB3DMOT filters the bottom centre in the camera's axes. A LiDAR lying exactly in the camera's axes and boxes lowered to
    their bottom give it that; costs are taken of the boxes raised again. Its ego-motion has a quirk of its own (rotations
    composed in the wrong order), so the runs without it are compared.
    """

    def raised_cost(dets, tracks):
        dets, tracks = dets.copy(), tracks.copy()
        dets[:, 2] += dets[:, 5] / 2
        tracks[:, 2] += tracks[:, 5] / 2
        out = np.empty((len(dets), len(tracks)))
        giou_3d(dets, tracks, out)
        return -out.astype(np.float32)  # as AB3DMOT

    monkeypatch.setitem(assign.COSTS, "giou_3d", raised_cost)
    folder = shared_data / "kitti_tracking"
    axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    detections = read_detections(folder, sequence, ("Car", "Pedestrian"))
    tracks = play(make(Tracker), sequence, detections, num_frames(folder, sequence), axes, lower_to_bottom=True)

    golden = defaultdict(list)
    path = shared_data / "golden" / "ab3dmot" / "tracks_no_ego_motion" / f"{sequence}.txt.gz"
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        row = line.split()
        golden[int(row[0]), CLASSES.index(row[2])].append([float(row[1]), *(float(v) for v in row[10:18])])

    id_of, total = {}, 0
    for frame, ours in enumerate(tracks):
        boxes3d = ours.boxes3d.copy()
        boxes3d[:, 2] += boxes3d[:, 5] / 2
        boxes_cam = velo_to_camera(boxes3d, axes)
        for label in (CAR, PEDESTRIAN):
            mine = np.flatnonzero(ours.labels == label)
            theirs = np.array(golden[frame, label]).reshape(-1, 9)
            assert len(mine) == len(theirs), (frame, label)
            for i in mine:
                distance = np.linalg.norm(theirs[:, 4:7] - boxes_cam[i, 3:6], axis=1)
                same = theirs[distance.argmin()]
                assert distance.min() < 0.002, (frame, label)
                np.testing.assert_allclose(boxes_cam[i, :3], same[1:4], atol=1e-4)
                assert abs(wrap_angle(boxes_cam[i, 6] - same[7])) < 1e-4
                assert ours.scores[i] == pytest.approx(same[8], abs=1e-5)
                assert id_of.setdefault(ours.track_ids[i], same[0]) == same[0], "an id changed hands"
                total += 1
    assert total == num_lines
    assert len(set(id_of.values())) == len(id_of)


def read_truth(path):
    """frame -> list of (type, 2D box, x z of the bottom centre)"""
    truth = defaultdict(list)
    for line in path.read_text().splitlines():
        row = line.split()
        truth[int(row[0])].append((row[2], np.array(row[6:10], float), np.array([row[13], row[15]], float)))
    return truth


def score(frames, truth, calibration):
    """frames: boxes3d per frame -> recall, precision of vehicles (Car or Van) within 40 m at 2 m between the centres.

    Forgiven: truth boxes up to 25 px high or further away (matched or not); boxes further away, out of the picture,
    up to 25 px high, or more than half in a DontCare region.
    """
    tp = fp = fn = 0
    for frame, boxes3d in enumerate(frames):
        vehicles = [t for t in truth[frame] if t[0] in ("Car", "Van")]
        regions = [t[1] for t in truth[frame] if t[0] == "DontCare"]
        counts = [t[1][3] - t[1][1] > 25 and np.hypot(*t[2]) <= 40 for t in vehicles]
        where = velo_to_camera(boxes3d, calibration.T_cam_velo)[:, [3, 5]]
        distance = np.array([[np.hypot(*(p - t[2])) for t in vehicles] for p in where]).reshape(len(where), len(vehicles))
        pairs = [(i, j) for i, j in zip(*linear_sum_assignment(np.minimum(distance, 2.001)), strict=True) if distance[i, j] <= 2]
        tp += sum(counts[j] for _, j in pairs)
        fn += sum(counts) - sum(counts[j] for _, j in pairs)
        boxes2d, visible = boxes_to_image(boxes3d, *calibration)
        for i in set(range(len(where))) - {i for i, _ in pairs}:
            x1, y1, x2, y2 = boxes2d[i]
            area = (x2 - x1) * (y2 - y1)
            covered = [
                max(0, min(x2, r[2]) - max(x1, r[0])) * max(0, min(y2, r[3]) - max(y1, r[1])) > 0.5 * area for r in regions
            ]
            fp += bool(visible[i] and y2 - y1 > 25 and np.hypot(*where[i]) <= 40 and not any(covered))
    return tp / (tp + fn), tp / (tp + fp)


@pytest.mark.parametrize(
    ("min_score", "recall", "precision"),
    [(None, 0.95, 0.85), (1.0, 0.93, 0.91), (1.5, 0.93, 0.92)],
)
def test_vehicles_of_sequence_0000(make, shared_data, min_score, recall, precision):
    """The figures promised are .85 and .85; these are what is reached, rounded down. min_score is a logit here."""
    folder = shared_data / "kitti_tracking_0000"
    calibration = read_calibration(folder / "calib" / "0000.txt")
    detections = read_detections(folder, "0000", ("Car", "Pedestrian", "Cyclist"))
    op = make(Tracker, min_score=min_score)
    tracks = play(op, "0000", detections, num_frames(folder, "0000"), calibration.T_cam_velo)
    truth = read_truth(folder / "label_02" / "0000.txt")
    got = score([t.boxes3d[t.labels == CAR] for t in tracks], truth, calibration)
    assert got[0] >= recall and got[1] >= precision, got


def test_the_scorer_itself(shared_data):
    """Truth against truth is perfect; nothing finds nothing; shifted by 3 m everything is wrong both ways."""
    folder = shared_data / "kitti_tracking_0000"
    calibration = read_calibration(folder / "calib" / "0000.txt")
    truth = read_truth(folder / "label_02" / "0000.txt")
    frames = [[] for _ in range(129)]
    for line in (folder / "label_02" / "0000.txt").read_text().splitlines():
        row = line.split()
        if row[2] in ("Car", "Van"):
            frames[int(row[0])].append([float(v) for v in row[10:17]])
    boxes = [camera_to_velo(np.array(f).reshape(-1, 7), calibration.T_cam_velo) for f in frames]
    assert score(boxes, truth, calibration) == (1.0, 1.0)
    assert score([*[b[:0] for b in boxes[:-1]], boxes[-1]], truth, calibration)[0] < 0.05
    shifted = [b + np.array([0, 3, 0, 0, 0, 0, 0], np.float32) for b in boxes]
    assert max(score(shifted, truth, calibration)) < 0.1
