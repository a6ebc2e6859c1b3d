"""The layouts of Cityscapes, IDD, KITTI panoptic, Mapillary Vistas and Virtual KITTI 2: what is played, left out, refused."""

import numpy as np
import pytest
from panoptic_files import SIZE, VKITTI_COLORS, blocks, cityscapes, idd, kitti_panoptic, label_png, vistas, vkitti2

from drivers import cityscapes as cityscapes_driver
from drivers import idd as idd_driver
from drivers.cityscapes import Cityscapes, CityscapesConfig
from drivers.idd import Idd, IddConfig
from drivers.kitti_panoptic import KittiPanoptic, KittiPanopticConfig
from drivers.vistas import Vistas, VistasConfig
from drivers.vkitti2 import Vkitti2, Vkitti2Config
from operators.geometry.project import project_points
from operators.streams import PANOPTIC
from pipeline.errors import InputError


def told(reading):
    """Segments as (class, columns of pixels, score, track id), and the void pixels of a row."""
    truth, facts = reading.values["panoptic_truth"], reading.meta["panoptic_truth"]
    PANOPTIC.check(PANOPTIC.unpack(truth, "t"), "t")
    assert truth.segment_ids.tolist() == list(range(1, len(truth.labels) + 1))
    assert (truth.panoptic == truth.panoptic[0]).all(), "the pictures of these tests are columns"
    row = truth.panoptic[0]
    assert set(row.tolist()) - {0} == set(truth.segment_ids.tolist())
    names = [facts["class_names"][label] for label in truth.labels]
    columns = [int((row == k).sum()) for k in truth.segment_ids]
    rows = list(zip(names, columns, truth.scores.tolist(), truth.track_ids.tolist(), strict=True))
    return rows, int((row == 0).sum())


# -- Cityscapes ---------------------------------------------------------------------------------------------------------


def test_cityscapes(tmp_path, play):
    """Stuff and void of ids, things of instances, a crowd of a thing's own id; sequences are cities."""
    shots = {
        ("aachen", 19): blocks(7, 26000, 26001, 4),  # road, two cars, static (not evaluated)
        ("aachen", 7): blocks(26, 24005),  # a group of cars, a person
        ("bochum", 1): blocks(0, 3),
    }
    statics, readings = play(Cityscapes, CityscapesConfig(root=str(cityscapes(tmp_path, shots=shots, cameras=True))))
    assert [(r.item, r.stamp_ns) for r in readings] == [
        ("aachen/aachen_000000_000007", 0),
        ("aachen/aachen_000000_000019", 1_000_000_000),
        ("bochum/bochum_000000_000001", 3_000_000_000),
    ]
    assert told(readings[0]) == ([("person", 4, 1.0, -1), ("car", 4, 0.0, -1)][::-1], 0)
    assert told(readings[1]) == ([("road", 2, 1.0, -1), ("car", 2, 1.0, -1), ("car", 2, 1.0, -1)], 2)
    assert told(readings[2]) == ([], 8), "all void"
    assert readings[0].meta["panoptic_truth"]["things"] == list(cityscapes_driver.CLASSES.things)
    assert readings[1].values["image"].shape == (*SIZE, 3) and readings[1].values["image"][0, 0].tolist() == [0, 1, 2]
    assert [s.port for s in statics] == ["calibration", "calibration"], "sent again where it changes"
    assert statics[1].from_ns == 3_000_000_000
    P_cam, T_cam_velo, size = statics[0].value
    assert size.tolist() == [8, 6] and P_cam[0, 0] == 2262.52 and P_cam[1, 2] == 513.137
    np.testing.assert_allclose(T_cam_velo @ (10, 2, 1, 1), (-2, -1, 10, 1), err_msg="forward is z, left is -x, up is -y")


def test_cityscapes_knows_the_label_ids_of_its_scripts():
    """github.com/mcordts/cityscapesScripts, helpers/labels.py: id of each trainId."""
    ids = cityscapes_driver.LABEL_IDS
    evaluated = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    assert ids == {**dict.fromkeys(range(34), -1), **{number: train for train, number in enumerate(evaluated)}}
    assert len(cityscapes_driver.CLASSES.names) == 19 and len(cityscapes_driver.CLASSES.things) == 8


