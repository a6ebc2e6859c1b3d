"""The layouts of FLIR ADAS, KAIST and LLVIP, and any two folders: what is played, left out, refused."""

import re

import cv2
import numpy as np
import pytest
from flir_files import BBGT, coco, flir1, flir2, kaist, llvip, picture, text

from drivers.flir.reader import Flir, FlirConfig
from drivers.image_pairs import ImagePairs, ImagePairsConfig
from drivers.kaist import Kaist, KaistConfig
from drivers.llvip import Llvip, LlvipConfig
from pipeline.errors import InputError

SMALL = {"rgb": (90, 80), "thermal": (64, 52)}


def flir(root, **config):
    return FlirConfig(**{"root": str(root), **config})


def first(values):
    return values.ravel()[0] if values.ndim == 2 else values[0, 0].tolist()


def test_version_1(tmp_path, play):
    boxes = [(0, 1, 10.5, 20, 30, 60), (0, 18, 0, 0, 5, 5, {"iscrowd": 1}), (2, 3, 600, 500, 60, 20)]
    root = flir1(tmp_path, boxes=boxes)
    _, readings = play(Flir, flir(root))
    assert [r.item for r in readings] == ["FLIR_08863", "FLIR_08864", "FLIR_08865"]
    assert [r.stamp_ns for r in readings] == [0, 500_000_000, 1_000_000_000]
    values = readings[1].values
    assert values["image"].shape == (1600, 1800, 3) and values["thermal"].shape == (512, 640)
    assert values["thermal_raw"].dtype == np.uint16 and (values["thermal_raw"] == 81 * 256).all()
    assert first(values["thermal"]) == 61
    truths = [r.values["truth"] for r in readings]
    assert [t.labels.tolist() for t in truths] == [[0, -1], [], [2]]
    assert truths[0].boxes2d.tolist() == [[10.5, 20, 40.5, 80], [0, 0, 5, 5]] and np.isnan(truths[0].boxes3d).all()
    assert truths[2].boxes2d.tolist() == [[600, 500, 640, 512]], "cut to the picture"
    assert truths[0].occluded.tolist() == [3, 3] and truths[0].track_ids.tolist() == [-1, -1]
    assert all(r.meta["truth"] == {"class_names": ["person", "bicycle", "car", "dog"]} for r in readings)
    assert [r.item for r in play(Flir, flir(root), {"thermal"}, start=2)[1]] == ["FLIR_08865"]


def test_the_video_of_version_1_is_a_sequence_of_30_hz(tmp_path, play):
    _, readings = play(Flir, flir(flir1(tmp_path, "video", (1, 2), raw=False, **SMALL), split="video"), {"image", "thermal"})
    assert [(r.item, r.stamp_ns) for r in readings] == [("video/FLIR_video_00001", 0), ("video/FLIR_video_00002", 33_333_333)]


def test_version_2_pairs_the_frames_of_videos_by_its_map(tmp_path, play):
    more = {"track_id": 7, "extra_info": {"occluded": "1%_-_70%_occluded_(partially_occluded)"}}
    root = flir2(tmp_path, boxes=[(0, 79, 1, 2, 3, 4, more)])
    _, readings = play(Flir, flir(root, split="video"))
    one, two = "4FRnNpmSmwktFJKjg", "SCiKdG3MqZfiE292B"
    names = [(one, 0), (one, 1), (one, 10), (two, 2)]
    assert [r.item for r in readings] == [f"{v}/video-{v}-frame-{f:06d}-Hash{f}" for v, f in names]
    assert [r.stamp_ns for r in readings] == [0, 33_333_333, 66_666_667, 1_100_000_000]
    for reading, (_, frame) in zip(readings, names, strict=True):
        assert first(reading.values["thermal"]) == 60 + frame and first(reading.values["thermal_raw"]) == (80 + frame) * 256
        assert abs(first(reading.values["image"])[0] - 30 - frame) <= 1
    truth = readings[0].values["truth"]
    assert (truth.labels[0], truth.track_ids[0], truth.occluded[0]) == (3, 7, 1)


