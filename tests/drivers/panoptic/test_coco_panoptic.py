import json

import numpy as np
import pytest
from panoptic_files import blocks, coco_panoptic

from drivers.coco_panoptic import CocoPanoptic, CocoPanopticConfig
from operators.streams import PANOPTIC
from pipeline.errors import InputError


def config(root, **more):
    return CocoPanopticConfig(**{"file": str(root / "panoptic.json"), "images": str(root / "images"), **more})


def test_segments_of_the_file(tmp_path, play):
    """Two segments of one class of stuff become one; a thing keeps its track id; a crowd has score 0."""
    ids = blocks(5, 6, 70_000, 1 << 23, 0)
    segments = [
        {"id": 5, "category_id": 200},
        {"id": 6, "category_id": 200, "iscrowd": 0},
        {"id": 70_000, "category_id": 3, "track_id": 12},
        {"id": 1 << 23, "category_id": 1, "iscrowd": 1},
    ]
    root = coco_panoptic(tmp_path, {"a/000007.jpg": (ids, segments)})
    reading = play(CocoPanoptic, config(root))[1][0]
    truth = reading.values["panoptic_truth"]
    assert reading.item == "a/000007" and sorted(reading.values) == ["image", "panoptic_truth"]
    assert reading.meta["panoptic_truth"] == {"class_names": ["person", "rug", "car"], "things": ["person", "car"]}
    assert truth.labels.tolist() == [1, 2, 0] and truth.scores.tolist() == [1, 1, 0] and truth.track_ids.tolist() == [-1, 12, -1]
    assert truth.panoptic[0].tolist() == [1, 1, 1, 1, 2, 2, 3, 0]


def test_an_id_that_is_not_in_the_file_and_a_segment_without_a_pixel(tmp_path, play, caplog):
    segments = [{"id": 5, "category_id": 3}, {"id": 9, "category_id": 3}]
    root = coco_panoptic(tmp_path, {"x.jpg": (blocks(5, 6), segments)})
    truth = play(CocoPanoptic, config(root))[1][0].values["panoptic_truth"]
    assert truth.labels.tolist() == [2] and (truth.panoptic[0] == [1, 1, 1, 1, 0, 0, 0, 0]).all()
    assert caplog.messages == [
        f"1 segments of the file without a pixel, the first 9 of {root}/panoptic/x.png; "
        f"1 ids of no class taken as void, the first 6 in {root}/panoptic/x.png"
    ]


def test_many_segments(tmp_path, play):
    ids = np.arange(25 * 26).reshape(25, 26)
    most = PANOPTIC.limits["S"]
    shot = (np.minimum(ids, most), [{"id": k, "category_id": 3} for k in range(1, most + 1)])
    assert len(play(CocoPanoptic, config(coco_panoptic(tmp_path, {"x.jpg": shot})))[1][0].values["panoptic_truth"].labels) == most
    shot = (ids, [{"id": k, "category_id": 3} for k in range(1, 26 * 25)])
    with pytest.raises(InputError, match=f"needs at most {most} segments, got 649"):
        play(CocoPanoptic, config(coco_panoptic(tmp_path, {"x.jpg": shot})))


def test_without_pictures_and_with_missing_files(tmp_path, play, caplog):
    one = (blocks(5), [{"id": 5, "category_id": 1}])
    root = coco_panoptic(tmp_path, {"x.jpg": one, "y.jpg": one}, images=False, missing=("y.jpg",))
    _, readings = play(CocoPanoptic, config(root, images=""), {"panoptic_truth"})
    assert [(r.item, sorted(r.values)) for r in readings] == [("x", ["panoptic_truth"])]
    assert caplog.messages == ["1 images without any file left out"]
    with pytest.raises(InputError, match="image is connected, but there are no pictures"):
        play(CocoPanoptic, config(root, images=""), {"image"})


def test_ids_of_images_may_be_names(tmp_path, play):
    """As in the file that Cityscapes' own tool makes."""
    root = coco_panoptic(tmp_path, images=False)
    broken(lambda d: (d["images"][0].update(id="a_1"), d["annotations"][0].update(image_id="a_1")))(root)
    assert [r.item for r in play(CocoPanoptic, config(root, images=""), {"panoptic_truth"})[1]] == ["000001"]