def test_unknown_ids_are_void_and_counted(tmp_path, play, caplog):
    root = cityscapes(tmp_path, shots={("a", 1): blocks(7, 77, 40003)})
    reading = play(Cityscapes, CityscapesConfig(root=str(root)), {"panoptic_truth"})[1][0]
    assert told(reading) == ([("road", 3, 1.0, -1)], 5)
    path = root / "gtFine/val/a/a_000000_000001_gtFine_instanceIds.png"
    assert caplog.messages == [f"2 ids of no class taken as void, the first 77 in {path}"]


def test_missing_partners_and_unequal_sizes_are_left_out_and_counted(tmp_path, play, caplog):
    root = cityscapes(tmp_path, shots={("a", k): blocks(7) for k in (1, 2, 3, 4)})
    (root / "leftImg8bit/val/a/a_000000_000002_leftImg8bit.png").unlink()
    (root / "gtFine/val/a/a_000000_000003_gtFine_instanceIds.png").unlink()
    label_png(root / "gtFine/val/a/a_000000_000004_gtFine_instanceIds.png", blocks(7, size=(6, 9)), bits=16)
    ports = {"image", "panoptic_truth"}
    _, readings = play(Cityscapes, CityscapesConfig(root=str(root)), ports)
    assert [r.item for r in readings] == ["a/a_000000_000001"]
    assert len(caplog.messages) == 1
    for text in ("1 label pictures without a picture left out", "1 pictures without labels left out", "8 x 6, 9 x 6"):
        assert text in caplog.messages[0]
    _, readings = play(Cityscapes, CityscapesConfig(root=str(root), unpaired="keep"), ports)
    assert [sorted(r.values) for r in readings] == [["image", "panoptic_truth"], ["panoptic_truth"], ["image"]]


def test_a_split_without_labels_plays_its_pictures(tmp_path, play):
    root = cityscapes(tmp_path, split="test", shots={("berlin", 1): None})
    _, readings = play(Cityscapes, CityscapesConfig(root=str(root), split="test"), {"image"})
    assert [list(r.values) for r in readings] == [["image"]]
    with pytest.raises(
        InputError, match=r"panoptic_truth is connected, but there is no gtFine/test/CITY/\*_gtFine_instanceIds.png"
    ):
        play(Cityscapes, CityscapesConfig(root=str(root), split="test"), {"panoptic_truth"})
    with pytest.raises(InputError, match=r"calibration is connected, but there is no camera/test/CITY/\*_camera.json"):
        play(Cityscapes, CityscapesConfig(root=str(root), split="test"), {"calibration"})


def test_coarse_labels_and_chosen_cities(tmp_path, play):
    root = cityscapes(tmp_path, split="train_extra", shots={("a", 1): blocks(7), ("b", 1): blocks(8)}, labels="gtCoarse")
    config = CityscapesConfig(root=str(root), split="train_extra", labels="gtCoarse", cities="b")
    assert [r.item for r in play(Cityscapes, config, {"panoptic_truth"})[1]] == ["b/b_000000_000001"]


@pytest.mark.parametrize(
    ("break_it", "config", "message"),
    [
        (
            None,
            {"split": "train"},
            r"config.root: needs a folder with leftImg8bit/train/CITY/\*_leftImg8bit.png and gtFine/train",
        ),
        (None, {"cities": ["aachen", "bonn"]}, "config.cities: needs cities of aachen, .., got bonn"),
        (None, {"cities": []}, "config.cities: needs cities of aachen, .., got an empty list"),
        (None, {"rate_hz": 0.0}, "config.rate_hz: needs"),
        (
            lambda root: next(root.glob("gtFine/val/*/*")).write_bytes(b"GIF"),
            {},
            "needs a PNG or JPEG picture, got a file that st",
        ),
        (
            lambda root: next(root.glob("camera/val/*/*")).write_text("{}"),
            {},
            r"needs JSON with intrinsic: fx, fy, u0, v0, got K",
        ),
    ],
    ids=["split", "city", "no city", "rate", "label", "camera"],
)
def test_cityscapes_refuses(tmp_path, play, break_it, config, message):
    root = cityscapes(tmp_path, cameras=True)
    if break_it:
        break_it(root)
    with pytest.raises(InputError, match=message) as error:
        play(Cityscapes, CityscapesConfig(**{"root": str(root), **config}))
    assert "\n" not in str(error.value)


