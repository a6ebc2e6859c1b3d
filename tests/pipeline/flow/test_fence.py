"""The fence uses a lock or the kernel; the module's choice matches the machine."""

import ctypes
import importlib.util
import platform
import threading

import pytest

from pipeline.flow import fence as module
from pipeline.flow.fence import LOOK_S, ORDERED, SURE, by_kernel, by_lock, fence


def test_a_lock_is_taken_and_given_back():
    assert by_lock() is None
    assert not module.LOCK.locked()
    with module.LOCK:
        thread = threading.Thread(target=by_lock, daemon=True)
        thread.start()
        thread.join(0.02)
        assert thread.is_alive(), "it waits for whoever is inside"
    thread.join(2)
    assert not thread.is_alive()


def test_of_this_machine():
    made = by_kernel()
    assert made is None or made() is None


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="membarrier has no number here")
def test_membarrier_is_there_where_the_kernel_has_it():
    """Linux 4.16 has it; only a sandbox that forbids the call gives None."""
    made = by_kernel()
    if made is None:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.syscall(module._MEMBARRIER[platform.machine()], 0, 0, 0) < 6, "the kernel offers no global expedited fence"
    else:
        made()


def test_of_a_machine_that_has_no_number():
    assert by_kernel("riscv64") is None


def test_a_kernel_that_refuses(monkeypatch):
    monkeypatch.setitem(module._MEMBARRIER, "test", 1_000_000)  # no such call: ENOSYS
    assert by_kernel("test") is None


def test_what_is_said_and_what_is_used_agree():
    assert ORDERED == (platform.machine() in ("x86_64", "AMD64"))
    assert SURE == (ORDERED or module._kernel is not None)
    if ORDERED:
        assert fence is by_lock, "the lock costs a tenth of the call"
    else:
        assert fence is (module._kernel or by_lock)
    assert 0 < LOOK_S <= 0.5


class Kernel:
    """libc of another machine: `syscall` returns the answers of its kernel, and records the calls."""

    def __init__(self, answer):
        self.calls = []
        self.answer = answer

    def syscall(self, *call):
        self.calls.append(call)
        return self.answer


@pytest.mark.parametrize(("answer", "sure"), [(0, True), (-1, False)], ids=["a kernel that can", "one that refuses"])
def test_of_a_weakly_ordered_machine(monkeypatch, answer, sure):
    kernel = Kernel(answer)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(ctypes, "CDLL", lambda name, use_errno: kernel)
    spec = importlib.util.spec_from_file_location("fence_of_arm", module.__file__)
    arm = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(arm)
    assert (arm.ORDERED, arm.SURE, arm.fence is arm.by_lock) == (False, sure, not sure)
    assert kernel.calls == ([(283, 4, 0, 0), (283, 2, 0, 0)] if sure else [(283, 4, 0, 0)]), "register, then try"
    kernel.calls.clear()
    arm.fence()
    assert kernel.calls == ([(283, 2, 0, 0)] if sure else [])