def test_stills_of_version_2_have_no_partners(tmp_path, play, caplog):
    for name in ("a", "b"):
        picture(tmp_path / f"images_thermal_train/data/video-{name}-frame-000001-x.jpg", (64, 52), grey=True)
    picture(tmp_path / "images_rgb_train/data/video-q-frame-000007-y.jpg", (90, 80))
    _, readings = play(Flir, flir(tmp_path, split="train"), {"thermal", "truth"})
    assert [list(r.values) for r in readings] == [["thermal"]] * 2
    assert caplog.messages == [
        "1 RGB pictures left out: version 2 of the data set has no thermal partners for those of train",
        "no truth: there are no annotations",
    ]
    with pytest.raises(InputError, match=r"src: image is connected, but there are no RGB pictures; add what is missing or disc"):
        play(Flir, flir(tmp_path, split="train"), {"image"})


def test_missing_partners_and_other_sizes_are_left_out_counted_and_named(tmp_path, play, caplog):
    root = flir1(tmp_path, numbers=range(1, 8), raw=False, **SMALL)
    folder = root / "val"
    (folder / "RGB/FLIR_00002.jpg").unlink()
    (folder / "thermal_8_bit/FLIR_00003.jpeg").unlink()
    picture(folder / "RGB/FLIR_00005.jpg", (72, 48))
    picture(folder / "thermal_8_bit/FLIR_00006.jpeg", (32, 26), kind="jpg", grey=True)
    _, readings = play(Flir, flir(root, rate_hz=10), {"image", "thermal", "truth"})
    assert [(r.item, r.stamp_ns) for r in readings] == [
        ("FLIR_00001", 0), ("FLIR_00004", 300_000_000), ("FLIR_00007", 600_000_000)
    ]  # fmt: skip
    assert caplog.messages == [
        f"2 pictures without a partner left out, the first {folder}/thermal_8_bit/FLIR_00002.jpeg; "
        f"1 pairs with another size than 90 x 80 left out, the first {folder}/RGB/FLIR_00005.jpg (72 x 48); "
        f"1 pairs with another size than 64 x 52 left out, the first {folder}/thermal_8_bit/FLIR_00006.jpeg (32 x 26)"
    ]
    _, kept = play(Flir, flir(root, unpaired="keep", sizes="any"), {"image", "thermal"})
    assert [sorted(r.values) for r in kept[:3]] == [["image", "thermal"], ["thermal"], ["image"]] and len(kept) == 7
    with pytest.raises(
        InputError, match=r"flir: needs pictures of both cameras, got none of 7: .*pairs of unequal sizes left out"
    ):
        play(Flir, flir(root, sizes="equal"), {"image"})


def test_kaist(tmp_path, play):
    boxes = "person 10 20 30 60 1 0 0 0 0 0 0\npeople 600 400 80 40 0 0 0 0 0 1 0\n"
    root = kaist(tmp_path, boxes=boxes)
    _, readings = play(Kaist, KaistConfig(root=str(root)))
    assert [r.item for r in readings] == [*(f"set06/V000/I{k:05d}" for k in range(3)), "set09/V001/I00019"]
    assert [r.stamp_ns for r in readings] == [0, 50_000_000, 100_000_000, 1_150_000_000]
    truth = readings[0].values["truth"]
    assert truth.boxes2d.tolist() == [[10, 20, 40, 80], [600, 400, 640, 440]]
    assert truth.labels.tolist() == [0, -1] and truth.occluded.tolist() == [1, 0]
    assert readings[0].values["image"].shape == (512, 640, 3) and readings[0].values["thermal"].shape == (512, 640)
    assert [r.item for r in play(Kaist, KaistConfig(root=str(root), sequences="set09"))[1]] == ["set09/V001/I00019"]


def test_a_list_of_kaist_keeps_the_distances_in_time(tmp_path, play, caplog):
    root = kaist(tmp_path)
    chosen = text(tmp_path / "imageSets/test-all-20.txt", "set06/V000/I00000\nset06/V000/I00002\nset06/V000/I00777\n")
    config = KaistConfig(root=str(root), frames=str(chosen), sequences="set06")
    _, readings = play(Kaist, config)
    assert [(r.item[-6:], r.stamp_ns) for r in readings] == [("I00000", 0), ("I00002", 100_000_000)]
    assert caplog.messages == ["1 listed frames that are not there left out, the first set06/V000/I00777"]
    text(chosen, "set06/V000/I00000\nset06 V000 I00002\n")
    with pytest.raises(InputError, match=rf"{chosen}:2: needs a frame such as set06/V000/I00019, got 'set06 V000 I00002'"):
        Kaist.find(config)


