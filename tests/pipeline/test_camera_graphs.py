"""Graphs of a detector of the user's own, on real pictures, end to end."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own_net.md"


@pytest.fixture
def sets(shared_data):
    """--set of a driver's root, for the model files of the shared data."""

    def of(driver, detector="detect"):
        models = shared_data / "models"
        values = {
            f"{driver}.config.root": shared_data / "kitti_raw",
            f"{detector}.config.model": models / "nanodet_m" / "nanodet_m.onnx",
            f"{detector}.config.names": models / "coco.names",
        }
        return [x for key, value in values.items() for x in ("--set", f"{key}={value}")]

    return of


def test_without_a_model_one_line_says_what_to_set(pipe):
    said = pipe.refused("check", "kitti_camera").stderr.splitlines()
    assert [line for line in said if "detect.config.model: needs the path of your net's .onnx file, got nothing" in line], said


@pytest.mark.data
def test_the_example_of_the_page(pipe, shared_data, tmp_path):
    """A file of YOLOv8's shapes, with the names that its exporter writes."""
    onnx_files = pytest.importorskip("onnx_files")
    pytest.importorskip("onnxruntime")
    names = (shared_data / "models" / "coco.names").read_text().splitlines()
    metadata = {"names": repr(dict(enumerate(names)))}
    output = {"output0": np.zeros((1, 84, 8400), np.float32)}
    onnx_files.known(tmp_path / "yolov8n.onnx", output, image=("float32", (1, 3, 640, 640)), metadata=metadata)
    text = re.search(r"```yaml\n(# camera.yaml.*?)```", PAGE.read_text(), re.DOTALL)[1]
    graph = tmp_path / "camera.yaml"
    graph.write_text(text.replace("yolov8n.onnx\n", f"{tmp_path}/yolov8n.onnx\n"))
    said = pipe.refused("check", str(graph), "--set", f"camera.config.root={shared_data / 'kitti_raw'}")
    assert said.code == 0 and ": ok: 4 nodes" in said.stdout, said


@pytest.mark.data
def test_pictures_to_tracks(pipe, sets):
    pytest.importorskip("onnxruntime")
    ended = pipe.run("kitti_camera", *sets("camera"), "--set", "render.config.png_every=4", timeout_s=100)
    assert ended.code == 0, ended.stderr
    assert {n: s["frames"] for n, s in ended.report["sinks"].items()} == {"render": 12, "results": 12}
    assert not any(e["dropped"] for e in ended.report["edges"].values())
    assert len(list((ended.out / "render" / "frames").glob("*.png"))) == 3
    (file,) = (ended.out / "results").glob("*.txt")
    rows = [line.split() for line in file.read_text().splitlines()]
    cars = {row[1] for row in rows if row[2] == "Car"}
    assert rows and cars and {row[2] for row in rows} <= {"Car", "Pedestrian", "Cyclist", "Truck", "Tram"}


@pytest.mark.data
@pytest.mark.slow
def test_own_names_reach_the_file(pipe, sets):
    pytest.importorskip("onnxruntime")
    names = ("--set", "detect.config.classes=[car, traffic light]", "--set", "render.config.video=false")
    ended = pipe.run("kitti_camera", *sets("camera"), *names, "--place", "inline", timeout_s=100)
    assert ended.code == 0, ended.stderr
    (file,) = (ended.out / "results").glob("*.txt")
    found = {line.split()[2] for line in file.read_text().splitlines()}
    assert "car" in found and found <= {"car", "traffic_light"}


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_with_tracks_of_the_lidar(pipe, sets):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    ended = pipe.run("kitti_camera_fused", *sets("drive", "detect2d"), timeout_s=390)
    assert ended.code == 0, ended.stderr
    assert {n: s["frames"] for n, s in ended.report["sinks"].items()} == dict.fromkeys(
        ("scene", "picture", "results", "results2d"), 12
    )
    files = [next((ended.out / sink).glob("*.txt")).read_text().splitlines() for sink in ("results", "results2d")]
    ids = [{line.split()[1] for line in lines} for lines in files]
    assert ids[0] & ids[1], "one id for an object that both see"
