import re

import numpy as np
import pytest

from operators.lidar.range_picture import RangePicture, RangePictureConfig, as_picture
from operators.streams import RangeImage
from pipeline.testing import run_operator

NO_POINTS = np.zeros((0, 2), np.int32)


def image(*pixels):
    """One row: (z, range, intensity) of each pixel"""
    made = np.zeros((5, 1, len(pixels)), np.float32)
    for column, (z, away, intensity) in enumerate(pixels):
        made[2:, 0, column] = z, away, intensity
    return RangeImage(made, NO_POINTS)


def test_an_empty_range_image_is_black():
    (picture,) = run_operator(RangePicture, [RangeImage(np.zeros((5, 4, 8), np.float32), NO_POINTS)])
    assert picture.shape == (4, 8, 3) and picture.dtype == np.uint8 and not picture.any()


@pytest.mark.parametrize(
    ("pixel", "color"),
    [
        ((0, 0, 0), (0, 0, 0)),  # no point
        ((-3, 80, 0), (255, 1, 1)),
        ((3, 80, 1), (255, 255, 255)),
        ((-9, 500, 0.5), (255, 1, 128)),  # beyond the ends
        ((0, 8, 0), (128, 128, 1)),  # 9 is the root of 81: halfway
    ],
)
def test_colours(pixel, color):
    (picture,) = run_operator(RangePicture, [image(pixel)])
    assert tuple(picture[0, 0].tolist()) == color


def test_what_is_nearer_is_darker_and_differs_more():
    away = np.array([1, 2, 5, 10, 20, 40, 80])
    red = as_picture(image(*((0, a, 0) for a in away)).range_image, RangePictureConfig())[0, :, 0].astype(int)
    assert (np.diff(red) > 0).all() and (np.diff(np.diff(red) / np.diff(away)) < 0).all()


@pytest.mark.parametrize(
    ("config", "message"),
    [({"max_range_m": 0.0}, "max_range_m: needs more than 0, got 0"), ({"z_m": (1.0, 1.0)}, "z_m: needs two rising numbers")],
)
def test_a_wrong_config_names_its_key(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        RangePictureConfig(**config)
