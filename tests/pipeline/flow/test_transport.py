"""Channels: one peer, no loss while it is connected, nothing left when it ends; and the paths of the sockets."""

import os
import select
import stat
import time

import msgpack
import pytest
import zmq
from pipe_runs import wait_for

from pipeline.errors import RunError
from pipeline.flow.transport import HEAD, HELLO, STATIC, Sockets, body_of, head, runtime_root


@pytest.fixture
def sockets():
    made = Sockets()
    channels = []
    made.channel = lambda *args, channel=made.channel, **how: channels.append(channel(*args, **how)) or channels[-1]
    yield made
    for channel in channels:
        channel.close()
    made.close()


def message(body):
    return head(STATIC) + msgpack.packb(body)


def received(channel, count):
    wait_for(lambda: channel.drain() or len(channel.inbox) >= count, 5, f"{count} messages")
    return [channel.inbox.popleft() for _ in range(count)]


def test_both_ways_in_order(sockets, runtime):
    path = runtime / "e0"
    bound, connected = sockets.channel(path, bind=True), sockets.channel(path, bind=False)
    for i in range(100):
        assert connected.send(message(i))
    assert [body_of(m) for m in received(bound, 100)] == list(range(100))
    assert bound.send(message({"a": [1, 2]}))
    assert body_of(received(connected, 1)[0]) == {"a": [1, 2]}


def test_the_connecting_side_may_come_first(sockets, runtime):
    connected = sockets.channel(runtime / "e0", bind=False)
    assert connected.send(message(1)), "it waits for the other"
    bound = sockets.channel(runtime / "e0", bind=True)
    assert [body_of(m) for m in received(bound, 1)] == [1]


def test_no_peer_no_send(sockets, runtime):
    bound = sockets.channel(runtime / "e0", bind=True)
    assert bound.send(message(1)) is False
    bound.close()
    assert bound.send(message(1)) is False
    bound.drain()
    bound.close()


def test_the_descriptor_wakes(sockets, runtime):
    bound, connected = sockets.channel(runtime / "e0", bind=True), sockets.channel(runtime / "e0", bind=False)
    connected.send(message(None))
    received(bound, 1)
    poll = select.epoll()
    poll.register(bound.fd, select.EPOLLIN)
    connected.send(message(None))
    try:
        assert wait_for(lambda: poll.poll(1) and (bound.drain() or bound.inbox), 5, "the message")
    finally:
        poll.close()


def test_head():
    data = head(HELLO, 3, 7, 1, 2) + b"x"
    assert HEAD.unpack_from(data) == (HELLO, 3, 7, 1, 2)


def test_a_path_too_long_for_a_socket(sockets, runtime):
    path = runtime / ("x" * 100)
    with pytest.raises(RunError) as error:
        sockets.channel(path, bind=True)
    assert str(error.value) == (
        f"socket {path}: needs a path of at most 107 characters, got {len(str(path))}; set XDG_RUNTIME_DIR to a shorter folder"
    )


def test_a_folder_that_is_not_there(sockets, runtime):
    path = runtime / "gone" / "e0"
    with pytest.raises(RunError, match=rf"^socket {path}: cannot bind: No such file or directory .*; is the folder writeable\?$"):
        sockets.channel(path, bind=True)


def test_runtime_root_is_private(runtime):
    root = runtime_root()
    assert root == runtime / "pipe"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    root.chmod(0o755)
    assert stat.S_IMODE(runtime_root().stat().st_mode) == 0o700, "made private again"


def test_runtime_root_of_somebody_else(runtime):
    if os.getuid() != 0:
        pytest.skip("needs root to give a folder away")
    root = runtime_root()
    os.chown(root, 12345, -1)
    with pytest.raises(RunError) as error:
        runtime_root()
    assert str(error.value) == f"{root}: needs a folder owned by uid 0, got owner 12345; remove it or set XDG_RUNTIME_DIR"
    os.chown(root, 0, -1)


def test_runtime_root_is_no_link(runtime, tmp_path):
    (runtime / "pipe").symlink_to(tmp_path)
    with pytest.raises(RunError):
        runtime_root()
    (runtime / "pipe").unlink()


def test_without_xdg_it_lies_in_tmp(monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert str(runtime_root()) == f"/tmp/pipe-{os.getuid()}"


def test_a_second_peer_gets_nothing_and_says_nothing(sockets, runtime):
    path = runtime / "e0"
    bound, first = sockets.channel(path, bind=True), sockets.channel(path, bind=False)
    assert first.send(message(0)) and received(bound, 1)
    second = sockets.channel(path, bind=False)
    for i in range(20):
        second.send(message("mine"))
        assert bound.send(message(i)) and first.send(message(i))
    assert [body_of(m) for m in received(first, 20)] == list(range(20))
    assert [body_of(m) for m in received(bound, 20)] == list(range(20))
    second.drain()
    bound.drain()
    assert not second.inbox and not bound.inbox


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.ROUTER, zmq.PUSH])
def test_a_peer_of_another_kind_does_not_count(sockets, runtime, kind):
    bound = sockets.channel(runtime / "e0", bind=True)
    other = sockets.context.socket(kind)
    other.connect(f"ipc://{runtime / 'e0'}")
    time.sleep(0.05)
    first = sockets.channel(runtime / "e0", bind=False)
    assert first.send(message(1)) and [body_of(m) for m in received(bound, 1)] == [1]
    other.close(linger=0)
