"""What `pipe bench gate` prints: the cells, the worst first, and the heat map of docs/measured.md in Markdown.

python -m bench.gate_table bench/results/gate-MACHINE.json        # the heat map of a run
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.pairs import KINDS, MODALITIES

MOST_LOSS, MOST_UPPER95 = 1.0, 4.0
"""Aims: points of AP50 against the better input, and the upper 95 % bound of that."""


def lines(out: Mapping[str, Any]) -> list[str]:
    made = [f"{'damage':>30} | AP50 fused, best other | loss (upper 95 %)"]
    for row in out["cells"]:
        best = f"{row['others'][row['best']]:.1f} {row['best']}"
        made.append(f"{name(row['cell']):>30} | {row['ap50']:.1f}, {best} | {row['loss']:+.2f} ({row['upper95']:+.2f})")
    made.append(met(out["cells"]))
    for scheme, of in out["schemes"].items():
        scores = "not trained" if of is None else ", ".join(f"{cell} {100 * ap:.1f}" for cell, ap in of.items())
        made.append(f"{scheme}: {scores}")
    (both, whole), *alone = out["ms"].items()
    saved = [f"{key} {ms:.1f} ({100 * (1 - ms / whole):.0f} % less)" for key, ms in alone]
    return [*made, ", ".join([f"{both} {whole:.1f}", *saved]), "", *markdown(out)]


def met(rows: Sequence[Mapping[str, Any]]) -> str:
    near, sure = (sum(row[key] <= most for row in rows) for key, most in (("loss", MOST_LOSS), ("upper95", MOST_UPPER95)))
    return (
        f"loss of at most {MOST_LOSS:g} in {near} of {len(rows)} cells, upper 95 % bound of at most {MOST_UPPER95:g} in {sure}; "
        f"worst: {max(row['loss'] for row in rows):+.2f}, {max(row['upper95'] for row in rows):+.2f}"
    )


def markdown(out: Mapping[str, Any]) -> list[str]:
    """A row per kind of damage, a column per severity and modality: AP50, loss (upper bound); bold: an aim is missed."""
    cells = {tuple(row["cell"]): row for row in out["cells"]}
    clean = next((row for cell, row in cells.items() if cell[0] == "clean"), None)
    columns = [(m, severity) for m in MODALITIES for severity in range(3)]
    made = [f"| AP50, loss (upper 95 %) | {' | '.join(f'{m} {severity + 1}' for m, severity in columns)} |"]
    made.append(f"|---|{'---|' * len(columns)}")
    for kind in KINDS:
        made.append(f"| {kind} | {' | '.join(_heat(cells.get((kind, severity, m))) for m, severity in columns)} |")
    return [*made, "", f"Undamaged: {_heat(clean)}. {met(out['cells'])}."]


def name(cell: Sequence[Any]) -> str:
    kind, severity, modality = cell
    return str(kind) if kind == "clean" else f"{kind} {severity + 1} of the {modality}"


def _heat(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    text = f"{row['ap50']:.1f}, {row['loss']:+.1f} ({row['upper95']:+.1f})"
    return text if row["loss"] <= MOST_LOSS and row["upper95"] <= MOST_UPPER95 else f"**{text}**"


if __name__ == "__main__":
    print("\n".join(markdown(json.loads(Path(sys.argv[1]).read_text()))))
