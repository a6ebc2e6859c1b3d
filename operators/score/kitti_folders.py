"""Where KITTI's labels and results lie, in the tracking and in the object layout.

          tracking                                          object
gt        ROOT with label_02/, a folder of SSSS.txt,        ROOT with training/label_2/ or label_2/, a folder of NNNNNN.txt,
          or one file; 17 columns                           or one file; 15 columns
results   a folder of SSSS.txt for all of them, or one      a folder of NNNNNN.txt or with data/NNNNNN.txt, or one file;
          file; 18 columns                                  16 columns
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from operators import folders, textfile
from operators.score.tables import several
from pipeline.errors import InputError


class Layout(NamedTuple):
    """Number of columns before the type, and content of a label file; results have one more column, the score."""

    name: str
    before_type: int
    columns: int


TRACKING, OBJECT = Layout("tracking", 2, 17), Layout("object", 0, 15)


def labels(who: str, gt: Path) -> tuple[Layout, dict[str, Path]]:
    """Layout and label files by name. Raises InputError."""
    known = {"label_02": TRACKING, "training/label_2": OBJECT, "label_2": OBJECT}
    folder = next((name for name in known if folders.is_folder(gt / name)), "")
    found = _files(gt / folder)
    layout = known.get(folder, OBJECT)
    if not folder and len(_first_line(found.values())) == TRACKING.columns:
        layout = TRACKING
    if not found:
        needs = "a folder with label_02/SSSS.txt, label_2/NNNNNN.txt or *.txt, or such a file"
        raise InputError(f"{who}: --gt {gt}: needs {needs}, got {'none' if folders.kind(gt) else 'no such folder or file'}")
    return layout, found


def result_files(who: str, results: Path) -> dict[str, Path]:
    """Result files by name. Raises InputError."""
    found = _files(results) or _files(results / "data")
    if not found:
        got = "none" if folders.kind(results) else "no such folder or file"
        raise InputError(f"{who}: --results {results}: needs a folder with *.txt, or such a file, got {got}")
    return found


def chosen(
    who: str, layout: Layout, labels: Mapping[str, Path], found: Mapping[str, Path], asked: Sequence[str] | None, results: Path
) -> tuple[dict[str, Path], list[str]]:
    """The result files to score, and warnings. Raises InputError for a file that is missing on either side."""
    one_file = folders.kind(results) == folders.FILE
    if asked is not None or (layout is TRACKING and not one_file):
        wanted = list(labels if asked is None else asked)
        if missing := [name for name in wanted if name not in found]:
            hint = "an empty file means that nothing was found; --sequences A,B scores fewer"
            raise InputError(
                f"{who}: --results {results}: needs a file of {several(missing)}, has {several(list(found))}; {hint}"
            )
    else:
        wanted = list(found)
    if missing := [name for name in wanted if name not in labels]:
        raise InputError(f"{who}: --gt: needs labels of {several(missing)}, has {several(list(labels))}")
    rest = [name for name in labels if name not in wanted]
    unscored = rest if layout is OBJECT and asked is None and not one_file else []
    notes = [f"{len(unscored)} labelled frames have no result file and are not scored: {several(unscored)}"] if unscored else []
    return {name: found[name] for name in wanted}, notes


def _files(path: Path) -> dict[str, Path]:
    found = [path] if folders.kind(path) == folders.FILE else folders.files(path, "*.txt")
    return {file.stem: file for file in found}


def _first_line(files: Iterable[Path]) -> list[str]:
    """The columns of the first line in the first of the files that is not empty."""
    return next((lines[0].split() for lines in map(textfile.lines, files) if lines), [])