def test_kaist_in_xml(tmp_path, play):
    box = "<bndbox><x>10</x><y>20</y><w>30</w><h>60</h></bndbox>"
    for name in kaist(tmp_path, boxes="").glob("annotations/set*/V*/*.txt"):
        name.unlink()
        text(
            name.with_suffix(".xml"),
            f"<annotation><object><name>cyclist</name>{box}<occlusion>2</occlusion></object></annotation>",
        )
    truth = play(Kaist, KaistConfig(root=str(tmp_path)), {"truth"})[1][0].values["truth"]
    assert (truth.boxes2d.tolist(), truth.labels.tolist(), truth.occluded.tolist()) == ([[10, 20, 40, 80]], [2], [2])


def test_llvip(tmp_path, play, caplog):
    root = llvip(tmp_path, size=(128, 104))
    for path in (root / "Annotations").iterdir():
        text(path, path.read_text().replace("100", "10").replace("200", "20").replace("150", "15").replace("330", "33"))
    llvip(tmp_path, ("010001",), "train", size=(8, 8))  # whose annotation is none of the test's
    _, readings = play(Llvip, LlvipConfig(root=str(root)))
    assert [(r.item, r.stamp_ns) for r in readings] == [("190001", 0), ("190002", 1_000_000_000)]
    truth = readings[1].values["truth"]
    assert truth.boxes2d.tolist() == [[10, 20, 15, 33]] and truth.truncated.tolist() == [0]
    assert readings[1].meta["truth"] == {"class_names": ["person"]} and not caplog.messages


def pairs(root, **config):
    return ImagePairsConfig(**{"image": str(root / "vi"), "thermal": str(root / "ir"), **config})


def test_any_two_folders(tmp_path, play, caplog):
    for k, name in enumerate(("1", "2", "10")):
        picture(tmp_path / "vi" / f"{name}.png", (8 + k, 6), k, "png")
        picture(tmp_path / "ir" / f"{name}.jpg", (8 + k, 6), 10 * k, grey=True)
    picture(tmp_path / "ir/3.jpg", (8, 6))
    _, readings = play(ImagePairs, pairs(tmp_path), {"image", "thermal"})
    assert [(r.item, r.stamp_ns) for r in readings] == [("1", 0), ("2", 100_000_000), ("10", 300_000_000)]
    assert [first(r.values["image"])[0] for r in readings] == [0, 1, 2] and len(caplog.messages) == 1
    picture(tmp_path / "vi/2.png", (5, 5), 1, "png")
    assert [r.item for r in play(ImagePairs, pairs(tmp_path), {"image"})[1]] == ["1", "10"]
    assert caplog.messages[-1].endswith(
        f"1 pairs of unequal sizes left out, the first {tmp_path}/vi/2.png (5 x 5, thermal 9 x 6)"
    )


def test_folders_with_other_names_are_joined_by_order(tmp_path, play):
    for k in (1, 2, 10):
        picture(tmp_path / "vi" / f"vis_{k}.png", (8, 6), k, "png")
        picture(tmp_path / "ir" / f"{k}_lwir.png", (8, 6), 10 * k, "png", grey=True)
        picture(tmp_path / "raw" / f"{k}.tiff", (8, 6), k, "tiff")
    _, readings = play(
        ImagePairs, pairs(tmp_path, thermal_raw=str(tmp_path / "raw"), match="order"), {"image", "thermal", "thermal_raw"}
    )
    found = [[first(r.values[port]) for port in ("image", "thermal", "thermal_raw")] for r in readings]
    assert found == [[[k] * 3, 10 * k, 256 * k] for k in (1, 2, 10)]
    (tmp_path / "vi/vis_2.png").unlink()
    with pytest.raises(
        InputError, match="match: order needs folders with the same number of pictures, got 2 in image, 3 thermal"
    ):
        ImagePairs.find(pairs(tmp_path, match="order"))


def test_counts_alone_are_played(tmp_path, play):
    picture(tmp_path / "raw/a.tiff", (8, 6), 3, "tiff")
    (reading,) = play(ImagePairs, ImagePairsConfig(thermal_raw=str(tmp_path / "raw")), {"thermal_raw"})[1]
    assert first(reading.values["thermal_raw"]) == 768


