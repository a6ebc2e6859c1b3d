"""Tables of a training: losses.csv, scores.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any


class CsvFile:
    """A table whose first column is the step. A row is in the file once `row` returns.

    Opening keeps the rows up to `step`; later ones are of a training that was killed after its last checkpoint.
    """

    def __init__(self, path: Path, columns: Iterable[str], step: int) -> None:
        rows: list[list[str]] = []
        with suppress(FileNotFoundError), path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) <= step]
        self._file = path.open("w", newline="", buffering=1)
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerows([columns, *rows])

    def row(self, values: Iterable[Any]) -> None:
        self._writer.writerow(values)

    def close(self) -> None:
        self._file.close()
