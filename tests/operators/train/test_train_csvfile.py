"""Tables that continue after a kill."""

import pytest

from operators.train.csvfile import CsvFile


def table(path, step, rows=()):
    file = CsvFile(path, ("step", "loss"), step)
    for row in rows:
        file.row(row)
    file.close()
    return path.read_text()


def test_a_new_table(tmp_path):
    assert table(tmp_path / "a.csv", 0) == "step,loss\n"
    assert table(tmp_path / "a.csv", 0, [[1, "0.5"], [2, "0.25"]]) == "step,loss\n1,0.5\n2,0.25\n"


@pytest.mark.parametrize(("step", "kept"), [(0, ""), (1, "1,0.5\n"), (2, "1,0.5\n2,0.25\n"), (9, "1,0.5\n2,0.25\n")])
def test_rows_after_the_checkpoint_are_cut(tmp_path, step, kept):
    table(tmp_path / "a.csv", 0, [[1, "0.5"], [2, "0.25"]])
    assert table(tmp_path / "a.csv", step, [[step + 1, "7"]]) == f"step,loss\n{kept}{step + 1},7\n"


def test_half_a_line_and_an_empty_one_are_no_rows(tmp_path):
    (tmp_path / "a.csv").write_text("step,loss\n1,0.5\n\nx")
    assert table(tmp_path / "a.csv", 5) == "step,loss\n1,0.5\n"


def test_a_row_is_in_the_file_at_once(tmp_path):
    file = CsvFile(tmp_path / "a.csv", ("step",), 0)
    file.row([1])
    assert (tmp_path / "a.csv").read_text() == "step\n1\n"
    file.close()
