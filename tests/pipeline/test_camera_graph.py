"""Cameras in a graph of processes: one on the network, which goes and comes back, and a folder of 16-bit counts."""

import cv2
import numpy as np
from mjpeg_camera import Showing

GRAPH = """
  cam:     {{driver: camera, config: {{device: "{url}", retry_s: [0.05, 0.2]}}}}
  ir:      {{driver: thermal, config: {{device: {folder}, fps: 9, repeat: true, kelvin: linear}}}}
  agc:     {{op: thermal.agc, inputs: {{thermal_raw: ir.thermal_raw}}}}
  image:   {{op: test.null, inputs: {{in: cam.image}}, config: {{write: true}}}}
  thermal: {{op: test.null, inputs: {{in: agc.thermal}}, config: {{write: true}}}}
  kelvin:  {{op: test.null, inputs: {{in: ir.thermal_k}}}}
"""


def test_the_server_goes_and_comes_back_and_the_graph_goes_on(pipe, tmp_path):
    rng = np.random.default_rng(1)
    folder = tmp_path / "counts"
    folder.mkdir()
    for k in range(4):
        cv2.imwrite(str(folder / f"{k}.tiff"), rng.integers(29000, 29500, (24, 32)).astype(np.uint16))
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 80, np.uint8))[1].tobytes()
    with Showing([jpeg]) as showing:
        address, url = showing.server.address, showing.server.url
        graph = pipe.graph(GRAPH.format(url=url, folder=folder))
        running = pipe.start(graph)
        running.wait_lines("image", 5, 60)
    running.wait_lines("thermal", running.lines("thermal") + 3)
    before = running.lines("image")
    running.wait_lines("thermal", running.lines("thermal") + 5)  # the rest goes on
    assert running.lines("image") == before
    with Showing([jpeg], address):
        running.wait_lines("image", before + 7)
        running.signal(2)
        ended = running.end()
    assert ended.code == 130, ended.stderr
    nodes = ended.report["nodes"]
    assert nodes["cam"]["status"].startswith("running; lost 1 time, ") and nodes["cam"]["restarts"] == 0
    assert "stamps by arrival" in nodes["cam"]["status"] and nodes["ir"]["status"].startswith("running")
    log = ended.log("cam")
    assert [log.count(word) for word in ("lost: ", "reconnecting", "running")] == [1, 1, 2], log
    assert ended.report["sinks"]["kelvin"]["frames"] > 5
    assert nodes["cam"]["errors"] == nodes["ir"]["errors"] == 0
