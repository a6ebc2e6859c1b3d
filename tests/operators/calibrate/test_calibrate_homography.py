"""pipe calibrate homography: points, refinement, real pairs, what is refused. Pictures are 320 x 256."""

import cv2
import numpy as np
import pytest

from operators.calibrate import residual
from operators.calibrate.homography import CalibrateConfig, calibrate, is_better
from operators.calibrate.pairs import Pair, read_pairs
from operators.calibrate.refine import refine
from operators.fuse import homography_file
from operators.geometry.homography import apply, corners
from pipeline.__main__ import main

SIZE = (320, 256)
H = np.array([[1.05, 0.01, -14.0], [-0.008, 1.04, 9.0], [2e-5, -1e-5, 1.0]])


def pair(seed=0, H=H):
    """Rectangles and discs; thermal: other grey levels in every thing, inverted on the whole, soft, noisy."""
    rng = np.random.default_rng(seed)
    image, thermal = np.full((256, 320), 120, np.uint8), np.full((256, 320), 100, np.uint8)
    for _ in range(60):
        x, y, w, h = (int(v) for v in rng.integers((-20, -20, 10, 10), (320, 256, 60, 60)))
        level = int(rng.integers(0, 256))
        for picture, value in ((image, level), (thermal, 255 - (level * 7 // 8 + int(rng.integers(0, 25))))):
            cv2.rectangle(picture, (x, y), (x + w, y + h), value, -1)
    thermal = cv2.warpPerspective(thermal, H, SIZE, borderMode=cv2.BORDER_REPLICATE)
    thermal = cv2.GaussianBlur(thermal, (0, 0), 1).astype(float) + rng.normal(0, 2, thermal.shape)
    return Pair("made", np.repeat(image[:, :, None], 3, axis=2), np.clip(thermal, 0, 255).astype(np.uint8))


def worst_px(found, want=H):
    ends = corners(SIZE) * 0.8 + np.array(SIZE) * 0.1
    return np.linalg.norm(apply(found, ends) - apply(want, ends), axis=1).max()


@pytest.mark.parametrize(("by", "most_px"), [("edges", 1.0), ("mutual-information", 1.5)])
def test_refinement_finds_shift_scale_and_perspective(by, most_px):
    found = refine([pair()], np.eye(3), by, "homography")
    assert worst_px(np.eye(3)) > 10 and worst_px(found) < most_px
    left = residual.of_tiles([pair()], found).numbers
    assert left["median"] < 1.0 and left["inliers"] > 8


def test_a_model_limits_what_changes():
    shift = np.array([[1.0, 0, 12], [0, 1, -7], [0, 0, 1]])
    found = refine([pair(1, shift)], np.eye(3), "edges", "shift")
    np.testing.assert_allclose(found, shift, atol=0.5)
    np.testing.assert_allclose(found[:2, :2], np.eye(2), atol=1e-4)


@pytest.fixture
def files(tmp_path):
    made = pair()
    cv2.imwrite(str(tmp_path / "image.png"), made.image[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "thermal.png"), made.thermal)
    source = np.random.default_rng(2).uniform((20, 20), (300, 236), (16, 2))
    points = np.c_[source, apply(H, source) + np.random.default_rng(3).normal(0, 0.4, (16, 2))]
    points[3, 2:] += 40
    np.savetxt(tmp_path / "points.csv", points, fmt="%.3f", delimiter=",", header="u_image,v_image,u,v", comments="")
    return tmp_path


def test_points_to_a_file_and_a_picture(files, capsys):
    argv = ["calibrate", "homography", "--image", files / "image.png", "--thermal", files / "thermal.png", "--points"]
    argv += [files / "points.csv", "-o", files / "pair.yaml", "--picture", files / "drawn.png"]
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "") and "15 of 16 count" in out and "residual mean 0." in out
    made = homography_file.read(str(files / "pair.yaml"))
    assert made.size == made.image_size == SIZE and worst_px(made.H_thermal_image) < 2.0
    assert cv2.imread(str(files / "drawn.png")).shape == (256, 640, 3)


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("p.csv", "1,2,3,4\n", "p.csv: needs 4 point pairs or more, got 1"),
        ("p.csv", "u,v,u,v\n" + "".join(f"{k},{k},{k},{k * k}\n" for k in range(6)), "got 6 on one line of the first picture"),
        ("p.csv", "1,2,3,4\n1,2,x,4\n", "p.csv:2: needs 4 numbers"),
        ("p.csv", "1,2,3\n", "p.csv:1: needs 4 finite numbers"),
        ("p.csv", "1,2,3,nan\n", "p.csv:1: needs 4 finite numbers"),
        ("p.yaml", "image: [[1, 2]]\nthermal: []\n", "p.yaml: thermal: needs 1 points as image has, got 0"),
        ("p.yaml", "image: [[1, 2]]\n", "p.yaml: needs the keys image and thermal, got image"),
        ("p.yaml", "image: [[1, a]]\nthermal: [[1, 2]]\n", "p.yaml: image: needs a list of"),
    ],
)
def test_wrong_points_are_one_line(files, capsys, name, text, wrong):
    (files / name).write_text(text)
    argv = ["calibrate", "homography", "--image", files / "image.png", "--thermal", files / "thermal.png"]
    code = main([str(word) for word in [*argv, "--points", files / name, "-o", files / "x.yaml"]])
    err = capsys.readouterr().err
    assert code == 2 and wrong in err and err.count("\n") == 1 and not (files / "x.yaml").exists()


