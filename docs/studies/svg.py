"""A plot of lines or steps as SVG, small enough to commit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 44, 42
_ROOM = 1.05
"""Above the highest value."""
_COLORS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e")
_INK, _GRID = "#333333", "#dddddd"


Line = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]


class _Axis:
    """Values -> pixels from `start` to `end`; ticks at round numbers."""

    def __init__(self, low: float, high: float, start: float, end: float, log: bool = False) -> None:
        self.log = log
        if log:
            low = 10 ** math.floor(math.log10(low))
            high = 10 ** math.ceil(math.log10(high) + 1e-9)
        self.low, self.high = low, high if high > low else low + 1
        self.start, self.end = start, end

    def __call__(self, values: np.ndarray) -> np.ndarray:
        low, high = self.low, self.high
        if self.log:
            values, low, high = np.log10(np.maximum(values, low)), math.log10(low), math.log10(high)
        return self.start + (values - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.log:
            return [10.0**k for k in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step = next(step * m for m in (1, 2, 5, 10) if (self.high - self.low) / (step * m) <= 8)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


def plot(
    path: Path,
    title: str,
    x_label: str,
    series: Mapping[str, Line],
    *,
    steps: bool = False,
    log: bool = False,
) -> None:
    """series: name -> x, y; steps: x holds the edges, one more than y; log: logarithmic y, 0 on the axis. NaN breaks a line."""
    data = {name: (np.asarray(x, float), np.asarray(y, float)) for name, (x, y) in series.items()}
    xs = np.concatenate([x for x, _ in data.values()])
    ys = np.concatenate([y[np.isfinite(y) & ((y > 0) | (not log))] for _, y in data.values()])
    if not len(ys):
        ys = np.array([1.0])
    across = _Axis(float(xs.min()), float(xs.max()), _LEFT, _WIDTH - _RIGHT)
    up = _Axis(float(ys.min()) if log else min(0.0, float(ys.min())), float(ys.max()) * _ROOM, _HEIGHT - _BOTTOM, _TOP, log)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="17" font-size="13" fill="{_INK}">{escape(title)}</text>',
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" text-anchor="middle" fill="{_INK}">{escape(x_label)}</text>',
    ]
    for tick in up.ticks():
        at = float(up(np.array(tick)))
        out.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end" fill="{_INK}">{tick:g}</text>')
    for tick in across.ticks():
        at = float(across(np.array(tick)))
        out.append(f'<path d="M{at:.1f} {_HEIGHT - _BOTTOM}v4" stroke="{_INK}"/>')
        out.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle" fill="{_INK}">{tick:g}</text>')
    legend = float(_LEFT)
    for k, (name, (x, y)) in enumerate(data.items()):
        color = _COLORS[k % len(_COLORS)]
        px, py = across(np.repeat(x, 2)[1:-1] if steps else x), up(np.repeat(y, 2) if steps else y)
        out.append(f'<path d="{_path(px, py)}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        if not steps:
            out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{color}"/>' for a, b in zip(px, py, strict=True) if b == b]
        out.append(f'<path d="M{legend:.0f} 32h16" stroke="{color}" stroke-width="3"/>')
        out.append(f'<text x="{legend + 20:.0f}" y="36" fill="{_INK}">{escape(name)}</text>')
        legend += 34 + 6.2 * len(name)
    out.append(f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="{_INK}"/></svg>')
    path.write_text("\n".join(out) + "\n", encoding="utf-8")


def _path(xs: np.ndarray, ys: np.ndarray) -> str:
    words, pen = [], "M"
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if math.isnan(y):
            pen = "M"
            continue
        words.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return "".join(words)