def broken(change):
    def run(root):
        data = json.loads((root / "panoptic.json").read_text())
        change(data)
        (root / "panoptic.json").write_text(json.dumps(data))

    return run


@pytest.mark.parametrize(
    ("break_it", "more", "message"),
    [
        (lambda root: (root / "panoptic.json").write_text("{"), {}, "panoptic.json: needs JSON .line 1, column 2"),
        (lambda root: (root / "panoptic.json").write_text("[]"), {}, "an object with the lists images, categories, annotations"),
        (
            broken(lambda d: d["annotations"][0].pop("segments_info")),
            {},
            r"annotations\[0\].segments_info: needs a list, got nothing",
        ),
        (broken(lambda d: d["images"].append(9)), {}, r"images\[1\]: needs an object, got 9"),
        (
            broken(lambda d: d["annotations"][0]["segments_info"][0].update(category_id=7)),
            {},
            "category_id: needs one of the 3 categor",
        ),
        (
            broken(lambda d: d["annotations"][0]["segments_info"][1].update(id=300)),
            {},
            "needs every id once per image, got 300 again",
        ),
        (broken(lambda d: d["categories"].append({**d["categories"][0], "id": 9})), {}, "needs a name of its own for each categ"),
        (None, {"file": ""}, "config.file: needs COCO panoptic JSON, got nothing; set --set NODE.config.file=F.json"),
        (None, {"file": "/none.json"}, r"config.file: .* got /none.json \(not there\)"),
        (None, {"labels": "/none"}, r"config.labels: needs a folder, got /none \(not there\)"),
    ],
)
def test_refused_in_one_line(tmp_path, play, break_it, more, message):
    root = coco_panoptic(tmp_path)
    if break_it:
        break_it(root)
    with pytest.raises(InputError, match=message) as error:
        play(CocoPanoptic, config(root, **more))
    assert "\n" not in str(error.value)


ODD = (None, "x", [], {}, [1], 1e400, -1, 2**70, 1.5, True)


def places(value, path=()):
    """The path of every value in JSON."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def test_odd_values_at_every_place_of_the_file(tmp_path, play):
    """Played, or refused in one line."""
    root = coco_panoptic(tmp_path)
    file = root / "panoptic.json"
    text, refused = file.read_text(), []
    for path in places(json.loads(text)):
        for odd in ODD if path else ():
            data = json.loads(text)
            inner = data
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = odd
            file.write_text(json.dumps(data))
            try:
                play(CocoPanoptic, config(root))
            except InputError as error:
                refused.append(str(error))
    assert len(refused) > 150 and not [text for text in refused if "\n" in text or len(text) > 500 + 2 * len(str(tmp_path))]


@pytest.mark.data
def test_two_real_pictures(shared_data, play):
    """Areas and classes of the segments are those of the file."""
    folder = shared_data / "panoptic/coco"
    found = CocoPanopticConfig(
        file=str(folder / "panoptic_examples.json"), labels=str(folder / "panoptic_examples"), images=str(folder / "input_images")
    )
    data = json.loads((folder / "panoptic_examples.json").read_text())
    names = {row["id"]: row["name"] for row in data["categories"]}
    readings = play(CocoPanoptic, found)[1]
    assert [r.item for r in readings] == ["000000142238", "000000439180"]
    for reading in readings:
        truth, facts = reading.values["panoptic_truth"], reading.meta["panoptic_truth"]
        assert reading.values["image"].shape[:2] == truth.panoptic.shape
        (annotation,) = (row for row in data["annotations"] if row["file_name"] == f"{reading.item}.png")
        told = sorted((names[s["category_id"]], s["area"]) for s in annotation["segments_info"])
        areas = np.bincount(truth.panoptic.ravel())[1:].tolist()
        things = set(facts["things"])
        mine = [(facts["class_names"][label], area) for label, area in zip(truth.labels.tolist(), areas, strict=True)]
        assert sorted(row for row in mine if row[0] in things) == [row for row in told if row[0] in things]
        stuff = {name: 0 for name, _ in told if name not in things}
        for name, area in told:
            if name in stuff:
                stuff[name] += area
        assert {name: area for name, area in mine if name not in things} == stuff
