import numpy as np

from drivers.thermal.freeze import Freeze

rng = np.random.default_rng(4)


def noisy():
    return (8000 + rng.integers(-4, 5, (6, 8))).astype(np.uint16)


def seen(freeze, pictures, period_s=0.1):
    return [freeze.seen(p, round(k * period_s * 1e9)) for k, p in enumerate(pictures)]


def test_noise_never_freezes():
    freeze = Freeze(3)
    assert seen(freeze, [noisy() for _ in range(50)]) == [0] * 50 and freeze.freezes == 0


def test_a_shutter_is_a_freeze_counted_once():
    freeze, held = Freeze(3), noisy()
    assert seen(freeze, [noisy(), held, held, held, held, noisy(), noisy()]) == [0, 0, 0, 3, 4, 0, 0]
    assert freeze.freezes == 1 and abs(freeze.longest_s - 0.3) < 1e-9


def test_a_camera_that_sends_each_picture_twice():
    freeze = Freeze(3)
    assert seen(freeze, [p for p in (noisy(), noisy(), noisy()) for _ in range(2)]) == [0] * 6


def test_the_memory_of_the_camera_may_be_written_again():
    freeze, buffer = Freeze(2), noisy()
    freeze.seen(buffer, 0)
    buffer[0, 0] += 1
    assert freeze.seen(buffer, 1) == 0
    assert freeze.seen(buffer, 2) == 2
    assert freeze.seen(buffer[:3], 3) == 0 and freeze.seen(np.empty((0, 0), np.uint16), 4) == 0
