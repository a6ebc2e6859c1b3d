"""`pipe export`: a trained net as a file for another runtime or precision."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pipeline.errors import GraphError


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make an engine of a trained net. The engine is compared with the net in fp32 on 64 frames or more; a file is only "
        "written if a runtime passes this admission gate."
    )
    parser.epilog = (
        "Use it with config keys engine: F and runtime: of the node with these weights. Exit codes: 0 done, 1 the gate refuses "
        "the engine (with its numbers), or an error, 2 wrong before the start."
    )
    parser.add_argument("model", metavar="MODEL", help="name of a shipped model, or path of a .safetensors file")
    parser.add_argument("--to", required=True, choices=["onnx", "openvino", "tensorrt"], help="what will run the engine")
    parser.add_argument("--precision", choices=["fp32", "fp16", "bf16", "int8"], default="fp32", help="default fp32")
    parser.add_argument("--calibrate", metavar="GRAPH", help="its frames set the ranges of int8 and pass through the gate")
    parser.add_argument("-o", "--out", type=Path, metavar="F", required=True, help="the engine")
    parser.add_argument("--threads", type=int, metavar="N", help="of the runtimes (default: all cores)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.exporting import ExportOptions, export

    threads = len(os.sched_getaffinity(0)) if args.threads is None else args.threads
    if threads < 1:
        raise GraphError(f"--threads: needs 1 or more, got {threads}")
    if not args.out.parent.is_dir():
        raise GraphError(f"--out {args.out}: needs the folder {args.out.parent}, got nothing there")
    options = ExportOptions(args.model, args.to, args.precision, args.out, args.calibrate, threads)
    for line in export(options):
        print(line, flush=True)
    return 0
