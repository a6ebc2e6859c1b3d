"""The rig file, which `pipe calibrate import` writes and drivers read (config key `calibration`).

frames: [velodyne, imu]                # sensors without pictures
cameras:
  front:                               # a frame as well: x right, y down, z forward
    size: [1600, 900]                  # width, height [px] of the picture as the camera gives it
    K: [[1266.4, 0, 816.3], [0, 1266.4, 491.5], [0, 0, 1]]
    distortion: {model: radtan, coefficients: [-0.31, 0.11, 0.0004, -0.0002, 0.0]}    # optional
    rectified: {fit: inside}           # optional: fit same | inside | whole, or K; R (camera -> rectified camera); size
transforms:
  T_front_velodyne: [[0, -1, 0, 0.02], [0, 0, -1, -0.3], [1, 0, 0, -0.7], [0, 0, 0, 1]]   # p_front = T @ p_velodyne, metres

Models: none; radtan or plumb_bob (k1 k2 p1 p2, then k3, then k4 k5 k6, in OpenCV's order); fisheye or equidistant (k1 k2 k3 k4).
Rules: rotations are orthonormal with determinant +1, focal lengths are positive, every name is a frame once, and transforms form
trees: a second path between two frames would contradict the first. Every error is named, in a line with file, line and key.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from drivers.calibration.rig import Pair, Rig, make_lens
from operators import folders, textfile
from operators.geometry.lens import NUM_COEFFICIENTS, Fit, fitted, padded
from operators.geometry.transforms import rotation_problem
from operators.streams import MAX_PICTURE, Lens
from pipeline import settings
from pipeline.errors import GraphError, InputError, Where
from pipeline.graph import yamlfile

Row3 = tuple[float, float, float]
Row4 = tuple[float, float, float, float]
Matrix3 = tuple[Row3, Row3, Row3]
Matrix4 = tuple[Row4, Row4, Row4, Row4]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_COUNTS = {"radtan": (4, 5, 8), "fisheye": (4,), "none": (0,)}
_ALIASES = {"plumb_bob": "radtan", "equidistant": "fisheye"}
MAX_FRAMES = 64
SHIPPED = Path(__file__).parent / "rigs"


@dataclass(frozen=True, slots=True)
class DistortionEntry:
    model: Literal["none", "radtan", "plumb_bob", "fisheye", "equidistant"] = "none"
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        counts = _COUNTS[self.kind]
        if len(self.coefficients) not in counts:
            needs = " or ".join(map(str, counts))
            raise ValueError(f"coefficients: needs {needs} numbers for {self.model}, got {len(self.coefficients)}")
        _finite("coefficients", self.coefficients)

    @property
    def kind(self) -> str:
        return _ALIASES.get(self.model, self.model)


@dataclass(frozen=True, slots=True)
class RectifiedEntry:
    fit: Fit = "same"
    K: Matrix3 | None = None
    R: Matrix3 | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.K is not None:
            _check_intrinsics(self.K)
            if self.fit != "same":
                raise ValueError(f"fit: needs no K beside it, got both; leave {self.fit} or K out")
        if self.size is not None:
            _check_size(self.size)
        if self.R is not None and (wrong := rotation_problem(np.array(self.R))):
            raise ValueError(f"R: {wrong}")
        if self.fit != "same" and (self.R is not None or self.size is not None):
            raise ValueError("fit: needs no R and no size beside it: it finds K for the picture as it is")


@dataclass(frozen=True, slots=True)
class CameraEntry:
    size: tuple[int, int]
    K: Matrix3
    distortion: DistortionEntry = field(default_factory=DistortionEntry)
    rectified: RectifiedEntry = field(default_factory=RectifiedEntry)

    def __post_init__(self) -> None:
        _check_size(self.size)
        _check_intrinsics(self.K)
        K_rect = self.lens().K_rect
        if not (np.isfinite(K_rect).all() and K_rect[0, 0] > 0 and K_rect[1, 1] > 0):
            raise ValueError(
                f"rectified: fit {self.rectified.fit}: needs a lens whose picture can be made flat, got none; give its K"
            )

    def lens(self) -> Lens:
        K, fisheye, to = np.array(self.K), self.distortion.kind == "fisheye", self.rectified
        distortion = padded(self.distortion.coefficients)
        K_rect = fitted(K, distortion, fisheye, self.size, to.fit) if to.K is None else np.array(to.K)
        return make_lens(self.size, K, distortion, fisheye, None if to.R is None else np.array(to.R), K_rect, to.size)


@dataclass(frozen=True, slots=True)
class RigEntry:
    frames: tuple[str, ...] = ()
    cameras: dict[str, CameraEntry] = field(default_factory=dict)
    transforms: dict[str, Matrix4] = field(default_factory=dict)


def shipped() -> list[str]:
    """Names of rig files that stand for themselves in a config, without a folder and .yaml."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def read(name: str) -> Rig:
    """name: of a file, or of a shipped one. Raises InputError: a line with file, line and key for each thing that is wrong."""
    path = SHIPPED / f"{name}.yaml" if name in shipped() else folders.at(name)
    try:
        data, marks = yamlfile.read("\n".join(textfile.lines(path)), str(path))
        where = Where(str(path), marks)
        if not isinstance(data, dict):
            raise where.error(f"needs the keys frames, cameras, transforms, got {settings.show(data)}; is it a rig file?")
        return _rig(settings.build(RigEntry, data, where), where)
    except GraphError as error:
        raise InputError(str(error)) from None


