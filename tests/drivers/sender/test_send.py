import itertools
import threading
import time

import cv2
import numpy as np
import pytest
from bag_files import bag, scan
from capture_files import frames, pcap

from drivers.sender import pace
from drivers.sender.faults import Faults
from drivers.sender.pace import Pace
from drivers.sender.packets import Packets, restamped
from drivers.sender.pictures import Pictures
from drivers.sender.send import SendConfig, Tally, send
from drivers.udp import Receiver
from pipeline.errors import InputError
from pipeline.testing import FakeClock


@pytest.fixture
def receiver():
    it = Receiver(0, "127.0.0.1")
    yield it
    it.close()


def capture(tmp_path, count=5, port=2368, gap_us=1000):
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(frames([b"%d" % i for i in range(count)], port), gap_us=gap_us))
    return path


def take(receiver, count):
    got, until = [], time.monotonic() + 5
    while len(got) < count and time.monotonic() < until:
        got += receiver.receive(0.1)
    return [d.data for d in got]


# ---- time


def test_a_late_item_delays_none_after_it(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(pace, "time", clock)
    it, began = Pace(), clock.monotonic()
    sent = []
    for due_s in (0.0, 0.1, 0.2, 0.3, 0.4):
        it.wait(due_s)
        sent.append(round(clock.monotonic() - began, 6))
        clock.advance(0.15 if due_s == 0.1 else 0.01)
    assert sent == [0.0, 0.1, 0.25, 0.3, 0.4] and it.late_s == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("rate", "repeat", "times"),
    [(1.0, 1, [0, 1, 2]), (2.0, 1, [0, 0.5, 1]), (1.0, 3, [0, 1, 2, 3, 4, 5, 6, 7, 8]), (0.5, 2, [0, 2, 4, 6, 8, 10])],
)
def test_rounds_follow_each_other_at_the_same_distance(tmp_path, rate, repeat, times):
    from drivers.sender.send import _rounds

    packets = Packets(capture(tmp_path, 3, gap_us=1_000_000), 2368)
    assert [t for t, _ in _rounds(packets, repeat, rate)] == pytest.approx(times)
    endless = itertools.islice(_rounds(packets, 0, rate), 100)
    assert [data for _, data in endless] == [b"0", b"1", b"2"] * 33 + [b"0"]


# ---- faults


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_loss_and_reordering_are_counted_and_repeatable(count):
    items = [(float(i), i) for i in range(count)]
    assert list(Faults()(items)) == items
    one, two = Faults(0.1, 0.2, 7), Faults(0.1, 0.2, 7)
    got = list(one(items))
    assert got == list(two(items))
    assert len(got) == count - one.lost and len({i for _, i in got}) == len(got)
    assert sorted(t for t, _ in got) == [t for t, _ in got]
    assert sum(a > b for (_, a), (_, b) in itertools.pairwise(got)) == one.swapped
    if count == 1000:
        assert 60 < one.lost < 140 and 80 < one.swapped < 200
        assert list(Faults(0.1, 0.2, 8)(items)) != got
    assert list(Faults(1.0)(items)) == []


# ---- packets


def test_ports_of_a_capture(tmp_path):
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([*frames([b"data"] * 2), *frames([b"position"], 8308)]))
    assert [data for _, data in Packets(path, 2368)] == [b"data"] * 2
    assert [data for _, data in Packets(path, 9000, port=8308)] == [b"position"]
    both = r"2368 \(2 datagrams\), 8308 \(1 datagrams\)"
    with pytest.raises(InputError, match=f"a.pcap: needs one port, got {both}; say which: --port N"):
        Packets(path, 9000)
    with pytest.raises(InputError, match=f"needs datagrams to port 7, got those to {both}"):
        Packets(path, 2368, port=7)
    path.write_bytes(pcap([]))
    with pytest.raises(InputError, match="needs datagrams, got none"):
        Packets(path, 2368)


