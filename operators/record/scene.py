"""Boxes and transforms as Foxglove's 3D panel draws them: fields of foxglove.SceneEntity and foxglove.FrameTransforms."""

from __future__ import annotations

import math

import numpy as np

from operators.render.colors import DETECTION, OF_CLASS
from operators.streams import CLASSES
from pipeline.recording import protowire as wire

_ALPHA = 0.5
_FONT_M = 0.8
_HUE = 0.618034  # golden ratio: successive ids get distinct colours


def _cube_layout() -> tuple[np.dtype, bytes]:
    """Layout of one CubePrimitive (field 8 of a SceneEntity), and its bytes with all numbers 0. Every number has 8 bytes."""
    groups = [("xyz", 3), ("xyzw", 4), ("lwh", 3), ("rgba", 4)]
    inner = {name: sum(9 for _ in range(n)) for name, n in groups}  # tag 1 byte + double 8 bytes each
    pose = wire.head(1, inner["xyz"]), wire.head(2, inner["xyzw"])
    pose_bytes = len(pose[0]) + inner["xyz"] + len(pose[1]) + inner["xyzw"]
    heads = {
        "xyz": wire.head(1, pose_bytes) + pose[0],
        "xyzw": pose[1],
        "lwh": wire.head(2, inner["lwh"]),
        "rgba": wire.head(3, inner["rgba"]),
    }
    total = sum(len(heads[name]) + inner[name] for name, _ in groups)
    heads["xyz"] = wire.head(8, total) + heads["xyz"]
    names: list[str] = []
    offsets: list[int] = []
    blank = b""
    for name, n in groups:
        blank += heads[name]
        for i in range(n):
            blank += wire.tag(i + 1, wire.FIXED64)
            names.append(f"{name}{i}")
            offsets.append(len(blank))
            blank += bytes(8)
    dtype = np.dtype({"names": names, "formats": ["<f8"] * len(names), "offsets": offsets, "itemsize": len(blank)})
    return dtype, blank


_CUBE, _BLANK = _cube_layout()


def boxes(boxes3d: np.ndarray, labels: np.ndarray, track_ids: np.ndarray | None) -> bytes:
    """Cubes (field 8) of (M, 7) boxes, coloured by class; with ids also their names (field 13), coloured by id."""
    count = len(boxes3d)
    colors = np.array(
        [color_of_id(i) for i in track_ids.tolist()] if track_ids is not None else [color_of_class(n) for n in labels.tolist()]
    )
    cubes = np.frombuffer(bytearray(_BLANK * count), _CUBE)
    half = boxes3d[:, 6].astype(np.float64) / 2
    rows = [*boxes3d[:, :3].T, np.zeros(count), np.zeros(count), np.sin(half), np.cos(half), *boxes3d[:, 3:6].T]
    rows += [*colors.reshape(-1, 3).T / 255.0, np.full(count, _ALPHA)]
    for name, row in zip(_CUBE.names or (), rows, strict=True):
        cubes[name] = row
    texts = b""
    if track_ids is not None:
        for box, label, track_id, color in zip(
            boxes3d.tolist(), labels.tolist(), track_ids.tolist(), colors.tolist(), strict=True
        ):
            name = f"{CLASSES[label] if 0 <= label < len(CLASSES) else 'object'} {track_id}"
            texts += wire.bytes_(13, _text(name, box[0], box[1], box[2] + box[5] / 2 + _FONT_M, color))
    return cubes.tobytes() + texts


def _text(name: str, x: float, y: float, z: float, color: list[float]) -> bytes:
    """A TextPrimitive that faces the viewer."""
    pose = wire.bytes_(1, wire.double(1, x) + wire.double(2, y) + wire.double(3, z)) + wire.bytes_(2, wire.double(4, 1.0))
    rgba = b"".join(wire.double(i + 1, c / 255.0) for i, c in enumerate(color)) + wire.double(4, 1.0)
    return wire.bytes_(1, pose) + wire.number_(2, 1) + wire.double(3, _FONT_M) + wire.bytes_(5, rgba) + wire.text(6, name)


def color_of_class(label: int) -> tuple[int, ...]:
    return OF_CLASS[label] if 0 <= label < len(OF_CLASS) else DETECTION


def color_of_id(track_id: int) -> tuple[float, ...]:
    """A saturated colour; the same for a track in every frame."""
    angle = 2 * math.pi * (track_id * _HUE % 1.0)
    return tuple(127.5 + 127.5 * math.cos(angle + shift * 2 * math.pi / 3) for shift in range(3))


def transform(stamp_ns: int, parent: str, child: str, T_parent_child: np.ndarray) -> bytes:
    """FrameTransforms with one transform: position and rotation of the child in the parent."""
    x, y, z = T_parent_child[:3, 3].tolist()
    translation = wire.double(1, x) + wire.double(2, y) + wire.double(3, z)
    rotation = b"".join(wire.double(i + 1, q) for i, q in enumerate(quaternion(T_parent_child[:3, :3])))
    frame = wire.timestamp(1, stamp_ns) + wire.text(2, parent) + wire.text(3, child)
    return wire.bytes_(1, frame + wire.bytes_(4, translation) + wire.bytes_(5, rotation))


def quaternion(R: np.ndarray) -> tuple[float, float, float, float]:
    """(3, 3) rotation -> x, y, z, w with w >= 0. The largest component is the divisor, so it is never near zero."""
    trace = float(np.trace(R))
    squares = [1 + 2 * float(R[i, i]) - trace for i in range(3)] + [1 + trace]  # of 2x, 2y, 2z, 2w
    k = int(np.argmax(squares))
    q = [0.0] * 4
    q[k] = math.sqrt(squares[k]) / 2
    scale = 1 / (4 * q[k])
    if k == 3:
        q[0], q[1], q[2] = ((R[2, 1] - R[1, 2]) * scale, (R[0, 2] - R[2, 0]) * scale, (R[1, 0] - R[0, 1]) * scale)
    else:
        i, j = (k + 1) % 3, (k + 2) % 3
        q[i] = (R[i, k] + R[k, i]) * scale
        q[j] = (R[j, k] + R[k, j]) * scale
        q[3] = (R[j, i] - R[i, j]) * scale
    sign = -1.0 if q[3] < 0 else 1.0
    return float(sign * q[0]), float(sign * q[1]), float(sign * q[2]), float(sign * q[3])
