"""Train the nets of `pipe bench gate`, one after the other, from generated pairs only.

    python -m bench.train_gate [--minutes 45] [--out DIR] [--only A,B] [--set KEY=VALUE]

One command, to be repeated until it says that all are trained (bench/train.py). `fusion` has two backbones: it gets twice the
minutes of a net of one modality, and so about its steps; the other schemes a tenth of that. A net of one modality meets damage as
often as each modality of a pair does. Runs at nice 10.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import get_args

from bench.gate import FOLDER
from bench.pairs import FILE, MODALITIES
from bench.train import train
from operators.nets.fusion_config import FusionNetConfig, Scheme
from pipeline import training

FUSION_NET = "fusion"


def jobs(minutes: float, extra: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Name -> KEY=VALUE of fusion_world, in the order of training."""
    share = training.load(FILE).config.corrupt.p / len(MODALITIES)
    every = {m: [f"model.modalities=[{m}]", f"corrupt.p={share:g}"] for m in MODALITIES}
    out = {name: [*sets, f"minutes={minutes:g}"] for name, sets in every.items()}
    out[FUSION_NET] = [f"minutes={2 * minutes:g}"]
    schemes = [scheme for scheme in get_args(Scheme) if scheme != FusionNetConfig().scheme]
    out |= {scheme: [f"model.scheme={scheme}", f"minutes={minutes / 5:g}"] for scheme in schemes}
    return {name: [*sets, "valid=", "epoch_steps=50", *extra] for name, sets in out.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.train_gate", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=45, help="of each net of one modality")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR")
    parser.add_argument("--only", default="", metavar="A,B", help="these nets; default: all")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE", help="of every training")
    args = parser.parse_args(arguments)
    every = jobs(args.minutes, tuple(args.sets))
    names = args.only.split(",") if args.only else list(every)
    for name in names:
        if name not in every:
            parser.error(f"--only: needs names of {', '.join(every)}, got {name}")
    return train(args.out, [(name, FILE, every[name]) for name in names])


if __name__ == "__main__":
    os.nice(max(0, 10 - os.nice(0)))
    sys.exit(main())
