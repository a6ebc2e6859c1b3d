import json

import numpy as np
import pytest

from bench import world
from bench.rivals import open3d
from bench.rivals.open3d import Hits, differing
from operators.kernels.raycast import NOTHING

INF = np.inf


def test_what_differs():
    ours = Hits(np.array([[INF, INF, 5.0, 5.0]]), np.array([[NOTHING, NOTHING, 1, 1]]))
    assert differing(ours, ours) == {"other_triangle": 0, "range_1cm": 0}
    theirs = Hits(np.array([[INF, 7.0, 5.0, 5.02]]), np.array([[NOTHING, 3, 2, 1]]))
    assert differing(ours, theirs) == {"other_triangle": 0.5, "range_1cm": 0.5}


def test_a_plain_has_80_boxes_on_the_ground():
    scene = world.plain(0)
    assert len(scene.triangles) == 80 * 12 + 2
    assert np.bincount(scene.owners + 1).tolist() == [2, *[12] * 80]
    assert scene.triangles[:, :, 2].min() == pytest.approx(-1.73)
    corners = scene.triangles[:960].reshape(80, 36, 3)
    assert np.linalg.norm(corners[..., :2].mean(1), axis=1).min() >= 6
    assert not np.array_equal(world.plain(1).triangles, scene.triangles)


def test_rays_of_the_sensor():
    sensor = open3d.lidar(8)
    rays = open3d.rays(sensor)
    assert rays.shape == (8, 64, 6)
    assert np.linalg.norm(rays[..., 3:], axis=2) == pytest.approx(np.ones((8, 64)), abs=1e-6)
    assert set(np.unique(rays[..., 2]).round(2).tolist()) == {np.float32(0.12).round(2), np.float32(0.2).round(2)}
    assert np.degrees(np.arcsin(rays[0, [0, 63], 5])) == pytest.approx([1.94, -25.0], abs=1e-3)


@pytest.mark.slow
def test_the_whole_bench(tmp_path, capsys):
    out = world.main(rounds=1, steps=2, results=tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("world-") and json.loads(path.read_text()) == json.loads(json.dumps(out))
    assert world.street(0).owners.max() == 79
    assert {"boxes.ours_ms", "street.ours_ms", "step.step_ms"} <= set(out["figures"])
    assert min(out["figures"].values()) > 0
    assert out["step"]["p90"] >= out["step"]["p50"] > 0
    printed = capsys.readouterr().out
    assert "frames/s" in printed
    if out["rays"]["street"]["differ"] is None:
        assert "Open3D is not installed: nothing beside it" in printed
    else:
        assert out["rays"]["street"]["differ"]["other_triangle"] < 0.001
