"""`pipe batch --engine ray` on three raylets of this machine: real sequences, a raylet killed, Ctrl-C, other code."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batch_runs import KITTI, SLOW, assert_as_alone, batch, frames, kitti_words, start, trying, wait_for, workers

ray = pytest.importorskip("ray", reason="needs the extra ray: pip install 'perception-pipe[ray]'")
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Raylets:
    """A head that runs nothing, and three raylets with one CPU each, on loopback; processes of `ray start --block`."""

    def __init__(self, folder):
        self.address = f"127.0.0.1:{free_port()}"
        self.folder = folder
        os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(32).hex()})
        port = self.address.rpartition(":")[2]
        self.head = self._start("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}")
        wait_for(self._answers, 120)
        self.nodes = [self._start(f"--address={self.address}", "--num-cpus=1") for _ in range(3)]

    def _start(self, *words):
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--block",
            "--disable-usage-stats",
            "--node-ip-address=127.0.0.1",
        ]
        command += ["--object-store-memory=100000000", *words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def _answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(self.address.rpartition(":")[2])), 1):
            return True
        return False

    def kill(self, node):
        """The raylet and all beside it, at once, as a machine that loses its power. Its workers notice by themselves."""
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def raylet_of(self, pid):
        """The node whose raylet has started this process."""
        while pid > 1:
            for node in self.nodes:
                if node.pid == pid:
                    return node
            stat = Path(f"/proc/{pid}/stat").read_text()
            pid = int(stat.rpartition(")")[2].split()[1])
        return None

    def close(self):
        for process in (*self.nodes, self.head):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in (*self.nodes, self.head):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def raylets(tmp_path_factory):
    import tempfile

    with tempfile.TemporaryDirectory(
        prefix="ray-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:  # paths of sockets are short
        cluster = Raylets(folder)
        yield cluster
        cluster.close()


def on(raylets):
    return ["--engine", "ray", "--address", raylets.address]


def slow_words(tmp_path, raylets, frames="40", items="0,100,200,300,400"):
    graph, out = tmp_path / "graph.yaml", tmp_path / "out"
    graph.write_text(SLOW.replace("frames: 40", f"frames: {frames}"))
    return out, [graph, "--items", items, "--set", "src.config.start={item}", "--out", out, *on(raylets)]


@pytest.mark.data
def test_nine_sequences_on_three_raylets(raylets, shared_data, tmp_path):
    root, out = shared_data / "kitti_tracking", tmp_path / "out"
    code, text, errors = batch(*kitti_words(root, "{item}", out), "--items", ",".join(KITTI), *on(raylets), timeout=800)
    assert code == 0, errors
    assert errors == "" and text.splitlines()[0] == "kitti_tracking: 9 items", "Ray prints nothing"
    assert_as_alone(root, out, tmp_path, KITTI)


def test_ctrl_c_and_the_rest(raylets, tmp_path):
    out, words = slow_words(tmp_path, raylets)
    process = start(*words)
    wait_for(lambda: (out / "0").exists() or (out / "100").exists(), 120)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    wait_for(lambda: not workers(out), 20)
    rows = json.loads((out / "batch.json").read_text())["items"]
    done = {name for name, row in rows.items() if row["state"] == "done"}
    assert done and len(done) < 5
    kept = {name: (out / name / "item.json").stat().st_mtime_ns for name in done}
    code, _, errors = batch(*words)
    assert code == 0, errors
    rows = json.loads((out / "batch.json").read_text())["items"]
    assert {name for name, row in rows.items() if row["state"] == "skipped"} == done
    assert {name: (out / name / "item.json").stat().st_mtime_ns for name in done} == kept
    assert [frames(out, name) for name in rows] == [40] * 5


def test_code_that_differs_is_refused(raylets, tmp_path, monkeypatch):
    """Here it is this machine that has another version: the raylets were started without the variable."""
    from pipeline.batch import version
    from pipeline.cli.verbs import main

    out, words = slow_words(tmp_path, raylets)
    code = version.code()
    monkeypatch.setattr(version, "code", lambda: {**code, "sources": "another"})
    from io import StringIO

    text = StringIO()
    with contextlib.redirect_stderr(text):
        assert main(["batch", *map(str, words)]) == 2
    assert f"needs the code of this machine, got other: sources another here, {code['sources']} there" in text.getvalue()
    assert not any(out.glob("0*"))


def test_no_cluster_there_ends_in_one_line(tmp_path):
    graph = tmp_path / "graph.yaml"
    graph.write_text(SLOW)
    words = [
        graph,
        "--items",
        "0",
        "--set",
        "src.config.start={item}",
        "--engine",
        "ray",
        "--address",
        f"127.0.0.1:{free_port()}",
    ]
    code, _, errors = batch(*words, "--out", tmp_path / "out", timeout=300)
    assert code == 2 and len([line for line in errors.splitlines() if line.startswith("error:")]) == 1, errors


def test_a_cluster_is_started_where_none_is_given(tmp_path):
    graph, out = tmp_path / "graph.yaml", tmp_path / "out"
    graph.write_text(SLOW.replace("25", "0"))
    words = [graph, "--items", "0,100,200", "--set", "src.config.start={item}", "--engine", "ray", "--workers", "2", "--out", out]
    code, text, errors = batch(*words, timeout=300)
    assert (code, errors) == (0, ""), text
    assert [frames(out, name) for name in ("0", "100", "200")] == [40] * 3


def test_a_raylet_killed_mid_run(raylets, tmp_path):
    """The last test: it takes a raylet away. Nothing is lost, nothing is done twice."""
    out, words = slow_words(tmp_path, raylets, frames="120")
    process = start(*words)
    wait_for(lambda: len(trying(out)) >= 2, 120)
    pid, victim = next(iter(workers(out).items()))
    raylets.kill(raylets.raylet_of(pid))
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    report = json.loads((out / "batch.json").read_text())
    row = report["items"][victim]
    assert report["counts"] == {"done": 5, "skipped": 0, "failed": 0, "left": 0}
    assert row["tries"] == 2 and "lost with its worker or machine" in row["failed_tries"][0]["reason"], row
    for name in report["items"]:
        numbers = [int(line.split()[1]) for line in (out / name / "sink/frames.txt").read_text().splitlines()]
        assert numbers == list(range(120)), name
    wait_for(lambda: not workers(out), 20)
    time.sleep(0.1)
    assert sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) == ["0", "100", "200", "300", "400", "batch.json"]
