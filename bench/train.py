"""Trains nets one after the other, for `bench.train_students` and `bench.train_gate`: repeat the command until all are there.

What lies in the folder is not trained again, and what was cut goes on from its last checkpoint (every epoch_steps, on Ctrl-C and
SIGTERM at once). Minutes count steps: the schedule follows the time, and reading scenes ahead does not. FOLDER/work/NAME has the
curves.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.__main__ import main as pipe


def train(folder: Path, jobs: Iterable[tuple[str, str, Sequence[str]]]) -> int:
    """jobs: (name, training file, KEY=VALUE of it), in order -> the code of the process. Makes FOLDER/NAME.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file, sets in jobs:
        made, work = folder / f"{name}.safetensors", folder / "work" / name
        if made.is_file():
            print(f"{name}: is there: {made}")
            continue
        words = ["train", file, "--out", str(work), *(word for text in sets for word in ("--set", text))]
        words.append("--resume" if (work / "checkpoint.pt").is_file() else "--overwrite")
        sys.argv = ["pipe", *words]  # the command in the header of the weights
        code = pipe(words)
        if code:
            print(f"{name}: stopped; the same command goes on", file=sys.stderr)
            return code
        part = made.with_name(f"{made.name}.part")
        shutil.copyfile(work / "model.safetensors", part)
        os.replace(part, made)
    print(f"all trained: {folder}")
    return 0