def test_a_cut_label_picture_is_one_line(tmp_path, play):
    root = cityscapes(tmp_path)
    path = next(root.glob("gtFine/val/*/*"))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="needs a whole PNG or JPEG picture"):
        play(Cityscapes, CityscapesConfig(root=str(root)), {"panoptic_truth"})


# -- IDD ----------------------------------------------------------------------------------------------------------------


def test_idd_of_both_kinds_of_ids(tmp_path, play):
    """Level-3 ids, and the set's own ids, whose levels merge and whose classes without evaluation are void."""
    level3 = idd(tmp_path / "a", shots={("201", "frame0029"): blocks(0, 9001, 9002, 255)}, suffix=".jpg")
    expected = [("road", 2, 1.0, -1), ("car", 2, 1.0, -1), ("car", 2, 1.0, -1)]
    reading = play(Idd, IddConfig(root=str(level3)))[1][0]
    segments, void = told(reading)
    assert reading.item == "201/frame0029" and sorted(segments) == sorted(expected) and void == 2
    own = idd(tmp_path / "b", tail="_gtFine_instanceids.png", shots={("201", "f"): blocks(1, 2, 12003, 16000, 12, 7000, 35, 29)})
    rows, void = told(play(Idd, IddConfig(root=str(own), drives="201"))[1][0])
    assert rows == [("drivable fallback", 2, 1.0, -1), ("car", 1, 0.0, -1), ("building", 1, 1.0, -1), ("car", 1, 1.0, -1)]
    assert void == 3, "a trailer, an animal, unlabelled"
    with pytest.raises(
        InputError, match=r"there is no gtFine/val/DRIVE/\*_gtFine_instancelevel3Ids.png \(createLabels.py of the"
    ):
        play(Idd, IddConfig(root=str(own), ids="level3"), {"panoptic_truth"})


def test_idd_has_17_classes_of_stuff_and_9_of_things():
    names, things = idd_driver.CLASSES
    assert (len(names) - len(things), len(things)) == (17, 9)
    assert {label for label in idd_driver.LABEL_IDS.values() if label >= 0} == set(range(26))
    assert set(idd_driver.LABEL_IDS) == set(range(40))


# -- KITTI panoptic -----------------------------------------------------------------------------------------------------


def test_kitti_panoptic(tmp_path, play):
    root = kitti_panoptic(tmp_path, shots={"000001_10": blocks(23, 33999), "000000_10": blocks(26, 21)})
    _, readings = play(KittiPanoptic, KittiPanopticConfig(root=str(root)))
    assert [(r.item, r.stamp_ns) for r in readings] == [("000000_10", 0), ("000001_10", 1_000_000_000)]
    assert told(readings[0]) == ([("vegetation", 4, 1.0, -1), ("car", 4, 0.0, -1)], 0)
    assert told(readings[1]) == ([("sky", 4, 1.0, -1), ("bicycle", 4, 1.0, -1)], 0)
    with pytest.raises(InputError, match=r"needs a folder with training/images/\*.png and training/annotations"):
        play(KittiPanoptic, KittiPanopticConfig(root=str(root), split="training"))


# -- Mapillary Vistas ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "folder", "config"),
    [
        ("v1.2", "v1.2/instances", "config_v1.2.json"),
        ("v2.0", "v2.0/instances", "config_v2.0.json"),
        ("v1.2", "instances", "config.json"),
    ],
)
def test_vistas(tmp_path, play, version, folder, config):
    """Instances count from 0; classes that are not evaluated are void, unknown ones void and counted."""
    ids = blocks(1 * 256, 2 * 256, 2 * 256 + 1, 3 * 256, 4 * 256, 9 * 256)
    root = vistas(tmp_path, version=version, folder=folder, config=config, shots={"_0a": ids})
    reading = play(Vistas, VistasConfig(root=str(root), version=version))[1][0]
    road, car, sky = "construction--flat--road", "object--vehicle--car", "nature--sky"
    assert told(reading) == ([(road, 2, 1.0, -1), (car, 2, 1.0, -1), (car, 1, 1.0, -1), (sky, 1, 1.0, -1)], 2)
    facts = reading.meta["panoptic_truth"]
    assert facts == {"class_names": ["animal--bird", road, car, sky], "things": ["animal--bird", car]}


