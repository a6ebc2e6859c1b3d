"""`pipe bench rivals`: Pipe beside other libraries in what a hop does not show: start, stop, kill -9, cost, a slow reader.

lives   one producer, one consumer, 6.2 MB at 30 Hz: see lives.py
joins   two sensors, a reader that is too slow for them: see joins.py
Candidates take turns; medians of the rounds. A library that is not installed has a row that says so. Takes 8 minutes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from bench import rivals
from bench.common import RESULTS, header, save
from bench.rivals import joins, lives
from bench.rivals.settings import JOIN_FIGURES, LIFE_FIGURES, MODULES, PACKAGES, SETTINGS

ROUNDS, STEADY_S, JOIN_S = 2, 5.0, 8.0
Row = dict[str, Any]


def main(
    rounds: int = ROUNDS, steady_s: float = STEADY_S, join_s: float = JOIN_S, folder: Path | None = RESULTS
) -> dict[str, Any]:
    out: dict[str, Any] = {"about": header("pipe bench rivals", f"{rounds} rounds; frames made here, all bytes written")}
    out["versions"] = {who: found(who) for who in ("pipe", *MODULES)}
    for who, text in out["versions"].items():
        print(f"  {who} {text}: {SETTINGS[who]}")
    out["lives"] = _rounds(("pipe", *rivals.NAMES), rounds, lambda who: lives.measure(who, steady_s), LIFE_FIGURES)
    out["joins"] = _rounds(joins.NAMES, rounds, lambda who: joins.measure(who, join_s), JOIN_FIGURES)
    out["behind"] = [*behind(out["lives"], LIFE_FIGURES), *behind(out["joins"], JOIN_FIGURES)]
    print("\nnot ahead:\n  " + ("\n  ".join(out["behind"]) or "nowhere"))
    out["figures"] = {
        f"{who}.{key}": float(value)
        for table in (out["lives"], out["joins"])
        for who, row in table.items()
        for key, value in row.items()
        if isinstance(value, (int, float))
    }
    if folder is not None:
        save(folder, "rivals", {key: value for key, value in out.items() if key != "figures"})
    return out


def found(who: str) -> str:
    """Its version, or how to install it."""
    if who == "pipe":
        return version("perception-pipe")
    if importlib.util.find_spec(MODULES[who]) is None:
        return f"not installed (pip install {PACKAGES[who]})"
    return version(PACKAGES[who].split()[-1] if who != "mediapipe" else who)


def _rounds(names: tuple[str, ...], rounds: int, measure: Callable[[str], Row], titles: dict[str, str]) -> dict[str, Row]:
    """Candidate -> its row, flat; a row with the key `none` says why there are no figures."""
    rows: dict[str, list[Row]] = {who: [] for who in names}
    failed: dict[str, str] = {}
    for round_ in range(rounds):
        for who in names:
            print(f"  round {round_ + 1}: {who}", flush=True)
            if (text := found(who)).startswith("not installed"):
                failed[who] = text
                continue
            try:
                rows[who].append(flat(measure(who)))
            except rivals.Failed as error:
                failed[who] = str(error)
    out: dict[str, Row] = {}
    for who in names:
        out[who] = middle(rows[who]) if rows[who] else {"none": failed[who]}
        row = out[who]
        cells = [f"{title} {_show(row.get(key))}" for key, title in titles.items()]
        notes = [f"{key} {value}" for key, value in row.items() if key not in titles and value not in (0, "")]
        print(f"\n{who}: " + (row["none"] if "none" in row else " | ".join(cells) + "\n    " + ", ".join(notes)), flush=True)
    return out


def flat(row: Row, prefix: str = "") -> Row:
    out: Row = {}
    for key, value in row.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out


def middle(rows: list[Row]) -> Row:
    """Medians of numbers, None if it is None in any round (it did not come to its end); of texts the last."""
    out: Row = {}
    for key, last in rows[-1].items():
        values: list[Any] = [row.get(key) for row in rows]
        if None in values:
            out[key] = None
        else:
            out[key] = round(median(values), 2) if isinstance(last, (int, float)) else last
    return out


def _show(value: Any) -> str:
    return "never" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def behind(rows: dict[str, Row], titles: dict[str, str]) -> list[str]:
    """Where a rival has a smaller figure than Pipe. A restart by hand does not count the time to find out."""
    out = []
    for key, title in titles.items():
        own = rows["pipe"].get(key)
        for who, row in rows.items():
            value = row.get(key)
            if who != "pipe" and value is not None and (own is None or value < own):
                hand = " (started again by hand)" if row.get(key.replace("again_ms", "by")) == "hand" else ""
                out.append(f"{title}: {who} {_show(value)}{hand}, Pipe {_show(own)}")
    return out