def _rig(entry: RigEntry, where: Where) -> Rig:
    cameras, problems = entry.cameras, _wrong_frames(entry, where)
    frames = (*dict.fromkeys((*cameras, *entry.frames)),)
    if len(frames) > MAX_FRAMES:
        raise where.error(f"needs at most {MAX_FRAMES} frames, got {len(frames)}")
    transforms: dict[Pair, np.ndarray] = {}
    for key, rows in entry.transforms.items():
        at, T = where.child("transforms", key), np.array(rows)
        pair = _pair(key, frames)
        wrong = f"needs T_DEST_ORIGIN of two of the frames {', '.join(frames)}, got {key}" if pair is None else _wrong_motion(T)
        if pair is not None and not wrong:
            path = Rig(str(where.file), {}, frames, transforms).path_between(*pair)
            if path is not None:
                wrong = f"needs one path between two frames, got a second one: {' - '.join(path)} is there already; leave one out"
            transforms[pair] = T
        if wrong:
            problems.append(f"{at}: {wrong}")
    if problems:
        raise GraphError("\n".join(problems))
    place = str(where.child("transforms")).removesuffix(": transforms")
    return Rig(where.file, {name: camera.lens() for name, camera in cameras.items()}, frames, transforms, place)


def _wrong_frames(entry: RigEntry, where: Where) -> list[str]:
    problems = []
    named = [(where.child("cameras", name), name) for name in entry.cameras]
    named += [(where.child("frames", i), name) for i, name in enumerate(entry.frames)]
    if not named:
        problems.append(f"{where}: needs cameras or frames, got none; is it a rig file?")
    seen: set[str] = set()
    for at, name in named:
        if not _NAME.fullmatch(name):
            problems.append(f"{at}: needs a name of letters, digits and _, beginning with a letter, got {name!r}")
        elif name in seen:
            problems.append(f"{at}: needs every frame once, got {name} again")
        seen.add(name)
    return problems


def _pair(key: str, frames: tuple[str, ...]) -> Pair | None:
    """(dest, origin) of T_DEST_ORIGIN; None unless it is two known frames in exactly one way."""
    parts = key.split("_")
    pairs = [("_".join(parts[1:i]), "_".join(parts[i:])) for i in range(2, len(parts))] if parts[0] == "T" else []
    found = [(dest, origin) for dest, origin in pairs if dest in frames and origin in frames and dest != origin]
    return found[0] if len(found) == 1 else None


def _wrong_motion(T: np.ndarray) -> str:
    if not (np.abs(T) <= textfile.MAX_SIZE).all():
        return "needs finite numbers"
    if wrong := rotation_problem(T[:3, :3]):
        return wrong
    return "" if T[3].tolist() == [0, 0, 0, 1] else f"needs 0 0 0 1 in the last row, got {' '.join(f'{v:g}' for v in T[3])}"


