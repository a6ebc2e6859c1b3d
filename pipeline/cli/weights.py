"""`pipe weights import`: weights of another program's net -> a weight file of ours."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.errors import GraphError


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Import weights of another program: PointPillars of OpenPCDet, mmdetection3d and zhulf0804, TANet of happinesslz. "
        "Conventions are converted; nothing in the file is executed. Without a file: the names for --model."
    )
    parser.epilog = "Exit codes: 0 written, 2 the file, its layout or a shape is not known (the message says what was found)."
    actions = parser.add_subparsers(dest="action", metavar="import", required=True)
    its_parser = actions.add_parser("import", help="import a file", description=parser.description, epilog=parser.epilog)
    its_parser.add_argument("file", nargs="?", metavar="FILE", help="a file of torch.save (.pth, .pt, .tckpt) or a .safetensors")
    its_parser.add_argument("--model", metavar="NAME", help="our net and its grid: pointpillars, tanet_car_16, ...")
    its_parser.add_argument("-o", dest="out", type=Path, metavar="F", help="the file to write, .safetensors")
    its_parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets", help="a key of the net's config, e.g. its range_m"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.graph import lookup, yamlfile

    importer = lookup.weights_importer()
    if args.file is None:
        print("\n".join(importer.MODELS))
        return 0
    for flag, value in (("--model NAME", args.model), ("-o F", args.out)):
        if value is None:
            raise GraphError(f"weights import {args.file}: needs {flag}")
    if args.out.suffix != ".safetensors":
        raise GraphError(f"-o {args.out}: needs a name that ends in .safetensors")
    sets = {}
    for item in args.sets:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise GraphError(f"--set {item}: needs KEY=VALUE, e.g. cell_m=[0.2, 0.2]")
        sets[key] = yamlfile.read(value, f"--set {item}")[0]
    print("\n".join(importer.import_file(args.file, args.model, args.out, sets)))
    return 0
