"""camera.rectify: a drawn grid becomes straight, sizes, what is refused."""

import cv2
import numpy as np
import pytest
from naive_lens import distorted_pixel
from rig_files import RIG

from drivers.calibration import rig_file
from operators.camera.rectify import Rectify
from pipeline.errors import FrameError
from pipeline.operator import prepare
from pipeline.testing import header, run_operator


@pytest.fixture(params=["front", "rear_left"])
def lens(request, tmp_path):
    (tmp_path / "rig.yaml").write_text(RIG)
    return rig_file.read(str(tmp_path / "rig.yaml")).cameras[request.param]


def smooth(width, height):
    small = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def test_pixels_come_from_where_the_naive_lens_puts_them(lens):
    width, height = lens.image_size.tolist()
    image = smooth(width, height)
    (got,) = run_operator(Rectify, [{"image": image}], statics={"lens": lens})
    got = got["image"]
    compared = 0
    for row in range(5, height, 7):
        for column in range(3, width, 7):
            u, v = distorted_pixel(column, row, lens)
            i, j = int(np.floor(v)), int(np.floor(u))
            if not (0 <= i < height - 1 and 0 <= j < width - 1):
                continue
            a, b = v - i, u - j
            four = image[i : i + 2, j : j + 2].astype(float)
            want = (1 - a) * ((1 - b) * four[0, 0] + b * four[0, 1]) + a * ((1 - b) * four[1, 0] + b * four[1, 1])
            assert np.abs(got[row, column] - want).max() < 4
            compared += 1
    assert compared > 50


def test_a_grey_picture_gives_a_grey_one(lens):
    width, height = lens.image_size.tolist()
    grey = smooth(width, height)[:, :, 0].copy()
    colour = np.repeat(grey[:, :, None], 3, 2)
    (of_grey,) = run_operator(Rectify, [{"grey": grey}], statics={"lens": lens})
    (of_colour,) = run_operator(Rectify, [{"image": colour}], statics={"lens": lens})
    assert of_grey.keys() == {"grey"} and of_colour.keys() == {"image"}
    assert np.array_equal(of_grey["grey"], of_colour["image"][:, :, 0])


def test_a_resized_picture_gives_the_same_rectified_one(lens):
    width, height = lens.image_size.tolist()
    large = smooth(4 * width, 4 * height)
    small = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    got = [run_operator(Rectify, [{"image": image}], statics={"lens": lens})[0]["image"] for image in (large, small)]
    assert got[0].shape == got[1].shape
    middle = np.s_[height // 4 : -height // 4, width // 4 : -width // 4]
    assert np.abs(got[0][middle].astype(int) - got[1][middle]).mean() < 3


def test_without_distortion_the_picture_passes(lens):
    plain = lens._replace(distortion=np.zeros(8), K_rect=lens.K_cam)
    image = smooth(*lens.image_size.tolist())
    (got,) = run_operator(Rectify, [{"image": image}], statics={"lens": plain})
    assert np.array_equal(got["image"], image)


def test_a_picture_of_another_shape_is_refused(lens):
    width, height = lens.image_size.tolist()
    for shape in ((width, height, 3), (0, 5, 3)):
        with pytest.raises(FrameError, match=rf"rectify.image at .*: needs {width} x {height} pixels as the rig file says"):
            run_operator(Rectify, [{"image": np.zeros(shape, np.uint8)}], statics={"lens": lens})


def test_no_picture_and_two_are_refused(lens):
    with pytest.raises(FrameError, match="needs one of its inputs image and grey, got both"):
        run_operator(Rectify, [{"image": smooth(8, 6), "grey": smooth(8, 6)[:, :, 0].copy()}], statics={"lens": lens})


def test_maps_follow_the_size_and_the_lens(lens):
    width, height = lens.image_size.tolist()
    node = prepare(Rectify(), "rectify")
    node.header = header(0)
    node.open()
    stronger = lens._replace(distortion=2 * lens.distortion)
    for now, image in (
        (lens, smooth(width, height)),
        (stronger, smooth(width, height)),
        (stronger, smooth(2 * width, 2 * height)),
    ):
        (want,) = run_operator(Rectify, [{"image": image}], statics={"lens": now})
        assert np.array_equal(node.process(now, image=image)["image"], want["image"])
