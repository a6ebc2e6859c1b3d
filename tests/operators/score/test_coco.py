import json
import re
import sys

import pytest

from operators.score import coco
from pipeline.__main__ import main
from pipeline.errors import InputError

TRUTH = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 3, "file_name": "b.jpg"}],
    "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    "annotations": [
        {"id": 0, "image_id": 7, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0},
        {"id": 0, "image_id": 3, "category_id": 18, "bbox": [10, 10, 200, 100]},
    ],
}


def result(image=7, category=1, box=(10, 10, 40, 40), score=0.9):
    return {"image_id": image, "category_id": category, "bbox": list(box), "score": score}


FOUND = [result(), result(3, 18, (10, 10, 200, 100))]


@pytest.fixture
def files(tmp_path):
    def write(truth, results):
        paths = tmp_path / "gt.json", tmp_path / "results.json"
        for path, content in zip(paths, (truth, results), strict=True):
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return paths

    return write


def test_found_also_where_annotations_share_the_id_0(files):
    pytest.importorskip("pycocotools")
    found = coco.evaluate(*files(TRUTH, FOUND))
    assert [found[name] for name in ("AP", "AP50", "AR100")] == pytest.approx([1, 1, 1]) and found["AP_small"] is None
    assert [of["name"] for of in found["classes"].values()] == ["person", "dog"]


def test_no_results_no_truth(files):
    pytest.importorskip("pycocotools")
    found = coco.evaluate(*files(TRUTH, []))
    assert found["AP"] == 0 and found["classes"]["18"]["AP50"] == 0
    for truth, results in ((TRUTH | {"annotations": []}, FOUND), (TRUTH | {"annotations": [], "images": []}, [])):
        gt, path = files(truth, results)
        found = coco.evaluate(gt, path)
        assert found["AP"] is None and found["notes"] == [f"--gt {gt}: has no annotation: n/a instead of scores"]
        assert coco.lines(found)[1].split() == ["all"] + ["n/a"] * 6


def test_more_results_than_count_are_named(files):
    pytest.importorskip("pycocotools")
    gt, path = files(TRUTH, [result(box=(300, 300, 9, 9), score=0.99)] * 100 + [result()])
    found = coco.evaluate(gt, path)
    assert found["classes"]["1"]["AP"] == 0
    text = "image 7 has 101 results of category 1, the first of 1 such cases; COCO counts the best 100"
    assert found["notes"] == [f"--results {path}: {text}"]


def test_printed_and_written(files, tmp_path, capsys):
    pytest.importorskip("pycocotools")
    gt, results = files(TRUTH, FOUND)
    args = ["--gt", str(gt), "--results", str(results), "--json", str(tmp_path / "scores.json")]
    assert main(["eval", "coco", *args]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.splitlines()[0].split() == ["area", "AP", "AP50", "AP75", "AR1", "AR10", "AR100"]
    assert "creating index" not in out and "DONE" not in out
    assert json.loads((tmp_path / "scores.json").read_text())["classes"]["1"]["AP50"] == pytest.approx(1)


def test_without_pycocotools_the_extra_is_named(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(InputError, match=r"^eval coco: needs pycocotools, .*pip install 'perception-pipe\[eval\]'$"):
        coco.evaluate(*files(TRUTH, FOUND))


def changed(**keys):
    return TRUTH | {"annotations": [TRUTH["annotations"][0] | keys]}


BAD_TRUTH = [
    ("{", r"gt.json: needs JSON \(line 1, column 2\), got expecting property name enclosed in double quotes"),
    ("", r"gt.json: needs JSON \(line 1, column 1\), got expecting value"),
    ([], r"gt.json: needs COCO truth \(an object with the lists images, categories, annotations\), got \[\]"),
    (FOUND, r"gt.json: needs COCO truth .*; are these results\? they go to --results"),
    ({"images": []}, r"gt.json: needs COCO truth .*, got an object with images"),
    (TRUTH | {"images": [{"id": 1}, {"id": 1}]}, r"gt.json: images\[1\].id: needs every id once, got 1 again"),
    (TRUTH | {"categories": [{"name": "x"}]}, r"gt.json: categories\[0\].id: needs a whole number, got nothing"),
    (TRUTH | {"annotations": [1]}, r"gt.json: annotations\[0\]: needs an object, got 1"),
    (changed(image_id=9), r"gt.json: annotations\[0\].image_id: needs one of the 2 images of this file, got 9"),
    (changed(category_id=2), r"gt.json: annotations\[0\].category_id: needs one of the 2 categories \(1, 18, ..\), got 2"),
    (changed(bbox=[0, 0, -1, 1]), r"annotations\[0\].bbox: needs \[x, y, w, h\] with w >= 0 and h >= 0, got \[0, 0, -1, 1\]"),
    (changed(bbox=[0, 0, 1]), r"annotations\[0\].bbox: needs \[x, y, w, h\], got \[0, 0, 1\]"),
    (changed(area="big"), r"annotations\[0\].area: needs a finite number, got 'big'"),
]


@pytest.mark.parametrize(("truth", "message"), BAD_TRUTH)
def test_bad_truth(files, truth, message):
    with pytest.raises(InputError, match=f"{message}$"):
        coco.evaluate(*files(truth, FOUND))


BAD_RESULTS = [
    ("nothing", r"results.json: needs JSON \(line 1, column 1\), got expecting value"),
    (TRUTH, r"results.json: needs COCO results .*, got an object with images, .*; is it truth\? it goes to --gt"),
    ([3], r"results.json: \[0\]: needs an object with image_id, category_id, bbox, score, got 3"),
    ([result(), result(image=9)], r"results.json: \[1\].image_id: needs one of the 2 images of .*gt.json, got 9"),
    ([result(image=1.5)], r"\[0\].image_id: needs a whole number, got 1.5"),
    ([result(category=2)], r"\[0\].category_id: needs one of the 2 categories \(1, 18, ..\), got 2"),
    ([result(score=float("nan"))], r"\[0\].score: needs a finite number, got nan"),
    ([result(score=None)], r"\[0\].score: needs a finite number, got nothing"),
    ([result(box=(0, 0, 1, -2))], r"\[0\].bbox: needs \[x, y, w, h\] with w >= 0 and h >= 0, got \[0, 0, 1, -2\]"),
    ([result(box=(0, 0, 1, float("inf")))], r"\[0\].bbox: needs a finite number, got inf"),
]


@pytest.mark.parametrize(("results", "message"), BAD_RESULTS)
def test_bad_results(files, capsys, results, message):
    gt, path = files(TRUTH, results)
    assert main(["eval", "coco", "--gt", str(gt), "--results", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(rf"error: .*{message}\n", err)


@pytest.mark.data
def test_the_numbers_of_cocos_own_example(shared_data):
    pytest.importorskip("pycocotools")
    folder = shared_data / "coco_eval"
    gt, results = folder / "instances_val2014_100.json", folder / "instances_val2014_fakebbox100_results.json"
    found = coco.evaluate(gt, results)
    assert [round(found[name], 3) for name in ("AP", "AP50", "AP75")] == [0.505, 0.697, 0.573]
