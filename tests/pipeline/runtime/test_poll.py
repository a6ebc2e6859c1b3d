"""The epoll of one thread: which callbacks are called."""

import os

import pytest

from pipeline.runtime.poll import Poll


@pytest.fixture
def poll():
    made = Poll()
    yield made
    made.close()


@pytest.fixture
def pipes():
    ends = [os.pipe() for _ in range(2)]
    yield ends
    for pair in ends:
        for fd in pair:
            os.close(fd)


def test_nothing_is_watched(poll):
    assert poll.wait(0) is None, "it returns when the time is over"


def test_whoever_is_readable_is_called(poll, pipes):
    called = []
    for i, (read, _) in enumerate(pipes):
        poll.watch(read, lambda i=i: called.append(i))
    poll.wait(0)
    assert called == []
    os.write(pipes[1][1], b"x")
    poll.wait(5)
    assert called == [1]
    poll.unwatch(pipes[1][0])
    poll.unwatch(pipes[1][0])
    poll.wait(0)
    assert called == [1]


def test_a_handler_may_unwatch_another(poll, pipes):
    called = []

    def handler(own, other):
        called.append(own)
        poll.unwatch(other)

    reads = [read for read, _ in pipes]
    poll.watch(reads[0], lambda: handler(*reads))
    poll.watch(reads[1], lambda: handler(*reads[::-1]))
    for _, write in pipes:
        os.write(write, b"x")
    poll.wait(5)
    assert len(called) == 1


def test_a_plain_file_is_no_error(poll, tmp_path):
    with (tmp_path / "f").open("w") as file:
        poll.watch(file.fileno(), lambda: None)
        poll.wait(0)
