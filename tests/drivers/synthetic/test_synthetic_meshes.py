"""Tests without Open3D: config, files, frames, and the error if the package is absent."""

import sys
from pathlib import Path

import numpy as np
import pytest

from drivers.extra import load_open3d
from drivers.synthetic import mesh_files, meshes
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


# -- reading a mesh in a process of its own -------------------------------------------------------------------------------
FAKE = """
import numpy as np, os, time
class Tensor:
    def __init__(self, values): self.values = values
    def numpy(self): return np.array(self.values)
    def __len__(self): return len(self.values)
class Mesh:
    vertex, triangle = {{"positions": Tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])}}, {{"indices": Tensor([[0, 1, 2]])}}
class io:
    @staticmethod
    def read_triangle_mesh(path):
        print("a library prints this")
        {does}
        return Mesh
class t: io = io
class utility:
    class VerbosityLevel: Error = 0
    set_verbosity_level = staticmethod(lambda level: None)
"""


@pytest.fixture
def read(tmp_path, monkeypatch, box):
    """The mesh of `box`, read by an Open3D that does something else."""
    monkeypatch.syspath_prepend(str(tmp_path / "fake"))
    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    (tmp_path / "fake").mkdir()

    def run(does):
        (tmp_path / "fake" / "open3d.py").write_text(FAKE.format(does=does))
        return mesh_files.load([Path(box)], [mesh_files.Pose()], np.eye(3))

    return run


def test_a_mesh_from_the_other_process(read):
    found = read("pass")
    assert found.corners.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]] and found.triangles.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("os.abort()", r"box\.obj: needs a mesh that Open3D can read, got one that it breaks on; damaged\?"),
        ("os._exit(1)", r"box\.obj: needs a mesh that Open3D can read, got one that it breaks on; damaged\?"),
        ("raise RuntimeError('_Map_base::at')", r"box\.obj: needs a mesh that Open3D can read, got one it cannot; damaged\?"),
        ("bytearray(20 * 10**9)", r"box\.obj: needs a mesh that Open3D can read, got one it cannot; damaged\?"),
        ("Mesh.triangle = {}", r"box\.obj: needs triangles, got none; damaged, or a point cloud"),
        ("Mesh.triangle = {'indices': Tensor([[0, 1, 3]])}", r"box\.obj: needs triangles of its 3 corners, got one of corner 3"),
        ("Mesh.vertex = {'positions': Tensor([[np.nan] * 3] * 3)}", r"box\.obj: needs finite corners, got 3 with NaN or inf"),
    ],
)
def test_what_a_damaged_mesh_makes_of_it(read, does, message):
    with pytest.raises(InputError, match=message):
        read(does)


def test_a_mesh_that_is_never_read(read, monkeypatch):
    monkeypatch.setattr(mesh_files, "TIMEOUT_S", 2.0)
    with pytest.raises(InputError, match=r"box\.obj: needs a mesh that Open3D reads within 2 s, got none; damaged\?"):
        read("time.sleep(100)")