BOX = (0, 1, 10, 20, 30, 60)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "needs JSON, got: .*; copied incompletely"),
        ([], "needs COCO's lists images, annotations and categories, got other JSON"),
        (
            coco(["a"], [(5, 1, 1, 1, 2, 2)]),
            r"annotations\[0\]: needs the image_id of one of 1 images, got 5, an annotation without im",
        ),
        (
            coco(["FLIR_00001"], [BOX, (0, 44, 1, 1, 2, 2)]),
            r"annotations\[1\]: needs the category_id of one of 4 categories, got 44",
        ),
        (
            coco(["FLIR_00001"], [(0, 1, 70, 20, 30, 9)]),
            r"annotations\[0\]: needs a box in the picture of 64 x 52 pixels, got x 70 .. 100",
        ),
        (coco(["FLIR_00001"], [(0, 1, 1, 2, 3, float("nan"))]), r"annotations\[0\]: needs finite numbers x y w h, got 1 2 3 nan"),
        (coco(["FLIR_00001"], [(0, 1, 1, 2, "3", 4)]), r"annotations\[0\]: needs bbox: \[x, y, w, h\], got \[1, 2, '3', 4\]"),
        (coco(["a/x.jpg", "b/x.jpg"]), r"images\[1\]: needs a file_name of its own, got 'b/x.jpg'"),
        (coco(["x"], categories=[{"name": "car"}]), r"categories\[0\]: needs a whole number id, got None"),
    ],
)
def test_wrong_coco_files(tmp_path, play, content, message):
    path = text(flir1(tmp_path, numbers=(1,), raw=False, **SMALL) / "val/thermal_annotations.json", content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: {message}"):
        play(Flir, flir(tmp_path), {"truth"})


def test_boxes_without_extent_and_annotations_without_files_are_counted(tmp_path, play, caplog):
    root = flir1(
        tmp_path, numbers=(1, 2), raw=False, boxes=[(0, 1, 5, 5, 0, 4), (1, 1, 60, 5, 9, 9), (0, 3, 1, 1, 2, 2)], **SMALL
    )
    for kind in ("RGB/FLIR_00002.jpg", "thermal_8_bit/FLIR_00002.jpeg"):
        (root / "val" / kind).unlink()
    (reading,) = play(Flir, flir(root), {"truth"})[1]
    assert reading.values["truth"].labels.tolist() == [2]
    assert caplog.messages == [
        "1 annotations without image left out, the first FLIR_00002",
        f"1 boxes without extent left out, the first {root}/val/thermal_annotations.json: annotations[0]",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r":1: needs the line % bbGt version=3, got an empty file"),
        ("person 1 2 3 4\n", r":1: needs the line % bbGt version=3, got 'person 1 2 3 4'"),
        (BBGT + "person 1 2 3\n", r":2: needs 11 numbers after the label \(label x y w h .*\), got 3"),
        (
            BBGT + "dog 1 2 3 4 0 0 0 0 0 0 0\n",
            r":2: needs a category of person, people, cyclist, person\?, person\?a, got 'dog'",
        ),
        (
            BBGT + "person 700 2 3 4 0 0 0 0 0 0 0\n",
            r":2: needs a box in the picture of 640 x 512 pixels, got x 700 .. 703, y 2 .. 6",
        ),
        (BBGT + "person 1 2 3 4 9 0 0 0 0 0 0\n", r":2: needs occluded 0, 1 or 2 in column 6, got 9"),
    ],
)
def test_wrong_kaist_files(tmp_path, play, content, message):
    path = text(kaist(tmp_path, videos=[("set00/V000", (0,))]) / "annotations/set00/V000/I00000.txt", content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}{message}"):
        play(Kaist, KaistConfig(root=str(tmp_path)), {"truth"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<annotation><object>", "needs XML, got: .*; copied incompletely"),
        ("<a><object><name>person</name></object></a>", "object 1: needs a number in bndbox/xmin, got ''"),
        ("<a><object><name>car</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></a>",
         "object 1: needs a category of person, got 'car'"),
    ],
)  # fmt: skip
def test_wrong_xml(tmp_path, play, content, message):
    path = text(llvip(tmp_path, ("1",), size=(8, 8)) / "Annotations/1.xml", content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: {message}"):
        play(Llvip, LlvipConfig(root=str(tmp_path)), {"truth"})


def test_wrong_folders(tmp_path):
    with pytest.raises(InputError, match=r"^flir: config.root: needs a folder with FLIR ADAS: .*, got nothing; set --set NODE"):
        Flir.find(FlirConfig())
    with pytest.raises(InputError, match=r"needs a folder with FLIR ADAS: val/thermal_8_bit/ .*, got .* \(holds nothing\);"):
        Flir.find(flir(tmp_path))
    with pytest.raises(InputError, match=r"^kaist: config.root: needs a folder with images/setNN"):
        Kaist.find(KaistConfig(root=str(tmp_path)))
    with pytest.raises(InputError, match=r"^llvip: config.root: needs a folder with visible/ and infrared/"):
        Llvip.find(LlvipConfig(root=str(tmp_path)))
    with pytest.raises(InputError, match=r"^image_pairs: config.image: needs a folder, or thermal or thermal_raw, got none;"):
        ImagePairs.find(ImagePairsConfig())
    with pytest.raises(InputError, match=r"config.image: needs a folder of .png .jpg .jpeg, got .*vi \(not there\)"):
        ImagePairs.find(pairs(tmp_path))
    picture(tmp_path / "vi/a.png", (8, 6), kind="png")
    picture(tmp_path / "ir/a.tiff", (8, 6), kind="tiff")
    with pytest.raises(
        InputError, match=r"config.thermal: needs a folder of .*; TIFF files are counts of 16 bits: set config.therm"
    ):
        ImagePairs.find(pairs(tmp_path))
    with pytest.raises(InputError, match=r"flir: config.rate_hz: needs 0.001 to 1,000,000, got 0"):
        Flir.find(flir(flir1(tmp_path, numbers=(1,), **SMALL), rate_hz=0.0))
    kaist(tmp_path)
    with pytest.raises(
        InputError, match=r"kaist: config.sequences: needs sets or videos of set06/V000, set09/V001, .., got set07"
    ):
        Kaist.find(KaistConfig(root=str(tmp_path), sequences="set07"))


def test_a_cut_picture_is_named_and_the_next_frame_follows(tmp_path, play):
    root = flir1(tmp_path, numbers=(1, 2, 3), **SMALL)
    damaged = [root / "val/RGB/FLIR_00002.jpg", root / "val/thermal_8_bit/FLIR_00002.jpeg"]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-40])
    for port, path in zip(("image", "thermal"), damaged, strict=True):
        source = play.opened(Flir, flir(root), frozenset({port}))
        assert source.read().item == "FLIR_00001"
        with pytest.raises(InputError, match=f"{path}: needs a whole PNG or JPEG picture, got .*; copied incompletely"):
            source.read()
        assert source.read().item == "FLIR_00003" and source.read() is None


