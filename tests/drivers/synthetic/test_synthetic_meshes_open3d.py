"""The LiDAR in meshes: points lie on the meshes; a street as a mesh gives the points of our own ray caster.

make test-open3d"""

import json
import math
import struct

import numpy as np
import pytest
from cloud_files import ply

from drivers.synthetic import mesh
from drivers.synthetic.meshes import MeshesConfig, PlaceConfig, SyntheticMeshes
from drivers.synthetic.scene import Stage
from drivers.synthetic.spinning import LidarConfig, SpinningLidar
from drivers.synthetic.street_layout import make_street
from drivers.synthetic.waypoints import Way
from drivers.synthetic.world import CameraConfig
from operators.geometry.transforms import transform_points
from operators.streams import CALIBRATION, DEPTH, PIXEL_IDS, POINT_IDS, POINTS, POSE
from pipeline.errors import InputError

pytest.importorskip("open3d")

SCHEMAS = {"points": POINTS, "point_ids": POINT_IDS, "depth": DEPTH, "pixel_ids": PIXEL_IDS, "pose": POSE}
EXACT = {"noise_m": 0.0, "lost": 0.0, "weakest": 0.0, "nearest_m": 0.0}
SMALL = LidarConfig(columns=180, **EXACT)
CAMERA = CameraConfig(width=64, height=32)


def stl(path, triangles):
    """Binary, one float at a time."""
    body = b"".join(struct.pack("<12fH", 0, 0, 0, *np.ravel(t), 0) for t in triangles)
    path.write_bytes(b"\0" * 80 + struct.pack("<I", len(triangles)) + body)
    return str(path)


def obj(path, triangles):
    corners = np.reshape(triangles, (-1, 3))
    lines = [f"v {x} {y} {z}" for x, y, z in corners.tolist()]
    path.write_text("\n".join(lines + [f"f {k + 1} {k + 2} {k + 3}" for k in range(0, len(corners), 3)]) + "\n")
    return str(path)


def ply_mesh(path, triangles):
    corners = np.reshape(triangles, (-1, 3)).tolist()
    faces = "".join(f"3 {k} {k + 1} {k + 2}\n" for k in range(0, len(corners), 3))
    after = f"element face {len(corners) // 3}\nproperty list uchar int vertex_indices\n"
    ply(path, {"x": "double", "y": "double", "z": "double"}, corners, "ascii", after=after)
    path.write_text(path.read_text() + faces)
    return str(path)


def glb(path, triangles, nodes):
    """A scene of the same triangles in several nodes ({translation: ...})."""
    corners = np.reshape(triangles, (-1, 3)).astype("<f4")
    data, count = corners.tobytes(), len(corners)
    scene = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": list(range(len(nodes)))}],
        "nodes": [{"mesh": 0, **node} for node in nodes], "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "buffers": [{"byteLength": len(data)}], "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": len(data)}],
        "accessors": [{
            "bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3",
            "min": corners.min(0).tolist(), "max": corners.max(0).tolist(),
        }],
    }  # fmt: skip
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
    path.write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks)
    return str(path)


def floor(size_m=100.0, z=0.0):
    a = size_m / 2
    corners = np.array([[-a, -a, z], [a, -a, z], [a, a, z], [-a, a, z]])
    return corners[[[0, 1, 2], [0, 2, 3]]]


def box(x, y, size=(4.0, 2.0, 1.5)):
    return mesh.box(size, 0, (0, 0, 0)).moved(x, y).triangles


def one(play, config, wanted=None):
    (reading,) = play(SyntheticMeshes, config, wanted)[1]
    return reading.values


def test_nothing_within_range(tmp_path, play):
    wall = np.array([[[500, -99, -99], [500, 99, -99], [500, 0, 99.0]]])
    values = one(play, MeshesConfig(files=stl(tmp_path / "a.stl", wall), lidar=SMALL, camera=CAMERA))
    for port, value in values.items():
        SCHEMAS[port].check(SCHEMAS[port].unpack(value, port), port)
    assert set(values) == set(SCHEMAS)
    assert len(values["points"]) == len(values["point_ids"]) == 0
    assert np.isfinite(values["depth"]).any()  # the camera has no end of its range


def test_no_frames(tmp_path, play):
    assert play(SyntheticMeshes, MeshesConfig(files=stl(tmp_path / "a.stl", box(9, 0)), frames=0))[1] == []