def _check_size(size: tuple[int, int]) -> None:
    if not (0 < size[0] <= MAX_PICTURE["W"] and 0 < size[1] <= MAX_PICTURE["H"]):
        raise ValueError(f"size: needs width, height of 1..{MAX_PICTURE['W']} pixels, got {list(size)}")


def _check_intrinsics(rows: Matrix3) -> None:
    _finite("K", tuple(value for row in rows for value in row))
    if not (rows[0][0] > 0 and rows[1][1] > 0):
        raise ValueError(f"K: needs positive focal lengths K[0][0] and K[1][1], got {rows[0][0]:g} and {rows[1][1]:g}")
    if rows[1][0] != 0 or list(rows[2]) != [0, 0, 1]:
        raise ValueError(f"K: needs [[fx, s, cx], [0, fy, cy], [0, 0, 1]], got {[list(row) for row in rows]}")


def _finite(key: str, values: tuple[float, ...]) -> None:
    if not all(math.isfinite(value) and abs(value) <= textfile.MAX_SIZE for value in values):
        raise ValueError(f"{key}: needs finite numbers, got {settings.show(list(values))}")


def check(rig: Rig) -> None:
    """The rules of the file, of a rig that another format gave. Raises InputError, a line for each thing that is wrong."""
    problems = [
        f"{rig.path}: T_{dest}_{origin}: {wrong}" for (dest, origin), T in rig.transforms.items() if (wrong := _wrong_motion(T))
    ]
    for name, lens in rig.cameras.items():
        for K, size in ((lens.K_cam, lens.image_size), (lens.K_rect, lens.rect_size)):
            try:
                _check_intrinsics(K.tolist())
                _check_size(size.tolist())
                _finite("distortion", lens.distortion.tolist())
            except ValueError as error:
                problems.append(f"{rig.path}: {name}: {error}")
        if wrong := rotation_problem(lens.R_rect):
            problems.append(f"{rig.path}: {name}: R: {wrong}")
    problems += [
        f"{rig.path}: {frame}: needs a name of letters, digits and _, beginning with a letter"
        for frame in rig.frames
        if not _NAME.fullmatch(frame)
    ]
    if problems:
        raise InputError("\n".join(dict.fromkeys(problems)))


def write(path: Path, rig: Rig, comment: str) -> None:
    """`read` gives the same rig, to twelve digits. Raises InputError where the file cannot be written."""
    lines = [f"# {line}" for line in comment.splitlines()]
    lines.append(f"frames: [{', '.join(frame for frame in rig.frames if frame not in rig.cameras)}]")
    if rig.cameras:
        lines.append("cameras:")
    for name, lens in rig.cameras.items():
        lines += [f"  {name}:", f"    size: {lens.image_size.tolist()}", *_matrix("    K", lens.K_cam)]
        if lens.distortion.any():
            model = "fisheye" if lens.fisheye[0] else "radtan"
            num = 4 if lens.fisheye[0] else NUM_COEFFICIENTS if lens.distortion[5:].any() else 5
            lines.append(f"    distortion: {{model: {model}, coefficients: {_row(lens.distortion[:num])}}}")
        to = [] if np.array_equal(lens.K_rect, lens.K_cam) else _matrix("      K", lens.K_rect)
        to += [] if np.array_equal(lens.R_rect, np.eye(3)) else _matrix("      R", lens.R_rect)
        to += [] if np.array_equal(lens.rect_size, lens.image_size) else [f"      size: {lens.rect_size.tolist()}"]
        lines += ["    rectified:", *to] if to else []
    if rig.transforms:
        lines.append("transforms:")
    for (dest, origin), T in rig.transforms.items():
        lines += _matrix(f"  T_{dest}_{origin}", T)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"-o {path}: cannot write: {error.strerror}") from None


def _row(values: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:.12g}" for value in values.tolist()) + "]"


def _matrix(key: str, matrix: np.ndarray) -> list[str]:
    indent = " " * (len(key) - len(key.lstrip()) + 2)
    return [f"{key}:", *(f"{indent}- {_row(row)}" for row in matrix)]
