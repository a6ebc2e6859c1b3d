"""`pipe train`: train the net of an operator."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from pipeline.errors import GraphError


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = "Train the model of an operator as one file says: curves, pictures, checkpoints and the model under DIR."
    parser.epilog = (
        "Exit codes: 0 done, 1 failed while training, 2 wrong before the start, 130/143 stopped by a signal (--resume goes on)."
    )
    parser.add_argument("config", help="path of a training file, or the name of a shipped one")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets", help="override one value of the file"
    )
    parser.add_argument("--steps", type=_count, metavar="N", help="stop after step N; the schedule stays that of the file")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for everything (default out/train-NAME-TIME)")
    parser.add_argument("--resume", action="store_true", help="go on where the training in DIR stopped")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="instead of the file's device")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier training in DIR")
    parser.add_argument("--quiet", action="store_true", help="no progress: errors and the summary only")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline import training
    from pipeline.runtime import memory
    from pipeline.runtime.outfolder import MARKER, OutFolder

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads; spinning threads take the data's core
    memory.keep_freed()
    spec = training.load(args.config, args.sets)
    if args.resume and args.out is None:
        raise GraphError("--resume: needs --out DIR, the folder of the training to go on with")
    out = args.out or Path("out") / f"train-{spec.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not args.resume and out.is_dir() and any(path.name != MARKER for path in out.iterdir()):
        if not args.overwrite:
            raise GraphError(f"--out {out}: is not empty; go on with --resume, or replace it with --overwrite")
        if not (out / training.RECORD).is_file():
            raise GraphError(f"--out {out}: holds no training (no {training.RECORD}), so --overwrite will not remove it")
    command = shlex.join(["pipe", *sys.argv[1:]])
    options = training.TrainOptions(out, args.steps, args.resume, args.device, args.quiet, command)
    trainer = spec.trainer(spec, options)
    with OutFolder(out, [], overwrite=False):  # one training at a time
        for pattern in training.FILES if not args.resume else ():
            for path in out.glob(pattern):
                path.unlink()
        return trainer.run()


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"needs 1 or more, got {text}")
    return value
