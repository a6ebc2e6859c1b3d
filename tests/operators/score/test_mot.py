import re

import pytest
from track_files import write

from operators.score import mot
from pipeline.errors import InputError

BOX = (10, 20, 30, 60)


def row(frame, track_id, box=BOX, *rest):
    """Rest: counts (or the score) and so on; by default a row of MOT15."""
    return ",".join(map(str, (frame, track_id, *box, *(rest or (1, -1, -1, -1))))) + "\n"


def folders(tmp_path, truth, results, name="S"):
    (tmp_path / f"gt/{name}/gt").mkdir(parents=True)
    (tmp_path / f"gt/{name}/gt/gt.txt").write_text(truth)
    write(tmp_path / "results", **{name: results})
    return tmp_path / "gt", tmp_path / "results"


def counts(got):
    return got["CLR_TP"], got["CLR_FN"], got["CLR_FP"]


def test_nothing(tmp_path):
    got = mot.score(*folders(tmp_path, "", ""))
    assert counts(got) == (0, 0, 0) and got["MOTA"] == got["HOTA"] == got["IDF1"] == 0


def test_perfect(tmp_path):
    text = "".join(row(f, i, (50 * i, 20, 30, 60)) for f in range(1, 6) for i in range(3))
    got = mot.score(*folders(tmp_path, text, text))
    assert got["MOTA"] == got["HOTA"] == got["IDF1"] == 1 and counts(got) == (15, 0, 0)
    assert list(got["sequences"]) == ["S"]


def test_frames_in_any_order_and_ids_by_hand(tmp_path):
    truth = "".join(row(f, 1) for f in (4, 2, 1, 3))
    got = mot.score(*folders(tmp_path, truth, row(3, 8) + row(1, 7) + row(2, 7) + row(4, 8)))
    assert (got["IDS"], got["IDTP"], got["IDFN"], got["IDFP"], got["MOTA"]) == (1, 2, 2, 2, 3 / 4)


CLASSED = [
    ((1, 1, 1.0), (1, 0, 0), "a pedestrian"),
    ((0, 1, 1.0), (0, 0, 1), "one that does not count: who finds it is wrong"),
    ((1, 8, 1.0), (0, 0, 0), "a distractor takes its track along"),
    ((1, 3, 1.0), (0, 0, 1), "a car does not"),
    ((1, 6, 1.0), (0, 0, 1), "a vehicle that is not in the benchmark, neither"),
]


@pytest.mark.parametrize(("rest", "expected", "why"), CLASSED)
def test_classes_of_mot17(tmp_path, rest, expected, why):
    assert counts(mot.score(*folders(tmp_path, row(1, 1, BOX, *rest), row(1, 5)))) == expected, why


def test_mot20_has_one_distractor_more(tmp_path):
    assert counts(mot.score(*folders(tmp_path, row(1, 1, BOX, 1, 6, 1.0), row(1, 5), name="MOT20-01"))) == (0, 0, 0)


def test_without_area_nothing_matches_and_a_note_says_so(tmp_path):
    gt, results = folders(tmp_path, row(1, 1) + row(2, 1, (10, 20, 0, 60)), row(1, 5) + row(2, 5, (10, 20, -30, -60)))
    found = mot.evaluate(gt, results)
    assert counts(found["classes"]["pedestrian"]) == (1, 1, 1)
    assert found["notes"] == [f"{gt}/S/gt/gt.txt:2: first of 2 boxes without area (needs w > 0, h > 0); they match nothing"]


