"""Python, its packages, the video encoder."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from typing import Any, cast

from pipeline.cli.checks.line import FAIL, OK, WARN, Line

PACKAGES = {
    "numpy": "numpy", "numba": "numba", "scipy": "scipy", "cv2": "opencv-python-headless", "zmq": "pyzmq", "msgpack": "msgpack",
    "filterpy": "filterpy", "yaml": "pyyaml", "rich": "rich", "av": "av",
}  # fmt: skip
"""Module -> distribution."""
OPTIONAL = {
    "torch": "detectors",
    "onnxruntime": "detectors in int8, and ONNX nets of your own",
    "openvino": "the same on Intel and AMD CPUs, also in bf16",
    "tensorrt": "detectors at full speed on NVIDIA GPUs",
    "open3d": "worlds of meshes",
}
"""Module -> who needs it."""


def python() -> Line:
    where = "in a virtual environment" if sys.prefix != sys.base_prefix else "not in a virtual environment"
    return Line(OK, "python", f"{platform.python_version()} on {platform.machine()}, {where} ({sys.prefix})")


def packages() -> list[Line]:
    """Imports the packages, not only looks them up, to find a wheel built for another machine."""
    good, bad = [], []
    for module, distribution in PACKAGES.items():
        try:
            importlib.import_module(module)
            good.append(f"{distribution} {importlib.metadata.version(distribution)}")
        except importlib.metadata.PackageNotFoundError:
            good.append(f"{distribution} (of unknown version)")
        except Exception as error:
            reason = " ".join(str(error).split())
            bad.append(Line(FAIL, "packages", f"cannot import {module}: {reason}; pip install --force-reinstall {distribution}"))
    return [Line(OK, "packages", ", ".join(good)), *bad]


def optional() -> list[Line]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else onnxruntime writes files and reports at its import
    modules = cast("dict[str, Any]", sys.modules)
    modules.setdefault("openvino_telemetry", None)  # an import of None fails: OpenVINO does without, and writes no files
    lines = []
    for module, who in OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            lines.append(Line(OK, module, f"not installed; needed by {who}"))
            continue
        try:
            loaded = importlib.import_module(module)
        except Exception as error:
            reason = " ".join(str(error).split())
            lines.append(Line(WARN, module, f"is installed but cannot be imported: {reason}; needed by {who}"))
            continue
        text = str(getattr(loaded, "__version__", "of unknown version"))
        if module == "torch":
            text += f", CUDA {'available' if loaded.cuda.is_available() else 'not available'}"
        lines.append(Line(OK, module, text))
    return lines


def encoder() -> Line:
    try:
        from av.codec import Codec

        name = Codec("h264", "w").name
    except Exception as error:
        return Line(WARN, "h264", f"no encoder in PyAV ({error}): render cannot write MP4; pip install --force-reinstall av")
    return Line(OK, "h264", f"{name} in PyAV")
