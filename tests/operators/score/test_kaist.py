import json
import re

import naive_kaist
import numpy as np
import pytest

from operators.score import kaist
from pipeline.__main__ import main
from pipeline.errors import InputError


def person(image=0, box=(100, 100, 30, 80), **more):
    return {"image_id": image, "category_id": 1, "bbox": list(box), "height": box[3], "occlusion": 0, "ignore": 0} | more


def result(image=0, box=(100, 100, 30, 80), score=0.9):
    return {"image_id": image, "category_id": 1, "bbox": list(box), "score": score}


def images(count, name="set06/V000/I{:05d}"):
    return [{"id": i, "im_name": name.format(i), "width": 640, "height": 512} for i in range(count)]


@pytest.fixture
def files(tmp_path):
    """files(num_images, persons, results) -> the paths of a truth and of COCO results."""

    def write(count, persons, results, name="set06/V000/I{:05d}"):
        gt, found = tmp_path / "gt.json", tmp_path / "results.json"
        categories = [{"id": i, "name": name} for i, name in enumerate(("__ignore__", "person", "cyclist", "people", "person?"))]
        rows = [row | {"id": i} for i, row in enumerate(persons)]
        gt.write_text(json.dumps({"images": images(count, name), "categories": categories, "annotations": rows}))
        found.write_text(json.dumps(results))
        return gt, found

    return write


def rates(found, setting="reasonable"):
    return [of["miss_rate"] for of in found["settings"][setting].values()]


def counts(found, setting="reasonable"):
    return tuple(found["settings"][setting]["all"][key] for key in ("persons", "found", "wrong"))


def test_nothing(files):
    for truth, text in (([], "no person counts"), ([person(ignore=1)], "no person counts")):
        found = kaist.evaluate(*files(1, truth, []))
        assert rates(found) == [None] * 3 and text in found["notes"][0]
        assert kaist.lines(found)[1].split()[:4] == ["reasonable", "n/a", "n/a", "n/a"]
    assert rates(kaist.evaluate(*files(0, [], []))) == [None]
    assert rates(kaist.evaluate(*files(2, [person(0), person(1)], []))) == [1.0, 1.0, None], "no result: all are missed"


ONE = [
    ([person()], [result()], (1, 1, 0), "found"),
    ([person()], [result(box=(100, 100, 30, 40))], (1, 1, 0), "IoU exactly 0.5"),
    ([person()], [result(box=(100, 100, 30, 39))], (1, 0, 1), "IoU below 0.5"),
    ([person()], [result(), result(score=0.8)], (1, 1, 1), "a person is found once"),
    ([person(box=(100, 100, 30, 54))], [result(box=(100, 100, 30, 54))], (0, 0, 0), "54 px high: forgives"),
    ([person(box=(100, 100, 30, 55))], [result(box=(100, 100, 30, 55))], (1, 1, 0), "55 px high"),
    ([person(height=54)], [result()], (0, 0, 0), "the key height decides"),
    ([person(occlusion=2)], [result(), result()], (0, 0, 0), "heavy occlusion forgives any number of results"),
    ([person(occlusion=1)], [result()], (1, 1, 0), "partial occlusion"),
    ([person(ignore=1)], [result(box=(100, 100, 30, 160))], (0, 0, 0), "half of the result lies in the region"),
    ([person(ignore=1)], [result(box=(100, 100, 30, 161))], (0, 0, 1), "less than half"),
    ([person(category_id=3)], [result()], (0, 0, 0), "people forgive"),
    ([person(box=(4, 100, 30, 80))], [result(box=(4, 100, 30, 80))], (0, 0, 0), "at the left border"),
    ([person(box=(5, 100, 30, 80))], [result(box=(5, 100, 30, 80))], (1, 1, 0), "5 px from it"),
    ([person(box=(606, 100, 30, 80))], [result(box=(606, 100, 30, 80))], (0, 0, 0), "at the right border"),
    ([person(box=(100, 428, 30, 80))], [result(box=(100, 428, 30, 80))], (0, 0, 0), "below 507"),
    ([person()], [result(box=(100, 100, 0, 0))], (1, 0, 1), "a result without area"),
    ([person(ignore=1), person(box=(101, 100, 30, 80))], [result()], (1, 1, 0), "a person before a region"),
]


@pytest.mark.parametrize(("truth", "results", "expected", "why"), ONE)
def test_one_image(files, truth, results, expected, why):
    assert counts(kaist.evaluate(*files(1, truth, results))) == expected, why


def test_the_largest_overlap_among_the_free_and_of_equal_ones_the_last(files):
    truth = [person(box=(100, 100, 30, 80)), person(box=(104, 100, 30, 80))]
    assert counts(kaist.evaluate(*files(1, truth, [result(box=(102, 100, 30, 80)), result(box=(100, 100, 30, 80))]))) == (2, 2, 0)
    assert counts(
        kaist.evaluate(*files(1, truth, [result(box=(103, 100, 30, 80)), result(box=(104, 100, 30, 80), score=0.1)]))
    ) == (
        2,
        2,
        0,
    )


