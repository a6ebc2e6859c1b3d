"""Train the nets of `pipe bench students` and `pipe bench subscenes`, one after the other, from generated scenes only.

    python -m bench.train_students [--minutes-teacher 30] [--minutes-each 4] [--out DIR] [--only A,B] [--set KEY=VALUE]

One command, to be repeated until it says that all are trained: what lies in DIR is not trained again, and what was cut goes on
from its last checkpoint (every 50 steps, on Ctrl-C and SIGTERM at once). Minutes count steps: the schedule follows the time, and
reading scenes ahead does not. Runs with the lowest priority. DIR/work/NAME has the curves.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from bench.recipes import FILE, FOLDER, TEACHER, recipes, sets_of
from pipeline.__main__ import main as pipe


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
    args.out.mkdir(parents=True, exist_ok=True)
    for name in [*([TEACHER] if TEACHER not in names else []), *names]:
        made, work = args.out / f"{name}.safetensors", args.out / "work" / name
        if made.is_file():
            print(f"{name}: is there: {made}")
            continue
        minutes = args.minutes_teacher if name == TEACHER else args.minutes_each
        sets = sets_of(every[name], args.out, minutes, tuple(args.sets))
        words = ["train", FILE, "--out", str(work), *(word for text in sets for word in ("--set", text))]
        words.append("--resume" if (work / "checkpoint.pt").is_file() else "--overwrite")
        sys.argv = ["pipe", *words]  # the command in the header of the weights
        code = pipe(words)
        if code:
            print(f"{name}: stopped; the same command goes on", file=sys.stderr)
            return code
        part = made.with_name(f"{made.name}.part")
        shutil.copyfile(work / "model.safetensors", part)
        os.replace(part, made)
    print(f"all trained: {args.out}")
    return 0


if __name__ == "__main__":
    os.nice(19)
    sys.exit(main())
