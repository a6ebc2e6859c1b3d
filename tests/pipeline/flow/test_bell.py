"""A bell wakes sleepers, costs no system call without sleepers, and loses no ring."""

import mmap
import os
import random
import select
import signal
import threading
import time
from time import monotonic

import pytest

from pipeline.flow import bell as module
from pipeline.flow.bell import Bell, Silent, make


class Room:
    """A bell, its words, and its sleepers."""

    def __init__(self):
        self.fd = make()
        self.words = [7, 0, 7]
        self.bell = Bell(self.fd, self.words, 1)
        self.work = False
        self.woken = threading.Event()

    def sleep(self, timeout_s=5.0):
        self.bell.sleep(lambda: self.work, timeout_s)
        self.woken.set()

    def asleep(self, timeout_s=5.0):
        """Starts a thread that sleeps here; returns once it sleeps."""
        self.woken.clear()
        thread = threading.Thread(target=self.sleep, args=(timeout_s,), daemon=True)
        thread.start()
        until = monotonic() + 5
        while not self.words[1] and monotonic() < until:
            time.sleep(0.001)
        assert self.words[1] == 1
        return thread

    def rings(self):
        """Number of rings since the last listener."""
        if not select.select((self.fd,), (), (), 0)[0]:
            return 0
        return int.from_bytes(os.read(self.fd, 8), "little")


@pytest.fixture
def room():
    made = Room()
    yield made
    os.close(made.fd)


def test_a_bell_is_not_inherited(room):
    assert not os.get_inheritable(room.fd)
    assert os.readlink(f"/proc/self/fd/{room.fd}") == "anon_inode:[eventfd]"


def test_nobody_sleeps_nobody_rings(room):
    room.bell.wake()
    assert room.rings() == 0


def test_wake_rings_as_often_as_it_is_called_while_somebody_sleeps(room):
    room.words[1] = 1
    room.bell.wake()
    room.bell.wake()
    assert room.rings() == 2


def test_only_its_own_word_counts(room):
    room.words[0] = room.words[2] = 1
    room.bell.wake()
    assert room.rings() == 0
    room.bell.sleep(lambda: True, None)
    assert room.words == [1, 0, 1]


@pytest.mark.parametrize("timeout_s", [None, 0.0, 5.0])
def test_no_sleep_where_there_is_work(room, timeout_s):
    """The sleeper looks for work after it has set the word: a writer that stores later sees the word."""
    seen = []
    room.bell.sleep(lambda: not seen.append(room.words[1]), timeout_s)
    assert (seen, room.words[1]) == ([1], 0)


def test_a_ring_persists(room):
    """A ring without a sleeper ends the next sleep, and only that one."""
    room.bell.ring()
    room.bell.ring()
    room.bell.sleep(lambda: False, None)
    started = monotonic()
    room.bell.sleep(lambda: False, 0.02)
    assert monotonic() - started >= 0.015, "two rings were one"


@pytest.mark.parametrize("limit", [1024, 0], ids=["select", "poll"])
def test_a_sleep_with_a_limit(room, monkeypatch, limit):
    monkeypatch.setattr(module, "_MAX_SELECT", limit)
    started = monotonic()
    room.bell.sleep(lambda: False, 0.02)
    assert 0.015 <= monotonic() - started < 2
    assert room.words[1] == 0
    room.bell.ring()
    started = monotonic()
    room.bell.sleep(lambda: False, 5)
    assert monotonic() - started < 2


def test_without_a_sure_fence_a_sleeper_looks_again(room, monkeypatch):
    monkeypatch.setattr(module, "SURE", False)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    for timeout_s in (None, 5.0):
        started = monotonic()
        room.bell.sleep(lambda: False, timeout_s)
        assert 0.008 <= monotonic() - started < 2


@pytest.mark.parametrize("timeout_s", [None, 5.0])
@pytest.mark.parametrize("how", ["wake", "ring"])
def test_another_thread_wakes(room, timeout_s, how):
    thread = room.asleep(timeout_s)
    getattr(room.bell, how)()
    thread.join(5)
    assert not thread.is_alive()
    assert (room.words[1], room.rings()) == (0, 0)


@pytest.fixture
def shared():
    """Words shared with forked processes."""
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    words = memoryview(memory).cast("q")
    yield words
    words.release()
    memory.close()


def forked(work):
    """A process that runs `work` and ends within 20 s in any case. Forked before the test starts a thread."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            work()
        finally:
            os._exit(0)
    return child


def test_another_process_wakes(room, shared):
    bell = Bell(room.fd, shared, 1)

    def wake():
        while not shared[1]:
            time.sleep(0.001)
        bell.wake()

    child = forked(wake)
    bell.sleep(lambda: False, None)
    assert (os.waitpid(child, 0)[1], shared[1], room.rings()) == (0, 0, 0)


def test_a_work_look_that_raises_is_seen(room):
    with pytest.raises(ZeroDivisionError):
        room.bell.sleep(lambda: 1 // 0 > 0, None)


# -- nothing is lost ------------------------------------------------------------------------------------------------------

ROUNDS = 3000


def play(me, number, bells, seed):
    """Pass a number back and forth: store mine, wake the other, sleep until its number arrives. Sleeps have no time limit.

    Returns the number of sleeps.
    """
    rng, other, slept = random.Random(seed), 1 - me, 0

    def is_work():
        nonlocal slept
        there = number[other] >= k
        slept += not there
        return there

    for k in range(1, ROUNDS + 1):
        for _ in range(rng.randrange(30)):
            pass
        number[me] = k
        bells[other].wake()
        while number[other] < k:
            bells[me].sleep(is_work, None)
    return slept


def two_bells(words):
    fds = [make(), make()]
    return fds, [Bell(fds[i], words, i) for i in range(2)]


def test_two_threads_lose_nothing():
    number, slept = [0, 0], [0, 0]
    fds, bells = two_bells([0, 0])
    threads = [
        threading.Thread(target=lambda i=i: slept.__setitem__(i, play(i, number, bells, seed=i)), daemon=True) for i in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (number, [thread.is_alive() for thread in threads]) == ([ROUNDS, ROUNDS], [False, False])
    assert sum(slept) > 0, "they slept now and then"
    for fd in fds:
        os.close(fd)


def test_two_processes_lose_nothing(shared):
    number = shared[2:4]
    fds, bells = two_bells(shared)
    child = forked(lambda: play(1, number, bells, seed=1))
    slept = play(0, number, bells, seed=0)
    assert os.waitpid(child, 0)[1] == 0
    assert list(number) == [ROUNDS, ROUNDS]
    assert slept > 0
    number.release()
    for fd in fds:
        os.close(fd)


def test_the_bell_of_a_run_inline_does_nothing():
    assert (Silent().wake(), Silent().ring()) == (None, None)
