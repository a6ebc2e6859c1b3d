import re

import pytest
from track_files import CAR, dont_care, line, write

from operators.score import kitti_rows
from pipeline.errors import InputError

OTHER = (300, 100, 350, 150)


def read(tmp_path, text, truth=False):
    return kitti_rows.read_rows(write(tmp_path, s0000=text) / "0000.txt", truth)


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file(tmp_path, text):
    rows = read(tmp_path, text)
    assert len(rows.frames) == 0 and rows.boxes_cam.shape == (0, 7)


def test_rows_come_by_frame_and_know_their_lines(tmp_path):
    rows = read(tmp_path, line(5, 1, score=0.5) + line(0, 2, score=-1e-3) + line(5, 0, kind="pedestrian", score=3))
    assert rows.frames.tolist() == [0, 5, 5] and rows.ids.tolist() == [2, 1, 0] and rows.lines.tolist() == [2, 1, 3]
    assert rows.scores.tolist() == [-0.001, 0.5, 3]
    assert [kitti_rows.TYPES[kind] for kind in rows.types] == ["car", "car", "pedestrian"]
    assert rows.boxes2d[0].tolist() == list(CAR) and rows.boxes_cam[0].tolist() == [1.5, 2, 4, 0, 1.5, 20, 0]


def test_truth_and_its_regions(tmp_path):
    rows = read(tmp_path, line(0, 3, truncated=1, occluded=2) + dont_care(0, OTHER) + line(0, -1), truth=True)
    assert rows.ids.tolist() == [3, -1] and rows.truncated.tolist() == [1, -1] and rows.occluded.tolist() == [2, -1]
    assert rows.scores.tolist() == [-1, -1]
    assert rows.of("dontcare").boxes2d.tolist() == [list(OTHER)]


def test_results_have_no_regions_and_ids_below_zero_do_not_count(tmp_path):
    assert len(read(tmp_path, dont_care(0, OTHER) + line(0, -1).replace("0 -1", "0 -2", 1)).frames) == 0


BAD = [
    ("0 1 Car 0 0\n", ":1: needs 17 or 18 columns, got 5"),
    (line(0, 1, score=1) + line(1, 1), ":2: needs 18 columns as in line 1, got 17"),
    (line(0, 1) + "\n" + line(1, 1), ":2: needs 17 or 18 columns, got an empty line"),
    (line(0, 1) + line(1, 1, kind="Bus"), ":2: needs a type of car, van, .*, dontcare in column 3, got Bus"),
    (line(0, 1) + line(1, 1, box=(1, 2, "x", 4)), ":2: needs a number in column 9, got 'x'"),
    (line(0, 1) + line(1, 1, box=(1, "nan", 3, 4)), ":2: needs finite pixels of a box, got nan in column 8"),
    (line(0, 1, xyz=(0, "inf", 1)), ":1: needs finite numbers of a box, got inf in column 15"),
    (line(0, 1, score=1) + line(1, 1, score=float("nan")), ":2: needs finite scores, got nan in column 18"),
    (line(-1, 1), r":1: needs a frame \(number 0, 1, ..\) in column 1, got -1"),
    (line(0, 1).replace("0 ", "0.5 ", 1), r":1: needs a frame \(number 0, 1, ..\) in column 1, got 0.5"),
    (line(10_000_000, 1), r":1: needs a frame below 1,000,000 in column 1, got 10000000; is it a time\?"),
    (line(0, 1).replace("0 1", "0 1.5", 1), r":1: needs a track id \(whole number\) in column 2, got 1.5"),
    (
        line(3, 1) + line(0, 1) + line(3, 2) + line(3, 1, OTHER),
        ":4: needs every track id once per frame, got id 1 of frame 3 again, first in line 1",
    ),
    (line(0, 1) + line(0, 1, kind="Van"), ":2: needs every track id once per frame, got id 1"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
@pytest.mark.parametrize("truth", [False, True])
def test_a_bad_line_is_named(tmp_path, text, message, truth):
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path))}/0000.txt{message}"):
        read(tmp_path, text, truth)


def test_one_number_for_a_car_and_a_pedestrian_is_allowed(tmp_path):
    """Some trackers number each class separately; the official tools evaluate one class at a time."""
    assert len(read(tmp_path, line(0, 1) + line(0, 1, kind="Pedestrian")).ids) == 2


