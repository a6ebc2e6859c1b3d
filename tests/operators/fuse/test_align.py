"""fuse.align: where pixels go, sizes, the calibration file, what is refused."""

import re

import cv2
import numpy as np
import pytest

from operators.fuse import homography_file
from operators.fuse.align import Align, AlignConfig, tables, warp
from operators.fuse.homography_file import PairFile
from operators.geometry.homography import apply, resizing
from pipeline.errors import FrameError, GraphError, InputError
from pipeline.testing import run_operator

H = ((1.02, 0.03, -9.0), (-0.02, 0.97, 6.5), (2e-5, -1e-5, 1.0))


def picture(width, height, seed=0):
    """Smooth colours: bilinear interpolation is right within a grey level or two."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def naive(image, H, size):
    """Bilinear, pixel by pixel; 0 where a neighbour is missing is left out by the mask."""
    back, out, inside = np.linalg.inv(H), np.zeros((size[1], size[0], 3)), np.zeros((size[1], size[0]), bool)
    for row in range(size[1]):
        for column in range(size[0]):
            u, v, w = back @ [column, row, 1]
            u, v = u / w, v / w
            i, j = int(np.floor(v)), int(np.floor(u))
            if w > 0 and 0 <= i < image.shape[0] - 1 and 0 <= j < image.shape[1] - 1:
                a, b = v - i, u - j
                four = image[i : i + 2, j : j + 2].astype(float)
                out[row, column] = (1 - a) * ((1 - b) * four[0, 0] + b * four[0, 1]) + a * ((1 - b) * four[1, 0] + b * four[1, 1])
                inside[row, column] = True
    return out, inside


def test_a_homography_moves_pixels_as_the_naive_warp_does():
    image = picture(80, 64)
    (got,) = run_operator(Align, [image], {"homography": H, "size": [70, 60]})
    want, inside = naive(image, np.array(H), (70, 60))
    assert got.shape == (60, 70, 3) and inside.mean() > 0.7
    assert np.abs(got[inside] - want[inside]).max() < 4.0


def test_outside_is_black():
    image = np.full((64, 80, 3), 200, np.uint8)
    (got,) = run_operator(Align, [image], {"homography": [[1, 0, 30], [0, 1, 0], [0, 0, 1]]})
    assert not got[:, :29].any() and (got[:, 31:] == 200).all()


def test_behind_the_horizon_is_black():
    """w changes its sign at column 53 of the output; what lies beyond it would come from behind the camera."""
    back = np.array([[1, 0, 0], [0, 1, 0], [-1 / 53, 0, 1.0]])
    out = np.empty((64, 80, 3), np.uint8)
    warp(np.full((640, 800, 3), 200, np.uint8), tables(np.linalg.inv(back), (800, 640), (80, 64)), out)
    assert not out[:, 54:].any() and (out[1, 1:40] == 200).all()


@pytest.mark.parametrize(("thermal", "size"), [(None, (80, 64)), ((40, 32), (40, 32)), ((160, 200), (160, 200))])
def test_without_a_homography_it_is_resized(thermal, size):
    image = picture(80, 64)
    values = {"image": image} if thermal is None else {"image": image, "thermal": np.zeros(thermal[::-1], np.uint8)}
    (got,) = run_operator(Align, [values])
    assert got.shape == (size[1], size[0], 3)
    if thermal is None:
        np.testing.assert_array_equal(got, image)
    assert np.abs(got.mean(axis=(0, 1)) - image.mean(axis=(0, 1))).max() < 1.5


def test_a_thermal_stream_that_stops_changes_no_size():
    image, thermal = picture(80, 64), np.zeros((32, 40), np.uint8)
    got = run_operator(Align, [{"image": image, "thermal": thermal}, {"image": image}, {"image": image, "thermal": thermal}])
    assert [out.shape for out in got] == [(32, 40, 3)] * 3
    np.testing.assert_array_equal(got[0], got[1])


def test_the_output_is_written_into_its_slot(make):
    op, slots = make(Align, homography=H), []
    op.alloc = lambda port, name, shape, dtype: slots.append(np.empty(shape, dtype)) or slots[-1]
    assert op.process(picture(80, 64)) is slots[0]
    assert make(Align).process(image := picture(80, 64)) is image, "same size: the engine copies the picture, nobody else"


def test_a_slot_is_as_large_as_the_size_says():
    assert Align.slot_bytes(AlignConfig(size=(33, 10))) == {"image": 1024} and Align.slot_bytes(AlignConfig()) == {}


def test_shrinking_averages():
    """One-pixel stripes, a quarter of the size: grey, not stripes again."""
    image = np.zeros((128, 160, 3), np.uint8)
    image[:, ::2] = 200
    for shift in (0, 0.3):
        (got,) = run_operator(Align, [image], {"homography": [[0.25, 0, shift], [0, 0.25, 0], [0, 0, 1]], "size": [40, 32]})
        assert (np.abs(got[2:-2, 2:-2].astype(int) - 100) <= 1).all()


def test_shrinking_moves_nothing():
    image = np.repeat(np.repeat(picture(40, 32), 4, axis=0), 4, axis=1)
    (got,) = run_operator(Align, [image], {"homography": resizing((160, 128), (40, 32)).tolist(), "size": [40, 32]})
    np.testing.assert_allclose(got, picture(40, 32), atol=1)


@pytest.fixture
def pair_file(tmp_path):
    path = tmp_path / "new" / "pair.yaml"
    homography_file.write(path, PairFile(np.array(H), (80, 64), (70, 60)), {"mean": 0.5, "inliers": 12}, "by a test")
    return path


def test_the_file_comes_back(pair_file):
    pair = homography_file.read(str(pair_file))
    np.testing.assert_allclose(pair.H_thermal_image, H)
    assert (pair.image_size, pair.size) == ((80, 64), (70, 60))


def test_the_file_gives_size_and_warp(pair_file):
    image = picture(80, 64)
    (got,) = run_operator(Align, [image], {"file": str(pair_file)})
    (same,) = run_operator(Align, [image], {"homography": H, "size": [70, 60]})
    np.testing.assert_array_equal(got, same)


def test_resized_pictures_are_warped_as_the_calibrated_ones():
    """A spot at (50, 30) of the calibrated picture is found where H says, in pictures of twice and half the size."""
    spot = apply(np.array(H), np.array([[50.0, 30.0]]))
    for source, dest in ((1, 1), (2, 1), (1, 2), (4, 2)):
        image = np.zeros((64 * source, 80 * source, 3), np.uint8)
        u, v = np.rint(apply(resizing((80, 64), (80 * source, 64 * source)), np.array([[50.0, 30.0]]))[0]).astype(int)
        cv2.circle(image, (int(u), int(v)), 4 * source, (255, 255, 255), -1)
        op = Align()
        op.config, op.name, op.header = AlignConfig(), "align", None
        op.open()
        op.pair = PairFile(np.array(H), (80, 64), (70, 60))
        got = op.process(image, np.zeros((60 * dest, 70 * dest), np.uint8))[..., 0].astype(float)
        rows, columns = np.indices(got.shape)
        found = np.array([[(columns * got).sum() / got.sum(), (rows * got).sum() / got.sum()]])
        want = apply(resizing((70, 60), (70 * dest, 60 * dest)), spot)
        np.testing.assert_allclose(found, want, atol=0.6 * dest)


@pytest.mark.parametrize(("shape", "text"), [((64, 64), r"align.image at .*: needs 80 x 64 pixels as .*pair.yaml was made with")])
def test_another_shape_than_calibrated(pair_file, shape, text):
    with pytest.raises(FrameError, match=text):
        run_operator(Align, [np.zeros((*shape, 3), np.uint8)], {"file": str(pair_file)})


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_an_empty_picture(shape):
    with pytest.raises(FrameError, match="needs a picture with pixels"):
        run_operator(Align, [np.zeros((*shape, 3), np.uint8)])


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            {"homography": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]},
            r"needs a matrix of rank 3, got rank 2 \(singular values 1.73, 1, 0;",
        ),
        ({"homography": [[1, 0, 0], [0, 1, 0]]}, r"homography: needs 3 rows of 3 numbers, got rows of \[3, 3\]"),
        ({"homography": [[1, 0, 0], [0, 1, 0], [0, 1]]}, r"homography: needs 3 rows of 3 numbers, got rows of \[3, 3, 2\]"),
        ({"homography": [[1, 0, 0], [0, float("inf"), 0], [0, 0, 1]]}, "homography: needs finite numbers, got inf"),
        ({"homography": [[1, 0, 0], [0, "nan", 0], [0, 0, 1]]}, r"homography\[1\]\[1\]: needs float, got 'nan'|needs"),
        ({"homography": "pair.yaml"}, "homography"),
        ({"size": [0, 5]}, r"size: needs width, height of 1..2048, got \[0, 5\]"),
        ({"size": [4000, 5]}, r"size: needs width, height of 1..2048"),
    ],
)
def test_a_wrong_config_is_one_line(config, text):
    with pytest.raises(GraphError, match=text) as raised:
        run_operator(Align, [], config)
    assert "\n" not in str(raised.value)


def test_a_file_and_a_matrix(pair_file):
    with pytest.raises(GraphError, match="homography: needs no file beside it"):
        run_operator(Align, [], {"homography": H, "file": str(pair_file)})


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "needs the keys homography, image_size, size, got NoneType"),
        ("homography: [", r"pair.yaml:1: not valid YAML"),
        ("homography: [[1, 0, 0], [0, 1, 0], [1, 1, 0]]", "homography: needs a matrix of rank 3, got rank 2"),
        ("homography: [[1, 0], [0]]", "homography: needs 3 rows of 3 numbers, got"),
        ("homography: [[1, 0, 0], [0, 1, 0], [0, 0, a]]", "homography: needs 3 rows of 3 numbers, got"),
        ("homography: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]", r"image_size: needs \[width, height\] in pixels, got None"),
        ("homography: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]\nimage_size: [1, 0]", "image_size: needs"),
        ("matrix: 3", "matrix: unknown key; known: homography, image_size, size, residual_px"),
    ],
)
def test_a_wrong_file_names_file_and_key(tmp_path, text, wrong):
    path = tmp_path / "pair.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=wrong) as raised:
        homography_file.read(str(path))
    assert re.match(r"[^\n]*pair\.yaml[^\n]*$", str(raised.value))


def test_a_file_that_is_absent_fails_the_check(tmp_path):
    with pytest.raises(GraphError, match=r"config: .*nothing\.yaml: needs to be readable, got No such file"):
        run_operator(Align, [], {"file": str(tmp_path / "nothing.yaml")})
