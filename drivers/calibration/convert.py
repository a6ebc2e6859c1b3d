"""`pipe calibrate import`: calibrations of other tools as rig files."""

from __future__ import annotations

from pathlib import Path

from drivers.calibration import kalibr, kitti, rig_file, ros
from drivers.calibration.rig import Rig
from operators import textfile
from pipeline.errors import GraphError, InputError, Where
from pipeline.graph import yamlfile

FORMATS = ("kitti", "ros", "kalibr")


def read(path: Path, form: str | None = None) -> tuple[Rig, str]:
    """The rig and its format, one of FORMATS; None: found from the file. Raises InputError."""
    if form == "kitti" or (form is None and kitti.is_kitti(path)):
        rig, form = kitti.read(path), "kitti"
    else:
        rig, form = _read_yaml(path, form)
    rig_file.check(rig)
    return rig, form


def _read_yaml(path: Path, form: str | None) -> tuple[Rig, str]:
    text = "\n".join(line for line in textfile.lines(path) if line.rstrip() != "---")  # a printed message ends with ---
    try:
        data, marks = yamlfile.read(text, str(path))
        where = Where(str(path), marks)
        is_mapping = isinstance(data, dict)
        for name, module, matches in (("ros", ros, ros.is_ros), ("kalibr", kalibr, kalibr.is_kalibr)):
            if form in (name, None) and is_mapping and matches(data):
                return module.read(path, data, where), name
        keys = " ".join(list(data)[:4]) if is_mapping else type(data).__name__
    except GraphError as error:
        raise InputError(str(error)) from None
    needs = {"ros": "camera_matrix of a camera_info", "kalibr": "cam0 of a camchain"}
    wanted = needs[form] if form else " or ".join([*needs.values(), "KITTI's text files"])
    raise InputError(f"{path}: needs {wanted}, got {keys or 'nothing'}")


def import_file(path: Path, form: str | None, out: Path) -> list[str]:
    """Writes the rig file; -> lines for the user. Raises InputError."""
    rig, form = read(path, form)
    rig_file.write(out, rig, f"pipe calibrate import: {form}, {path.name}")
    transforms = [f"T_{dest}_{origin}" for dest, origin in rig.transforms]
    first = next(iter(rig.cameras))
    return [
        f"{form}: cameras {', '.join(rig.cameras)}; transforms {', '.join(transforms) or 'none: add T_CAMERA_velodyne by hand'}",
        f"written to {out}; use it: config: {{calibration: {out}, calibration_camera: {first}}}",
    ]