BAD_TRUTH = [
    ("1,2,3\n", ":1: needs 8 or 9 or 10 columns, got 3"),
    (row(1, 1) + row(2, 1, ("nan", 1, 1, 1)), ":2: needs finite numbers, got nan in column 3"),
    (row(0, 1), r":1: needs a frame \(number 1, 2, ..\) in column 1, got 0"),
    (row(1, -1), r":1: needs a track id \(number 0, 1, ..\) in column 2, got -1"),
    (row(2, 1) + row(1, 1) + row(2, 1), ":3: needs every track id once per frame, got id 1 of frame 2 again, first in line 1"),
    (row(1, 1, BOX, 1, 14, 1.0), ":1: needs a class 1..13 in column 8, got 14"),
    (row(3, 1), r":1: needs a frame 1..2 \(so long is the sequence\), got frame 3"),
    ("1;2;3;4;5;6;7;8\n", ":1: needs 8 or 9 or 10 columns, got 1"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TRUTH)
def test_a_bad_line_of_the_truth_is_named(tmp_path, text, message):
    gt, results = folders(tmp_path, text, "")
    (gt / "S/seqinfo.ini").write_text("[Sequence]\nseqLength=2\n")
    with pytest.raises(InputError, match=f"^{re.escape(str(gt))}/S/gt/gt.txt{message}"):
        mot.score(gt, results)


def test_results_of_other_classes_are_refused(tmp_path):
    gt, results = folders(tmp_path, row(1, 1), row(1, 1) + row(2, 1, BOX, 0.9, 3, -1, -1))
    with pytest.raises(InputError, match=r"S.txt:2: needs class 1 \(pedestrian\) or -1 in column 8, got 3$"):
        mot.score(gt, results)


def test_seven_columns_and_a_comma_at_the_end_are_enough_for_results(tmp_path):
    assert counts(mot.score(*folders(tmp_path, row(1, 1), row(1, 5, BOX, 0.9).replace("\n", ",\n")))) == (1, 0, 0)


def test_blanks_instead_of_commas(tmp_path):
    assert counts(mot.score(*folders(tmp_path, row(1, 1), row(1, 5).replace(",", "  ")))) == (1, 0, 0)


def test_missing_folders_and_sequences(tmp_path):
    for folder, got in ((tmp_path / "no", "no such folder"), (tmp_path, "none")):
        with pytest.raises(InputError, match=f"--gt .*: needs a folder with SEQ/gt/gt.txt or SEQ/gt.txt, got {got}$"):
            mot.score(folder, tmp_path)
    gt, results = folders(tmp_path, "", "")
    (gt / "T").mkdir()
    (gt / "T/gt.txt").write_text("")
    with pytest.raises(
        InputError, match=r"--results .*: needs SEQ.txt for every sequence of the truth, got none of T; an empty file"
    ):
        mot.score(gt, results)
    with pytest.raises(InputError, match=r"--results .*/no: .*, got no such folder; "):
        mot.score(gt, tmp_path / "no")
    with pytest.raises(InputError, match=r"--gt .*: needs SEQ/gt/gt.txt of X, has S, T$"):
        mot.score(gt, results, ["S", "X"])
    assert list(mot.score(gt, results, ["S"])["sequences"]) == ["S"]


@pytest.mark.parametrize("text", ["", "[Sequence]\n", "[Other]\nseqLength=3\n", "nothing\n"])
def test_a_seqinfo_that_does_not_say(tmp_path, text):
    gt, results = folders(tmp_path, "", "")
    (gt / "S/seqinfo.ini").write_text(text)
    with pytest.raises(InputError, match=r"seqinfo.ini: needs a line seqLength=NUMBER in \[Sequence\], got none$"):
        mot.score(gt, results)


UNCOUNTED = [
    ("", "no truth"),
    (row(1, 1, BOX, 0, 1, 1.0) + row(2, 1, BOX, 0, 1, 1.0), "counts is 0"),
    (row(1, 1, BOX, 1, 3, 1.0), "a car"),
    (row(1, 1, BOX, 1, 8, 1.0), "a distractor"),
]


@pytest.mark.parametrize(("truth", "why"), UNCOUNTED)
def test_truth_in_which_no_row_counts_has_no_score(tmp_path, truth, why):
    gt, results = folders(tmp_path, truth, "".join(row(f, 5) for f in range(1, 7)))
    found = mot.evaluate(gt, results)
    numbers = found["classes"]["pedestrian"]
    assert numbers["MOTA"] is numbers["HOTA"] is numbers["IDF1"] is numbers["sequences"]["S"]["MOTA"] is None, why
    assert numbers["CLR_FP"] + (1 if "distractor" in why else 0) == 6
    assert found["notes"] == [f"--gt {gt}: no row of the truth counts for pedestrian: n/a instead of scores"]
    shown = mot.lines(found)
    assert [line.split()[1:10] for line in shown[1:]] == [["n/a"] * 9] * 2


def test_one_sequence_without_truth_does_not_make_the_others_unscored(tmp_path):
    folders(tmp_path, row(1, 1), row(1, 5), name="A")
    gt, results = folders(tmp_path, "", row(1, 5), name="B")
    found = mot.evaluate(gt, results)
    assert found["classes"]["pedestrian"]["MOTA"] == 0 and found["notes"] == []


@pytest.mark.data
def test_tud(shared_data):
    """The numbers of data/README.md, which are py-motmetrics'."""
    got = mot.score(shared_data / "mot_tud", shared_data / "mot_tud")["sequences"]
    rounded = {name: (round(100 * n["IDF1"], 1), round(100 * n["MOTA"], 1), n["IDS"]) for name, n in got.items()}
    assert rounded == {"TUD-Campus": (55.8, 52.6, 7), "TUD-Stadtmitte": (64.5, 56.4, 7)}
