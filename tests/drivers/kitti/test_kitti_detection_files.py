import pytest

from drivers.kitti.detection_files import last_frame, left_out, read_detections
from pipeline.errors import InputError

GOOD = "0,2,10,20,110,120,8.5,1.5,1.8,4.2,1,1.7,10,0.5,0.4"


def test_an_empty_file_holds_nothing(kitti):
    path = kitti.write(kitti.root / "d.txt", "")
    assert read_detections(path).values.shape == (0, 15)
    assert last_frame(path) == -1


@pytest.mark.parametrize("spelling", [GOOD, GOOD.replace(",", " "), GOOD.replace(",", ", "), GOOD.replace(",", "\t")])
def test_separators(kitti, spelling):
    rows = read_detections(kitti.write(kitti.root / "d.txt", spelling + "\n"))
    assert rows.values.tolist() == [[0, 2, 10, 20, 110, 120, 8.5, 1.5, 1.8, 4.2, 1, 1.7, 10, 0.5, 0.4]]


NEEDS = "needs 15 columns (frame type x1 y1 x2 y2 score h w l x y z ry alpha)"


@pytest.mark.parametrize(
    "line, text",
    [
        (GOOD[:-4], f"{NEEDS}, got 14"),
        (GOOD + ",1", f"{NEEDS}, got 16"),
        ("", f"{NEEDS}, got an empty line"),
        (GOOD.replace("8.5", "high"), "needs a number in column 7, got 'high'"),
        (GOOD.replace("8.5", ""), "needs a number in column 7, got ''"),
        (GOOD.replace("8.5", "nan"), "needs finite numbers, got nan in column 7"),
        (GOOD.replace("4.2", "-inf"), "needs finite numbers, got -inf in column 10"),
        (GOOD.replace("0,2", "1.5,2", 1), "needs a frame (number 0, 1, ..) in column 1, got 1.5"),
        (GOOD.replace("0,2", "-3,2", 1), "needs a frame (number 0, 1, ..) in column 1, got -3"),
        (GOOD.replace("0", "1712345678000", 1), "needs a frame below 1,000,000 in column 1, got 1712345678000; is it a time?"),
        (GOOD.replace("0,2", "0,4", 1), "needs type 1 (Pedestrian), 2 (Car) or 3 (Cyclist) in column 2, got 4"),
    ],
)
def test_a_malformed_line(kitti, line, text):
    path = kitti.write(kitti.root / "d.txt", f"{GOOD}\n{line}\n{GOOD}\n")
    with pytest.raises(InputError) as e:
        read_detections(path)
    assert str(e.value) == f"{path}:2: {text}"


def test_the_last_frame_counts_also_beside_malformed_lines(kitti):
    path = kitti.write(kitti.root / "d.txt", f"{GOOD}\n\nword,2\n17,2\n{GOOD}\n")
    assert last_frame(path) == 17


@pytest.mark.parametrize("written", ["17", "17.0", "17.000000", "1.700000000000000000e+01", "000017", "+17"])
def test_frame_numbers_as_others_write_them(kitti, written):
    path = kitti.write(kitti.root / "d.txt", GOOD.replace("0,2", f"{written},2", 1) + f"\n{GOOD}\n")
    assert last_frame(path) == 17
    assert read_detections(path).values[:, 0].tolist() == [17, 0]


@pytest.mark.parametrize("sizes", ["0,1.8,4.2", "1.5,-1,4.2", "1.5,1.8,0.0"])
def test_a_box_without_extent_is_left_out_and_named(kitti, sizes):
    flat = GOOD.replace("1.5,1.8,4.2", sizes)
    path = kitti.write(kitti.root / "d.txt", f"{GOOD}\n{flat}\n{GOOD}\n{flat}\n")
    found = read_detections(path)
    assert (len(found.values), found.lines.tolist(), found.flat) == (2, [1, 3], [2, 4])
    assert left_out([found, found]) == f"4 boxes without extent left out, the first in {path}:2"
    assert left_out([]) == ""
