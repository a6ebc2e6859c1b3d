import cv2
import numpy as np
import pytest

from operators.render import colors
from operators.render.picture import Picture, PictureConfig
from operators.streams import CLASS_NAMES, MODALITIES, VOID, Boxes2D, Tracks2D
from pipeline.errors import FrameError
from pipeline.testing import run_operator

IMAGE = np.full((60, 81, 3), 50, np.uint8)
BOXES = Boxes2D(
    np.array([[10, 20, 40, 50], [np.nan] * 4], np.float32), np.array([0.5, 0.9], np.float32), np.array([0, 1], np.int32)
)
TRACKS = Tracks2D(*(a[:1] for a in BOXES), np.array([7]))
EVERY = {"png_every": 1, "video": False}


def drawn(tmp_path, values, meta=None, **config):
    run_operator(Picture, [values], EVERY | config, out_dir=tmp_path, meta=[meta or {}])
    return cv2.imread(str(tmp_path / "frames" / "000000.png"))[..., ::-1]


def has(picture, color):
    """Lines are smoothed."""
    return bool((np.abs(picture.astype(int) - color).max(2) <= 25).any())


def test_the_picture_alone_even_in_size(tmp_path):
    np.testing.assert_array_equal(drawn(tmp_path, {"image": IMAGE}), IMAGE[:, :80])
    np.testing.assert_array_equal(drawn(tmp_path / "grey", {"grey": IMAGE[:, :, 0]}), IMAGE[:, :80])


def test_detections_in_the_colour_of_their_class(tmp_path):
    picture = drawn(tmp_path, {"image": IMAGE, "boxes2d": BOXES})
    assert has(picture, colors.OF_CLASS[0]) and not has(picture, colors.OF_CLASS[1]), "a box of NaN is out of the picture"


def test_detections_are_grey_below_tracks(tmp_path):
    far = BOXES._replace(boxes2d=np.array([[50, 5, 70, 15], [np.nan] * 4], np.float32))
    picture = drawn(tmp_path, {"image": IMAGE, "boxes2d": far, "tracks2d": TRACKS})
    assert has(picture, colors.DETECTION) and has(picture, colors.OF_CLASS[0])


def test_own_names_have_their_own_colours(tmp_path):
    names = {CLASS_NAMES: ["dog", "cat"]}
    picture = drawn(tmp_path, {"image": IMAGE, "boxes2d": BOXES}, {"boxes2d": names})
    assert has(picture, colors.of_name("dog")) and not has(picture, colors.OF_CLASS[0])
    assert colors.of_name("Car") == colors.OF_CLASS[0] and colors.of_name("dog") != colors.of_name("cat")


def test_class_maps_tint_the_picture(tmp_path):
    class_map = np.array([[0, 1, VOID, VOID]], np.uint8)
    picture = drawn(tmp_path, {"image": IMAGE, "class_map": class_map}, {"class_map": {CLASS_NAMES: ["road", "Car"]}}, tint=1.0)
    assert picture[30, 5].tolist() == list(colors.of_name("road")) and picture[30, 30].tolist() == list(colors.OF_CLASS[0])
    assert picture[30, 60].tolist() == [50, 50, 50]


def test_a_gate_is_red_for_the_image_and_blue_for_the_other(tmp_path):
    picture = drawn(tmp_path, {"image": IMAGE, "gate": np.array([[1.0, 0.0]], np.float32)}, tint=1.0)
    assert picture[30, 5].tolist() == colors.RAMP[255].tolist() and picture[30, 75].tolist() == colors.RAMP[0].tolist()
    assert (
        drawn(tmp_path / "none", {"image": IMAGE, "gate": np.array([[0.5]], np.float32)}, tint=0.0)[30, 30].tolist() == [50] * 3
    )


