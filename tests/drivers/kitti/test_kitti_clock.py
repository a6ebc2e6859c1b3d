import pytest

from drivers.kitti.clock import length, make_clock, recorded
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
    assert [length(three.root, name)[0] for name in ("0001", "0003", "0007", "0042")] == [20, 10, 30, 0]
    three.picture("image_02/0001/000024.png")
    assert length(three.root, "0001") == (25, three.root / "image_02/0001/000024.png")


@pytest.mark.parametrize("sequences, got", [("0002", "0002"), ([1, 2, "x"], "0002, x"), ([], "an empty list")])
def test_unknown_sequences(three, sequences, got):
    with pytest.raises(InputError) as e:
        make_clock("kitti.tracking", three.root, sequences, 10.0)
    assert str(e.value) == f"kitti.tracking: config.sequences: needs sequences of {three.root} (0001, 0003, 0007), got {got}"


@pytest.mark.parametrize("rate_hz", [0, -1.0, float("nan"), float("inf"), 5e-324, 1e12])
def test_a_rate_is_positive(three, rate_hz):
    with pytest.raises(InputError) as e:
        make_clock("kitti.tracking", three.root, "all", rate_hz)
    assert str(e.value) == f"kitti.tracking: config.rate_hz: needs 0.001 to 1,000,000, got {rate_hz:g}"


@pytest.mark.parametrize("name", ["1712345678000", "1712345678000000", "1712345678000000000", "9" * 200])
def test_times_as_numbers_of_scans_are_refused(kitti, name):
    scan = kitti.scan(f"velodyne/0000/{name}.bin", [])
    with pytest.raises(InputError, match=rf"^{scan}: needs a frame number, got \S+, \S+ years at 10 Hz; .*\? The driver clouds"):
        make_clock("kitti.tracking", kitti.root, "all", 10.0)


def test_times_as_frame_numbers_of_detections_are_refused(kitti):
    path = kitti.write(kitti.root / "detections/rcnn_Car/0000.txt", "1712345678000.0,2\n")
    with pytest.raises(InputError, match=rf"^{path}: needs a frame number, got 1712345678000, 5.43e\+03 years at 10 Hz; .*\?$"):
        make_clock("kitti.tracking", kitti.root, "all", 10.0)


def test_seconds_of_today_are_numbers_like_others(kitti):
    kitti.scan("velodyne/0000/1712345678.bin", [])
    assert make_clock("kitti.tracking", kitti.root, "all", 10.0).stamp_ns("0000", 1712345678) == 171234567800000000


def test_names_that_begin_with_a_dot_do_not_count(three):
    root, before = three.root, make_clock("x", three.root, "all", 10.0)
    for name in ("oxts/._0001.txt", "oxts/.0002.txt", "detections/rcnn_Car/._0007.txt", "detections/._rcnn_Car", ".DS_Store"):
        three.write(root / name, b"\0\5\x16\7" * 400)
    for name in ("oxts/.ipynb_checkpoints/0009.txt", "detections/.ipynb_checkpoints/0009.txt", "velodyne/.git/0009.txt"):
        three.write(root / name, "0\n" * 99)
    assert make_clock("x", root, "all", 10.0) == before and recorded(root) == ["0001", "0003", "0007"]


@pytest.mark.parametrize("where", ["oxts/0001.txt", "oxts/0009.txt", "detections/rcnn_Car/0009.txt", "velodyne/0009"])
def test_a_link_to_nothing_is_named(three, where):
    link = three.root / where
    link.unlink(missing_ok=True)
    link.symlink_to("nowhere")
    with pytest.raises(InputError, match=f"^{link}: is a link to nowhere, which is not there$"):
        make_clock("x", three.root, "all", 10.0)
