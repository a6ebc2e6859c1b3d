"""Small plots as SVG text: panels side by side, points, and the line through them. No library; a file has a few kB."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 250, 190, 48, 34, 24
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")


class Series(NamedTuple):
    """line: y of the fitted line at x, or None."""

    name: str
    points: Sequence[tuple[float, float]]
    line: Callable[[float], float] | None = None


class Panel(NamedTuple):
    """log_x: powers of ten along x; the points must be above 0."""

    title: str
    unit: str
    series: Sequence[Series]
    log_x: bool = False


def svg(panels: Sequence[Panel]) -> str:
    body = "".join(f'<g transform="translate({i * WIDTH},0)">{_panel(panel)}</g>' for i, panel in enumerate(panels))
    return _document(len(panels) * WIDTH, HEIGHT, body)


def bars(title: str, rows: Sequence[tuple[str, float | None, str]]) -> str:
    """Horizontal bars on a logarithmic scale. rows: name, value (None: no bar), text behind the bar."""
    values = [value for _, value, _ in rows if value]
    low, high = (min(values) / 2, max(values)) if values else (1.0, 10.0)
    parts = [f'<text x="4" y="16" font-weight="bold">{escape(title)}</text>']
    for i, (name, value, text) in enumerate(rows):
        y = 28 + 20 * i
        length = 0.0 if not value else 10 + 330 * math.log(value / low) / math.log(high / low)
        colour = COLOURS[1] if name.startswith("Pipe") else COLOURS[0]
        parts.append(f'<text x="96" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="102" y="{y}" width="{length:.1f}" height="15" fill="{colour}"/>')
        parts.append(f'<text x="{106 + length:.1f}" y="{y + 12}">{escape(text)}</text>')
    return _document(720, 34 + 20 * len(rows), "".join(parts))


def stacked(documents: Sequence[str]) -> str:
    """Documents of this module below each other."""
    height, body, width = 0, [], 0
    for text in documents:
        head = text.split(">", 1)[0]
        width = max(width, int(head.split('width="')[1].split('"')[0]))
        body.append(f'<g transform="translate(0,{height})">{text.split(">", 1)[1].rsplit("</svg>", 1)[0]}</g>')
        height += int(head.split('height="')[1].split('"')[0])
    return _document(width, height, "".join(body))


def _document(width: int, height: int, body: str) -> str:
    style = 'font-family="sans-serif" font-size="10" fill="#222"'
    back = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {style}>{back}{body}</svg>\n'


def _panel(panel: Panel) -> str:
    xs = [x for series in panel.series for x, _ in series.points]
    step = _round(max([y for series in panel.series for _, y in series.points] + [1e-9]) * 1.05 / 4)
    top = 4 * step
    low, high = (math.log10(min(xs)), math.log10(max(xs))) if panel.log_x else (0.0, max(xs))

    def at(x: float, y: float) -> tuple[float, float]:
        share = ((math.log10(x) if panel.log_x else x) - low) / ((high - low) or 1)
        return LEFT + share * (WIDTH - LEFT - 14), HEIGHT - BOTTOM - max(y, 0.0) / top * (HEIGHT - BOTTOM - TOP)

    parts = [f'<text x="{LEFT}" y="14" font-weight="bold">{escape(panel.title)}</text>']
    for k in range(5):
        y = step * k
        left, height = at(10**low if panel.log_x else 0.0, y)
        parts.append(f'<path d="M{left:.1f} {height:.1f}H{WIDTH - 14}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{height + 3:.1f}" text-anchor="end">{y:,.10g}</text>')
    for x in sorted(set(xs))[-4:] if not panel.log_x else sorted(set(xs))[::2]:
        parts.append(f'<text x="{at(x, 0)[0]:.1f}" y="{HEIGHT - BOTTOM + 13}" text-anchor="middle">{x:.2g}</text>')
    parts.append(f'<text x="{WIDTH - 14}" y="{HEIGHT - 6}" text-anchor="end">{escape(panel.unit)}</text>')
    for i, series in enumerate(panel.series):
        colour = COLOURS[i % len(COLOURS)]
        if series.line is not None:
            steps = [10 ** (low + (high - low) * k / 40) if panel.log_x else high * k / 40 for k in range(41)]
            path = "L".join("{:.1f} {:.1f}".format(*at(x, min(series.line(x), top))) for x in steps)
            parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-dasharray="3 3"/>')
        for x, y in series.points:
            right, down = at(x, y)
            parts.append(f'<circle cx="{right:.1f}" cy="{down:.1f}" r="3" fill="{colour}"/>')
        if len(panel.series) > 1:
            parts.append(f'<text x="{LEFT + 6 + 60 * i}" y="{TOP + 8}" fill="{colour}">{escape(series.name)}</text>')
    return "".join(parts)


def _round(step: float) -> float:
    """The next larger 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * k for k in (1, 2, 2.5, 5, 10) if power * k >= step * 0.999)
