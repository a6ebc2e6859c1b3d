"""Three cameras around one sweep: a chain of fuse.paint, in one process."""

import numpy as np
from nuscenes_files import CAMERAS, lidar2cam, sweep, write

import pipeline

RIG = "version: 1\nnodes:\n  lidar: {{driver: nuscenes, config: {{root: {root}}}}}\n"
CAMERA = """\
  cam{i}: {{driver: nuscenes, config: {{root: {root}, camera: {camera}}}}}
  paint{i}:
    op: fuse.paint
    inputs: {{points: lidar.points, image: cam{i}.image, calibration: cam{i}.calibration{before}}}
    sync: {{policy: exact, trigger: points}}
"""


def test_three_cameras_paint_all_that_one_of_them_sees(tmp_path):
    root = write(tmp_path / "data", frames=2)
    text = RIG.format(root=root)
    for i, camera in enumerate(CAMERAS[:3]):
        before = f", point_colors: paint{i - 1}.point_colors" if i else ""
        text += CAMERA.format(i=i, root=root, camera=camera, before=before)
    (tmp_path / "rig.yaml").write_text(text)
    raw = np.c_[sweep()[:, :3].astype(float), np.ones(300)]
    level = np.full(300, -1)
    for i, camera in enumerate(CAMERAS[:3]):
        x, y, z, _ = (raw @ lidar2cam(camera).T).T
        u, v = 126 * x / z + 80, 126 * y / z + 45
        level[(z >= 0.1) & (u >= -0.5) & (u < 159.5) & (v >= -0.5) & (v < 89.5)] = 40 * i
    frames = list(pipeline.frames(str(tmp_path / "rig.yaml"), "paint2.point_colors"))
    assert [header.item for header, _ in frames] == ["n0/000000", "n0/000001"]
    for _, (colors, painted) in frames:
        assert np.array_equal(painted, level >= 0) and 0.2 < painted.mean() < 0.8
        assert np.abs(colors[painted].astype(int) - level[painted, None]).max() <= 3  # JPEG
        assert not colors[~painted].any()
