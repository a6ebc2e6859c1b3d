import re
import sys

import av
import cv2
import numpy as np
import pytest

from operators.geometry.transforms import rigid, rotation_z, transform_boxes
from operators.render import colors
from operators.render.scene import Scene, SceneConfig, Trails
from operators.streams import Boxes3D, Pillars, Tracks
from pipeline.errors import RunError
from pipeline.operator import Resume

SMALL = {"range_m": (-4.0, -16.0, 28.0, 16.0), "px_per_m": 8.0, "png_every": 1}


def tracks(*boxes, labels=None, first_id=1):
    boxes3d = np.array(boxes, np.float32).reshape(-1, 7)
    n = len(boxes3d)
    labels = np.zeros(n, np.int32) if labels is None else np.array(labels, np.int32)
    return Tracks(boxes3d, np.ones(n, np.float32), labels, np.arange(first_id, first_id + n, dtype=np.int64))


def points(n=500, seed=0):
    return np.random.default_rng(seed).uniform([0, -15, -2, 0], [28, 15, 1, 1], (n, 4)).astype(np.float32)


def png(op, name):
    data = cv2.imread(str(op.out_dir / "frames" / name))
    assert data is not None, name
    return data[..., ::-1]


def num_pictures(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def has(picture, color):
    return bool((picture == color).all(2).any())


CAR = (12, 2, -1, 4, 2, 1.5, 0.4)


def test_nothing_connected_draws_the_background(make):
    op = make(Scene, **SMALL)
    op.process()
    op.close()
    picture = png(op, "0000_000000.png")
    assert picture.shape == (256, 256, 3)
    np.testing.assert_array_equal(picture[40:], op.panels.background[40:])
    assert num_pictures(op.out_dir / "video.mp4") == 1


def test_an_empty_frame_is_an_ordinary_frame(make):
    op = make(Scene, **SMALL)
    empty = tracks()
    none = Pillars(np.empty((0, 32, 4), np.float32), np.empty((0, 2), np.int32), np.empty(0, np.int32))
    op.process(points=points(0), pillars=none, tracks=empty, boxes3d=Boxes3D(*empty[:3]), pose=np.eye(4))
    op.close()
    np.testing.assert_array_equal(png(op, "0000_000000.png")[40:], op.panels.background[40:])


def test_pillars_lie_under_the_points(make):
    op = make(Scene, **SMALL)
    sweep = np.array([[10, 0, 1.5, 0.0]], np.float32)
    op.process(points=sweep, pillars=Pillars(sweep[None], np.zeros((1, 2), np.int32), np.ones(1, np.int32)))
    op.close()
    picture = png(op, "0000_000000.png")
    assert has(picture, colors.RAMP[255]) and (picture == 150).all(2).sum() == 8


def test_no_frame_no_video(make):
    op = make(Scene, **SMALL)
    op.close()
    assert [p.name for p in op.out_dir.iterdir()] == ["frames"]


def test_one_track_in_the_colour_of_its_class_and_one_detection_in_grey(make):
    op = make(Scene, **SMALL)
    op.process(tracks=tracks(CAR, labels=[2]), boxes3d=Boxes3D(*tracks((20, -5, -1, 4, 2, 1.5, 0))[:3]))
    op.close()
    picture = png(op, "0000_000000.png")
    assert has(picture, colors.OF_CLASS[2]) and not has(picture, colors.OF_CLASS[0])
    spot = picture[48:88, 156:180]  # 5 m right, 18 to 22 m ahead
    bright = spot[spot.max(2) > 100].astype(int)
    assert len(bright) > 50 and np.ptp(bright, axis=1).max() < 10, "grey"


def test_png_every_tenth_frame_and_its_name(make, header):
    op = make(Scene, **{**SMALL, "png_every": 10}, video=False)
    for k in range(21):
        op.header = header(k, f"drive/0001/{k + 100:06d}")
        op.process(points=points())
    op.close()
    assert sorted(p.name for p in (op.out_dir / "frames").iterdir()) == [
        "drive_0001_000100.png",
        "drive_0001_000110.png",
        "drive_0001_000120.png",
    ]
    assert [p.name for p in op.out_dir.iterdir()] == ["frames"]


@pytest.mark.parametrize(("config", "files"), [({"png_every": 0}, ["video.mp4"]), ({"video": False, "png_every": 1}, [])])
def test_without_png_or_video(make, config, files):
    op = make(Scene, **{**SMALL, **config})
    op.process(points=points())
    op.close()
    assert [p.name for p in op.out_dir.iterdir() if p.is_file()] == files
    assert len(list((op.out_dir / "frames").iterdir())) == config["png_every"]


def test_with_a_camera_the_panel_is_on_top_and_stays(make, header, straight):
    """The second frame has no image (the sensor died): its panel is black, the video continues."""
    op = make(Scene, **SMALL)
    image = np.full((100, 200, 3), (10, 200, 90), np.uint8)
    image.flags.writeable = False
    for k, seen in enumerate((image, None, image)):
        op.header = header(k)
        op.process(points=points(), tracks=tracks(CAR), image=seen, calibration=straight)
    op.close()
    first, second = png(op, "0000_000000.png"), png(op, "0000_000001.png")
    assert first.shape == second.shape == (128 + 256, 256, 3)
    assert has(first[:128], (10, 200, 90)) and has(first[:128], colors.OF_CLASS[0])
    assert not second[:128].any() and second[128:].any()
    assert num_pictures(op.out_dir / "video.mp4") == 3


SIDE = {**SMALL, "layout": "side_by_side"}


def test_side_by_side(make, header, straight):
    """Left: the camera image above the scene from behind; right: the scene from above; also with missing inputs."""
    op = make(Scene, **SIDE)
    image = np.full((60, 200, 3), (10, 200, 90), np.uint8)
    image.flags.writeable = False
    for k, seen in enumerate((image, None)):
        op.header = header(k)
        op.process(points=points(), tracks=tracks(CAR, labels=[2]), image=seen, calibration=straight)
    op.close()
    rows, columns = op.panels.camera_size
    assert (rows, columns) == (124, 410)
    first, second = png(op, "0000_000000.png"), png(op, "0000_000001.png")
    assert first.shape == second.shape == (256, 410 + 256, 3)
    camera, behind, above = first[:rows, :columns], first[rows:, :columns], first[:, columns:]
    for panel in (camera, behind, above):
        assert has(panel, colors.OF_CLASS[2])
    assert has(camera, (10, 200, 90)) and not has(behind, (10, 200, 90)) and not has(above, (10, 200, 90))
    assert not second[:rows, :columns].any() and second[rows:, :columns].any()
    np.testing.assert_array_equal(second[rows + 1 :, columns:], first[rows + 1 :, columns:])
    assert num_pictures(op.out_dir / "video.mp4") == 2


def test_side_by_side_from_above_is_what_stacked_draws(make):
    pictures = []
    for layout in ("stacked", "side_by_side"):
        op = make(Scene, name=layout, **{**SIDE, "layout": layout})
        op.process(points=points(), tracks=tracks(CAR))
        op.close()
        pictures.append(png(op, "0000_000000.png"))
    assert pictures[1].shape == (256, 410 + 256, 3), "without a camera the left column is the scene from behind"
    np.testing.assert_array_equal(pictures[0], pictures[1][:, 410:])


def test_side_by_side_of_nothing(make):
    op = make(Scene, **SIDE)
    op.process()
    op.header = op.header._replace(frame_id=1, item="0000/000001")
    op.process(points=points(0), tracks=tracks(), boxes3d=Boxes3D(*tracks()[:3]), pose=np.eye(4))
    op.close()
    for name in ("0000_000000.png", "0000_000001.png"):
        np.testing.assert_array_equal(png(op, name)[:, :410], op.panels.chase_background)


@pytest.mark.parametrize(
    ("height", "width", "size"), [(60, 200, (124, 410)), (200, 200, (158, 158)), (400, 100, (160, 40)), (20, 400, (20, 410))]
)
def test_side_by_side_leaves_room_under_any_picture(make, height, width, size):
    op = make(Scene, **SIDE)
    op.process(image=np.full((height, width, 3), 90, np.uint8))
    op.close()
    assert op.panels.camera_size == size
    assert png(op, "0000_000000.png").shape == (256, size[1] + 256, 3)


def test_side_by_side_a_picture_that_comes_later(make, header):
    op = make(Scene, **SIDE)
    for k, image in enumerate((None, np.zeros((200, 200, 3), np.uint8))):
        op.header = header(k)
        op.process(points=points(), image=image)
    op.close()
    assert num_pictures(op.out_dir / "video.mp4") == num_pictures(op.out_dir / "video-2.mp4") == 1


@pytest.mark.parametrize("layout", ["stacked", "side_by_side"])
def test_the_lower_level_has_smaller_pictures_in_a_video_of_its_own(make, header, straight, layout):
    op = make(Scene, **{**SIDE, "layout": layout})
    for k, level in enumerate((0, 1, 1, 0)):
        op.header = header(k)
        op.set_level(level)
        op.process(points=points(), tracks=tracks(CAR), image=np.full((60, 200, 3), 90, np.uint8), calibration=straight)
    op.close()
    sizes = [png(op, f"0000_{k:06d}.png").shape[:2] for k in range(4)]
    assert sizes[0] == sizes[3] and sizes[1] == sizes[2]
    assert all(abs(full - 2 * half) <= 4 for full, half in zip(sizes[0], sizes[1], strict=True))
    assert [num_pictures(op.out_dir / f"video{part}.mp4") for part in ("", "-2", "-3")] == [1, 2, 1]
    assert has(png(op, "0000_000001.png"), colors.OF_CLASS[0])


def test_a_picture_too_small_for_a_half_of_it():
    assert Scene.levels_of(SceneConfig(range_m=(0, 0, 10, 10), px_per_m=2)) == ()
    assert len(Scene.levels_of(SceneConfig())) == 1


def test_trails_are_drawn_from_above_and_from_behind(make, header):
    """A car drives away: its colour stays on its path for the length of the trail."""
    painted = []
    for trail in (0, 20):
        op = make(Scene, name=f"trail{trail}", **SIDE, trail=trail)
        for k in range(8):
            op.header = header(k)
            op.process(tracks=tracks((6 + 2 * k, 2, -1, 4, 2, 1.5, 0.0)))
        op.close()
        painted.append(png(op, "0000_000007.png"))
    changed = (painted[0] != painted[1]).any(2)
    assert changed[:, :410].sum() > 20 and changed[:, 410:].sum() > 20


def test_names_of_classes_stand_in_the_camera(make, straight, monkeypatch):
    said = []
    monkeypatch.setattr("operators.render.camera.label", lambda canvas, text, *rest: said.append(text))
    op = make(Scene, **{**SMALL, "px_per_m": 16.0})
    scene = tracks(CAR, (13, -2, -1, 1, 1, 1.7, 0), (14, -2, -1, 1, 1, 1.7, 0), labels=[0, 1, -1], first_id=41)
    op.process(tracks=scene, image=np.zeros((100, 200, 3), np.uint8), calibration=straight)
    op.close()
    assert said == ["? 43", "Pedestrian 42", "Car 41"], "far ones first: near ones lie on top"


def test_the_video_as_asked_for(make, header):
    """A faster preset gives a larger file, a higher crf a smaller one; all have the same number of images."""
    sizes = {}
    for preset, crf in (("veryfast", 24), ("ultrafast", 24), ("ultrafast", 40)):
        op = make(Scene, name=f"{preset}{crf}", **SMALL, video_preset=preset, video_crf=crf)
        for k in range(6):
            op.header = header(k)
            op.process(points=points(4000, seed=k))
        op.close()
        assert num_pictures(op.out_dir / "video.mp4") == 6
        sizes[preset, crf] = (op.out_dir / "video.mp4").stat().st_size
    assert sizes["ultrafast", 24] > 1.2 * sizes["veryfast", 24] and sizes["ultrafast", 40] < 0.7 * sizes["ultrafast", 24]


def test_a_picture_without_calibration_is_shown_as_it_is(make):
    op = make(Scene, **SMALL)
    op.process(points=points(), tracks=tracks(CAR), image=np.full((100, 200, 3), 50, np.uint8))
    op.close()
    assert (png(op, "0000_000000.png")[:128] == 50).all()


@pytest.mark.parametrize(("config", "painted"), [({}, True), ({"points_in_camera": False}, False)])
def test_points_in_the_camera(make, straight, config, painted):
    op = make(Scene, **SMALL, **config)
    op.process(points=points(), image=np.full((100, 200, 3), 50, np.uint8), calibration=straight)
    op.close()
    assert (png(op, "0000_000000.png")[:128] != 50).any() == painted


def test_a_picture_that_comes_later_begins_the_next_file(make, header):
    op = make(Scene, **SMALL)
    for k, image in enumerate((None, None, np.zeros((100, 200, 3), np.uint8))):
        op.header = header(k)
        op.process(points=points(), image=image)
    op.close()
    assert num_pictures(op.out_dir / "video.mp4") == 2 and num_pictures(op.out_dir / "video-2.mp4") == 1


def test_after_a_restart_the_video_goes_on_in_a_file_of_its_own(make, header):
    first = make(Scene, **SMALL)
    for k in range(3):
        first.header = header(k)
        first.process(points=points())
    # killed: no close()
    op = make(Scene, resume=Resume(2, 2, "0000/000002"), **SMALL)
    op.header = header(3)
    op.process(points=points())
    op.close()
    assert num_pictures(op.out_dir / "video.mp4") == 2, "the last picture of the killed process was still on its way"
    assert num_pictures(op.out_dir / "video-r2.mp4") == 1
    assert len(list((op.out_dir / "frames").iterdir())) == 4
    first.close()


def test_same_input_same_bytes(make, header, straight):
    results = []
    for name in ("a", "b"):
        op = make(Scene, name=name, **SMALL)
        for k in range(12):
            op.header = header(k)
            op.process(
                points=points(seed=k),
                tracks=tracks((5 + k, 2, -1, 4, 2, 1.5, 0.4)),
                pose=rigid(None, (0.1 * k, 0, 0)),
                image=np.full((100, 200, 3), k, np.uint8),
                calibration=straight,
            )
        op.close()
        results.append({p.name: p.read_bytes() for p in sorted(op.out_dir.rglob("*")) if p.is_file()})
    assert results[0] == results[1] and len(results[0]) == 13


def test_trails_stay_in_the_world_while_the_car_drives_and_turns():
    """A parked car: its trail is one point while the ego drives. Without poses it would be a line."""
    trails, blind = Trails(20), Trails(20)
    parked = tracks((20, 3, -1, 4, 2, 1.5, 0))
    for k in range(5):
        T_world_velo = rigid(rotation_z(0.1 * k), (2.0 * k, 0.5 * k, 0))
        seen = parked._replace(boxes3d=transform_boxes(parked.boxes3d, np.linalg.inv(T_world_velo)))
        (path,) = trails.add(seen, T_world_velo)
        (apparent,) = blind.add(seen, None)
    assert path.shape == apparent.shape == (5, 2)
    np.testing.assert_allclose(path, np.tile(seen.boxes3d[0, :2], (5, 1)), atol=1e-4)
    assert np.ptp(apparent[:, 0]) > 5


def test_trails_have_an_end_and_end_with_their_track():
    trails = Trails(3)
    for k in range(5):
        (path,) = trails.add(tracks((float(k), 0, 0, 4, 2, 1, 0)), None)
    np.testing.assert_allclose(path[:, 0], [2, 3, 4])
    assert trails.add(tracks(), None) == [] and trails.paths == {}
    (path,) = trails.add(tracks((9, 0, 0, 4, 2, 1, 0)), None)
    assert len(path) == 1


def test_the_pose_is_not_kept():
    trails, pose = Trails(3), np.eye(4)
    trails.add(tracks(CAR), pose)
    pose[:] = np.nan
    assert np.isfinite(trails.add(tracks(CAR), None)[0]).all()


@pytest.mark.parametrize("color_by", ["height", "intensity"])
def test_points_are_coloured(make, color_by):
    op = make(Scene, **SMALL, color_by=color_by)
    op.process(points=np.array([[10, 0, 1.5, 0.0]], np.float32))
    op.close()
    assert has(png(op, "0000_000000.png"), colors.RAMP[255 if color_by == "height" else 0])


def test_a_picture_that_cannot_be_written(make):
    op = make(Scene, name="render", **SMALL)
    (op.out_dir / "frames").rmdir()
    (op.out_dir / "frames").touch()
    message = (
        f"render: {op.out_dir}/frames/0000_000000.png: cannot write frame dets:0: Not a directory; "
        "what came before is complete; free space, or choose another --out?"
    )
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        op.process(points=points())
    op.close()


def test_without_pyav_it_says_so_before_the_first_frame(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(RunError, match=r"^render: config.video: needs PyAV to write MP4, got none; pip install av, or"):
        make(Scene, name="render", **SMALL)
    make(Scene, name="render", **SMALL, video=False).process(points=points())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"range_m": (5, 0, 5, 10)}, "range_m: needs x1 > x0 and y1 > y0, got [5, 0, 5, 10]"),
        ({"px_per_m": 0.1}, "px_per_m: needs a picture of at least 16 pixels each way, got 0.1"),
        ({"trail": -1}, "trail: needs 0 or more, as png_every, got -1 and 10"),
        ({"video_rate_hz": 0.0}, "video_rate_hz: needs more than 0, got 0.0"),
        ({"video_crf": 52}, "video_crf: needs 0..51, got 52"),
    ],
)
def test_wrong_settings(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SceneConfig(**config)
