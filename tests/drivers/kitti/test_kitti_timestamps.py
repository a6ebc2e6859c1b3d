import pytest

from drivers.kitti.timestamps import read_stamps
from pipeline.errors import InputError

LINES = ["2011-09-26 13:02:25.964389445", "2011-09-26 13:02:26.067", "2011-09-26 13:02:27", "2011-09-26 13:02:27.000000001"]


def test_no_frames(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("")
    assert read_stamps(path, []) == []


def test_nanoseconds_are_kept_and_lines_are_frame_numbers(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("\n".join(LINES) + "\n")
    # date -u -d '2011-09-26 13:02:25' +%s = 1317042145
    assert read_stamps(path, range(4)) == [1317042145964389445, 1317042146067000000, 1317042147000000000, 1317042147000000001]
    assert read_stamps(path, [1, 3]) == [1317042146067000000, 1317042147000000001]


@pytest.mark.parametrize(
    "lines, frames, text",
    [
        (LINES, [3, 4], ": needs a line for frame 4 (line = frame number), got 4 lines"),
        ([LINES[0], "13:02"], [0, 1], ":2: needs a time like 2011-09-26 13:02:25.964389445, got '13:02'"),
        (
            [LINES[0], LINES[1] + "x"],
            [0, 1],
            ":2: needs a time like 2011-09-26 13:02:25.964389445, got '2011-09-26 13:02:26.067x'",
        ),
        ([LINES[1], "", LINES[0]], [0, 2], ":3: needs a time after line 1, got 2011-09-26 13:02:25.964389445"),
        (["2011-09-26 13:02:25.-1"], [0], ":1: needs a time like 2011-09-26 13:02:25.964389445, got '2011-09-26 13:02:25.-1'"),
        (["9999-09-26 13:02:25"], [0], ":1: needs a time like 2011-09-26 13:02:25.964389445, got '9999-09-26 13:02:25'"),
        (["1712345678.25"], [0], ":1: needs a time like 2011-09-26 13:02:25.964389445, got '1712345678.25'"),
        (
            ["2011-09-26 13:02:2\u0661"],
            [0],
            ":1: needs a time like 2011-09-26 13:02:25.964389445, got '2011-09-26 13:02:2\u0661'",
        ),
    ],
)
def test_wrong_files(tmp_path, lines, frames, text):
    path = tmp_path / "t.txt"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError) as e:
        read_stamps(path, frames)
    assert str(e.value) == f"{path}{text}"