def test_persons_in_silent_images_are_not_required_and_a_warning_names_the_rate(files):
    found = kaist.evaluate(*files(200, [person(0), person(1)], [result(0)]))
    assert (
        rates(found)[0] == pytest.approx(1e-10) and found["settings"]["reasonable"]["all"]["miss_rate_silent_images_too"] == 0.5
    )
    assert "1 of 2 persons (reasonable) are in images without any result" in found["notes"][0] and "50.00" in found["notes"][0]


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_the_naive_twin(files, seed):
    rng = np.random.default_rng(seed)
    count = 100
    truth, results = [], []
    for image in range(count):
        for _ in range(rng.integers(0, 5)):
            x, y, h = rng.integers(0, 600), rng.integers(0, 400), rng.integers(20, 130)
            more = {
                "occlusion": int(rng.integers(0, 3)),
                "ignore": int(rng.random() < 0.2),
                "category_id": int(rng.integers(1, 3)),
            }
            truth.append(person(image, tuple(map(int, (x, y, h // 2, h))), **more))
            for _ in range(rng.integers(0, 3)):
                dx, dy, dh = rng.normal(0, h / 8, 3)
                box = (float(x + dx), float(y + dy), float(h / 2), float(max(h + dh, 0)))
                results.append(result(image, box, float(rng.integers(0, 20) / 20)))
    shuffled = [results[i] for i in rng.permutation(len(results))]
    shuffled.sort(key=lambda row: -row["score"])
    found = kaist.evaluate(*files(count, truth, shuffled))
    assert not any("do not fall" in note for note in found["notes"])
    for name, setting in kaist.SETTINGS.items():
        expected = naive_kaist.miss_rate(range(count), truth, shuffled, setting.heights, setting.occluded)
        assert rates(found, name)[0] == pytest.approx(expected, abs=1e-12), name


def test_day_and_night_by_set(files):
    truth = [person(0), person(1)]
    found = kaist.evaluate(*files(2, truth, [result(0), result(1, (300, 300, 30, 80))], "set{:02d}/V000/I00019"))
    assert list(found["settings"]["reasonable"]) == ["all", "day", "night"]
    gt, results = files(2, truth, [result(0), result(1, (300, 300, 30, 80))])
    gt.write_text(gt.read_text().replace("set06/V000/I00001", "set09/V000/I00001"))
    found = kaist.evaluate(gt, results)
    assert rates(found)[1:] == [pytest.approx(1e-10), 1.0]
    gt.write_text(gt.read_text().replace("im_name", "other"))
    assert list(kaist.evaluate(gt, results)["settings"]["reasonable"]) == ["all"], "no names, not the test set: day is unknown"


def test_text_json_and_folder_give_the_same(files, tmp_path):
    truth = [person(0), person(1, occlusion=1), person(2)]
    gt, results = files(4, truth, [result(0), result(1, (102, 100, 30, 80), 0.4), result(3, score=0.7)])
    by_json = kaist.evaluate(gt, results)
    text = tmp_path / "results.txt"
    text.write_text("1,100,100,30,80,0.9\n4,100,100,30,80,0.7\n2,102,100,30,80,0.4\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    for i, line in enumerate(("person 99 99 129 179 0.9\n", "person 101 99 131 179 0.4\n", "", "person 99 99 129 179 0.7\n")):
        (folder / f"set06_V000_I{i:05d}.txt").write_text(line)
    assert kaist.evaluate(gt, text) == kaist.evaluate(gt, folder) == by_json
    assert counts(by_json) == (3, 2, 1)


def test_rows_that_do_not_fall_by_score_are_sorted_and_named(files):
    rows = [result(score=0.1), result(score=0.9)]
    found = kaist.evaluate(*files(1, [person()], rows))
    assert "the rows of 1 images do not fall by score" in found["notes"][0] and counts(found) == (1, 1, 1)


BAD_TEXT = [
    ("1,2,3\n", ":1: needs 6 columns (image, x, y, w, h, score), got 3"),
    ("1,1,1,1,1,0.5\n3,1,1,1,1,0.5\n", ":2: needs an image 1..2 of the truth in column 1, got 3"),
    ("0,1,1,1,1,0.5\n", ":1: needs a image (number 1, 2, ..) in column 1, got 0"),
    ("1,1,1,1,1,nan\n", ":1: needs finite numbers, got nan in column 6"),
    ("1,1,1,-1,1,0.5\n", ":1: needs a box with width >= 0 and height >= 0, got -1 x 1"),
    ("1,1,1,x,1,0.5\n", ":1: needs a number in column 4, got 'x'"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TEXT)
def test_bad_text(files, tmp_path, text, message):
    gt, _ = files(2, [person()], [])
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{re.escape(str(path) + message)}$"):
        kaist.evaluate(gt, path)


def test_a_folder_needs_a_file_of_every_image(files, tmp_path):
    gt, _ = files(2, [person()], [])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/set06_V000_I00001.txt").write_text("")
    message = r"needs a file of every image of the truth, got none of set06_V000_I00000.txt; an empty file means no person$"
    with pytest.raises(InputError, match=message):
        kaist.evaluate(gt, tmp_path / "folder")


def test_bad_truth(files, capsys):
    gt, results = files(1, [person(height="tall")], [])
    assert main(["eval", "kaist", "--gt", str(gt), "--results", str(results)]) == 2
    assert capsys.readouterr() == ("", f"error: {gt}: annotations[0].height: needs a finite number, got 'tall'\n")


@pytest.mark.data
def test_the_published_detector(shared_data):
    folder = shared_data / "rgbt/kaist_eval"
    found = kaist.evaluate(folder / "KAIST_annotation.json", folder / "MLPD_result.txt")
    assert [round(100 * rate, 2) for rate in rates(found)] == [7.58, 7.96, 6.95]
    assert not found["notes"] and counts(found)[0] == 1455
