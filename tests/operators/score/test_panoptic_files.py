import json

import pytest
from panoptic_files import blocks, coco_panoptic

from operators.score.panoptic import evaluate
from operators.score.panoptic_files import read_truth
from pipeline.errors import InputError


def named(root, name):
    """The file with the image's id replaced."""
    data = json.loads((root / "panoptic.json").read_text())
    data["images"][0]["id"] = data["annotations"][0]["image_id"] = name
    (root / "panoptic.json").write_text(json.dumps(data))
    return root / "panoptic.json"


def test_ids_of_images_may_be_names(tmp_path):
    """Cityscapes' own tool writes frankfurt_000000_000294."""
    shot = {"val/a.png": (blocks(0, 300, 5), [{"id": 300, "category_id": 1}, {"id": 5, "category_id": 200}])}
    paths = []
    for side in ("gt", "results"):
        (tmp_path / side).mkdir()
        paths.append(named(coco_panoptic(tmp_path / side, shot, images=False), "a_1"))
    assert evaluate(*paths)["all"]["pq"] == 1
    truth = read_truth(paths[0])
    assert list(truth.frames) == ["a_1"] and truth.frames["a_1"][0] == "val/a.png"
    named(tmp_path / "results", "b")
    with pytest.raises(InputError, match=r"needs a prediction of each of the 1 images of .*, got none of image a_1 \(a.png\)"):
        evaluate(*paths)


def test_a_picture_that_is_no_object(tmp_path):
    data = {"images": [7], "annotations": [], "categories": []}
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"a.json: images\[0\]: needs an object, got 7"):
        read_truth(tmp_path / "a.json")


def test_truth_that_is_void_everywhere(tmp_path):
    """Nothing is missed and nothing is wrong; no score has anything to divide by, mask AP neither."""
    pytest.importorskip("pycocotools")
    paths = []
    for side, segments in (("gt", []), ("results", [{"id": 5, "category_id": 1, "score": 0.9}])):
        (tmp_path / side).mkdir()
        shot = {"val/a.png": (blocks(0, 0) if side == "gt" else blocks(5, 0), segments)}
        paths.append(coco_panoptic(tmp_path / side, shot, images=False))
    found = evaluate(*paths)
    assert found["all"]["pq"] is None and found["all"]["miou"] is None and found["frames"] == 1
    assert all(value is None for value in found["ap"].values())
    assert [sum(row[key] for row in found["per_class"].values()) for key in ("tp", "fp", "fn")] == [0, 0, 0]
