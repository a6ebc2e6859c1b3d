"""Our rays hit what Open3D's hit: 20 streets, and 80 boxes from above, inside and below.        make test-open3d"""

import numpy as np
import pytest

from bench import world
from bench.rivals import open3d
from drivers.extra import load_open3d
from drivers.synthetic.scene import Stage
from drivers.synthetic.street_layout import make_street

pytest.importorskip("open3d")

MOST_RAYS = 0.001
"""Share that may differ: rays that pass within rounding of an edge."""


@pytest.fixture(scope="module")
def both():
    """both(scene) -> shares of rays that differ; the same sensor and the same rays for both."""
    sensor, rival = open3d.lidar(), open3d.Rival(load_open3d("test"))
    rays = open3d.rays(sensor)

    def cast(scene):
        sensor.cast(scene, 1)
        rival.build(scene.triangles)
        ours = open3d.Hits(sensor.ranges, sensor.hits)
        assert np.isfinite(ours.ranges).mean() > 0.05
        return open3d.differing(ours, rival.cast(rays))

    return cast


@pytest.mark.parametrize("drive", range(20))
def test_streets(both, drive):
    stage = Stage("train" if drive % 2 else "test")
    scene = stage.build(make_street(99, drive, None, 0.0, 0.4 + 0.1 * drive), 3.0, 80.0)
    still = scene.objects._replace(velocities=np.zeros_like(scene.objects.velocities))
    differ = both(scene._replace(objects=still, ego_velocity=np.zeros(3), ego_yaw_rate=0.0))
    assert differ["other_triangle"] <= MOST_RAYS
    assert differ["range_1cm"] <= MOST_RAYS / 10


@pytest.mark.parametrize("lift_m", [-3.0, 0.0, 1.0, 20.0])
@pytest.mark.parametrize("inside", [False, True])
def test_boxes_from_below_above_and_inside(both, lift_m, inside):
    """-3: the sensor stands under the ground. Inside: the first box is put around it, opened at one side."""
    scene = world.plain(3)
    triangles = scene.triangles - (0, 0, lift_m)
    if inside:
        triangles[:12] -= triangles[:12].reshape(-1, 3).mean(0) - (0.1, 0.2, 0.3)
        triangles[:2] += (0, 0, 50)
    differ = both(scene._replace(triangles=triangles))
    assert differ["other_triangle"] <= MOST_RAYS
    assert differ["range_1cm"] <= MOST_RAYS / 10
