"""Pillars in, boxes out: PointPillars, a trained net.      Source: Lang et al. 2019

in   pillars  PILLARS              of the grid the net was trained on (any max_points); another grid is refused
out  boxes3d  BOXES3D_PROBABILITY  best first, at most max_boxes; labels index CLASSES
State: none.   No pillars: the net's answer to an empty scene, M = 0 once trained.
Weights, classes and device are checked with the graph, before any process starts; torch is loaded by the node alone.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from operators.detect import weights as weightfile
from operators.detect.anchors import anchor_grid
from operators.detect.decode import DecodeConfig, decode_at
from operators.streams import BOXES3D_PROBABILITY, CLASSES, PILLARS, Boxes3D, Pillars
from pipeline.errors import FrameError, InputError, RunError
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class DetectorConfig(DecodeConfig):
    weights: str = "pointpillars_world"  # a shipped model, or the path of a .safetensors file
    classes: tuple[str, ...] | None = None  # of the model, to be told; None: all it knows
    device: Literal["cpu", "cuda", "auto"] = "cpu"  # auto: cuda where there is one
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: half the time on CPUs that have it, scores to 2 digits

    def __post_init__(self) -> None:
        DecodeConfig.__post_init__(self)
        for package in ("torch", "safetensors"):
            if importlib.util.find_spec(package) is None:
                raise ValueError(f"needs {package}, which is not installed; pip install 'perception-pipe[torch]'")
        if self.device == "cuda" and (reason := no_cuda()):
            raise ValueError(f"device: needs a CUDA device, got {reason}; device: auto takes the CPU where there is none")
        try:
            names = weightfile.load(self.weights).config.class_names
        except InputError as error:
            raise ValueError(f"weights: {error}") from None
        for name in names:
            if name not in CLASSES:
                raise ValueError(f"weights: needs classes of {', '.join(CLASSES)}, got {name} from {self.weights}")
        for name in self.classes or ():
            if name not in names:
                raise ValueError(f"classes: needs classes that {self.weights} knows ({', '.join(names)}), got {name}")


class Detector(Operator):
    Config, inputs, outputs = DetectorConfig, {"pillars": PILLARS}, {"boxes3d": BOXES3D_PROBABILITY}
    trainer = "operators.detect.train.trainer:PointPillarsTrainer"  # of `pipe train`

    def open(self) -> None:
        import torch

        from operators.nets.pointpillars import PointPillars
        from operators.nets.pointpillars_inference import InferencePointPillars

        torch.set_num_threads(self.threads)
        device = self.config.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise RunError(f"{self.name}: device: needs a CUDA device, got none that torch {torch.__version__} can use")
        loaded = weightfile.load(self.config.weights)
        net = PointPillars(loaded.config)
        net.load_state_dict({n: torch.from_numpy(a) for n, a in loaded.tensors.items()}, strict=False)
        self.net = InferencePointPillars(net.eval(), getattr(torch, self.config.precision)).to(device)
        self.device, self.grid = torch.device(device), loaded.config
        self.anchors = anchor_grid(loaded.config)
        chosen = self.config.classes or loaded.config.class_names
        self.labels = np.array([CLASSES.index(n) if n in chosen else -1 for n in loaded.config.class_names])
        # the first frames would pay for compiling and for choosing algorithms; torch says once that frames are read-only
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            for num in (0, 50):
                cells = np.stack([np.arange(num) % self.grid.grid[0], np.arange(num) % self.grid.grid[1]], 1)
                warm = Pillars(np.zeros((num, 1, 4), np.float32), cells.astype(np.int32), np.ones(num, np.int32))
                for array in warm:
                    array.flags.writeable = False
                self._detect(warm)

    def process(self, pillars: Pillars) -> Boxes3D:
        self._check(pillars.cells)
        return self._detect(pillars)

    def _check(self, cells: np.ndarray) -> None:
        """Raises FrameError where the pillars are of another grid than the net's: its answer would be nonsense."""
        facts = self.meta["pillars"]
        for key in ("cell_m", "range_m"):
            needed = getattr(self.grid, key)
            if key in facts and tuple(facts[key]) != needed:
                raise FrameError(
                    f"{self.name}.pillars: needs {key} {list(needed)}, the grid {self.config.weights} was trained on, "
                    f"got {list(facts[key])}; set {key} of the voxelizer"
                )
        rows, columns = self.grid.grid
        if len(cells) and (cells.min() < 0 or cells[:, 0].max() >= rows or cells[:, 1].max() >= columns):
            raise FrameError(
                f"{self.name}.pillars.cells: needs rows 0..{rows - 1} and columns 0..{columns - 1}, the grid "
                f"{self.config.weights} was trained on, got rows {cells[:, 0].min()}..{cells[:, 0].max()} and columns "
                f"{cells[:, 1].min()}..{cells[:, 1].max()}"
            )

    def _detect(self, pillars: Pillars) -> Boxes3D:
        import torch

        with torch.inference_mode():
            # the tensors are views of the frame on a CPU; the net writes to none of them
            arrays = (pillars.pillars, pillars.counts, pillars.cells)
            logits, levels = self.net(*(torch.from_numpy(array).to(self.device) for array in arrays))

            def heads_at(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                residuals, directions = self.net.boxes(levels, torch.from_numpy(at).to(self.device))
                return residuals.cpu().numpy(), directions.cpu().numpy()

            return decode_at(logits.cpu().numpy(), heads_at, self.anchors, self.labels, self.config)


def no_cuda() -> str:
    """Why there is no CUDA device, "" where there may be one. Asked without loading torch: a graph is checked in milliseconds."""
    spec = importlib.util.find_spec("torch")
    version = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if version and version.is_file() and re.search(r"^cuda\b.*= *None", version.read_text(), re.MULTILINE):
        return "a torch that was built without CUDA"
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver (libcuda.so.1)"
    return ""
