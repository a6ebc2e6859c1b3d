import pytest

from drivers.kitti.clock import make_clock, num_frames, recorded
from pipeline.errors import InputError

SECOND = 1_000_000_000


@pytest.fixture
def three(kitti):
    kitti.oxts(20, "oxts/0001.txt")
    kitti.scan("velodyne/0003/000009.bin", [])
    kitti.write(kitti.root / "detections/rcnn_Car/0007.txt", "4,2,0\n29,2,0\n3,2,0\n")
    return kitti


def test_an_empty_folder_has_no_sequences(tmp_path):
    assert recorded(tmp_path) == []
    assert make_clock("x", tmp_path, "all", 10.0).start_ns == {}


def test_sequences_follow_each_other_a_second_apart(three):
    assert make_clock("x", three.root, "all", 10.0).start_ns == {"0001": 0, "0003": 3 * SECOND, "0007": 5 * SECOND}
    assert make_clock("x", three.root, "all", 20.0).start_ns == {"0001": 0, "0003": 2 * SECOND, "0007": 35 * SECOND // 10}


@pytest.mark.parametrize("sequences", ["0007", 7, "7", ["0007"], [7, 7]])
def test_spellings_of_one_sequence(three, sequences):
    assert make_clock("x", three.root, sequences, 10.0).start_ns == {"0007": 0}


def test_a_list_is_sorted(three):
    assert make_clock("x", three.root, [7, "0001"], 10.0).start_ns == {"0001": 0, "0007": 3 * SECOND}


@pytest.mark.parametrize(
    "rate_hz, frame, offset_ns",
    [(10.0, 0, 0), (10.0, 7, 700_000_000), (30.0, 1, 33_333_333), (30.0, 2, 66_666_667), (30.0, 300, 10 * SECOND)],
)
def test_stamps_do_not_drift(three, rate_hz, frame, offset_ns):
    assert make_clock("x", three.root, 1, rate_hz).stamp_ns("0001", frame) == offset_ns


def test_length_is_the_longest_of_what_is_known(three):
    assert [num_frames(three.root, name) for name in ("0001", "0003", "0007", "0042")] == [20, 10, 30, 0]
    three.picture("image_02/0001/000024.png")
    assert num_frames(three.root, "0001") == 25


@pytest.mark.parametrize("sequences, got", [("0002", "0002"), ([1, 2, "x"], "0002, x"), ([], "an empty list")])
def test_unknown_sequences(three, sequences, got):
    with pytest.raises(InputError) as e:
        make_clock("kitti.tracking", three.root, sequences, 10.0)
    assert str(e.value) == f"kitti.tracking: config.sequences: needs sequences of {three.root} (0001, 0003, 0007), got {got}"


@pytest.mark.parametrize("rate_hz", [0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_positive(three, rate_hz):
    with pytest.raises(InputError) as e:
        make_clock("kitti.tracking", three.root, "all", rate_hz)
    assert str(e.value) == f"kitti.tracking: config.rate_hz: needs a number above 0, got {rate_hz}"
