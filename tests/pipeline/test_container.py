"""A container's life: a read-only root, no home, a foreign uid, being process 1, few open files.

A run works there, or one line says what to set.

Linux namespaces stand for the container; where a machine does not allow them, the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pipe_runs import ROOT, wait_for

GRAPH = """
  world: {driver: synthetic.traffic, config: {frames: 3}}
  voxels: {op: lidar.voxelize, inputs: {points: world.points}}
  sink: {op: test.null, inputs: {in: voxels.pillars}, config: {write: true}}
"""
COUNTER = """
  a: {driver: test.counter, config: {frames: 40, rate_hz: 40}}
  b: {op: test.pass, inputs: {in: a.out}}
  sink: {op: test.null, inputs: {in: b.out}, config: {write: true}}
"""
READ_ONLY = 'mount --bind "$W" "$W" && mount -o remount,bind,ro / && {more} exec "$@"'
"""Everything but $W and /dev/shm is read-only."""


def allowed(*flags: str) -> bool:
    tool = shutil.which("unshare")
    return tool is not None and subprocess.run([tool, *flags, "true"], capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not allowed("--mount"), reason="this machine does not let us make mount namespaces")
needs_pids = pytest.mark.skipif(
    not allowed("--pid", "--fork", "--mount-proc"), reason="this machine does not let us make pid namespaces"
)


def contained(work: Path, *command: str, more: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`command` with a read-only root; only `work` and /dev/shm can be written. HOME is not set."""
    outer = ["unshare", "--mount", "sh", "-c", READ_ONLY.format(more=more), "sh", *command]
    kept = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    return subprocess.run(
        outer, cwd=ROOT, env=kept | {"W": str(work)} | (env or {}), capture_output=True, text=True, timeout=100, check=False
    )


def pipe(*words: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", *words]


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("version: 1\nnodes:" + GRAPH)
    return path


@needs_mounts
@pytest.mark.parametrize("user", ["root", "a uid without a name"])
def test_read_only_root_without_a_home(graph, tmp_path, user):
    # In its namespace the user has another number; what it may read stays the same.
    other = ["unshare", "--user", "--map-user=12345"] if user != "root" else []
    if other and not allowed(*other[1:]):
        pytest.skip("this machine does not let us make user namespaces")
    ran = contained(tmp_path, *other, *pipe("run", str(graph), "--out", str(tmp_path / "o"), "--frames", "3", "--quiet"))
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert len((tmp_path / "o" / "sink" / "frames.txt").read_text().splitlines()) == 3


@needs_mounts
def test_no_folder_can_be_written(graph, tmp_path):
    words = pipe("run", str(graph), "--out", str(tmp_path / "o"))
    ran = contained(tmp_path, *words, more="mount -o remount,bind,ro /dev/shm &&")
    assert ran.returncode == 2
    assert "error: " in ran.stderr and "Traceback" not in ran.stderr
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in ran.stderr


@needs_mounts
def test_no_folder_for_sockets(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("version: 1\nnodes:" + COUNTER)
    words = pipe("run", str(path), "--out", str(tmp_path / "o"))
    ran = contained(tmp_path, *words, more="mount -o remount,bind,ro /dev/shm &&")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].endswith("/tmp, /dev/shm; set XDG_RUNTIME_DIR to one")


@needs_mounts
def test_a_place_that_cannot_be_written_is_found_before_the_start(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("version: 1\nnodes:" + COUNTER)
    began = time.monotonic()
    ran = contained(tmp_path, *pipe("run", str(path), "--out", str(ROOT / "no")))
    assert ran.returncode == 2, ran.stderr
    assert str(ROOT / "no") in ran.stderr and "Traceback" not in ran.stderr
    assert time.monotonic() - began < 5


@needs_mounts
def test_doctor_names_the_places(tmp_path):
    ran = contained(tmp_path, *pipe("doctor"))
    assert "/dev/shm/pipe-kernels-" in ran.stdout, ran.stdout
    assert f"warn  results    the working folder {ROOT} cannot be written: give every run an --out" in ran.stdout
    assert "no HOME" in ran.stdout


@pytest.mark.quick(1)
@needs_pids
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_process_1(tmp_path, runtime, number, code):
    path = tmp_path / "g.yaml"
    path.write_text("version: 1\nnodes:" + COUNTER.replace("frames: 40", "frames: 4000"))
    lines = tmp_path / "o" / "sink" / "frames.txt"
    words = pipe("run", str(path), "--out", str(tmp_path / "o"), "--quiet", "--rate", "1")
    # The first process of a pid namespace gets no signal that it has no handler for.
    outer = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for(lambda: lines.exists() and lines.read_bytes().count(b"\n") > 3, 30, "frames")
        inner = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0])
        began = time.monotonic()
        os.kill(inner, number)
        _, stderr = outer.communicate(timeout=20)
    finally:
        outer.kill()
        outer.communicate()
    assert outer.returncode == code, stderr
    assert time.monotonic() - began < 3
    assert (tmp_path / "o" / "report.json").exists()


@pytest.mark.parametrize("hard", [40, 64, 4096])
def test_few_open_files(tmp_path, runtime, hard):
    """The soft limit is raised as far as the graph needs it; a hard limit that is too low is named before the start."""
    path = tmp_path / "g.yaml"
    chain = "".join(f"  p{i}: {{op: test.pass, inputs: {{in: {'a' if i == 0 else f'p{i - 1}'}.out}}}}\n" for i in range(9))
    path.write_text(
        "version: 1\nnodes:\n  a: {driver: test.counter, config: {frames: 20}}\n"
        + chain
        + "  z: {op: test.null, inputs: {in: p8.out}}\n"
    )
    words = pipe("run", str(path), "--out", str(tmp_path / "o"), "--quiet")
    limited = ["sh", "-c", f'ulimit -Sn {min(hard, 64)} && ulimit -Hn {hard} && exec "$@"', "sh", *words]
    ran = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in ran.stderr
    if ran.returncode:
        assert hard < 100
        assert ran.returncode == 1 and "open files" in ran.stderr and "ulimit -n" in ran.stderr
    else:
        assert hard > 60