def test_datagrams_at_a_rate_of_their_own(tmp_path):
    assert [t for t, _ in Packets(capture(tmp_path), 2368, hz=10)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_only_velodyne_packets_are_restamped():
    data = b"\xff\xee" + bytes(1204)
    now_ns = 3600 * 10**9 * 5 + 1_234_567_891
    assert restamped(data, now_ns)[1200:1204] == (1_234_567).to_bytes(4, "little")
    assert len(restamped(data, now_ns)) == 1206 and restamped(bytes(1206), now_ns) == bytes(1206)


# ---- sending


@pytest.mark.parametrize("kind", ["pcap", "bag"])
def test_a_recording_arrives_in_order(tmp_path, receiver, kind):
    payloads = [bytes([i]) * 1206 for i in range(20)]
    if kind == "bag":
        path = bag(tmp_path / "a.db3", [scan(payloads)])
    else:
        path = tmp_path / "a.pcap"
        path.write_bytes(pcap(frames(payloads)))
    tally = Tally()
    send(SendConfig(path, f"udp://127.0.0.1:{receiver.port}", rate=None, repeat=2), tally)
    assert take(receiver, 40) == payloads * 2
    assert tally.line().startswith(f"sent 40 datagrams (0.0 MB) to udp://127.0.0.1:{receiver.port} in ")


def test_faults_and_rate_are_in_the_last_line(tmp_path, receiver):
    tally = Tally()
    path = capture(tmp_path, 100, gap_us=1000)
    send(SendConfig(path, f"udp://127.0.0.1:{receiver.port}", rate=2.0, loss=0.2, reorder=0.1, seed=3), tally)
    got = take(receiver, tally.sent)
    assert len(got) == tally.sent == 100 - tally.faults.lost
    assert tally.line().endswith(f"left out {tally.faults.lost}, swapped {tally.faults.swapped}")
    assert tally.over_s - tally.began_s >= 0.045


def test_nobody_receives(tmp_path):
    it = Receiver(0, "127.0.0.1")
    it.close()
    tally = Tally()
    send(SendConfig(capture(tmp_path, 4), f"udp://127.0.0.1:{it.port}"), tally)
    assert tally.sent == 4 and tally.line().endswith(f"{tally.refused} refused: nobody receives there") and tally.refused


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("udp://127.0.0.1", "needs udp://HOST:PORT or http://127.0.0.1:PORT/PATH"),
        ("tcp://127.0.0.1:1", "needs udp://HOST:PORT or"),
        ("udp://127.0.0.1:99999", "needs udp://HOST:PORT or"),
        ("http://192.0.2.1:80/a", "needs an address of this machine's loopback"),
        ("http://127.0.0.1:0/a", "a.pcap: --to http:// needs pictures, got packets"),
    ],
)
def test_wrong_addresses(tmp_path, to, message):
    with pytest.raises(InputError, match=message):
        send(SendConfig(capture(tmp_path), to), Tally())


# ---- pictures


def pictures(folder, count=3):
    folder.mkdir()
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:03d}.{'png' if i % 2 else 'jpg'}"), np.full((8, 16, 3), 40 * i, np.uint8))
    return folder


def test_pictures_of_a_folder_are_jpegs_with_times(tmp_path):
    it = Pictures(pictures(tmp_path / "p"))
    first = list(it)
    assert [t for t, _ in first] == pytest.approx([0, 0.1, 0.2]) and list(it) == first
    means = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).mean() for _, data in first]
    assert means == pytest.approx([0, 40, 80], abs=2)
    assert [t for t, _ in Pictures(tmp_path / "p", hz=30)] == pytest.approx([0, 1 / 30, 2 / 30])


def test_pictures_of_a_video(tmp_path):
    path = tmp_path / "a.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (32, 16))
    for i in range(4):
        video.write(np.full((16, 32, 3), 60 * i, np.uint8))
    video.release()
    it = Pictures(path)
    assert [t for t, _ in it] == pytest.approx([0, 0.05, 0.1, 0.15]) and len(list(it)) == 4


def test_a_folder_without_pictures_and_other_files(tmp_path):
    with pytest.raises(InputError, match="needs pictures"):
        Pictures(tmp_path)
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(InputError, match=r"a\.txt: needs a video, a folder of pictures, or a capture"):
        list(Pictures(tmp_path / "a.txt"))


def test_pictures_are_served(tmp_path):
    import socket
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, tally = f"http://127.0.0.1:{port}/cam", Tally()
    config = SendConfig(pictures(tmp_path / "p"), url, hz=50, repeat=8)
    thread = threading.Thread(target=send, args=(config, tally))
    thread.start()
    got, until = b"", time.monotonic() + 10
    while not got and time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                got = answer.read(2000)
        except OSError:
            time.sleep(0.02)
    thread.join(10)
    assert b"image/jpeg" in got and tally.sent == 24
