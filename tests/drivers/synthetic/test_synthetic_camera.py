import re

import numpy as np
import pytest

import naive
from drivers.synthetic.camera import LOWEST_SUN, NEAR_M, Camera, Picture, kitti_like_calibration
from drivers.synthetic.materials import ASPHALT, BUILDING, CAR_PAINT, CLOTH, GRASS, MATERIALS, WINDOW
from operators.geometry.boxes3d import corners
from operators.geometry.project import boxes_to_image, project_points
from operators.geometry.transforms import invert, rigid, rotation_z, transform_points
from operators.kernels.raster import CLOSED
from operators.kernels.shade import PANE

CALIBRATION = kitti_like_calibration(160, 48)
NOON = np.array([0.0, 0.0, 1.0])
AFTERNOON = np.array([0.48, -0.6, 0.64])
FACES = [(3, 2, 1, 0), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]  # of boxes3d.corners, outwards
GROUND = [[(-50, -80, -1.73), (150, -80, -1.73), (150, 80, -1.73)], [(-50, -80, -1.73), (150, 80, -1.73), (-50, 80, -1.73)]]


@pytest.fixture(scope="module")
def camera():
    return Camera(CALIBRATION)


class Scene:
    """Collects triangles."""

    def __init__(self):
        self.triangles, self.owners, self.materials, self.colors = [], [], [], []

    def add(self, triangles, owner=-1, material=CLOTH, color=None):
        self.triangles += [np.array(t, np.float64) for t in triangles]
        self.owners += [owner] * len(triangles)
        self.materials += [material] * len(triangles)
        self.colors += [MATERIALS.albedo[material & 0xFF] if color is None else color] * len(triangles)
        return self

    def ground(self, material=ASPHALT):
        return self.add(GROUND, material=material)

    def box(self, *box, owner=1, **kind):
        c = corners(np.array([box], np.float64))[0]
        return self.add([(c[f[0]], c[f[k]], c[f[k + 1]]) for f in FACES for k in (1, 2)], owner, **kind)

    @property
    def arrays(self):
        return (
            np.array(self.triangles, np.float64).reshape(-1, 3, 3),
            np.array(self.colors, np.float32).reshape(-1, 3),
            np.array(self.owners, np.int64),
            np.array(self.materials, np.int32),
        )


def light(picture, mask):
    return float(picture.image[mask].mean())


def test_an_empty_world_is_sky(camera):
    picture = camera.render(*Scene().arrays, NOON)
    assert picture.image.shape == (48, 160, 3) and picture.image.dtype == np.uint8
    assert picture.depth_m.dtype == np.float32 and np.isinf(picture.depth_m).all()
    assert picture.pixel_ids.dtype == np.int64 and (picture.pixel_ids == -1).all()
    red, _, blue = picture.image.astype(int).transpose(2, 0, 1)
    assert (blue >= red).all() and blue.min() > 100
    assert (blue - red)[0].mean() > (blue - red)[20].mean(), "bluer higher up"


def test_behind_the_camera_is_nothing(camera):
    scene = Scene().box(-8, 0, -1, 4, 2, 1.5, 0.3)
    np.testing.assert_array_equal(camera.render(*scene.arrays, NOON).image, camera.render(*Scene().arrays, NOON).image)


BOXES = [
    (12, 2, -1, 4, 1.8, 1.5, 0.4),
    (25, -4, -0.9, 0.8, 0.6, 1.75, 2.0),
    (4, -1.5, -1, 4, 1.8, 1.5, 0.0),
    (18, 6, -1, 4, 2, 2, 1),
]


@pytest.mark.parametrize("box", BOXES)
def test_a_box_fills_its_rectangle(camera, box):
    """ids, depth and boxes_to_image agree: the pixels of the box are those with centres inside the rectangle."""
    picture = camera.render(*Scene().box(*box, owner=7).arrays, NOON)
    ((x1, y1, x2, y2),), visible = boxes_to_image(np.array([box], np.float32), *CALIBRATION)
    rows, columns = np.nonzero(picture.pixel_ids == 7)
    assert visible[0]
    for got, want in ((columns.min(), x1), (rows.min(), y1)):
        assert want - 1e-3 <= got <= want + 1.5, "the outermost pixel may lie beyond a sharp corner"
    for got, want in ((columns.max(), x2), (rows.max(), y2)):
        assert want - 1.5 <= got <= want + 1e-3
    _, depth = project_points(corners(np.array([box]))[0], CALIBRATION.P_cam, CALIBRATION.T_cam_velo)
    inside = picture.depth_m[picture.pixel_ids == 7]
    assert max(depth.min(), NEAR_M) - 1e-3 <= inside.min() <= inside.max() <= depth.max() + 1e-3
    assert np.array_equal(np.isfinite(picture.depth_m), picture.pixel_ids == 7)


