"""How surely a modality has each of SENSOR_FAULTS, from its pictures so far.        Pure: no engine.

Every score is 0..1, and 0.5 at the limit of HealthConfig. A picture without contrast is blank, or saturated if it is white, and
nothing else is looked for in it. Of a missing picture nothing is known but that.
Frozen compares pixels with the same camera's frame before: a standing camera's noise changes most of them.
Blur compares the detail with what this modality had; a picture that never had any, such as a soft thermal one, is not judged.
Shifted compares the edges of both modalities. Whose picture moved: the one that jumped against its own frame before, or whose
partner stands; both, with a score of 0.5, where that is not clear. One modality alone is not judged: it moves with the car.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from operators.fuse import picture_facts
from operators.fuse.picture_facts import LEAST_SIDE, SMALL, Facts, Shift
from operators.streams import SENSOR_FAULTS

LIMIT = 0.5
"""The score of what is exactly at its limit: what scores more has the fault, and a reason."""
_COLUMN = {name: k for k, name in enumerate(SENSOR_FAULTS)}
_HALO = (0.15, 0.35)
_NOISE_SPREAD = 4.65
"""Between the 1st and 99th percentile of noise, in sigmas."""
_CLEAR, _CLEAR_ALONE = 4.5, 0.6
_SAME_PX = 2
_OWN_CLEAR = 6.0
_FOLLOWS, _FOLLOWS_FAULT = 0.1, 0.01
_LEAST_DETAIL = 0.05
"""Less may be the rounding of a smooth picture to bytes."""


@dataclass(frozen=True, slots=True)
class UsableConfig:
    """Score of each fault above which a modality is not used; 1: it always is."""

    blank: float = 0.5
    frozen: float = 0.5
    saturated: float = 0.5
    glare: float = 1.0  # half of the picture is still good, and a fusion weighs the other half itself
    noise: float = 1.0
    blur: float = 1.0
    shifted: float = 0.5
    too_old: float = 0.5
    missing: float = 0.5

    def __post_init__(self) -> None:
        for name in SENSOR_FAULTS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: needs a score of 0..1, got {getattr(self, name):g}")


@dataclass(frozen=True, slots=True)
class HealthConfig:
    blank_levels: float = 6.0  # grey levels between the 1st and 99th percentile, without the noise; fewer: blank
    frozen_frames: int = 3  # frames without a change, in a row
    frozen_share: float = 0.0002  # of the pixels may change in a frozen picture
    white_share: float = 0.5  # of the pixels; more: saturated
    dark_share: float = 0.9  # of the pixels at 0; more: saturated, if not blank
    glare_share: float = 0.02  # of the picture, in one white region with a halo
    noise_sigma: float = 12.0  # grey levels; a camera by night may have 10
    impulse_share: float = 0.005  # of the pixels, salt and pepper
    impulse_levels: int = 40  # grey levels from all neighbours
    blur_ratio: float = 0.3  # of the detail that this modality had; less: blur
    shift_share: float = 0.02  # of the picture's width, between the two modalities
    offset_share: tuple[float, float] = (0.0, 0.0)  # x, y of image against thermal as calibrated, share of width and height
    max_age_ms: float = 200.0  # of a picture, older than the newest of its set
    usable: UsableConfig = field(default_factory=UsableConfig)

    def __post_init__(self) -> None:
        for key in ("blank_levels", "noise_sigma", "max_age_ms"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key}: needs more than 0, got {getattr(self, key):g}")
        for key in ("white_share", "dark_share", "glare_share", "impulse_share", "shift_share"):
            if not 0 < getattr(self, key) <= 1:
                raise ValueError(f"{key}: needs more than 0, at most 1, got {getattr(self, key):g}")
        for key in ("frozen_share", "blur_ratio"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 0 or more, less than 1, got {getattr(self, key):g}")
        if self.frozen_frames < 1:
            raise ValueError(f"frozen_frames: needs 1 or more, got {self.frozen_frames}")
        if not 1 <= self.impulse_levels <= 255:
            raise ValueError(f"impulse_levels: needs 1..255, got {self.impulse_levels}")
        if not all(abs(share) <= 0.15 for share in self.offset_share):
            raise ValueError(f"offset_share: needs -0.15..0.15, got {list(self.offset_share)}")


class Seen(NamedTuple):
    """A picture of a set. frame: number that tells a new picture from one that came before; age_ms: older than the newest one."""

    picture: np.ndarray
    frame: int
    age_ms: float


@dataclass(slots=True)
class Past:
    """What is known of one modality."""

    samples: np.ndarray | None = None
    frame: int = -1
    unchanged: int = 0
    detail: float = 0.0
    steady: np.ndarray | None = None  # spectrum of its edges before it moved


def at_limit(value: float, limit: float) -> float:
    """0 at 0, LIMIT at the limit, 1 from twice the limit on."""
    return min(LIMIT * value / limit, 1.0)


class Judge:
    """State of one sequence."""

    def __init__(self, config: HealthConfig) -> None:
        self.config = config
        self.past: dict[str, Past] = {}
        self.moved: dict[str, float] = {}  # who is shifted, and the score

    def step(self, seen: Mapping[str, Seen | None]) -> tuple[np.ndarray, list[str]]:
        """One set: name of each modality -> its picture, None = missing. -> scores (S, 9) float32, in that order, and reasons."""
        scores = np.zeros((len(seen), len(SENSOR_FAULTS)), np.float32)
        reasons: list[str] = []
        sharp: dict[str, np.ndarray] = {}
        for row, (name, one) in zip(scores, seen.items(), strict=True):
            past = self.past.setdefault(name, Past())
            if one is None:
                row[_COLUMN["missing"]] = 1.0
                reasons.append(f"{name}: missing")
                continue
            row[_COLUMN["too_old"]] = at_limit(one.age_ms, self.config.max_age_ms)
            self._say(row, "too_old", f"{name}: too old by {one.age_ms:.0f} ms", reasons)
            if min(one.picture.shape[:2]) < LEAST_SIDE:
                row[_COLUMN["blank"]] = 1.0
                reasons.append(f"{name}: blank, {one.picture.shape[1]} x {one.picture.shape[0]} pixels")
                continue
            facts = picture_facts.facts(one.picture, self.config.impulse_levels)
            self._judge(row, name, facts, past, one.frame, reasons)
            if max(row[_COLUMN["blank"]], row[_COLUMN["saturated"]]) <= LIMIT:
                sharp[name] = picture_facts.edges(facts.small)
        self._shifted(scores, list(seen), sharp, reasons)
        return scores, reasons

    def _judge(self, row: np.ndarray, name: str, facts: Facts, past: Past, frame: int, reasons: list[str]) -> None:
        """Of one picture: everything but its place and time."""
        config = self.config
        is_white = facts.white > 0.5
        spread = max(facts.spread**2 - (_NOISE_SPREAD * facts.noise) ** 2, 0.0) ** 0.5
        blank = 0.0 if is_white else max(1 - spread / (2 * config.blank_levels), 0.0)
        row[_COLUMN["blank"]] = blank
        self._say(row, "blank", f"{name}: blank, {spread:.0f} grey levels", reasons)
        clipped = max(at_limit(facts.white, config.white_share), at_limit(facts.dark, config.dark_share) * (blank <= LIMIT))
        row[_COLUMN["saturated"]] = clipped
        self._say(row, "saturated", f"{name}: saturated, {facts.white:.0%} white, {facts.dark:.0%} black", reasons)
        self._count(facts, past, frame)
        if max(blank, clipped) > LIMIT:
            return
        # while it is not certain, the score stays below the limit
        row[_COLUMN["frozen"]] = 1.0 if past.unchanged >= config.frozen_frames else at_limit(past.unchanged, config.frozen_frames)
        self._say(row, "frozen", f"{name}: frozen for {past.unchanged} frames", reasons)

        share, halo = picture_facts.glare(facts.small, facts.thermal)
        row[_COLUMN["glare"]] = at_limit(share, config.glare_share) * np.clip((halo - _HALO[0]) / (_HALO[1] - _HALO[0]), 0, 1)
        self._say(row, "glare", f"{name}: glare over {share:.0%} of the picture", reasons)

        noise = max(at_limit(facts.noise, config.noise_sigma), at_limit(facts.impulses, config.impulse_share))
        row[_COLUMN["noise"]] = noise
        self._say(row, "noise", f"{name}: noise of {facts.noise:.0f} grey levels, {facts.impulses:.1%} impulses", reasons)
        if max(noise, row[_COLUMN["glare"]]) > LIMIT:
            return  # both hide the detail, and its lack
        blur = 0.0
        if past.detail >= _LEAST_DETAIL:
            blur = float(np.clip(LIMIT * (1 - facts.detail / past.detail) / (1 - config.blur_ratio), 0, 1))
        row[_COLUMN["blur"]] = blur
        self._say(row, "blur", f"{name}: blur, {facts.detail / max(past.detail, 1e-9):.0%} of its detail", reasons)
        follows = 1.0 if past.detail == 0 else _FOLLOWS if blur <= LIMIT else _FOLLOWS_FAULT
        past.detail += follows * (facts.detail - past.detail)

    def _count(self, facts: Facts, past: Past, frame: int) -> None:
        """Frames without a change. A frame that comes once more is old, not frozen."""
        before = past.samples
        if frame != past.frame:
            same = before is not None and before.shape == facts.samples.shape
            changed = np.count_nonzero(before != facts.samples) if same else facts.samples.size
            past.unchanged = past.unchanged + 1 if changed <= self.config.frozen_share * facts.samples.size else 0
        past.samples, past.frame = facts.samples, frame

    def _shifted(self, scores: np.ndarray, names: list[str], sharp: dict[str, np.ndarray], reasons: list[str]) -> None:
        if len(names) < 2 or set(names[:2]) - set(sharp):
            return
        first, second = names[:2]
        offset = self.config.offset_share
        expected = (offset[0] * SMALL[0], offset[1] * SMALL[1])
        found = picture_facts.shift(sharp[first], sharp[second], expected)
        x, y = found.x - expected[0], found.y - expected[1]
        far = float(np.hypot(x, y))
        # a shift is a clear peak elsewhere, and none where the calibration has it
        clear = found.clear >= _CLEAR and found.as_here < _CLEAR_ALONE * found.clear
        score = at_limit(far, self.config.shift_share * SMALL[0]) if clear else 0.0
        if score <= LIMIT:
            self.moved = {}
            for name in (first, second):
                self.past[name].steady = sharp[name]
        elif not self.moved:
            self.moved = self._who(first, second, sharp, found)
        for row, name in zip(scores, names, strict=True):
            most = 1.0 if score <= LIMIT else self.moved.get(name, 0.0)
            row[_COLUMN["shifted"]] = min(score, most)
            if score > LIMIT and most > 0:
                where = f"{x / SMALL[0]:+.0%} of the width, {y / SMALL[1]:+.0%} of the height"
                reasons.append(
                    f"{name}: shifted, image against thermal {where}".replace("image", first).replace("thermal", second)
                )

    def _who(self, first: str, second: str, sharp: dict[str, np.ndarray], found: Shift) -> dict[str, float]:
        """Names and highest scores. Both were in place: the first jumped by the shift, or the second by its opposite, or one
        stands where it stood and so the other has moved."""
        jumped: list[str] = []
        stands: list[str] = []
        for name, sign in ((first, 1), (second, -1)):
            before = self.past[name].steady
            if before is None:
                continue
            own = picture_facts.shift(sharp[name], before)
            if own.clear < _OWN_CLEAR:
                continue
            jump, stand = (max(abs(own.x - k * found.x), abs(own.y - k * found.y)) for k in (sign, 0))
            if min(jump, stand) <= 2 * _SAME_PX:
                (jumped if jump < stand else stands).append(name)
        if not jumped and len(stands) == 1:
            jumped = [second if stands[0] == first else first]
        return {jumped[0]: 1.0} if len(jumped) == 1 else dict.fromkeys((first, second), LIMIT)

    def _say(self, row: np.ndarray, fault: str, reason: str, reasons: list[str]) -> None:
        if row[_COLUMN[fault]] > LIMIT:
            reasons.append(reason)