def test_a_floor_and_two_boxes(tmp_path, play):
    files = [stl(tmp_path / "floor.stl", floor()), ply_mesh(tmp_path / "box.ply", box(0, 0))]
    places = (PlaceConfig(), PlaceConfig(x_m=10), PlaceConfig(x_m=-6, y_m=6, yaw_rad=math.pi / 2, scale=2.0))
    config = MeshesConfig(files=[*files, files[1]], places=places, reflectance=(0.1, 0.9, 0.9), lidar=LidarConfig(**EXACT))
    statics, readings = play(SyntheticMeshes, config)
    points, ids = readings[0].values["points"], readings[0].values["point_ids"]
    assert set(ids) == {0, 1, 2}
    assert points[ids == 0, 2] == pytest.approx(-1.73, abs=0.001)
    ahead, behind = points[ids == 1, :3] + (0, 0, 1.73), points[ids == 2, :3] + (0, 0, 1.73)
    assert ahead[:, 0].min() == pytest.approx(8, abs=0.001) and np.abs(ahead[:, 1]).max() <= 1.001
    assert set(np.round(ahead[:, 0][ahead[:, 2] < 1.49], 2)) == {8.0}  # only the face towards the sensor, below the roof
    assert behind.min(0)[:2] == pytest.approx([-8, 2], abs=0.05) and behind.max(0)[0] == pytest.approx(-4, abs=0.001)
    assert behind[:, 2].max() < 3.001
    assert points[ids == 1, 3].mean() > points[ids == 0, 3].mean() + 0.1
    assert [s.port for s in statics] == ["calibration"]
    CALIBRATION.check(CALIBRATION.unpack(statics[0].value, "c"), "c")


def test_depth_and_ids_of_pixels(tmp_path, play):
    """A wall across the path at 10 m, and the floor: both have depths known by hand."""
    wall = np.array([[[10, -99, -9], [10, 99, -9], [10, 0, 99.0]]])
    files = [stl(tmp_path / "floor.stl", floor(400)), stl(tmp_path / "wall.stl", wall)]
    statics, (reading,) = play(SyntheticMeshes, MeshesConfig(files=files, lidar=SMALL), {"depth", "pixel_ids"})
    depth, ids = reading.values["depth"], reading.values["pixel_ids"]
    assert set(np.unique(ids)) == {0, 1}
    assert depth[ids == 1] == pytest.approx(10 - 0.27, abs=1e-4)
    P, v = statics[0].value.P_cam, np.arange(len(depth))[:, None]
    below = np.broadcast_to((1.73 - 0.08) * P[1, 1] / np.maximum(v - P[1, 2], 1e-9), depth.shape)
    assert depth[ids == 0] == pytest.approx(below[ids == 0], rel=1e-4)
    assert (depth[0] == depth[0, 0]).all() and ids[-1, 0] == 0


@pytest.mark.parametrize("sweep", [False, True])
def test_on_a_way_points_and_poses_belong_together(tmp_path, play, sweep):
    """A drive around a corner in a room of 40 x 30 m: every point, transformed by the sensor's pose when it was measured, lies on
    a wall, the floor or the ceiling. The azimuth gives the time within the sweep."""
    room = mesh.box((40.0, 30.0, 6.0), 0, (0, 0, 0)).moved(0, 0, -1).triangles
    start = np.array([-10.0, -8.0, 1.0])
    config = MeshesConfig(
        files=stl(tmp_path / "room.stl", room), waypoints=(tuple(start), (8, -8, 1), (8, 8, 1.5)), speed_mps=8.0,
        lidar=LidarConfig(columns=180, sweep=sweep, **EXACT), camera=CAMERA,
    )  # fmt: skip
    _, readings = play(SyntheticMeshes, config)
    assert len(readings) == math.floor((18 + math.hypot(16, 0.5)) / 8 * 10) + 1
    assert readings[0].values["pose"] == pytest.approx(np.eye(4))
    way = Way(config.waypoints, 8.0, 0.0)
    for reading in readings:
        points = reading.values["points"][:, :3].astype(float)
        there = start + transform_points(points, reading.values["pose"])
        if sweep:
            azimuths = np.arctan2(points[:, 1], points[:, 0])
            times = reading.stamp_ns * 1e-9 + azimuths / (2 * math.pi) / 10
            yaws = way.yaws(times)
            c, s, (x, y, z) = np.cos(yaws), np.sin(yaws), points.T
            moved = way.positions(times) + np.stack([c * x - s * y, s * x + c * y, z], 1)
            assert np.abs(moved - there).max() > 0.3  # half a period of 0.8 m to either side
            there = moved
        assert len(there) == 180 * 64
        off = np.abs([there[:, 0] - 20, there[:, 0] + 20, there[:, 1] - 15, there[:, 1] + 15, there[:, 2] + 1, there[:, 2] - 5])
        assert off.min(0).max() < 0.003
    last = readings[-1].values["pose"]
    assert np.degrees(np.arctan2(last[1, 0], last[0, 0])) == pytest.approx(90, abs=1)