def test_numbers_that_the_fast_reader_leaves_over(tmp_path):
    rows = read(tmp_path, line(0, 1, score="1e-3") + line(1, 1, score="0.12345678901234567"))
    assert rows.scores.tolist() == [0.001, 0.12345678901234567]


def test_a_truth_that_is_not_there(tmp_path):
    for folder, got in ((tmp_path / "no", "no such folder"), (tmp_path, "none")):
        message = f"eval kitti-tracking: --gt {folder}: needs a folder with label_02/SSSS.txt or SSSS.txt, got {got}"
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            kitti_rows.read_truth(folder)


def test_missing_sequences_of_the_truth(tmp_path):
    write(tmp_path / "label_02", s0001="", s0002="")
    with pytest.raises(InputError, match=r"needs label_02/SSSS\.txt of 0005, 0007, has 0001, 0002$"):
        kitti_rows.read_truth(tmp_path, ["0001", "0005", "0007"])


def test_missing_results(tmp_path):
    truth = kitti_rows.read_truth(write(tmp_path / "gt", s0001="", s0002="", s0003=""))
    results = write(tmp_path / "results", s0002="")
    message = (
        f"eval kitti-tracking: --results {results}: needs SSSS.txt for every sequence of the truth, got none of 0001, 0003; "
        "an empty file means no tracks; --sequences A,B scores fewer"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        kitti_rows.read_results(results, truth)
    with pytest.raises(InputError, match="got no such folder; "):
        kitti_rows.read_results(tmp_path / "no", truth)


@pytest.mark.parametrize("layout", ["seqmap", "oxts"])
def test_a_frame_after_the_end_of_its_sequence(tmp_path, layout):
    if layout == "seqmap":
        (tmp_path / "evaluate_tracking.seqmap.val").write_text("0001 empty 000000 000003\n")
        write(tmp_path / "label_02", s0009="not read: the map does not name it")
    else:
        write(tmp_path / "oxts", s0001="1\n2\n3\n")
    write(tmp_path / "label_02", s0001=line(2, 1))
    truth = kitti_rows.read_truth(tmp_path)
    assert truth.frames == {"0001": 3} and list(truth.rows) == ["0001"]
    results = write(tmp_path / "results", s0001=line(0, 1) + line(3, 2))
    with pytest.raises(InputError, match=r"results/0001.txt:2: needs a frame 0..2 \(so long is the sequence\), got frame 3$"):
        kitti_rows.read_results(results, truth)


def test_the_last_row_tells_the_length_where_nothing_else_does(tmp_path):
    truth = kitti_rows.read_truth(write(tmp_path / "gt", s0001=line(4, 1), s0002=""))
    results = kitti_rows.read_results(write(tmp_path / "results", s0001=line(6, 1), s0002=""), truth)
    assert [kitti_rows.num_frames(truth, name, results[name]) for name in results] == [7, 0]


MAP = "evaluate_tracking.seqmap.a:1: needs SSSS empty 000000 NNNNNN (up to 1,000,000 frames)"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": "0001 empty 0\n"}, f"{MAP}, got '0001 empty 0'"),
        ({"a": f"0001 empty 0 {'9' * 5000}\n"}, f"{MAP}, got '0001 empty 0 {'9' * 27}'"),
        ({"a": "", "b": ""}, "needs one evaluate_tracking.seqmap.*, got evaluate_tracking.seqmap.a, evaluate_tracking.seqmap.b"),
    ],
)
def test_a_bad_map_of_sequences(tmp_path, files, message):
    write(tmp_path / "label_02", s0001="")
    for name, text in files.items():
        (tmp_path / f"evaluate_tracking.seqmap.{name}").write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        kitti_rows.read_truth(tmp_path)


def test_notes(tmp_path):
    truth = kitti_rows.read_truth(write(tmp_path / "gt", s0001=line(0, 1) + line(1, 1, (5, 5, 5, 9))))
    folder = write(tmp_path / "results", s0001=line(0, 1, (9, 9, 1, 1)) + line(0, 2, (0, 0, 0, 0)), s0002="")
    got = kitti_rows.notes(tmp_path / "gt", folder, truth, kitti_rows.read_results(folder, truth))
    tail = "without area (needs x2 > x1, y2 > y1); in 2D they match nothing"
    assert got == [
        f"{folder}: 0002: not in the truth {tmp_path / 'gt'}, not scored",
        f"{tmp_path}/gt/0001.txt:2: first of 1 boxes of the truth {tail}",
        f"{folder}/0001.txt:1: first of 2 boxes of the results {tail}",
    ]
