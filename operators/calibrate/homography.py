"""The homography of a camera and a thermal camera: from picked points, or from the pictures themselves.

Pictures of a distant scene, or of one plane: elsewhere the two cameras see different sides of things, and no homography is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from operators.calibrate import drawing, residual
from operators.calibrate.pairs import Pair, read_pairs, read_points
from operators.calibrate.refine import Measure, refine
from operators.calibrate.residual import Residual
from operators.fuse import homography_file
from operators.fuse.homography_file import PairFile
from operators.geometry import homography
from pipeline.errors import InputError

_FEWER = 0.7


@dataclass(frozen=True, slots=True)
class CalibrateConfig:
    """image, thermal: two pictures, or two folders; points: a file of picked points; start: a file of an earlier calibration."""

    image: Path
    thermal: Path
    out: Path
    points: Path | None = None
    start: Path | None = None
    method: Measure | Literal["points"] = "edges"
    model: str = "homography"
    max_px: float = 3.0
    max_pairs: int = 20
    picture: Path | None = None


def calibrate(config: CalibrateConfig) -> list[str]:
    """Find the homography, write the file and the picture; -> lines for the user. Raises InputError."""
    pairs, note = read_pairs(config.image, config.thermal, config.max_pairs)
    source, dest = pairs[0].sizes
    lines = [f"{len(pairs)} pair{'s' * (len(pairs) > 1)}: image {source[0]} x {source[1]}, thermal {dest[0]} x {dest[1]}"]
    lines += [note] if note else []
    H, found = _first(config, pairs)
    if found is not None:
        lines.append(f"points: {_said(found)}")
    if config.method != "points":
        before = residual.of_tiles(pairs, H)
        refined = refine(pairs, H, config.method, config.model)
        if wrong := homography.problem(refined):
            raise InputError(f"{config.thermal}: the refinement by {config.method} fails: {wrong}; pick points")
        found = residual.of_tiles(pairs, refined)
        lines += [f"edges before: {_said(before)}", f"edges after {config.method}: {_said(found)}"]
        if is_better(before, found):
            H = refined
        else:
            found = before
            lines.append(
                "the refinement is not kept, as edges fit no better with it; take more pairs, a simpler --model, or points"
            )
    assert found is not None
    numbers = found.numbers
    command = f"pipe calibrate homography: {config.method}, {len(pairs)} pairs of {config.image.name}, {config.thermal.name}"
    homography_file.write(config.out, PairFile(H, source, dest), numbers, command)
    lines.append(f"written to {config.out}; use it: {{op: fuse.align, config: {{file: {config.out}}}}}")
    if config.picture is not None:
        _draw(config.picture, pairs[0], H, found)
        lines.append(f"drawn to {config.picture}")
    return lines


def is_better(before: Residual, after: Residual) -> bool:
    """Is the median smaller, and not because fewer places count? The tiles are a judge that no refinement has asked."""
    first, second = before.numbers, after.numbers
    if not first["inliers"]:
        return second["inliers"] > 0
    return second["inliers"] >= _FEWER * first["inliers"] and second["median"] <= first["median"]


def _first(config: CalibrateConfig, pairs: list[Pair]) -> tuple[np.ndarray, Residual | None]:
    """The homography to begin with, and the points' residual."""
    source, dest = pairs[0].sizes
    if config.points is not None:
        image, thermal = read_points(config.points)
        try:
            fit = homography.from_points(image, thermal, config.max_px)
        except ValueError as error:
            raise InputError(f"{config.points}: {error}") from None
        return fit.H, Residual(thermal, homography.apply(fit.H, image) - thermal, fit.inliers)
    if config.start is not None:
        pair = homography_file.read(str(config.start))
        if (pair.image_size, pair.size) != (source, dest):
            raise InputError(
                f"{config.start}: needs image_size {list(source)} and size {list(dest)} as the pictures have, "
                f"got {list(pair.image_size)} and {list(pair.size)}"
            )
        return pair.H_thermal_image, None
    return homography.resizing(source, dest), None


def _said(found: Residual) -> str:
    numbers = found.numbers
    if not numbers["inliers"]:
        return f"no residual: none of {numbers['points']} places is clear"
    return (
        f"residual mean {numbers['mean']:.2f}, median {numbers['median']:.2f}, max {numbers['max']:.2f} px of thermal; "
        f"{numbers['inliers']} of {numbers['points']} count"
    )


def _draw(path: Path, pair: Pair, H: np.ndarray, found: Residual) -> None:
    canvas = drawing.drawn(pair, H, found, f"{pair.name}: {_said(found)}")
    data = cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))[1].tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"--picture {path}: cannot write: {error.strerror}") from None
