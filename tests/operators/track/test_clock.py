import pytest

from operators.track.clock import NEW_RECORDING, FrameClock

MS = 1_000_000


@pytest.mark.parametrize(
    ("rate_hz", "stamps_ms", "steps", "why"),
    [
        (None, [], [], "no frames"),
        (None, [5], [0], "one"),
        (None, [0, 100, 200, 300], [0, 1, 1, 1], "regular"),
        (None, [0, 103, 207, 305, 412], [0, 1, 1, 1, 1], "a real LiDAR"),
        (None, [0, 100, 200, 400, 500, 800], [0, 1, 1, 2, 1, 3], "frames are missing"),
        (None, [0, 300, 400, 500, 600, 900], [0, 1, 1, 1, 1, 3], "the first interval was a gap: learned from the later ones"),
        (10.0, [0, 300, 400], [0, 3, 1], "rate given: known from the first interval on"),
        (None, [0, 100, 1100, 2300, 2400], [0, 1, 10, 0, 1], "up to max_gap, and beyond"),
        (None, [500, 600, 100, 200], [0, 1, 0, 1], "back in time"),
        (None, [7, 7, 7], [0, 1, 1], "a source without clock"),
        (10.0, [0, 10, 20], [0, 1, 1], "faster than told: a frame is at least one step"),
    ],
)
def test_periods(rate_hz, stamps_ms, steps, why):
    clock = FrameClock(rate_hz, max_gap=10)
    assert [clock.tick("0000", stamp * MS) for stamp in stamps_ms] == steps, why


def test_another_sequence_is_a_new_recording_and_learns_its_own_period():
    clock = FrameClock(None, max_gap=10)
    frames = [("0000", 0), ("0000", 100), ("0001", 200), ("0001", 220), ("0001", 260), ("0000", 280)]
    assert [clock.tick(sequence, stamp * MS) for sequence, stamp in frames] == [0, 1, NEW_RECORDING, 1, 2, NEW_RECORDING]
