"""The end of an inline run: the current step finishes, unless it takes too long."""

import os
import signal
import threading
import time

import pytest

from pipeline.runtime import interrupt
from pipeline.runtime.interrupt import Interrupt


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def step(*calls):
    with Interrupt().caught():
        for call in calls:
            call()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_step_ends(number):
    asked = Interrupt()
    with asked.caught():
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert asked.number == number


def test_the_second_one_breaks_it_off():
    with pytest.raises(KeyboardInterrupt):
        step(ctrl_c, ctrl_c, lambda: time.sleep(1))


def test_a_long_step_is_broken_off(monkeypatch):
    monkeypatch.setattr(interrupt, "PATIENCE_S", 0.05)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        step(ctrl_c, lambda: time.sleep(5))
    assert time.monotonic() - began < 1, "a system call ends, too"


def test_afterwards_all_is_as_before(monkeypatch):
    monkeypatch.setattr(interrupt, "PATIENCE_S", 0.05)
    before = signal.getsignal(signal.SIGINT)
    asked = Interrupt()
    with asked.caught():
        ctrl_c()
    assert signal.getsignal(signal.SIGINT) is before
    time.sleep(0.1)  # no late KeyboardInterrupt


def test_an_alarm():
    began = time.monotonic()
    asked = Interrupt()
    with asked.caught():
        asked.arm(0.05)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
        assert asked.number == 0, "nobody has asked"
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)  # who goes on is broken off again
        asked.disarm()
        time.sleep(0.3)
        asked.arm(60)
        asked.arm(0.05)  # instead
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
    assert time.monotonic() - began < 3


def hold(asked, done):
    with asked.held():
        time.sleep(0.2)
        done.append(True)


def test_what_is_held_is_not_broken_off():
    asked = Interrupt()
    done = []
    with asked.caught():
        asked.arm(0.05)
        with pytest.raises(KeyboardInterrupt):
            hold(asked, done)
        asked.disarm()
        with asked.held():
            ctrl_c()
    assert done == [True] and asked.number == signal.SIGINT


def test_many_alarms_that_just_come_too_late(monkeypatch):
    """None breaks off what follows."""
    monkeypatch.setattr(interrupt, "AGAIN_S", 60)
    asked = Interrupt()
    with asked.caught():
        for _ in range(200):
            try:
                asked.arm(0.001)  # on a busy machine it may ring before arm() returns
                time.sleep(0.001)
                asked.disarm()
            except KeyboardInterrupt:
                asked.disarm()
            sum(range(2000))


def test_in_another_thread():
    seen = []

    def run():
        asked = Interrupt()
        with asked.caught():
            asked.arm(0.01)
            time.sleep(0.05)
            seen.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [True]
