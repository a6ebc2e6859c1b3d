"""Runs `pipe batch` as a user does, and compares its folders with those of `pipe run`."""

import filecmp
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from pipeline.batch.folder import TRIES

SLOW = """version: 1
nodes:
  src:  {driver: test.counter, config: {frames: 40}}
  mid:  {op: test.fault, inputs: {data: src.out}, config: {kind: slow, slow_ms: 25}}
  sink: {op: test.null, inputs: {in: mid.out}, config: {write: true}}
"""
KITTI = ("0002", "0003", "0004", "0005", "0007", "0009", "0011", "0017", "0020")
"""The sequences of ../shared/data/kitti_tracking."""


def start(*words):
    """`pipe batch`, with SIGINT as a terminal gives it."""
    command = ["env", "--default-signal=INT", sys.executable, "-m", "pipeline", "batch", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def batch(*words, timeout=110):
    process = start(*words)
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def workers(out):
    """pid -> item of the processes that work for this batch"""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_text().split("\0") if entry.name.isdigit() else []
            inside = Path(os.readlink(entry / "fd/1")).is_relative_to(out / TRIES) if "--item" in words else False
        except OSError:
            continue
        if inside:
            found[int(entry.name)] = words[words.index("--item") + 1]
    return found


def wait_for(condition, timeout_s=60.0):
    until = time.monotonic() + timeout_s
    while not (got := condition()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return got


def frames(out, item):
    path = out / item / "sink/frames.txt"
    return len(path.read_text().splitlines()) if path.exists() else 0


def trying(out):
    """Items of which a frame is written, in tries that run."""
    return {path.parts[-3].partition(".")[0] for path in (out / TRIES).glob("*/sink/frames.txt") if path.stat().st_size}


def kitti_words(root, sequences, out):
    sets = (
        f"dets.config.root={root}",
        f"dets.config.sequences={sequences}",
        "render.config.video=false",
        "render.config.png_every=0",
    )
    return ["kitti_tracking", *(word for text in sets for word in ("--set", text)), "--out", out]


def assert_as_alone(root, out, tmp_path, items):
    """Each item's folder against `pipe run` of it; then all together against one run of all, and `pipe eval` of their files."""
    for item in items:
        alone = tmp_path / "alone" / item
        run = [sys.executable, "-m", "pipeline", "run", *map(str, kitti_words(root, item, alone)), "--quiet"]
        assert subprocess.run(run, capture_output=True, check=False).returncode == 0
        names = [f"results/{item}.txt", "score/scores.json", "score/scores.csv"]
        assert filecmp.cmpfiles(out / item, alone, names, shallow=False) == (names, [], [])
        digests = [json.loads((folder / "report.json").read_text())["digest"] for folder in (out / item, alone)]
        assert digests[0] == digests[1] and len(digests[0]) == 3
    whole = tmp_path / "whole"
    run = [sys.executable, "-m", "pipeline", "run", *map(str, kitti_words(root, "[" + ",".join(items) + "]", whole)), "--quiet"]
    assert subprocess.run(run, capture_output=True, check=False).returncode == 0
    assert (out / "_all/score/scores.json").read_text() == (whole / "score/scores.json").read_text()
    for results in (out / "_all/results", whole / "results"):
        command = ["eval", "kitti-tracking", "--gt", root, "--results", results, "--json", f"{results}.json"]
        done = subprocess.run([sys.executable, "-m", "pipeline", *map(str, command)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    found = [json.loads(Path(f"{f}.json").read_text())["classes"] for f in (out / "_all/results", whole / "results")]
    assert found[0] == found[1]
