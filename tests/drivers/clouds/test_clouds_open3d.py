"""Our readers compared with Open3D's.        make test-open3d"""

import numpy as np
import pytest

from drivers.clouds import formats
from drivers.clouds.reader import Clouds, CloudsConfig
from pipeline.errors import InputError

o3d = pytest.importorskip("open3d")


def cloud(num=1000):
    random = np.random.default_rng(5)
    made = o3d.t.geometry.PointCloud(random.normal(0, 30, (num, 3)).astype(np.float32))
    made.point["intensity"] = random.random((num, 1)).astype(np.float32)
    return made


def theirs(path):
    points = o3d.t.io.read_point_cloud(str(path)).point
    return points["positions"].numpy(), {name: points[name].numpy().ravel() for name in points}


@pytest.mark.parametrize("num", [1, 1000])
@pytest.mark.parametrize("kind", ["ply", "pcd"])
@pytest.mark.parametrize("how", [{"write_ascii": True}, {"write_ascii": False}, {"compressed": True}], ids=str)
def test_what_open3d_writes(tmp_path, num, kind, how):
    made = cloud(num)
    path = tmp_path / f"a.{kind}"
    assert o3d.t.io.write_point_cloud(str(path), made, **how)
    read = formats.read(path, 4)
    at = 1e-3 if how.get("write_ascii") else 0
    assert read.xyz == pytest.approx(made.point["positions"].numpy(), abs=at)
    assert read.intensity == pytest.approx(made.point["intensity"].numpy().ravel(), abs=at)


def test_a_folder_with_compressed_ones(tmp_path, play):
    for k in (1, 2):
        o3d.t.io.write_point_cloud(str(tmp_path / f"{k}.pcd"), cloud(10 * k), compressed=True)
    assert formats.survey(tmp_path / "1.pcd", 4).data == "compressed"
    assert [len(r.values["points"]) for r in play(Clouds, CloudsConfig(files=str(tmp_path)))[1]] == [10, 20]


def test_compressed_data_that_are_damaged(tmp_path):
    path = tmp_path / "a.pcd"
    o3d.t.io.write_point_cloud(str(path), cloud(), compressed=True)
    data = bytearray(path.read_bytes())
    data[-4000:] = b"\xff" * 4000
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.pcd: needs 1000 points, got LZF data that do not decompress to them; damaged\?"):
        formats.read(path, 4)


@pytest.mark.data
def test_real_clouds_as_open3d_reads_them(shared_data):
    for name, column in (
        ("pcap/velodyne_vlp16/1673400472138016708.pcd", "intensity"),
        ("registration_pair/source.ply", "scalar_intensity"),
        ("registration_pair/target.ply", "scalar_intensity"),
    ):
        ours, (xyz, columns) = formats.read(shared_data / name, 4), theirs(shared_data / name)
        assert np.array_equal(ours.xyz, xyz) and np.array_equal(ours.intensity, columns[column])