def test_ids_and_depth_equal_the_naive_rays(camera):
    scene = Scene().ground()
    for owner, box in enumerate(BOXES, 10):
        scene.box(*box, owner=owner, material=CAR_PAINT + CLOSED)
    triangles, colors, owners, materials = scene.arrays
    picture = camera.render(triangles, colors, owners, materials, AFTERNOON)
    index, depth = naive.see(triangles, CALIBRATION.P_cam, CALIBRATION.T_cam_velo, camera.size, NEAR_M)
    expected = np.where(index >= 0, owners[index], -1)
    same = (picture.pixel_ids == expected) & (np.isinf(depth) == np.isinf(picture.depth_m))
    assert same.mean() >= 0.999 and set(np.unique(expected)) == {-1, 10, 11, 12, 13}
    seen = same & np.isfinite(depth)
    np.testing.assert_allclose(picture.depth_m[seen], depth[seen], rtol=3e-6)


def test_depth_leads_back_to_the_surface(camera):
    """Pixel and depth -> a point on the ground."""
    picture = camera.render(*Scene().ground().arrays, NOON)
    rows, columns = np.nonzero(picture.depth_m < 40)
    M = CALIBRATION.P_cam @ CALIBRATION.T_cam_velo
    uvd = np.stack([columns, rows, np.ones(len(rows))]) * picture.depth_m[rows, columns]
    points = np.linalg.solve(M[:, :3], uvd - M[:, 3:])
    np.testing.assert_allclose(points[2], -1.73, atol=2e-5)


def test_same_scene_same_bytes_on_any_number_of_threads_and_into_given_arrays():
    scene = Scene().ground(GRASS)
    for owner, box in enumerate(BOXES):
        scene.box(*box, owner=owner, material=WINDOW)
    before = Scene().box(9, -2, -1, 2, 3, 3, 1.0, material=WINDOW).box(14, 3, 0, 8, 5, 3, 0.2, material=BUILDING).ground()
    expected = [array.tobytes() for array in Camera(CALIBRATION).render(*scene.arrays, AFTERNOON)]
    for threads in (1, 2, 3):
        camera = Camera(CALIBRATION, threads)
        out = Picture(np.full((48, 160, 3), 9, np.uint8), np.full((48, 160), 9, np.float32), np.full((48, 160), 9, np.int64))
        camera.render(*before.arrays, NOON)  # leaves no trace
        assert camera.render(*scene.arrays, AFTERNOON, out=out) is out
        assert [array.tobytes() for array in out] == expected
        camera.close()


def test_more_triangles_than_before(camera):
    scene = Scene().add(GROUND * 3000)
    assert (camera.render(*scene.arrays, NOON).pixel_ids == -1).all()


def test_the_side_towards_the_sun_is_brighter_and_colours_are_kept(camera):
    scene = Scene().box(10, 0, -1, 2, 2, 1.5, np.pi / 4, color=(0.6, 0.1, 0.1))
    picture = camera.render(*scene.arrays, np.array([-0.6, -0.6, 0.53]))
    columns = np.nonzero(picture.pixel_ids == 1)[1]
    middle = round((columns.min() + columns.max()) / 2)
    red, green, blue = (picture.image[..., c].astype(int) for c in range(3))
    mine = picture.pixel_ids == 1
    left, right = mine.copy(), mine.copy()
    left[:, middle - 1 :], right[:, : middle + 2] = False, False
    assert light(picture, right) > 1.3 * light(picture, left), "the sun stands to the right"
    assert (red[mine] > green[mine] + 20).all() and (red[mine] > blue[mine] + 20).all()


def test_shadow_under_and_beside_a_box(camera):
    """The sun is on the right: the ground left of the box is dark; on the right it is as without the box."""
    sun = np.array([0.0, -0.8, 0.6])
    empty = camera.render(*Scene().ground().arrays, sun)
    picture = camera.render(*Scene().ground().box(10, 0, -0.98, 3, 1.8, 1.5, 0).arrays, sun)
    for y, darker in ((1.6, True), (2.6, True), (4.5, False), (-1.6, False)):
        (uv,), _ = project_points(np.array([[10.0, y, -1.73]]), CALIBRATION.P_cam, CALIBRATION.T_cam_velo)
        column, row = uv.round().astype(int)
        with_box, without = (int(p.image[row, column].sum()) for p in (picture, empty))
        assert (with_box < 0.7 * without) if darker else (with_box == without), y


