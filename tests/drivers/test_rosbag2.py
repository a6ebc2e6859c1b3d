import pytest
from bag_files import SCAN, bag, scan

from drivers.rosbag2 import Rosbag2
from pipeline.errors import InputError

S = 1_000_000_000


def packet(number):
    return bytes([number]) * 1206


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("frame", ["velodyne", "", "abc"])
def test_the_packets_of_all_messages_with_their_stamps(tmp_path, order, frame):
    path = bag(
        tmp_path / "a.db3",
        [
            scan([packet(1), packet(2)], 5 * S, frame=frame, order=order),
            scan([], order=order),
            scan([packet(3)], 6 * S, order=order),
        ],
    )
    for where in (path, tmp_path):
        got = list(Rosbag2(where, port=7))
        assert [(d.stamp_ns, d.data, d.port) for d in got] == [
            (5 * S, packet(1), 7), (5 * S + 1_000_000, packet(2), 7), (6 * S, packet(3), 7),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "kind", "message"),
    [
        ([], "sensor_msgs/msg/Image", f"a.db3: needs a topic of {SCAN}, got sensor_msgs/msg/Image"),
        ([b""], SCAN, f"a.db3: message 1: needs a {SCAN}, got 0 other bytes; damaged"),
        ([scan([packet(1)])[:-1]], SCAN, "message 1: needs a"),
        ([scan([packet(1)]), b"\0\1\0\0" + b"\xff" * 40], SCAN, "message 2: needs a"),
    ],
)
def test_other_bags_are_named(tmp_path, messages, kind, message):
    bag(tmp_path / "a.db3", messages, kind)
    with pytest.raises(InputError, match=message):
        list(Rosbag2(tmp_path / "a.db3"))


def test_files_that_are_no_bags(tmp_path):
    with pytest.raises(InputError, match=r"needs one \*.db3, got 0"):
        Rosbag2(tmp_path)
    (tmp_path / "a.db3").write_bytes(b"no database")
    with pytest.raises(InputError, match=r"a\.db3: needs a ROS 2 bag"):
        list(Rosbag2(tmp_path))


@pytest.mark.data
def test_a_recorded_scan(shared_data):
    got = list(Rosbag2(shared_data / "pcap/velodyne_vlp16/1673400471837873222"))
    assert len(got) == 603 and {len(d.data) for d in got} == {1206} and {d.data[:2] for d in got} == {b"\xff\xee"}
    stamps = [d.stamp_ns for d in got]
    assert stamps == sorted(stamps) and 0.3 < (stamps[-1] - stamps[0]) * 1e-9 < 0.5
