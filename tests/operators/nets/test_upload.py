"""Which way an array takes to a CUDA device; torch is a stand-in that works in this process. No GPU was here."""

from types import SimpleNamespace

import numpy as np
import pytest

from operators.nets.upload import Upload
from pipeline.machine.pinned import Pinned, Range

CUDA, CPU = SimpleNamespace(type="cuda"), SimpleNamespace(type="cpu")


class Tensor:
    def __init__(self, array, pinned=False):
        self.array, self.pinned, self.way = array, pinned, ""
        self.dtype, self.shape = array.dtype, array.shape

    def numel(self):
        return self.array.size

    def __getitem__(self, part):
        return Tensor(self.array[part], self.pinned)

    def view(self, shape):
        return Tensor(self.array.reshape(shape), self.pinned)

    def copy_(self, other):
        self.array[...] = other.array

    def to(self, device, non_blocking):
        assert device is CUDA and non_blocking
        made = Tensor(self.array.copy())
        made.way = "from page-locked memory" if self.pinned else "from the pool"
        return made


class Torch:
    def __init__(self):
        self.buffers = 0

    def from_numpy(self, array):
        return Tensor(array)

    def empty(self, size, dtype, pin_memory):
        assert pin_memory
        self.buffers += 1
        return Tensor(np.empty(size, dtype), pinned=True)

    def as_tensor(self, made, device):
        made.device = device
        return made


def whole(array):
    start = array.__array_interface__["data"][0]
    return start, start + array.nbytes


def test_a_cpu_takes_the_array_itself():
    array = np.arange(6.0)
    assert Upload(Torch(), CPU, Pinned()).tensor("x", array).array is array


def test_a_frame_in_a_page_locked_pool_is_copied_by_the_device():
    pool = np.arange(12, dtype=np.float32)
    pinned = Pinned([Range(*whole(pool))])
    tensor = Upload(Torch(), CUDA, pinned).tensor("x", pool[4:10].reshape(2, 3))
    assert (tensor.way, pinned.staged) == ("from the pool", 0)
    np.testing.assert_array_equal(tensor.array, [[4, 5, 6], [7, 8, 9]])


def test_an_integrated_gpu_reads_the_slot():
    pool = np.arange(12, dtype=np.float32)
    pinned = Pinned([Range(*whole(pool), device=1 << 40)])
    tensor = Upload(Torch(), CUDA, pinned).tensor("x", pool[4:10].reshape(2, 3))
    assert tensor.__cuda_array_interface__ == {
        "data": ((1 << 40) + 16, False), "shape": (2, 3), "typestr": "<f4", "strides": None, "version": 3,
    }  # fmt: skip
    assert tensor.device is CUDA and pinned.staged == 0


def test_other_memory_is_staged_and_counted():
    torch, pinned = Torch(), Pinned()
    upload = Upload(torch, CUDA, pinned)
    for number in range(1, 4):
        array = np.full((2, number), number, np.float32)
        tensor = upload.tensor("x", array)
        assert tensor.way == "from page-locked memory"
        np.testing.assert_array_equal(tensor.array, array)
    upload.tensor("x", np.ones(1, np.float32))
    upload.tensor("y", np.ones(1, np.uint8))
    assert (pinned.staged, pinned.staged_bytes) == (5, 8 + 16 + 24 + 4 + 1)
    assert torch.buffers == 4, "a buffer grows, and is used again for less"


@pytest.mark.parametrize("shape", [(0, 4), (0,)])
def test_an_empty_array(shape):
    tensor = Upload(Torch(), CUDA, Pinned([Range(0, 1 << 62)])).tensor("x", np.zeros(shape, np.float32))
    assert tensor.shape == shape


def test_an_array_with_gaps_is_made_whole():
    pool = np.arange(12, dtype=np.float32).reshape(3, 4)
    pinned = Pinned([Range(*whole(pool))])
    tensor = Upload(Torch(), CUDA, pinned).tensor("x", pool[:, 1:3])
    np.testing.assert_array_equal(tensor.array, pool[:, 1:3])
    assert pinned.staged == 1
