"""Sections of docs/measured.md and their plots, from the results of `pipe bench rivals` and `pipe bench scale`."""

from __future__ import annotations

from typing import Any

from bench import plot
from bench.rivals.settings import JOIN_FIGURES, LIFE_FIGURES, SETTINGS

TITLES = {"cpu_us": "CPU time, us", "p50_us": "hop, us", "startup_ms": "start-up, ms", "pss_mb": "memory, MB"}
LIVES = """One producer, one consumer, 6.2 MB at 30 Hz. By hand: the killed end was started again by hand; time counts from there.
Left: entries in /dev/shm and /tmp after kill -9 of the producer / of the consumer and Ctrl-C."""
JOINS = "Two sensors (30 Hz, 1 MB; 10 Hz), joined, and a reader that works 100 ms on each pair."


def about(result: dict[str, Any]) -> str:
    facts = result["about"]
    return f"commit {facts['commit']}, {facts['processor']}, {facts['cores']} cores, load {facts['load']}; {facts['data']}"


def scale(result: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The section and its plots: one figure per axis, four panels each."""
    intro = f"`pipe bench scale` ({about(result)}). Dashed: the fit. A line bends where none meets all points before within 25 %."
    rows = ["| against | CPU time, us | hop p50, us | start-up, ms | memory, MB | bends |", "|---|---|---|---|---|---|"]
    plots = {}
    for name, axis in result["axes"].items():
        fits = axis["lines"]
        cells = [f"{fits[key]['start']:.4g} + {fits[key]['slope']:.3g} x" for key in TITLES]
        bends = [
            f"{TITLES[key].split(',')[0]} at {fits[key]['bends_at']:g}: {fits[key]['why']}" for key in TITLES if fits[key]["why"]
        ]
        what = axis["unit"] + (" (CPU time per second)" if name == "rate" else "")
        rows.append(f"| {what} | {' | '.join(cells)} | {'; '.join(bends) or 'straight'} |")
        plots[f"scale-{name}.svg"] = plot.svg([_panel(key, title, name, axis) for key, title in TITLES.items()])
    pictures = [f"![cost against {name}](plots/scale-{name}.svg)" for name in result["axes"]]
    return "\n".join([intro, "", *rows, "", *pictures]), plots


def _panel(key: str, title: str, name: str, axis: dict[str, Any]) -> plot.Panel:
    def series(key: str, label: str) -> plot.Series:
        fit = axis["lines"][key]
        points = [(row["x"], row[key]) for row in axis["rows"]]
        return plot.Series(label, points, lambda x: fit["start"] + fit["slope"] * x)

    drawn = [series("p50_us", "p50"), series("p99_us", "p99")] if key == "p50_us" else [series(key, title)]
    return plot.Panel(title + (" per second" if (key, name) == ("cpu_us", "rate") else ""), axis["unit"], drawn, name == "size")


def rivals(result: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The section and its plot."""
    text = [f"`pipe bench rivals` ({about(result)}):", ""]
    text += [f"- {who} {version}: {SETTINGS[who]}" for who, version in result["versions"].items()]
    text += ["", LIVES, "", *_table(result["lives"], LIFE_FIGURES, "left", _left)]
    text += ["", JOINS, "", *_table(result["joins"], JOIN_FIGURES, "says so", _says)]
    text += ["", "Where Pipe is not ahead:", "", *[f"- {line}" for line in result["behind"]]]
    text += ["", "![Pipe and its rivals](plots/rivals.svg)"]
    drawn = [*_bars(result["lives"], LIFE_FIGURES), *_bars(result["joins"], JOIN_FIGURES)]
    return "\n".join(text), {"rivals.svg": plot.stacked(drawn)}


def _table(rows: dict[str, Any], titles: dict[str, str], last: str, note: Any) -> list[str]:
    out = [f"| | {' | '.join(titles.values())} | {last} |", "|---" * (len(titles) + 2) + "|"]
    for who, row in rows.items():
        cells = [row["none"][:160], *[""] * len(titles)] if "none" in row else [*[_cell(row, key) for key in titles], note(row)]
        out.append(f"| {who} | {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return out


def _cell(row: dict[str, Any], key: str) -> str:
    by = str(row.get(key.replace("again_ms", "by"), "")) if key.endswith("again_ms") else ""
    if row[key] is None:
        return by[:60] if by.startswith("not measured") else "never"
    return f"{row[key]:,.0f}" + (" (by hand)" if by == "hand" else "")


def _says(row: dict[str, Any]) -> str:
    return f"{row['says']:.0f} lines: {row['said']}" if row["says"] else "nothing"


def _left(row: dict[str, Any]) -> str:
    ends = [f"{row[f'{end}.left.entries']:.0f} ({row[f'{end}.left.mb']:.0f} MB)" for end in ("producer", "consumer")]
    return " / ".join(ends)


def _bars(rows: dict[str, Any], titles: dict[str, str]) -> list[str]:
    return [
        plot.bars(
            title,
            [("Pipe" if who == "pipe" else who, row[key], _cell(row, key)) for who, row in rows.items() if "none" not in row],
        )
        for key, title in titles.items()
    ]
