"""Every test has its own runtime folder; a run that leaves anything behind fails its test."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import pytest
from pipe_runs import Runs, pools_mapped, workers

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime opens files when imported, as `runtimes` says

# Images of build machines set it. Each of the thousands of processes here would compile the engine again, for 0.2 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """Of a test with the mark quick(n), n cases spread over all run in `make test`; the others are slow."""
    families = defaultdict(list)
    for item in items:
        if item.get_closest_marker("quick"):
            families[item.nodeid.partition("[")[0]].append(item)
    for cases in families.values():
        (most,) = cases[0].get_closest_marker("quick").args
        kept = {round(i * (len(cases) - 1) / max(most - 1, 1)) for i in range(most)}
        for i, item in enumerate(cases):
            if i not in kept:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data; skips the test if it is absent."""
    folder = Path(os.environ.get("PIPE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set PIPE_DATA)")
    return folder


def descriptors() -> dict[str, str]:
    """fd -> target of each descriptor of this process."""
    out = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            out[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # the descriptor of the listing itself
    return out


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    """XDG_RUNTIME_DIR of this test (short: socket paths are limited). Checks at the end that nothing is left behind."""
    folder = Path(tempfile.mkdtemp(prefix="pt-", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    before = descriptors()
    yield folder
    left: list[str] = []
    ran = (folder / "pipe").exists()
    if ran:
        until = time.monotonic() + 2.0  # a killed supervisor's children may have just been told
        while (orphans := workers(folder)) and time.monotonic() < until:
            time.sleep(0.02)
        left += [f"process {pid}" for pid in orphans]
        left += [f"folder or socket {path}" for path in (folder / "pipe").iterdir() if path.name != ".gate"]
        gc.collect()
        gc.freeze()  # what is left stays: else each test would search all objects of compiled kernels again, for 0.6 s
        left += [f"open file {fd} -> {what}" for fd, what in descriptors().items() if fd not in before]
        left += [f"mapping {name}" for name in pools_mapped([os.getpid()])]
    shutil.rmtree(folder, ignore_errors=True)
    assert not left, "left behind: " + "; ".join(left)


@pytest.fixture
def locked():
    """locked("closed/a.txt") -> a folder; its `closed`, with a.txt in it, is another user's and may be neither read nor entered.

    readable  files beside it, with their content
    Root may do all, so for the rest of the test this process is nobody.
    """
    folder = Path(tempfile.mkdtemp(prefix="pt-locked-", dir="/tmp"))
    user = os.geteuid()

    def lock(*files: str, readable: dict[str, str] | None = None) -> Path:
        for name, text in {**dict.fromkeys(files, ""), **(readable or {})}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        for name in files:
            (folder / Path(name).parts[0]).chmod(0)
        folder.chmod(0o755)
        if user == 0:
            os.seteuid(65534)
        return folder

    yield lock
    os.seteuid(user)
    for path in folder.iterdir():
        path.chmod(0o700)
    shutil.rmtree(folder)


@pytest.fixture
def pipe(tmp_path, runtime):
    """Run graphs as processes: `pipe.run(pipe.graph(text))`."""
    runs = Runs(tmp_path, runtime)
    yield runs
    unfinished = [r.pid for r in runs.running if r.process.poll() is None]
    runs.stop()
    assert not unfinished, f"still running at the end of the test: {unfinished}"
    mapped = pools_mapped([r.pid for r in runs.running])
    assert not mapped, f"left behind: {mapped}"
