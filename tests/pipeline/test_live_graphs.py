"""The shipped live graphs: what `pipe check` says of them, and one of them on packets of the loopback."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from drivers.calibration import rig_file
from drivers.synthetic.world import SyntheticWorld
from drivers.velodyne.writer import FILE, Writer
from pipeline.testing import run_operator, statics_of

ROOT = Path(__file__).resolve().parents[2]


def nodes_of(graph):
    return yaml.safe_load((ROOT / "graphs" / f"{graph}.yaml").read_text())["nodes"]


@pytest.mark.parametrize(
    ("graph", "sets", "live"),
    [
        ("live_lidar", [], True), ("live_rgb_thermal", [], True), ("rehearsal", [], False),
        ("live_full", ["thermal.config.calibration=rehearsal"], True),
        ("live_lidar", ["lidar.driver=velodyne.recorded", "lidar.config={file: PACKETS, cut_angle_deg: 180}"], False),
    ],
)  # fmt: skip
def test_the_graphs_are_right(pipe, packets, graph, sets, live):
    texts = [word for text in sets for word in ("--set", text.replace("PACKETS", str(packets)))]
    checked = pipe.refused("check", graph, *texts)
    assert checked.code == 0, checked.stderr
    assert (", live, " in checked.stdout) == live


@pytest.mark.parametrize(
    ("graph", "sets", "says"),
    [
        ("live_full", [], "thermal: calibration is connected, but config.calibration names no rig file"),
        ("live_full", ["thermal.config.calibration=rehersal"], "rehersal"),
        ("live_lidar", ["lidar.config.source=none.pcap"], "a capture file or a rosbag2 recording, got none.pcap"),
        ("live_rgb_thermal", ["thermal.config.max_hz=-1"], "max_hz: needs 0 or more, got -1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_line(pipe, monkeypatch, graph, sets, says):
    monkeypatch.delenv("RIG", raising=False)
    refused = pipe.refused("check", graph, *[word for text in sets for word in ("--set", text)])
    assert refused.code == 2 and says in refused.stderr


def test_the_shipped_rig_is_that_of_the_rehearsal():
    statics, rig = statics_of(SyntheticWorld, nodes_of("rehearsal")["ir"]["config"]), rig_file.read("rehearsal")
    for camera, port in (("camera", "calibration"), ("thermal", "thermal_calibration")):
        for ours, theirs in zip(rig.calibration(camera, "velodyne"), statics[port], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for graph in ("live_full", "live_rgb_thermal"):
        np.testing.assert_allclose(nodes_of(graph)["align"]["config"]["homography"], statics["homography"], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="session")
def packets(tmp_path_factory):
    """0.4 s of a floor with bumps as packets of a HDL-32E."""
    out, rng = tmp_path_factory.mktemp("packets"), np.random.default_rng(7)
    points = rng.uniform([-30, -30, -1.8, 0], [30, 30, -1.6, 1], (20_000, 4)).astype(np.float32)
    run_operator(Writer, [{"points": points}] * 4, out_dir=out)
    return out / FILE


@pytest.fixture
def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_packets_of_the_loopback_become_tracks(pipe, packets, free_port):
    """The sender begins when the driver listens, and plays until the run ends."""
    running = pipe.start(
        "live_lidar", "--duration", "6", "--set", f"lidar.config.source=udp://127.0.0.1:{free_port}",
        "--set", "lidar.config.position_port=0", "--set", "render.config={png_every: 0, video: false}",
    )  # fmt: skip
    command = ["send", str(packets), "--to", f"udp://127.0.0.1:{free_port}", "--restamp", "--repeat", "0"]
    sender = subprocess.Popen([sys.executable, "-m", "pipeline", *command], stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        ended = running.end(60)
    finally:
        sender.terminate()
        sender.wait()
    assert ended.code == 0, ended.stderr
    assert ended.report["sinks"]["render"]["frames"] > 0 and ended.report["sinks"]["path"]["frames"] > 0
    assert "HDL-32E" in ended.report["nodes"]["lidar"]["status"]
