"""`pipe batch` as a user runs it: fresh processes, a worker killed -9, Ctrl-C, resume; results of real sequences."""

import json
import os
import signal
import time

import pytest
from batch_runs import KITTI, SLOW, assert_as_alone, batch, frames, kitti_words, start, trying, wait_for, workers

from pipeline.batch.folder import TRIES


@pytest.mark.slow
def test_a_killed_worker_then_ctrl_c_then_the_rest(tmp_path, runtime):
    graph, out = tmp_path / "graph.yaml", tmp_path / "out"
    graph.write_text(SLOW)
    words = [graph, "--items", "0,100,200,300,400", "--set", "src.config.start={item}", "--workers", "2", "--out", out]
    process = start(*words)
    wait_for(lambda: {"0", "100"} <= trying(out))
    victim = next(pid for pid, item in workers(out).items() if item == "0")
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: (out / "200").exists() or (out / "100").exists())
    wait_for(lambda: trying(out))
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    text, errors = process.communicate(timeout=30)
    wall_s = time.monotonic() - began
    assert process.returncode == 130, errors
    assert not workers(out) and not (out / TRIES).exists()
    assert wall_s < 10, "2 s on an idle machine"
    report = json.loads((out / "batch.json").read_text())
    assert report["exit"] == "stopped" and "stopping; what is done stays" in text
    assert "0: try 1 failed, one more: killed by SIGKILL (out of memory?)" in text
    done = {name for name, row in report["items"].items() if row["state"] == "done"}
    assert done and len(done) < 5 and all(frames(out, name) == 40 for name in done)
    kept = {name: (out / name / "item.json").stat().st_mtime_ns for name in done}
    code, text, errors = batch(*words)
    report = json.loads((out / "batch.json").read_text())
    assert code == 0, errors
    assert {name for name, row in report["items"].items() if row["state"] == "skipped"} == done
    assert {name: (out / name / "item.json").stat().st_mtime_ns for name in done} == kept
    assert all(frames(out, name) == 40 for name in ("0", "100", "200", "300", "400"))


def test_the_command_and_its_words(tmp_path):
    graph, out = tmp_path / "graph.yaml", tmp_path / "out"
    graph.write_text(SLOW.replace("25", "0"))
    code, text, errors = batch(graph, "--items", "5,9", "--set", "src.config.start={item}", "--frames", "3", "--out", out)
    assert (code, errors) == (0, "")
    lines = text.splitlines()
    assert lines[0] == "graph: 2 items" and "done, 3 frames in" in lines[1] and "(1/2, ETA" in lines[1]
    assert lines[3].split() == ["item", "state", "frames", "s", "tries"]
    assert lines[4].split()[:3] == ["5", "done", "3"]
    assert lines[6].startswith("graph: completed, 2 items in") and lines[6].endswith(": 2 done")
    assert lines[7] == f"  results in {out}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--items", "1"], "--set: needs {item} in at least one value"),
        (["--items", "", "--set", "src.config.start={item}"], "--items: needs names"),
        (["--items", "/no/*.x", "--set", "src.config.start={item}"], "--items /no/*.x: needs files or folders"),
        (["--items", "1", "--set", "src.config.start={item}", "--address", "auto"], "--address auto: is for --engine ray"),
        (["--items", "1", "--set", "src.config.start={item}", "--workers", "0"], "--workers: needs 1 or more, got 0"),
        (["--items", "1", "--set", "no.config.start={item}"], "no node no"),
    ],
)
def test_wrong_words_end_in_one_line(words, message, tmp_path, capsys):
    from pipeline.cli.verbs import main

    graph = tmp_path / "graph.yaml"
    graph.write_text(SLOW)
    assert main(["batch", str(graph), *words, "--out", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and message in errors[0] and not (tmp_path / "out").exists()


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nine_sequences_have_the_bytes_and_scores_of_their_runs(shared_data, tmp_path):
    root, out = shared_data / "kitti_tracking", tmp_path / "out"
    code, text, errors = batch(*kitti_words(root, "{item}", out), "--items", "auto", timeout=800)
    assert code == 0, errors
    report = json.loads((out / "batch.json").read_text())
    assert tuple(report["items"]) == KITTI and report["scores"]["score"]["items"] == 9
    assert "  score: Car HOTA" in text and text.count(" done ") >= 9
    assert_as_alone(root, out, tmp_path, KITTI)
