import os
import signal
import threading

import pytest
from capture_files import frames, pcap

from drivers.udp import Receiver
from pipeline.__main__ import main


@pytest.fixture
def receiver():
    it = Receiver(0, "127.0.0.1")
    yield it
    it.close()


@pytest.fixture
def capture(tmp_path):
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(frames([b"a", b"b"])))
    return path


def test_a_capture_is_sent(receiver, capture, capsys):
    to = f"udp://127.0.0.1:{receiver.port}"
    assert main(["send", str(capture), "--to", to, "--rate", "max", "--repeat", "3"]) == 0
    assert capsys.readouterr().out.startswith(f"sent 6 datagrams (0.0 MB) to {to} in 0.")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_what_was_sent(receiver, capture, capsys, number, code):
    timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
    timer.start()
    try:
        assert main(["send", str(capture), "--to", f"udp://127.0.0.1:{receiver.port}", "--hz", "100", "--repeat", "0"]) == code
    finally:
        timer.join()
    out = capsys.readouterr().out
    assert out.startswith("sent ") and "datagrams" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--loss", "2"], "--loss: needs a probability of 0 .. 1, got 2"),
        (["--hz", "0"], "--hz: needs more than 0, got 0"),
        (["--rate", "fast"], "--rate fast: needs a number above 0, or max"),
        (["--port", "9"], "a.pcap: needs datagrams to port 9, got those to 2368 (2 datagrams)"),
    ],
)
def test_wrong_words_are_one_line(receiver, capture, capsys, args, message):
    assert main(["send", str(capture), "--to", f"udp://127.0.0.1:{receiver.port}", *args]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
