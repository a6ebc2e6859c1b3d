"""Random shadows-highlights: a part of a picture darkened, the rest brightened.     Source: section 5.2 of the report (RSH)

in   image  (H, W, 3) uint8  RGB, or
     grey   (H, W) uint8
out  the same port, the same size; with probability 1 - p the same picture
mode image: a polygon across the picture, between two heights on its left and two on its right edge, is multiplied by a factor of
`shadow`; all other pixels by one of `highlight`. mode patch: one random rectangle, as in random erasing (Zhong et al. 2020), is
multiplied by a factor of either. Products are rounded and clipped.
State: none; each frame's random numbers follow from seed, sequence and frame id.   A picture without pixels passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from operators.augment.seeded import require_seed, rng_of
from operators.streams import GREY, IMAGE
from pipeline.operator import Operator
from pipeline.schema import optional

PATCH_TRIES = 20


@dataclass(frozen=True, slots=True)
class ShadowsHighlightsConfig:
    p: float = 0.5  # probability of any change
    mode: Literal["image", "patch"] = "image"
    highlight: tuple[float, float] = (1.0, 2.0)  # H_bl, H_bh: factor outside of the polygon
    shadow: tuple[float, float] = (0.01, 0.5)  # S_dl, S_dh: factor inside
    left_upper: tuple[float, float] = (0.0, 0.2)  # l_ul, l_uh: upper end of the left side, share of H from the top
    left_lower: tuple[float, float] = (0.4, 0.6)  # l_ll, l_lh: length of the left side, share of H
    right_upper: tuple[float, float] = (0.0, 0.2)  # r_ul, r_uh
    right_lower: tuple[float, float] = (0.4, 0.6)  # r_ll, r_lh
    patch_area: tuple[float, float] = (0.02, 0.4)  # mode patch: share of the picture
    patch_aspect: tuple[float, float] = (0.3, 3.3)  # mode patch: height / width
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"p: needs 0 .. 1, got {self.p:g}")
        require_seed(self.seed)
        edges = ("left_upper", "left_lower", "right_upper", "right_lower")
        limits = {"highlight": (1.0, 100.0), "shadow": (0.0, 1.0), **dict.fromkeys(edges, (0.0, 1.0))}
        limits |= {"patch_area": (1e-6, 1.0), "patch_aspect": (0.01, 100.0)}
        for key, (least, most) in limits.items():
            low, high = getattr(self, key)
            if not least <= low <= high <= most:
                raise ValueError(f"{key}: needs low <= high within {least:g} .. {most:g}, got {[low, high]}")


class Drawn(NamedTuple):
    """One draw for a picture of W x H.

    corners  (4, 2) float64: P_tl, P_tr, P_br, P_bl; x to the right, y down, from the upper left corner of the picture [px]
    inside   factor of the pixels in the polygon; outside: of all others
    """

    corners: np.ndarray
    inside: float
    outside: float


def draw(config: ShadowsHighlightsConfig, size: tuple[int, int], rng: np.random.Generator) -> Drawn | None:
    """The random change of a picture of size (H, W); None = unchanged."""
    if not rng.random() < config.p:
        return None
    return (_draw_patch if config.mode == "patch" else _draw_image)(config, *size, rng)


def _draw_image(config: ShadowsHighlightsConfig, height: int, width: int, rng: np.random.Generator) -> Drawn:
    left_low, left_high = rng.uniform(*config.left_lower) * height, rng.uniform(*config.left_upper) * height  # L_lf, L_hf
    right_low, right_high = rng.uniform(*config.right_lower) * height, rng.uniform(*config.right_upper) * height  # R_lf, R_hf
    corners = [(0, left_high), (width, right_high), (width, right_low + right_high), (0, left_low + left_high)]
    inside, outside = rng.uniform(*config.shadow), rng.uniform(*config.highlight)  # S_df, H_bf
    return Drawn(np.array(corners, np.float64), inside, outside)


def _draw_patch(config: ShadowsHighlightsConfig, height: int, width: int, rng: np.random.Generator) -> Drawn | None:
    for _ in range(PATCH_TRIES):
        area, aspect = rng.uniform(*config.patch_area) * height * width, np.exp(rng.uniform(*np.log(config.patch_aspect)))
        rows, columns = round(float(np.sqrt(area * aspect))), round(float(np.sqrt(area / aspect)))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
            corners = [(left, top), (left + columns, top), (left + columns, top + rows), (left, top + rows)]
            return Drawn(np.array(corners, np.float64), rng.uniform(*(config.shadow, config.highlight)[rng.integers(2)]), 1.0)
    return None  # no patch of these sizes fits


def polygon_mask(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels whose centres lie in the polygon tl, tr, br, bl with upright left and right sides."""
    (left, left_top), (right, right_top), (_, right_bottom), (_, left_bottom) = corners.tolist()
    x, y = np.arange(size[1]) + 0.5, np.arange(size[0])[:, None] + 0.5
    along = (x - left) / (right - left) if right > left else np.full(size[1], -1.0)
    top, bottom = left_top + along * (right_top - left_top), left_bottom + along * (right_bottom - left_bottom)
    return np.asarray((along >= 0) & (along < 1) & (y >= top) & (y < bottom))


def scaled(picture: np.ndarray, factor: float) -> np.ndarray:
    """Brightness times `factor`, rounded and clipped to the type (uint8 or uint16)."""
    return scales(picture.dtype, factor)[picture]


def scales(dtype: np.dtype[Any], factor: float) -> np.ndarray:
    """The table of `scaled`: old value -> new value."""
    most = np.iinfo(dtype).max
    return np.minimum(np.rint(np.arange(most + 1) * factor), most).astype(dtype)


def apply(picture: np.ndarray, drawn: Drawn) -> np.ndarray:
    """mask * darken(I, S_df) + inverted mask * brighten(I, H_bf), a new array. picture: (H, W) or (H, W, C), uint8 or uint16."""
    mask = polygon_mask(drawn.corners, (picture.shape[0], picture.shape[1]))
    if picture.ndim > 2:
        mask = mask[..., None]
    return np.where(mask, scaled(picture, drawn.inside), scaled(picture, drawn.outside))


def shadows_highlights(picture: np.ndarray, config: ShadowsHighlightsConfig, rng: np.random.Generator) -> np.ndarray:
    """The picture after one draw; the very same array if nothing was to change. picture: (H, W) or (H, W, C), uint8 or uint16."""
    drawn = draw(config, (picture.shape[0], picture.shape[1]), rng)
    return picture if drawn is None else apply(picture, drawn)


class ShadowsHighlights(Operator):
    Config = ShadowsHighlightsConfig
    inputs = {"image": optional(IMAGE), "grey": optional(GREY)}
    outputs = {"image": IMAGE, "grey": GREY}

    def process(self, image: np.ndarray | None = None, grey: np.ndarray | None = None) -> dict[str, np.ndarray]:
        rng = rng_of(self.config.seed, self.header.sequence, self.header.frame_id)
        given = {"image": image, "grey": grey}
        return {port: shadows_highlights(picture, self.config, rng) for port, picture in given.items() if picture is not None}