@pytest.mark.parametrize(
    ("argv", "wrong"),
    [
        (
            ["--image", "nothing.png", "--thermal", "thermal.png"],
            "nothing.png: needs a picture or a folder of pictures, got nothing",
        ),
        (["--image", ".", "--thermal", "thermal.png"], "thermal.png: needs a folder as . is, got a file"),
        (["--image", "image.png", "--thermal", "points.csv"], "points.csv: needs a whole picture"),
        (["--image", "image.png", "--thermal", "thermal.png", "--by", "points"], "--by points: needs --points F"),
        (["--image", "image.png", "--thermal", "thermal.png", "--max-px", "0"], "--max-px: needs more than 0, got 0"),
        (["--image", "image.png", "--thermal", "thermal.png", "--start", "no.yaml"], "no.yaml: needs to be readable"),
    ],
)
def test_wrong_words_are_one_line(files, capsys, monkeypatch, argv, wrong):
    monkeypatch.chdir(files)
    assert main(["calibrate", "homography", *argv, "-o", "x.yaml"]) == 2
    err = capsys.readouterr().err
    assert wrong in err and err.count("\n") == 1


def test_folders_need_one_size_and_partners(tmp_path):
    from pipeline.errors import InputError

    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    for name, width in (("1", 32), ("2", 32), ("3", 40)):
        cv2.imwrite(str(tmp_path / "a" / f"{name}.png"), np.zeros((20, 32, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "b" / f"{name}.jpg"), np.zeros((20, width), np.uint8))
    with pytest.raises(InputError, match=r"3\.jpg: needs 32 x 20 pixels as 1\.jpg has, got 40 x 20"):
        read_pairs(tmp_path / "a", tmp_path / "b", 20)
    (tmp_path / "b" / "3.jpg").unlink()
    pairs, note = read_pairs(tmp_path / "a", tmp_path / "b", 20)
    assert [one.name for one in pairs] == ["1", "2"] and note == "1 pictures without a partner are left out"
    with pytest.raises(InputError, match="needs files named like those of"):
        read_pairs(tmp_path / "a", (tmp_path / "c").mkdir() or tmp_path / "c", 20)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("by", ["edges", "mutual-information"])
@pytest.mark.parametrize(("rig", "image", "thermal"), [("llvip", "Test_LLVIP_vi", "Test_LLVIP_ir"), ("msrs", "vi", "ir")])
def test_registered_pairs_do_not_get_worse(shared_data, tmp_path, rig, image, thermal, by):
    """By the edges of tiles; where a refinement would make it worse, the start is kept."""
    first, second = (shared_data / "rgbt" / rig / name for name in (image, thermal))
    calibrate(CalibrateConfig(first, second, tmp_path / "pair.yaml", method=by, max_pairs=3))
    pairs, _ = read_pairs(first, second, 3)
    H = homography_file.read(str(tmp_path / "pair.yaml")).H_thermal_image
    before, after = residual.of_tiles(pairs, np.eye(3)), residual.of_tiles(pairs, H)
    assert np.allclose(H, np.eye(3)) or is_better(before, after)