def test_a_street_as_a_mesh_gives_what_our_caster_gives(tmp_path, play):
    scene = Stage("train").build(make_street(5, 3, None, 0.0, 1.0), 2.0, 80.0)
    still = scene.objects._replace(velocities=np.zeros_like(scene.objects.velocities))
    speed = np.array([9.0, 0.0, 0.0])
    scene = scene._replace(objects=still, ego_velocity=speed, ego_yaw_rate=0.0)
    lidar = LidarConfig(columns=900, leaves=0.0, **EXACT)
    sensor = SpinningLidar(lidar, 10.0, 2)
    sensor.cast(scene, 1)
    config = MeshesConfig(
        files=ply_mesh(tmp_path / "street.ply", scene.triangles), waypoints=((-90, 0, 0), (90, 0, 0)), speed_mps=9.0, lidar=lidar,
    )  # fmt: skip
    driver = play.opened(SyntheticMeshes, config, {"points"}, start=100)  # frame 100: 10 s, at the origin
    points = driver.read().values["points"]
    both = np.isfinite(driver.lidar.ranges) & np.isfinite(sensor.ranges)
    near = (driver.lidar.ranges <= 80) == np.isfinite(sensor.ranges)
    assert (~near).mean() < 1e-3
    assert (np.abs(driver.lidar.ranges[both] - sensor.ranges[both]) > 0.01).mean() < 1e-3
    assert 0.5 * sensor.ranges.size < len(points) == (driver.lidar.ranges <= 80).sum()


def test_formats_axes_and_units(tmp_path, play):
    """The same box ten metres ahead, from files of every format, z or y up, metres or millimetres."""
    turned = box(10, 1)[:, :, [1, 2, 0]]  # glTF: x left, y up, z forward
    gltf = ("z", "x", "y")
    (tmp_path / "a.off").write_text(
        "OFF\n36 12 0\n" + "".join(f"{x} {y} {z}\n" for x, y, z in box(10, 1).reshape(-1, 3).tolist())
        + "".join(f"3 {k} {k + 1} {k + 2}\n" for k in range(0, 36, 3))
    )  # fmt: skip
    configs = [
        MeshesConfig(files=stl(tmp_path / "a.stl", box(10, 1)), lidar=SMALL),
        MeshesConfig(files=ply_mesh(tmp_path / "a.ply", box(10, 1)), lidar=SMALL),
        MeshesConfig(files=obj(tmp_path / "a.obj", box(10, 1) * 1000), unit_m=0.001, lidar=SMALL),
        MeshesConfig(files=str(tmp_path / "a.off"), lidar=SMALL),
        MeshesConfig(files=glb(tmp_path / "a.glb", turned, [{}]), axes=gltf, lidar=SMALL),
        MeshesConfig(files=glb(tmp_path / "b.glb", turned - (0, 0, 3), [{"translation": [0, 0, 3]}]), axes=gltf, lidar=SMALL),
    ]
    scans = [one(play, config, {"points"})["points"] for config in configs]
    assert len(scans[0]) > 20 and scans[0][:, 0].min() == pytest.approx(8, abs=0.001)
    for scan in scans[1:]:
        assert scan.shape == scans[0].shape and np.abs(scan[:, :3] - scans[0][:, :3]).max() < 0.003


