"""The static ports of a rig file, as a driver gives them, and `pipe check` of a graph that needs them."""

from dataclasses import dataclass

import numpy as np
import pytest
from rig_files import RIG

from drivers.calibration import latched, rig_file
from operators.streams import CALIBRATION, IMAGE
from pipeline.errors import GraphError, InputError
from pipeline.frame import Reading
from pipeline.graph.check import check
from pipeline.graph.load import load
from pipeline.operator import Operator, Source, prepare
from pipeline.schema import static
from pipeline.testing import statics_of


@dataclass(frozen=True)
class CamConfig:
    calibration: str = ""
    calibration_camera: str = ""
    calibration_lidar: str = "velodyne"

    def __post_init__(self):
        latched.check_config(self)


class Cam(Source):
    Config, outputs = CamConfig, {"image": IMAGE, **latched.PORTS}

    @classmethod
    def check_ports(cls, name, config, wanted, needed):
        latched.check_ports(name, config, needed)

    def statics(self):
        return latched.statics(self)

    def read(self):
        return Reading({"image": np.zeros((4, 4, 3), np.uint8)}, "0", 0)


class Draw(Operator):
    inputs = {"image": IMAGE, "calibration": static(CALIBRATION)}

    def process(self, image, calibration):
        return None


@pytest.fixture
def path(tmp_path):
    (tmp_path / "rig.yaml").write_text(RIG)
    return tmp_path / "rig.yaml"


@pytest.fixture
def graph(tmp_path):
    def write(config):
        name = __name__
        text = (
            f"version: 1\nnodes:\n  cam:\n    driver: '{name}:Cam'\n    config: {config}\n"
            f"  draw: {{op: '{name}:Draw', inputs: {{image: cam.image, calibration: cam.calibration}}}}\n"
        )
        (tmp_path / "g.yaml").write_text(text)
        return str(tmp_path / "g.yaml")

    return write


def test_both_values_are_latched(path):
    got = statics_of(Cam, {"calibration": str(path), "calibration_camera": "front"})
    want = rig_file.read(str(path)).calibration("front")
    assert all(np.array_equal(a, b) for a, b in zip(got["calibration"], want, strict=True))
    assert got["lens"].K_cam[0, 0] == 126.6


def test_without_a_file_nothing_is_latched():
    assert list(latched.statics(prepare(Cam(), "cam", needed=()))) == []


def test_a_recorder_gets_what_there_is(path, caplog):
    node = prepare(Cam(), "cam", CamConfig(str(path), "rear_left"), needed=())
    assert [value.port for value in latched.statics(node)] == ["lens"]
    assert "no calibration: " in caplog.text


def test_a_lens_that_distorts_without_a_rectifier_is_said(path, caplog):
    node = prepare(Cam(), "cam", CamConfig(str(path), "front"), wanted=["calibration"])
    assert [value.port for value in latched.statics(node)] == ["calibration"]
    assert "put camera.rectify behind the image" in caplog.text


def test_check_passes_where_the_frames_connect(graph, path):
    check(load(graph(f"{{calibration: {path}, calibration_camera: front}}")))


def test_check_refuses_frames_without_a_path(graph, path):
    message = (
        r"g.yaml:3: cam: .*rig.yaml:12: transforms: needs a path rear_left <- velodyne, got none: .*add T_rear_left_velodyne"
    )
    with pytest.raises(GraphError, match=message):
        check(load(graph(f"{{calibration: {path}, calibration_camera: rear_left}}")))
    with pytest.raises(GraphError, match=r"rig.yaml: needs a frame os1, got front, rear_left, velodyne, imu"):
        check(load(graph(f"{{calibration: {path}, calibration_camera: front, calibration_lidar: os1}}")))


def test_check_refuses_a_port_without_a_file(graph):
    with pytest.raises(GraphError, match=r"g.yaml:3: cam: calibration is connected, but config.calibration names no rig file"):
        check(load(graph("{}")))


def test_each_error_of_the_file_is_a_line_with_the_key_of_the_graph(graph, path):
    path.write_text(RIG.replace("imu]", "imu, imu]").replace("T_front_imu", "T_front_gps"))
    with pytest.raises(GraphError) as caught:
        load(graph(f"{{calibration: {path}}}"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2 and all("g.yaml:5: cam.config.calibration: " in line and "rig.yaml:" in line for line in lines)


def test_a_camera_that_is_not_there_is_refused(path):
    with pytest.raises(InputError, match="cameras: needs a camera side, got front, rear_left"):
        CamConfig(str(path), "side")