@pytest.mark.parametrize(
    ("weights", "parts"), [([1.0, 0.0], (27, 0)), ([0.0, 1.0], (0, 27)), ([0.25, 0.75], (7, 20)), ([0.0, 0.0], (0, 0))]
)
def test_a_bar_of_the_weights(tmp_path, weights, parts):
    """A third of the picture wide: 27 px."""
    facts = {"weights": {MODALITIES: ["image", "thermal"]}}
    picture = drawn(tmp_path, {"image": IMAGE, "weights": np.array(weights, np.float32)}, facts)
    row = picture[10].tolist()
    assert tuple(row.count(list(colors.of_modality(m))) for m in (0, 1)) == parts
    assert colors.of_modality(0)[0] > colors.of_modality(0)[2] and colors.of_modality(1)[2] > colors.of_modality(1)[0]


def test_weights_without_names_are_numbered(tmp_path):
    picture = drawn(tmp_path, {"grey": IMAGE[:, :, 0], "weights": np.array([0.5, 0.5], np.float32)})
    assert has(picture, colors.of_modality(1))


def test_a_video_and_pictures(tmp_path):
    config = {"png_every": 2}
    run_operator(Picture, [{"image": IMAGE}] * 3, config, out_dir=tmp_path)
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == ["000000.png", "000002.png"]
    assert (tmp_path / "video.mp4").stat().st_size > 500


def test_neither_picture(tmp_path):
    with pytest.raises(FrameError, match="picture: needs one of its inputs image and grey, got neither"):
        run_operator(Picture, [{"boxes2d": BOXES}], EVERY, out_dir=tmp_path)


@pytest.mark.parametrize("config", [{"tint": 2.0}, {"png_every": -1}, {"video_crf": 99}, {"video_rate_hz": 0.0}])
def test_configs_that_mean_nothing(config):
    with pytest.raises(ValueError, match=f"^{next(iter(config))}: needs "):
        PictureConfig(**config)


def test_points_lie_where_the_calibration_puts_them(tmp_path, straight):
    """On a picture of half the calibrated size: 5 m ahead, 1 m left and up of that, far behind the first, behind."""
    points = np.array([[5, 0, 0, 1], [5, 1, 1, 1], [40, 0, 0, 1], [-5, 0, 0, 1], [np.nan, 0, 0, 1]], np.float32)
    grey = np.full((50, 100, 3), 50, np.uint8)
    run_operator(Picture, [{"image": grey, "points": points}], EVERY, statics={"calibration": straight}, out_dir=tmp_path)
    picture = cv2.imread(str(tmp_path / "frames" / "000000.png"))[..., ::-1]
    changed = np.argwhere((picture != 50).any(2))
    assert changed.tolist() == [[r, c] for r in (14, 15, 24, 25) for c in ((40, 41) if r < 20 else (50, 51))]
    near = colors.RAMP[int(255 * 45 / 50)]
    assert picture[24, 50].tolist() == picture[14, 40].tolist() == near.tolist()


def test_no_points_and_points_without_calibration(tmp_path, straight):
    nothing = {"image": IMAGE, "points": np.zeros((0, 4), np.float32)}
    run_operator(Picture, [nothing], EVERY, statics={"calibration": straight}, out_dir=tmp_path)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "frames" / "000000.png")), IMAGE[:, :80])
    with pytest.raises(FrameError, match="picture: needs its input calibration beside points, got none"):
        drawn(tmp_path / "b", nothing)


def test_the_lower_level_has_a_picture_of_half_the_size(tmp_path):
    run_operator(Picture, [{"image": IMAGE, "boxes2d": BOXES}] * 2, EVERY, out_dir=tmp_path, levels=[0, 1])
    full, half = (cv2.imread(str(tmp_path / "frames" / f"{k:06d}.png"))[..., ::-1] for k in range(2))
    assert (full.shape, half.shape) == ((60, 80, 3), (30, 40, 3))
    lines = (half[12:] != 50).any(2)  # below the name of the class
    rows, columns = (lines.any(axis).nonzero()[0] for axis in (1, 0))
    assert 23 <= rows.max() + 12 <= 26 and 3 <= columns.min() <= 5, "left and lower edge of the box 10 20 40 50, halved"
