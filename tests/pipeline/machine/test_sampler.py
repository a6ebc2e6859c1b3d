"""The report's `board`, of machines made of files."""

import json
import threading

import pytest
from boards import ORIN_W, folder, orin, wait_until

import pipeline
from pipeline.machine.sampler import Sampler
from pipeline.runtime import session


def test_a_machine_without_sensors_costs_no_thread(tmp_path):
    sampler = Sampler(tmp_path)
    sampler.start()
    assert "sampler" not in [t.name for t in threading.enumerate()]
    sampler.stop()
    found = sampler.report(frames=10)
    assert (found["power"], found["temperature_c"], found["throttled"], found["looks"]) == (None, {}, [], 0)


def test_never_started(tmp_path):
    sampler = Sampler(orin(tmp_path))
    sampler.stop()
    assert sampler.report(0)["model"] == "NVIDIA Jetson AGX Orin Developer Kit"


def test_an_orin_that_gets_warm(tmp_path):
    root = orin(tmp_path)
    sampler = Sampler(root, interval_s=0.01)
    sampler.start()
    wait_until(lambda: sampler.report(0)["power"])
    assert not sampler.news
    folder(root, {"sys/class/thermal/thermal_zone0/temp": 97000, "sys/class/thermal/cooling_device0/cur_state": 1})
    wait_until(lambda: sampler.report(0)["throttled"] and sampler.report(0)["throttled"][0]["looks"] > 2)
    folder(root, {"sys/class/thermal/thermal_zone0/temp": 60000, "sys/class/thermal/cooling_device0/cur_state": 0})
    sampler.stop()
    found = sampler.report(frames=20)
    power = found["power"]
    assert list(sampler.news) == ["this machine slows down: cpu too warm; hottest: 97 °C; rates of this run are not its best"]
    assert found["temperature_c"] == {"cpu-thermal": 97.0, "gpu-thermal": 47.6}
    assert found["throttled"][0]["reason"] == "cpu too warm" and found["throttled"][0]["looks"] < found["looks"]
    assert power["mean_w"] == pytest.approx(ORIN_W, abs=1e-3) and power["max_w"] == pytest.approx(ORIN_W, abs=1e-3)
    assert power["energy_j"] == pytest.approx(ORIN_W * power["seconds"], abs=0.02)
    assert power["energy_per_frame_j"] == pytest.approx(power["energy_j"] / 20, abs=1e-4)
    assert power["rails_w"]["VDD_CPU_CV"] == pytest.approx(1.598) and found["gpu_load"] == pytest.approx(0.123)
    assert "sampler" not in [t.name for t in threading.enumerate()]


def test_a_short_run_has_its_last_look(tmp_path):
    """Shorter than the interval: a look at the start, one at the end."""
    sampler = Sampler(orin(tmp_path), interval_s=60.0)
    sampler.start()
    wait_until(lambda: sampler.report(0)["looks"])
    sampler.stop()
    assert sampler.report(1)["looks"] == 2 and sampler.report(1)["power"]["energy_j"] >= 0


def test_energy_without_frames(tmp_path):
    sampler = Sampler(orin(tmp_path), interval_s=0.01)
    sampler.start()
    wait_until(lambda: sampler.report(0)["power"])
    sampler.stop()
    assert sampler.report(0)["power"]["energy_per_frame_j"] is None


def test_a_run_reports_the_board_and_says_once_that_it_slows_down(tmp_path, monkeypatch, capfd):
    root = folder(orin(tmp_path / "root"), {"sys/class/thermal/cooling_device0/cur_state": 1})
    monkeypatch.setattr(session, "Sampler", lambda: Sampler(root, interval_s=0.02))
    graph = tmp_path / "g.yaml"
    graph.write_text(
        "version: 1\nnodes:\n  a: {driver: test.counter, config: {frames: 30, rate_hz: 100}}\n"
        "  sink: {op: test.null, inputs: {in: a.out}}\n"
    )
    report = pipeline.run(graph, place="inline", out=tmp_path / "out", rate=1.0).report
    board = report["board"]
    assert board["l4t"] == "36.4.3" and board["throttled"][0]["reason"] == "cpu too warm"
    assert board["power"]["energy_per_frame_j"] == pytest.approx(board["power"]["energy_j"] / 30, abs=1e-4)
    assert capfd.readouterr().err.count("this machine slows down: cpu too warm") == 1
    assert json.loads((tmp_path / "out" / "report.json").read_text())["board"] == board