def test_shadows_of_things_out_of_the_picture(camera):
    """A wall behind the camera, the sun low behind it."""
    sun = np.array([-0.95, 0.0, 0.31])
    wall = [[(-2, -9, -1.73), (-2, 9, -1.73), (-2, 9, 6)], [(-2, -9, -1.73), (-2, 9, 6), (-2, -9, 6)]]
    empty, shadowed = camera.render(*Scene().ground().arrays, sun), camera.render(*Scene().ground().add(wall).arrays, sun)
    assert shadowed.image[-1].mean() < 0.8 * empty.image[-1].mean()
    np.testing.assert_array_equal(shadowed.depth_m, empty.depth_m)


@pytest.mark.parametrize("azimuth", np.linspace(0.1, 6.2, 9))
@pytest.mark.parametrize("elevation", [0.3, 0.9])
def test_faces_do_not_shadow_themselves(camera, azimuth, elevation):
    """Each side of a single box has uniform brightness, even at grazing sun angles."""
    c = corners(np.array([[9, 0, 0, 6, 6, 5, 0.5]]))[0]
    scene = Scene()
    for owner, f in enumerate(FACES):
        scene.add([(c[f[0]], c[f[k]], c[f[k + 1]]) for k in (1, 2)], owner)
    sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    picture = camera.render(*scene.arrays, sun)
    seen = [owner for owner in range(6) if (picture.pixel_ids == owner).sum() > 50]
    assert len(seen) >= 2
    for owner in seen:
        assert np.ptp(picture.image[picture.pixel_ids == owner].astype(int), axis=0).max() <= 3, "haze alone"


def test_the_pattern_of_the_ground_stays_in_the_world(camera):
    """A spot of grass has the same colour from two positions."""
    spots = np.stack([np.repeat(np.linspace(9, 16, 17), 9), np.tile(np.linspace(-2, 2, 9), 17), np.full(153, -1.73)], 1)
    seen = []
    for x, yaw in ((0.0, 0.0), (1.7, 0.06)):
        T_world_velo = rigid(rotation_z(yaw), (x, 0.2 * x, 0))
        triangles, *rest = Scene().ground(GRASS).arrays
        triangles = transform_points(triangles.reshape(-1, 3), invert(T_world_velo)).reshape(-1, 3, 3)
        picture = camera.render(triangles, *rest, NOON, T_world_velo)
        uv, _ = project_points(transform_points(spots, invert(T_world_velo)), CALIBRATION.P_cam, CALIBRATION.T_cam_velo)
        column, row = uv.round().astype(int).T
        inside = (column >= 0) & (column < 160) & (row < 48)
        assert inside.mean() > 0.9
        seen.append(np.where(inside, picture.image[np.minimum(row, 47), np.clip(column, 0, 159), 1].astype(float), np.nan))
    valid = ~np.isnan(seen[0] + seen[1])
    assert np.corrcoef(seen[0][valid], seen[1][valid])[0, 1] > 0.8
    assert seen[0][valid].std() > 2, "there is a pattern"


@pytest.mark.parametrize("material", range(len(MATERIALS.names)), ids=MATERIALS.names)
def test_a_pattern_keeps_the_colour_of_its_material(camera, material):
    """On a wall and on the ground, the texture keeps the average colour; surfaces that mirror the sky are not darker."""
    light_of = []
    for kind in (material, CLOTH):
        scene = Scene().add(GROUND, 0, kind, (0.2, 0.2, 0.2)).box(12, 0, 0, 0.5, 12, 6, 0.3, material=kind, color=(0.2, 0.2, 0.2))
        picture = camera.render(*scene.arrays, AFTERNOON)
        light_of.append([light(picture, picture.pixel_ids == owner) for owner in (0, 1)])
    for textured, plain in zip(*light_of, strict=True):
        assert 0.75 * plain < textured < (1.3 if MATERIALS.pattern[material] < PANE else 2.5) * plain


def test_the_calibration_is_kittis_scaled():
    """A point at the centre of a pixel of KITTI's camera lies at the same relative position in the smaller image."""
    full, half = kitti_like_calibration(1242, 375), kitti_like_calibration(621, 188)
    assert full.P_cam[0].tolist() == [721.5377, 0, pytest.approx(609.5593), 0]
    points = np.array([[10, 1, -1], [30, -8, 0.5]], np.float64)
    (uv, _), (uv_half, _) = (project_points(points, c.P_cam, c.T_cam_velo) for c in (full, half))
    np.testing.assert_allclose((uv[:, 0] + 0.5) / 2, uv_half[:, 0] + 0.5)
    assert half.image_size.tolist() == [621, 188]


@pytest.mark.parametrize("z", [LOWEST_SUN - 0.01, -0.5, np.nan])
def test_no_pictures_at_night(camera, z):
    sun = np.array([1.0, 0.0, z])
    with pytest.raises(ValueError, match=f"^{re.escape(f'camera: sun: needs a z of 0.15 or more, got {sun.tolist()}')}$"):
        camera.render(*Scene().arrays, sun)
