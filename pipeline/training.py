"""`pipe train`: a training file names an operator, and the operator's class names its trainer.

    class PointPillars(Operator):
        trainer = "operators.train.pointpillars.trainer:PointPillarsTrainer"

The file's keys are the fields of the trainer's Config; `version` and `train`, the operator's name, are among them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pipeline import settings
from pipeline.errors import GraphError
from pipeline.graph import lookup, project, yamlfile
from pipeline.settings import Where, nearest

SHIPPED = Path(__file__).parent.parent / "graphs" / "train"
RECORD = "train.yaml"
"""Name of the file in the out folder that holds the whole config."""
FILES = (RECORD, "losses.csv", "scores.csv", "checkpoint.pt", "model.safetensors", "*.part", "epoch-*.png")
"""What a training writes there: `--overwrite` deletes these and nothing else."""


@dataclass(frozen=True)
class TrainOptions:
    """out: folder of all results; steps: stop after so many, without changing the schedule; device: overrides the config's;
    command: as typed, for the model's header."""

    out: Path
    steps: int | None = None
    resume: bool = False
    device: Literal["cpu", "cuda"] | None = None
    quiet: bool = False
    command: str = ""


@dataclass(frozen=True)
class TrainSpec:
    """A training file as read: name, operator, its trainer, the trainer's config, and the position of the keys."""

    name: str
    operator: str
    trainer: type[Trainer]
    config: Any
    where: Where


class Trainer:
    """Base class of all trainers. __init__ raises GraphError or InputError for everything that is wrong before the start."""

    Config: ClassVar[type]

    def __init__(self, spec: TrainSpec, options: TrainOptions) -> None:
        raise NotImplementedError(f"{type(self).__name__}.__init__")

    def run(self) -> int:
        """Train to the end -> exit code: 0 done, 130 or 143 stopped by a signal."""
        raise NotImplementedError(f"{type(self).__name__}.run")


def load(path_or_name: str, sets: Iterable[str] = ()) -> TrainSpec:
    """Read a training file, or a shipped one by name. `sets` are KEY=VALUE, KEY with dots. Raises GraphError."""
    path = find_file(path_or_name)
    project.use(project.of_file(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise GraphError(f"{path_or_name}: cannot read the training file: {reason}") from None
    label = str(path) if path == Path(path_or_name) else path.name
    data, marks = yamlfile.read(text, label)
    top = Where(label, marks)
    if not isinstance(data, dict):
        raise top.error(f"needs a mapping with version: 1 and train:, got {settings.show(data)}")
    for item in sets:
        target, equals, value = item.partition("=")
        keys = tuple(target.strip().split("."))
        if not equals or not all(keys):
            raise GraphError(f"--set {item}: needs KEY=VALUE, e.g. model.max_points=32")
        yamlfile.assign(data, marks, keys, yamlfile.read(value, f"--set {item}")[0], f"--set {item}")
    name = data.get("train")
    if not isinstance(name, str):
        raise top.child("train").error(f"needs the operator to be trained, e.g. detect.pointpillars, got {settings.show(name)}")
    try:
        cls = lookup.operator_class(name)
    except GraphError as error:
        raise top.child("train").error(str(error)) from error
    ref = getattr(cls, "trainer", None)
    if ref is None:
        raise top.child("train").error(f"{name} cannot be trained: it names no trainer")
    trainer = lookup.class_by_ref(ref)
    return TrainSpec(path.stem, name, trainer, settings.build(trainer.Config, data, top), top)


def find_file(name: str) -> Path:
    """The file of this path, or of a shipped training of this name."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = {p.stem: p for p in sorted(SHIPPED.glob("*.yaml"))}
    if path.name == name and name.removesuffix(".yaml") in shipped:
        return shipped[name.removesuffix(".yaml")]
    near = nearest(path.stem, shipped)
    hint = f"did you mean the shipped {near}?" if near else f"shipped ones: {', '.join(shipped) or 'none'}"
    raise GraphError(f"{name}: {'is a folder, not a training file' if path.is_dir() else 'no such training file'}; {hint}")


def commit() -> str:
    """Short hash of this program's checkout, with + when it has changes; "unknown" outside one."""
    git = ["git", "-C", str(Path(__file__).resolve().parent)]
    try:
        head, changed = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")