def test_large_pictures_of_vistas_are_shrunk(tmp_path, play):
    """Labels by the nearest pixel, so that no id is mixed; a size that fits stays."""
    root = vistas(tmp_path, shots={"_0a": blocks(256, 512, size=(60, 100))}, size=(60, 100))
    values = play(Vistas, VistasConfig(root=str(root), most_px=50))[1][0].values
    assert values["image"].shape == (30, 50, 3) and values["panoptic_truth"].panoptic.shape == (30, 50)
    assert values["panoptic_truth"].panoptic[0].tolist() == [1] * 25 + [2] * 25
    assert play(Vistas, VistasConfig(root=str(root), most_px=100))[1][0].values["image"].shape == (60, 100, 3)
    sizes = Vistas.slot_bytes(VistasConfig(most_px=50))
    assert 7500 <= sizes["image"] < 7564 and sizes["panoptic_truth"] >= 4 * 50 * 50 + PANOPTIC.limits["S"] * 20 + 256


@pytest.mark.parametrize(
    ("driver", "size"), [(Cityscapes, (2048, 1024)), (Idd, (1920, 1080)), (KittiPanoptic, (1280, 384)), (Vkitti2, (1242, 375))]
)
def test_slots_hold_the_pictures_of_the_set(driver, size):
    width, height = size
    found = driver.slot_bytes(driver.Config())
    arrays = [4 * width * height, *(PANOPTIC.limits["S"] * width for width in (4, 4, 4, 8))]
    assert 0 <= found["image"] - 3 * width * height < 64
    assert 0 <= found["panoptic_truth"] - sum(-(-array // 64) * 64 for array in arrays) < 1024


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config_v1.2.json: needs JSON with labels"),
        ('{"labels": [{"name": "a"}]}', "got KeyError: 'instances'"),
        ('{"labels": []}', "needs 1..128 evaluated labels of different names, got 0"),
    ],
)
def test_vistas_refuses_a_wrong_config(tmp_path, play, text, message):
    root = vistas(tmp_path)
    (root / "config_v1.2.json").write_text(text)
    with pytest.raises(InputError, match=message):
        play(Vistas, VistasConfig(root=str(root)))


def test_vistas_refuses_a_size():
    with pytest.raises(ValueError, match=r"most_px: needs 16..2048, got 4000"):
        VistasConfig(most_px=4000)


