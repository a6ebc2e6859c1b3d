"""Train the nets of `pipe bench students` and `pipe bench subscenes`, one after the other, from generated scenes only.

    python -m bench.train_students [--minutes-teacher 30] [--minutes-each 4] [--out DIR] [--only A,B] [--set KEY=VALUE]

One command, to be repeated until it says that all are trained (bench/train.py). Runs at nice 10.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bench.recipes import FILE, FOLDER, TEACHER, recipes, sets_of
from bench.train import train


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.train_students", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes-teacher", type=float, default=30)
    parser.add_argument("--minutes-each", type=float, default=4)
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR")
    parser.add_argument("--only", default="", metavar="A,B", help="these nets; default: those that the standard tables need")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE", help="of every training")
    args = parser.parse_args(arguments)
    every = recipes()
    names = args.only.split(",") if args.only else [name for name, recipe in every.items() if recipe.first]
    for name in names:
        if name not in every:
            parser.error(f"--only: needs names of {', '.join(every)}, got {name}")
    minutes = {TEACHER: args.minutes_teacher}
    return train(
        args.out,
        [
            (name, FILE, sets_of(every[name], args.out, minutes.get(name, args.minutes_each), tuple(args.sets)))
            for name in [*([TEACHER] if TEACHER not in names else []), *names]
        ],
    )


if __name__ == "__main__":
    os.nice(max(0, 10 - os.nice(0)))
    sys.exit(main())
