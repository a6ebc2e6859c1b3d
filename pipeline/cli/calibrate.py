"""`pipe calibrate`: how sensors see the same scene, as a file for an operator or a driver."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.errors import GraphError


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "homography: which pixel of the image is which pixel of the thermal picture. "
        "import: the calibration of another tool as a rig file."
    )
    kinds = parser.add_subparsers(dest="kind", metavar="homography|import", required=True)
    its_parser = kinds.add_parser(
        "homography",
        help="of a camera and a thermal camera, for fuse.align",
        description="Find the homography from an image to its thermal picture: by picked points (RANSAC, least squares), by "
        "edges, or by mutual information, from one pair or all pairs of two folders. Prints the residual in pixels.",
        epilog="Exit codes: 0 written, 2 a file is missing or wrong, or the points leave the homography open.",
    )
    its_parser.add_argument("--image", type=Path, required=True, metavar="PATH", help="a picture, or a folder of them")
    its_parser.add_argument("--thermal", type=Path, required=True, metavar="PATH", help="the same, with equal file names")
    its_parser.add_argument("--points", type=Path, metavar="F", help="picked points: lines u, v, u, v (image, thermal), or .yaml")
    its_parser.add_argument("--start", type=Path, metavar="F", help="a calibration to refine (default: a change of size)")
    its_parser.add_argument(
        "--by",
        choices=["points", "edges", "mutual-information"],
        help="points alone (default with --points); the others refine what points, --start or the sizes give (default edges)",
    )
    its_parser.add_argument(
        "--model",
        choices=["shift", "similarity", "affine", "homography"],
        default="homography",
        help="what a refinement may change",
    )
    its_parser.add_argument(
        "--max-px", type=float, default=3.0, metavar="PX", help="largest residual of a good point (default 3)"
    )
    its_parser.add_argument("--pairs", type=int, default=20, metavar="N", help="at most so many of a folder (default 20)")
    its_parser.add_argument("--picture", type=Path, metavar="F.png", help="draw the aligned pair and the residual")
    its_parser.add_argument("-o", dest="out", type=Path, required=True, metavar="F.yaml", help="the file for fuse.align")
    importing = kinds.add_parser(
        "import",
        help="of KITTI, ROS camera_info or Kalibr, as a rig file for drivers",
        description="Write a rig file (intrinsics, distortion, T_dest_origin) of a calibration by another tool. Drivers take it "
        "as config key calibration.",
        epilog="Exit codes: 0 written, 2 the file is missing or wrong.",
    )
    importing.add_argument(
        "file", type=Path, metavar="FILE", help="KITTI: a calib file, or the folder of a day of raw; else a YAML"
    )
    importing.add_argument("--from", dest="form", choices=["kitti", "ros", "kalibr"], help="its format (default: by its keys)")
    importing.add_argument("-o", dest="out", type=Path, required=True, metavar="RIG.yaml", help="the rig file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.graph import lookup

    if args.kind == "import":
        print("\n".join(lookup.calibration_importer().import_file(args.file, args.form, args.out)))
        return 0
    method = args.by or ("points" if args.points is not None else "edges")
    if method == "points" and args.points is None:
        raise GraphError("--by points: needs --points F")
    if args.points is not None and args.start is not None:
        raise GraphError("--start: needs no --points beside it, got both")
    if not args.max_px > 0:
        raise GraphError(f"--max-px: needs more than 0, got {args.max_px:g}")
    if args.pairs < 1:
        raise GraphError(f"--pairs: needs 1 or more, got {args.pairs}")
    module = lookup.calibrator(args.kind)
    config = module.CalibrateConfig(
        image=args.image,
        thermal=args.thermal,
        out=args.out,
        points=args.points,
        start=args.start,
        method=method,
        model=args.model,
        max_px=args.max_px,
        max_pairs=args.pairs,
        picture=args.picture,
    )
    print("\n".join(module.calibrate(config)))
    return 0
