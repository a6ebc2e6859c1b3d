import numpy as np
import pytest

from operators.kernels.counts import NUM_COUNTS
from operators.thermal.agc import Agc, percentile_limits, widened
from pipeline.errors import GraphError
from pipeline.testing import header, run_operator

RAMP = np.arange(20_000, 20_000 + 30 * 40, dtype=np.uint16).reshape(30, 40)


def run(pictures, headers=None, **config):
    return run_operator(Agc, [{"thermal_raw": picture} for picture in pictures], config, headers=headers)


def limits(counts, percentiles):
    return percentile_limits(counts, percentiles, np.empty(NUM_COUNTS, np.int32))


@pytest.mark.parametrize("percentiles", [(0, 100), (1, 99), (0.05, 99.95), (50, 51)])
@pytest.mark.parametrize("counts", [RAMP, RAMP[:1, :1], np.random.default_rng(5).integers(0, 65536, (33, 21), np.uint16)])
def test_limits_are_percentiles(counts, percentiles):
    expected = np.percentile(counts, percentiles, method="inverted_cdf")
    assert limits(counts, percentiles) == tuple(expected)


def test_a_ramp_fills_the_range_and_warmer_is_brighter():
    (out,) = run([RAMP], percentiles=[0, 100])
    assert (out.min(), out.max()) == (0, 255) and out.shape == RAMP.shape
    assert (np.diff(out.ravel().astype(int)) >= 0).all()


def test_hot_and_dead_pixels_are_cut_off():
    counts = RAMP.copy()
    counts[0, 0], counts[-1, -1] = 65535, 0
    (out,) = run([counts])
    assert (out[0, 0], out[-1, -1]) == (255, 0) and out.std() > 60


@pytest.mark.parametrize("shape", [(0, 0), (0, 40), (1, 1)])
def test_small_and_empty_pictures(shape):
    first, second = run([np.full(shape, 21_000, np.uint16), RAMP])
    assert first.shape == shape and second.max() == 255


@pytest.mark.parametrize("count", [0, 1, 21_000, 65535])
def test_a_constant_picture_becomes_grey(count):
    (out,) = run([np.full((4, 4), count, np.uint16)])
    assert (out == 128).all()


def test_noise_of_a_few_counts_is_not_stretched():
    (out,) = run([np.random.default_rng(1).integers(21_000, 21_004, (20, 20), np.uint16)], min_range_counts=256)
    assert out.max() - out.min() <= 4
    assert widened((10.0, 20.0), 10) == (10.0, 20.0) and widened((10.0, 20.0), 30) == (0.0, 30.0)


def test_fixed_range_is_the_same_in_all_frames():
    outs = run([RAMP, RAMP + 400], method="fixed", range_counts=[20_000, 21_020])
    assert [out[0, 0] for out in outs] == [0, 100] and outs[0][0, 8] == 2 and outs[0].max() == 255


def test_memory_blends_the_limits_and_begins_anew_with_a_sequence():
    frames = [RAMP, RAMP + 1000, RAMP + 1000]
    headers = [header(0, "a/0"), header(1, "a/1"), header(2, "b/0")]
    alone = run(frames, headers)
    blended = run(frames, headers, memory=0.75)
    assert np.array_equal(alone[1], alone[2]) and np.array_equal(alone[2], blended[2])
    assert blended[1].mean() > alone[1].mean() + 60


def test_same_input_same_bytes():
    frames = [np.random.default_rng(seed).integers(18_000, 26_000, (64, 80), np.uint16) for seed in range(3)]
    assert [a.tobytes() for a in run(frames, memory=0.9)] == [b.tobytes() for b in run(frames, memory=0.9)]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"percentiles": [99, 1]}, r"percentiles: needs 0 <= low < high <= 100, got \[99.0, 1.0\]"),
        ({"memory": 1.0}, "memory: needs 0 <= memory < 1, got 1.0"),
        ({"min_range_counts": 0}, "min_range_counts: needs 1..65535, got 0"),
        ({"range_counts": [5, 5]}, r"range_counts: needs 0 <= low < high < 65536, got \[5, 5\]"),
        ({"method": "median"}, "method"),
    ],
)
def test_wrong_config(config, text):
    with pytest.raises((ValueError, GraphError), match=text):
        run([RAMP], **config)


def test_eight_bit_pictures_are_refused():
    with pytest.raises(Exception, match=r"thermal_raw.*uint16.*uint8"):
        run([np.zeros((4, 4), np.uint8)])


def test_the_camera_s_own_picture_is_passed_on_where_there_are_no_counts():
    own = np.arange(1200, dtype=np.uint16).reshape(30, 40).astype(np.uint8)
    sets = [{"thermal_raw": RAMP, "thermal": own}, {"thermal": own}]
    counted, passed = run_operator(Agc, sets, {})
    assert np.array_equal(passed, own) and not np.array_equal(counted, own)
