"""Pictures into a net's input and places back, by config."""

import cv2
import numpy as np
import pytest

from operators.nets.picture_input import PictureInputConfig, fit
from operators.nets.runtimes.onnxfile import TensorSpec
from operators.streams import one_picture
from pipeline.errors import FrameError

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
CHW = TensorSpec("x", (1, 3, 32, 64), "float32")


def made(spec=CHW, inputs=None, **config):
    return fit(PictureInputConfig(**config), inputs or [spec], "net.onnx")


def tensor(picture=PICTURE, spec=CHW, **config):
    out, (placed,) = made(spec, **config).tensor([picture])
    return out, placed


def test_stretched_and_scaled():
    out, placed = tensor()
    assert out.shape == (1, 3, 32, 64) and out.dtype == np.float32 and out.flags.c_contiguous
    expected = cv2.resize(PICTURE, (64, 32), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    np.testing.assert_allclose(out[0].transpose(1, 2, 0), expected, rtol=1e-6)
    np.testing.assert_allclose(placed.to_picture(np.array([[0, 0, 64, 32], [16, 8, 32, 16]])), [[0, 0, 60, 40], [15, 10, 30, 20]])


def test_colour_order_mean_and_std():
    mean, std = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
    out, _ = tensor(colour="bgr", divide=1, mean=mean, std=std, filter="area")
    expected = (cv2.resize(PICTURE, (64, 32), interpolation=cv2.INTER_AREA)[..., ::-1].astype(np.float32) - mean) / std
    np.testing.assert_allclose(out[0].transpose(1, 2, 0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "config", "inner", "offset", "why"),
    [
        ((40, 60), {}, (48, 32), (8, 0), "high: border left and right"),
        ((20, 60), {}, (64, 21), (0, 5), "wide: 21.33 is nearest to 21, the odd row of border is below"),
        ((31, 64), {}, (64, 31), (0, 0), "one row of border, below"),
        ((20, 61), {"round": "down"}, (64, 20), (0, 6), "20.98 rounded down"),
        ((20, 61), {"place": "corner"}, (64, 21), (0, 0), "top left"),
        ((1, 1000), {}, (64, 1), (0, 15), "never thinner than a pixel"),
        ((32, 64), {}, (64, 32), (0, 0), "as it is"),
    ],
)
def test_letterbox(size, config, inner, offset, why):
    picture = np.full((*size, 3), 200, np.uint8)
    out, placed = tensor(picture, resize="letterbox", border=(51,), **config)
    assert (placed.inner, placed.offset) == (inner, offset), why
    filled = np.argwhere(out[0, 0] > 0.5)
    assert filled.min(0).tolist() == [offset[1], offset[0]] and (filled.max(0) + 1 - filled.min(0)).tolist() == list(inner[::-1])
    np.testing.assert_allclose(np.unique(out[0, 0]), [0.2, 200 / 255] if inner != (64, 32) else [200 / 255], rtol=1e-6)
    whole = np.array([[*offset, offset[0] + inner[0], offset[1] + inner[1]]], np.float32)
    np.testing.assert_allclose(placed.to_picture(whole), [[0, 0, size[1], size[0]]], atol=1e-3)


def test_the_border_is_normalised_too():
    out, _ = tensor(np.zeros((40, 60, 3), np.uint8), resize="letterbox", border=(10, 20, 30), divide=1, mean=(10,), std=(10,))
    np.testing.assert_allclose(out[0, :, 0, 0], [0, 1, 2])


def test_grey_picture_in_three_channels():
    grey = PICTURE[:, :, 0]
    out, _ = tensor(grey)
    same, _ = tensor(np.repeat(grey[:, :, None], 3, 2))
    np.testing.assert_array_equal(out, same)


def test_net_of_one_channel():
    out, _ = tensor(spec=TensorSpec("x", (1, 1, 40, 60), "float32"), colour="grey")
    np.testing.assert_allclose(out[0, 0], cv2.cvtColor(PICTURE, cv2.COLOR_RGB2GRAY) / np.float32(255), rtol=1e-6)


def test_channels_last_and_pixels_as_they_are():
    out, _ = tensor(spec=TensorSpec("x", (1, 40, 60, 3), "uint8"))
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[0], PICTURE)


def test_a_net_without_a_batch():
    """Faster R-CNN of the model zoo: (3, H, W)"""
    net = made(TensorSpec("x", (3, None, None), "float32"), size=(64, 32))
    assert net.batch == 1
    np.testing.assert_array_equal(net.tensor([PICTURE])[0], tensor()[0][0])


def test_half_precision():
    out, _ = tensor(spec=CHW._replace(dtype="float16"))
    assert out.dtype == np.float16