# -- Virtual KITTI 2 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True], ids=["one folder", "archives side by side"])
def test_vkitti2(tmp_path, play, apart):
    for sequence in ("Scene01/clone", "Scene02/fog"):
        vkitti2(tmp_path, sequence, apart=apart)
    statics, readings = play(Vkitti2, Vkitti2Config(root=str(tmp_path)))
    assert [(r.item, r.stamp_ns) for r in readings] == [
        ("Scene01/clone/00000", 0), ("Scene01/clone/00001", 100_000_000),
        ("Scene02/fog/00000", 1_200_000_000), ("Scene02/fog/00001", 1_300_000_000),
    ]  # fmt: skip
    assert told(readings[1]) == ([("Road", 2, 1.0, -1), ("Car", 2, 1.0, 0), ("Car", 2, 1.0, 2)], 2)
    assert [row[3] for row in told(readings[3])[0]] == [-1, 1000, 1002], "another sequence has other tracks"
    assert readings[1].meta["panoptic_truth"]["things"] == ["Truck", "Car", "Van"]
    np.testing.assert_allclose(readings[0].values["pose"], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(readings[1].values["pose"][:3, 3], (0.5, 0, 0), atol=1e-12, err_msg="ahead is x")
    assert [s.port for s in statics] == ["calibration"]
    uv, depth = project_points(np.array([[10.0, 1.0, 2.0]]), statics[0].value.P_cam, statics[0].value.T_cam_velo)
    np.testing.assert_allclose(uv[0], (620.5 - 72.50087, 187 - 145.00174))
    assert depth[0] == 10


def test_vkitti2_chooses_scenes_and_the_right_camera(tmp_path, play):
    for sequence in ("Scene01/clone", "Scene01/fog", "Scene02/clone"):
        vkitti2(tmp_path, sequence, frames=1, camera=1)
    for sequences, items in (
        ("Scene01", ["Scene01/clone/00000", "Scene01/fog/00000"]),
        (["Scene02/clone"], ["Scene02/clone/00000"]),
    ):
        config = Vkitti2Config(root=str(tmp_path), camera=1, sequences=sequences)
        assert [r.item for r in play(Vkitti2, config)[1]] == items
    with pytest.raises(InputError, match=r"config.sequences: needs sequences of Scene01/clone, .*, got Scene20"):
        play(Vkitti2, Vkitti2Config(root=str(tmp_path), camera=1, sequences="Scene20"))
    with pytest.raises(InputError, match="needs a folder with SceneNN/VARIATION/frames"):
        play(Vkitti2, Vkitti2Config(root=str(tmp_path / "Scene01")))


def test_vehicles_without_instance_are_a_crowd_and_other_colours_void(tmp_path, play, caplog):
    colors = {**VKITTI_COLORS, "Undefined": (1, 2, 3)}
    vkitti2(tmp_path, frames=1, classes=("Van", "Truck", "Sky", "Undefined"), instances=(0, 255, 7, 0), colors=colors)
    reading = play(Vkitti2, Vkitti2Config(root=str(tmp_path)), {"panoptic_truth"})[1][0]
    rows, void = told(reading)
    assert sorted(rows) == [("Sky", 2, 1.0, -1), ("Truck", 2, 1.0, 254), ("Van", 2, 0.0, -1)] and void == 2
    assert "1 ids of no class taken as void" in caplog.messages[0]


def test_colours_of_another_version_are_read(tmp_path, play):
    colors = {**VKITTI_COLORS, "Road": (7, 8, 9)}
    vkitti2(tmp_path, frames=1, colors=colors, poses=False)
    reading = play(Vkitti2, Vkitti2Config(root=str(tmp_path)), {"panoptic_truth"})[1][0]
    assert told(reading)[0][0] == ("Road", 2, 1.0, -1)
    with pytest.raises(InputError, match=r"pose is connected, but there is no SceneNN/VARIATION/extrinsic.txt"):
        play(Vkitti2, Vkitti2Config(root=str(tmp_path)), {"pose"})


@pytest.mark.parametrize(
    ("file", "text", "port", "message"),
    [
        ("colors.txt", "Category r g b\nRoad 1 2\n", "panoptic_truth", r"colors.txt:2: needs a class and its colour"),
        (
            "colors.txt",
            "Category r g b\nRoad 1 2 3\n",
            "panoptic_truth",
            "needs a colour for each class .*, got none for Terrain, S",
        ),
        (
            "extrinsic.txt",
            "frame cameraID\n0 0 1\n",
            "pose",
            r"extrinsic.txt:2: needs 18 numbers after the start of the line, got 3",
        ),
        ("extrinsic.txt", "0 1 " + "1 " * 16, "pose", "extrinsic.txt: needs a line for frame 0 of camera 0, got none"),
        ("extrinsic.txt", "0 0 " + "1 " * 16, "pose", "extrinsic.txt: needs a rotation for frame 0 of camera 0"),
        ("intrinsic.txt", "0 1 1 1 1 1", "calibration", "intrinsic.txt: needs a line for frame 0 of camera 0, got none"),
    ],
)
def test_vkitti2_refuses_wrong_texts(tmp_path, play, file, text, port, message):
    vkitti2(tmp_path)
    (tmp_path / "Scene01/clone" / file).write_text(text)
    with pytest.raises(InputError, match=message):
        play(Vkitti2, Vkitti2Config(root=str(tmp_path)), {port})


def test_vkitti2_needs_class_and_instance(tmp_path, play, caplog):
    vkitti2(tmp_path, frames=3)
    next(tmp_path.glob("Scene01/clone/frames/instanceSegmentation/*/*00001.png")).unlink()
    label_png(next(tmp_path.glob("Scene01/clone/frames/classSegmentation/*/*00002.png")), blocks(1, 2))
    with pytest.raises(InputError, match=r"classgt_00002.png: needs an RGB picture of class colours, got grey values"):
        play(Vkitti2, Vkitti2Config(root=str(tmp_path)), {"panoptic_truth"})
    assert "1 pictures without labels left out" in caplog.messages[0]
