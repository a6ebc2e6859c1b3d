"""Tests without Open3D: config, files, frames, and the error if the package is absent."""

import numpy as np
import pytest

from drivers.extra import load_open3d
from drivers.synthetic import meshes
from drivers.synthetic.meshes import MeshesConfig, PlaceConfig, SyntheticMeshes, num_frames
from pipeline.errors import GraphError, InputError
from pipeline.settings import Where, build


@pytest.fixture
def box(tmp_path):
    (tmp_path / "box.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    return str(tmp_path / "box.obj")


def test_without_open3d(box, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = r"^synthetic\.meshes: needs open3d, which is not installed; pip install 'perception-pipe\[open3d\]'$"
    with pytest.raises(InputError, match=message):
        SyntheticMeshes.find(MeshesConfig(files=box))


def test_open3d_that_cannot_be_imported(monkeypatch):
    def broken(name):
        raise ImportError("libusb-1.0.so.0: cannot open\nshared object file")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("importlib.import_module", broken)
    message = (
        r"^x: needs open3d, which is installed but cannot be imported: libusb-1\.0\.so\.0: cannot open shared object file; "
        r"apt-get install libusb-1\.0-0 libgl1 libegl1 libx11-6\?$"
    )
    with pytest.raises(InputError, match=message):
        load_open3d("x")


@pytest.mark.parametrize(
    "config, frames",
    [
        ({}, 1),
        ({"frames": 0}, 0),
        ({"frames": 7}, 7),
        ({"waypoints": ((0, 0, 2), (10, 0, 2))}, 21),  # 2 s at 5 m/s, both ends included
        ({"waypoints": ((0, 0, 2), (10, 0, 2)), "speed_mps": 3.0}, 34),
        ({"waypoints": ((0, 0, 2), (10, 0, 2)), "frames": 3}, 3),
        ({"waypoints": ((0, 0, 2), (10, 0, 2)), "frames": 3, "speed_mps": 0.0}, 3),
    ],
)
def test_how_many_frames(box, monkeypatch, config, frames):
    monkeypatch.setattr(meshes, "need_open3d", lambda who: None)
    assert num_frames(MeshesConfig(**config)) == frames
    found = SyntheticMeshes.find(MeshesConfig(files=box, **config))
    assert found.frames == frames
    assert found.stamps_ns.tolist() == (np.arange(frames) * 100_000_000).tolist()


@pytest.mark.parametrize(
    "config, message",
    [
        ({"files": ""}, r"config\.files: needs a file or a folder of \.ply \.obj \.stl \.off \.glb \.gltf, got nothing; set"),
        ({"files": "gone.ply"}, r"config\.files: .* got gone\.ply \(not there\)"),
        ({"places": (PlaceConfig(),) * 2}, r"config\.places: needs 0 or one for each of the 1 meshes, got 2"),
        ({"reflectance": ()}, r"config\.reflectance: needs 1 or one for each of the 1 meshes, got 0"),
        ({"reflectance": (0.1, 0.2)}, r"config\.reflectance: needs 1 or one for each of the 1 meshes, got 2"),
    ],
)
def test_files_and_what_belongs_to_each(box, config, message):
    with pytest.raises(InputError, match="synthetic.meshes: " + message):
        SyntheticMeshes.find(MeshesConfig(**{"files": box, **config}))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"unit_m": 0}, "unit_m: needs a number above 0, got 0"),
        ({"rate_hz": float("inf")}, "rate_hz: needs a finite number, got inf"),
        ({"axes": ["z", "y", "x"]}, "axes: needs x y z in any order.*, got z y x"),
        ({"waypoints": []}, r"waypoints: needs at least one, of finite numbers, got \[\]"),
        ({"waypoints": [[0, 0, float("inf")]]}, r"waypoints: needs at least one, of finite numbers, got \[\[0\.0, 0\.0, inf\]\]"),
        ({"waypoints": [[0, 0]]}, "waypoints"),
        (
            {"waypoints": [[0, 0, 0], [1, 0, 0]], "speed_mps": 0},
            "speed_mps: needs a number above 0 to reach the last waypoint, got 0",
        ),
        ({"speed_mps": -1}, "speed_mps: needs a number above 0"),
        ({"frames": -1}, "frames: needs 0 or more, got -1"),
        ({"reflectance": [1.5]}, r"reflectance: needs numbers 0\.\.1, got \[1\.5\]"),
        ({"seed": -1}, "seed: needs 0 or more, got -1"),
        ({"lidar": {"crop": "mixed"}}, "lidar: crop: needs none or camera here, got mixed"),
        ({"lidar": {"beams": "hdl65"}}, "beams.*hdl64e"),
        ({"places": [{"scale": 0}]}, "scale: needs a number above 0, got 0"),
        ({"places": [{"x_m": float("inf")}]}, "x_m: needs a finite number, got inf"),
        ({"file": "a.ply"}, "file: unknown key; did you mean files"),
    ],
)
def test_config_that_is_wrong(config, message):
    with pytest.raises(GraphError, match=message):
        build(MeshesConfig, config, Where("g.yaml"))