def test_no_rounding_between_resize_and_normalisation():
    out, _ = tensor(resize_in="float32", divide=255, mean=(0.1, 0.2, 0.3), std=(2,))
    exact = cv2.resize(PICTURE.astype(np.float32), (64, 32), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(out[0].transpose(1, 2, 0), (exact / 255 - [0.1, 0.2, 0.3]) / 2, rtol=1e-4, atol=1e-6)


def test_several_pictures_of_several_sizes():
    net = made(CHW._replace(shape=(None, 3, 32, 64)))
    assert net.batch is None
    out, placed = net.tensor([PICTURE, PICTURE[:20, :20]])
    np.testing.assert_array_equal(out[1], net.tensor([PICTURE[:20, :20]])[0][0])
    assert placed[1].scale == (3.2, 1.6)


@pytest.mark.parametrize(
    ("value", "shape", "dtype", "expected"),
    [
        ("picture_wh", (1, 2), "int64", [[60, 40]]),
        ("picture_hw", (None, 2), "float32", [[40, 60]]),
        ("input_hw", (1, 2), "float32", [[32, 64]]),
        ("scale_hw", (1, 2), "float32", [[0.8, 64 / 60]]),
        ("ones", (None, None, None), "int64", np.ones((1, 32, 64))),
        ((640.0, 640.0), (1, 2), "int64", [[640, 640]]),
    ],
)
def test_further_inputs(value, shape, dtype, expected):
    arrays, _ = made(inputs=[CHW, TensorSpec("size", shape, dtype)], others={"size": value}).feed([PICTURE])
    assert arrays["size"].dtype == dtype
    np.testing.assert_allclose(arrays["size"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("spec", "config", "message"),
    [
        (CHW, {"size": (32, 32)}, r"^size: net.onnx: input x \(1, 3, 32, 64\) float32 needs \[64, 32\], got \[32, 32\]$"),
        (CHW, {"colour": "grey"}, r"^colour: net.onnx: input .* needs 3 channels, got grey; set colour: rgb or bgr$"),
        (CHW._replace(shape=(1, 1, 9, 9)), {}, r"^colour: .* needs 1 channels, got rgb; set colour: grey"),
        (CHW._replace(shape=(1, 3, None, None)), {}, r"^size: .* leaves the size free, needs \[width, height\], got none"),
        (CHW._replace(shape=(1, 7, 32, 64)), {}, r"^layout: .* does not show where the channels are: needs nchw or nhwc"),
        (CHW._replace(shape=(1, 7, 32, 64)), {"layout": "nchw"}, r"^colour: .* needs 3 channels|needs 7 channels, got rgb"),
        (CHW._replace(shape=(1, 3, 32, 3)), {}, r"^layout: "),
        (
            CHW._replace(shape=(1, 100)),
            {},
            r"^name: net.onnx: needs one input of 4 dimensions \(or 3\), the picture, got x \(1, 100\)",
        ),
        (CHW._replace(dtype="int64"), {}, r"^name: net.onnx: needs an input of float32, float16, float64, uint8, got x"),
        (CHW._replace(dtype="uint8"), {"mean": (1,)}, r"^divide: .* takes pixels as they are: needs no divide, mean, std"),
        (CHW, {"name": "y"}, r"^name: net.onnx: needs one input named y of 4 dimensions "),
        (CHW, {"others": {"y": "ones"}}, r"^others: net.onnx: needs names of further inputs \(none\), got y"),
    ],
)
def test_what_does_not_fit(spec, config, message):
    with pytest.raises(ValueError, match=message):
        made(spec, **config)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({}, r"^others: net.onnx: needs a value for input size \(1, 2\) int64 \(picture_wh, .* ones or numbers\), got none"),
        ({"size": (1.0, 2.0, 3.0)}, r"^others: net.onnx: input size \(1, 2\) int64 cannot hold \(1.0, 2.0, 3.0\)"),
    ],
)
def test_further_inputs_that_are_missing_or_wrong(others, message):
    with pytest.raises(ValueError, match=message):
        made(inputs=[CHW, TensorSpec("size", (1, 2), "int64")], others=others)


def test_two_pictures_need_a_name():
    with pytest.raises(ValueError, match=r"; set input.name$"):
        made(inputs=[CHW, CHW._replace(name="y")])


@pytest.mark.parametrize("config", [{"mean": (1.0, 2.0)}, {"std": (0.0,)}, {"divide": 0}, {"size": (0, 9)}, {"border": (1, 2)}])
def test_configs_that_mean_nothing(config):
    with pytest.raises(ValueError, match=f"^{'std' if 'divide' in config else next(iter(config))}: needs "):
        PictureInputConfig(**config)


def test_one_of_two_inputs():
    grey = PICTURE[:, :, 0]
    assert one_picture(PICTURE, None, "n") is PICTURE and one_picture(None, grey, "n") is grey
    for both, got in (((PICTURE, grey), "both"), ((None, None), "neither")):
        with pytest.raises(FrameError, match=f"^n: needs one of its inputs image and grey, got {got}"):
            one_picture(*both, "n")
