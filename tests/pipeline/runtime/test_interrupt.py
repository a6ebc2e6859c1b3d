"""Ctrl-C of an inline run: the current step finishes, unless it takes too long."""

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


def test_the_step_ends():
    asked = Interrupt()
    with asked.caught():
        ctrl_c()
        time.sleep(0.01)
        assert asked.requested


def test_the_second_one_breaks_it_off():
    with pytest.raises(KeyboardInterrupt):
        step(ctrl_c, ctrl_c, lambda: time.sleep(1))


def test_a_long_step_is_broken_off(monkeypatch):
    monkeypatch.setattr(interrupt, "PATIENCE_S", 0.05)
    with pytest.raises(KeyboardInterrupt):
        step(ctrl_c, *[lambda: time.sleep(0.05)] * 100)


def test_afterwards_all_is_as_before(monkeypatch):
    monkeypatch.setattr(interrupt, "PATIENCE_S", 0.05)
    before = signal.getsignal(signal.SIGINT)
    asked = Interrupt()
    with asked.caught():
        ctrl_c()
    assert signal.getsignal(signal.SIGINT) is before
    time.sleep(0.1)  # no late KeyboardInterrupt


def test_in_another_thread():
    seen = []

    def run():
        with Interrupt().caught():
            seen.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [True]