def test_coordinates_of_a_whole_country(tmp_path, play):
    """UTM coordinates: 500 km east, 5000 km north, to the centimetre."""
    far = (500_000.0, 5_000_000.0, 300.0)
    here = one(play, MeshesConfig(files=ply_mesh(tmp_path / "a.ply", box(10, 1)), lidar=SMALL), {"points"})["points"]
    places = (PlaceConfig(*far),)
    config = MeshesConfig(files=str(tmp_path / "a.ply"), places=places, waypoints=((far[0], far[1], far[2] + 1.73),), lidar=SMALL)
    there = one(play, config, {"points"})["points"]
    assert there.shape == here.shape and np.abs(there - here).max() < 0.01


def test_reading_may_start_anywhere_and_take_any_ports(tmp_path, play):
    files = stl(tmp_path / "a.stl", np.concatenate([floor(), box(10, 1)]))
    config = MeshesConfig(files=files, waypoints=((0, 0, 1.73), (2, 0, 1.73)), camera=CAMERA, lidar=LidarConfig(columns=180))

    def content(readings):
        return [{port: np.asarray(value).tobytes() for port, value in r.values.items()} for r in readings]

    whole = content(play(SyntheticMeshes, config)[1])
    assert len(whole) == 5 and whole[0] != whole[1]
    assert content(play(SyntheticMeshes, config, start=3)[1]) == whole[3:]
    for port in SCHEMAS:
        assert content(play(SyntheticMeshes, config, {port})[1]) == [{port: frame[port]} for frame in whole]


def test_cut_to_the_picture(tmp_path, play):
    files = stl(tmp_path / "a.stl", floor())
    whole = one(play, MeshesConfig(files=files, lidar=LidarConfig(columns=360, **EXACT)))["points"]
    cut = one(play, MeshesConfig(files=files, lidar=LidarConfig(columns=360, crop="camera", **EXACT)))
    assert 0 < len(cut["points"]) == len(cut["point_ids"]) < len(whole) / 3
    assert cut["points"][:, 0].min() > 0


CORNERS = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.obj", CORNERS, r"a\.obj: needs a mesh that Open3D can read, got one it cannot; damaged\?"),
        ("a.obj", CORNERS + "f 1 2 9\n", r"a\.obj: needs a mesh that Open3D can read"),
        ("a.glb", "junk", r"a\.glb: needs a mesh that Open3D can read"),
        ("a.stl", "junk", r"a\.stl: needs a mesh that Open3D can read"),
        ("a.ply", "junk", r"a\.ply: needs triangles, got none; damaged, or a point cloud \(driver: clouds\)\?"),
    ],
)
def test_files_that_are_no_meshes(tmp_path, play, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        play.opened(SyntheticMeshes, MeshesConfig(files=str(tmp_path / name)))


@pytest.mark.parametrize(
    "corner, faces, message",
    [
        ("0 0 0", "", r"a\.ply: needs triangles, got none"),
        ("0 0 0", "3 0 1 7\n", r"a\.ply: needs triangles of its 3 corners, got one of corner 7"),
        ("nan 0 0", "3 0 1 2\n", r"a\.ply: needs finite corners, got 1 with NaN or infinity"),
    ],
)
def test_plys_whose_triangles_are_wrong(tmp_path, play, corner, faces, message):
    after = f"element face {len(faces.splitlines())}\nproperty list uchar int vertex_indices\n"
    path = ply(
        tmp_path / "a.ply", {"x": "float", "y": "float", "z": "float"}, [(1, 0, 0), (0, 1, 0)], "ascii", after=after, num=3
    )
    path.write_text(path.read_text() + corner + "\n" + faces)
    with pytest.raises(InputError, match=message):
        play.opened(SyntheticMeshes, MeshesConfig(files=str(path)))


def test_in_a_graph(tmp_path, pipe):
    """In a separate process: every frame arrives."""
    stl(tmp_path / "a.stl", np.concatenate([floor(), box(10, 1)]))
    graph = pipe.graph(
        f"""
        version: 1
        nodes:
          scans:
            driver: synthetic.meshes
            config: {{files: {tmp_path / "a.stl"}, waypoints: [[0, 0, 1.73], [2, 0, 1.73]], camera: {{width: 64, height: 32}}}}
          null: {{op: test.null, inputs: {{in: scans.points}}, config: {{write: true}}}}
        """
    )
    ended = pipe.run(graph)
    assert (ended.code, ended.ids("null")) == (0, [0, 1, 2, 3, 4]), ended.stderr