def test_the_bits_of_files_are_checked_before_the_run(tmp_path):
    folder = flir1(tmp_path, numbers=(1, 2), **SMALL) / "val"
    raw = picture(folder / "thermal_16_bit/FLIR_00002.tiff", SMALL["thermal"], kind="png", grey=True)
    deep = cv2.imencode(".png", np.full((52, 64), 9000, np.uint16))[1].tobytes()
    (folder / "thermal_8_bit/FLIR_00001.jpeg").write_bytes(deep)
    for port, message in (
        ("thermal_raw", f"{raw}: needs 16-bit counts of a thermal camera, got 8 bits per value"),
        (
            "thermal",
            r"FLIR_00001.jpeg: needs an 8-bit thermal picture, got 16 bits per value; .* thermal.agc makes 8-bit pictures",
        ),
    ):
        with pytest.raises(InputError, match=message):
            Flir.check_ports("src", flir(tmp_path), frozenset({port}), frozenset({port}))


@pytest.mark.data
def test_real_pairs(shared_data, play):
    folder = shared_data / "rgbt"
    rigs = [("roadscene/crop_LR_visible", "roadscene/cropinfrared", 12), ("msrs/vi", "msrs/ir", 6)]
    rigs += [("llvip/Test_LLVIP_vi", "llvip/Test_LLVIP_ir", 6)]
    for image, thermal, num in rigs:
        config = ImagePairsConfig(image=str(folder / image), thermal=str(folder / thermal))
        _, readings = play(ImagePairs, config, {"image", "thermal"})
        assert len(readings) == num
        assert all(r.values["image"].shape[:2] == r.values["thermal"].shape and r.values["thermal"].std() > 5 for r in readings)
    root = folder / "kaist"
    config = ImagePairsConfig(image=str(root / "color"), thermal=str(root / "thermal"), annotations=str(root / "annotations"))
    truths = {r.item: r.values["truth"] for r in play(ImagePairs, config, {"image", "thermal", "truth"})[1]}
    assert {item: len(truth.labels) for item, truth in truths.items()} == {"set07_V002_I01379": 2, "set08_V001_I02559": 16}
    crowd = truths["set08_V001_I02559"]
    assert (crowd.labels == 1).sum() == 3 and sorted(crowd.occluded)[-2:] == [1, 2]
