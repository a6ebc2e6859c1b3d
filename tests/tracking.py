"""Detections by hand, and playing them to a tracker."""

import numpy as np

from operators.streams import BOXES2D, CLASSES, TRACKS, Boxes2D, Boxes3D

CAR, PEDESTRIAN, CYCLIST = (CLASSES.index(name) for name in ("Car", "Pedestrian", "Cyclist"))
SIZE = {CAR: (4.0, 1.8, 1.5), PEDESTRIAN: (0.8, 0.6, 1.8), CYCLIST: (1.8, 0.6, 1.7)}


def detections(*objects, score=0.9):
    """(label, x, y[, yaw]) each, the score the same or one per object"""
    rows = [(x, y, -1.0, *SIZE[label], *(yaw or (0.0,))) for label, x, y, *yaw in objects]
    labels = np.array([o[0] for o in objects], np.int32)
    scores = np.broadcast_to(np.float32(score), len(objects)).copy()
    return Boxes3D(np.array(rows, np.float32).reshape(-1, 7), scores, labels)


def in_picture(boxes3d, first=0.0):
    """A 2D box for each: x1 counts up from `first`"""
    rows = [(first + k, 0.0, first + k + 10, 20.0) for k in range(len(boxes3d.labels))]
    return Boxes2D(np.array(rows, np.float32).reshape(-1, 4), boxes3d.scores, boxes3d.labels)


def play(op, header, frames, poses=None, start=0, **inputs):
    """A list of detections in, a list of tracks out; every frame also gets `inputs`. Outputs are checked."""
    return [tracks for tracks, _ in play_both(op, header, frames, poses, start, **inputs)]


def play_both(op, header, frames, poses=None, start=0, **inputs):
    """... -> [(tracks, boxes2d)]"""
    out = []
    for k, boxes3d in enumerate(frames):
        op.header = header(start + k)
        pose = None if poses is None else poses[k]
        got = op.process(boxes3d=boxes3d, **({} if pose is None else {"pose": pose}), **inputs)
        TRACKS.check(got["tracks"]._asdict(), "tracker.tracks")
        BOXES2D.check(got["boxes2d"]._asdict(), "tracker.boxes2d")
        assert got["boxes2d"].labels.tolist() == got["tracks"].labels.tolist()
        out.append((got["tracks"], got["boxes2d"]))
    return out


def ids(tracks):
    return [t.track_ids.tolist() for t in tracks]
