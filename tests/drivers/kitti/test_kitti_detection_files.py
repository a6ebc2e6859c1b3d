import pytest

from drivers.kitti.detection_files import last_frame, read_detections
from pipeline.errors import InputError

GOOD = "0,2,10,20,110,120,8.5,1.5,1.8,4.2,1,1.7,10,0.5,0.4"


def test_an_empty_file_holds_nothing(kitti):
    path = kitti.write(kitti.root / "d.txt", "")
    assert read_detections(path).shape == (0, 15)
    assert last_frame(path) == -1


@pytest.mark.parametrize("spelling", [GOOD, GOOD.replace(",", " "), GOOD.replace(",", ", "), GOOD.replace(",", "\t")])
def test_separators(kitti, spelling):
    rows = read_detections(kitti.write(kitti.root / "d.txt", spelling + "\n"))
    assert rows.tolist() == [[0, 2, 10, 20, 110, 120, 8.5, 1.5, 1.8, 4.2, 1, 1.7, 10, 0.5, 0.4]]


NEEDS = "needs 15 numbers (frame type x1 y1 x2 y2 score h w l x y z ry alpha)"


@pytest.mark.parametrize(
    "line, text",
    [
        (GOOD[:-4], f"{NEEDS}, got 14"),
        (GOOD + ",1", f"{NEEDS}, got 16"),
        ("", f"{NEEDS}, got 0"),
        (GOOD.replace("8.5", "high"), f"{NEEDS}, got '0,2,10,20,110,120,high,1.5,1.8,4.2,1,1.7,10,0.5,0.4'"),
        (GOOD.replace("8.5", "nan"), f"{NEEDS}, got nan in column 7"),
        (GOOD.replace("4.2", "-inf"), f"{NEEDS}, got -inf in column 10"),
        (GOOD.replace("0,2", "1.5,2", 1), "needs a frame number 0, 1, .. in column 1, got 1.5"),
        (GOOD.replace("0,2", "-3,2", 1), "needs a frame number 0, 1, .. in column 1, got -3"),
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
