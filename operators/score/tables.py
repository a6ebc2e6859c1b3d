"""Numbers of a tracking evaluation together, and as lines to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from operators.score import clear, hota, identity
from operators.score.overlaps import Overlaps

COLUMNS = ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1", "IDP", "IDR")
COUNTS = ("IDS", "FRAG", "MT", "PT", "ML", "CLR_TP", "CLR_FN", "CLR_FP")


def numbers_of(sequences: Mapping[str, Overlaps]) -> dict[str, Any]:
    """CLEAR, identity and HOTA of one class: over all sequences, and of each one below "sequences"."""
    parts = {name: (clear.clear(data), identity.identity(data), hota.hota(data)) for name, data in sequences.items()}
    of_clear, of_identity, of_hota = zip(*parts.values(), strict=True) if parts else ((), (), ())
    combined = flat(clear.combine(of_clear), identity.combine(of_identity), hota.combine(of_hota))
    return combined | {"sequences": {name: flat(*part) for name, part in parts.items()}}


def flat(of_clear: dict[str, Any], of_identity: dict[str, Any], of_hota: dict[str, np.ndarray]) -> dict[str, Any]:
    """Plain numbers under TrackEval's names; "per_alpha": HOTA's arrays as lists."""
    sums = {key: value for key, value in of_clear.items() if key != "MOTP_sum"}
    return hota.summary(of_hota) | sums | of_identity | {"per_alpha": {key: of_hota[key].tolist() for key in hota.MEANS}}


def scored(numbers: dict[str, Any]) -> dict[str, Any]:
    """The numbers; if no truth counts, counts only: every share of nothing is None, also below "sequences"."""
    if numbers["CLR_TP"] + numbers["CLR_FN"]:
        return numbers
    out = {key: None if isinstance(value, float) or key == "per_alpha" else value for key, value in numbers.items()}
    if "sequences" in numbers:
        out["sequences"] = {name: scored(of_sequence) for name, of_sequence in numbers["sequences"].items()}
    return out


def unscored(classes: Mapping[str, Mapping[str, Any]], gt: Any) -> list[str]:
    """Warnings: classes with tracks whose truth has no row that counts; all classes, if that is true of each."""
    without = [name for name, numbers in classes.items() if numbers["MOTA"] is None]
    tracked = [name for name in without if classes[name]["CLR_FP"]]
    named = without if len(without) == len(classes) else tracked
    return [f"--gt {gt}: no row of the truth counts for {', '.join(named)}: n/a instead of scores"] if named else []


def tracking_lines(found: Mapping[str, Any]) -> list[str]:
    """A table of the classes and their sequences, in per cent."""
    head = ["2D boxes", *COLUMNS, *(name.removeprefix("CLR_") for name in COUNTS)]
    table = [head]
    for name, numbers in found["classes"].items():
        table.append(_row(name, numbers))
        table += [_row(f"  {sequence}", of_sequence) for sequence, of_sequence in numbers["sequences"].items()]
    return aligned(table)


def _row(name: str, numbers: Mapping[str, Any]) -> list[str]:
    return [name, *(percent(numbers[key]) for key in COLUMNS), *(str(numbers[key]) for key in COUNTS)]


def percent(value: float | None, decimals: int = 2) -> str:
    """AB3DMOT's MOTA is -inf where no truth counts."""
    return f"{100 * value:.{decimals}f}" if value is not None and np.isfinite(value) else "n/a"


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return [
        "  ".join([f"{row[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))]) for row in table
    ]


def several(names: Sequence[str]) -> str:
    """The first eight, and how many more."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
