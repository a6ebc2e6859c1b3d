import numpy as np
import pytest

from operators.kernels import glare
from operators.kernels.shade import SRGB, STEPS

SIZE = (24, 32)


def naive_spots(spots):
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    out = np.zeros((*SIZE, 3))
    for u0, v0, radius, *color in spots:
        share = (1 + ((u - u0) ** 2 + (v - v0) ** 2) / radius**2) ** -1.5 - (1 + 16.0**2) ** -1.5
        out += np.maximum(share, 0)[..., None] * np.array(color)
    return out


@pytest.mark.parametrize(
    "spots", [[], [(10, 5, 2, 1, 0.5, 0)], [(0, 0, 0.5, 3, 3, 3), (-9, 30, 1.5, 1, 2, 3), (500, 9, 1, 9, 9, 9)]]
)
def test_spots_equal_the_naive_ones_in_any_bands(spots):
    spots = np.array(spots, np.float64).reshape(-1, glare.SPOT)
    for bands in ([(0, 24)], [(0, 7), (7, 8), (8, 24)]):
        linear = np.zeros((*SIZE, 3), np.float32)
        for band in bands:
            glare.add_spots(linear, spots, *band)
        np.testing.assert_allclose(linear, naive_spots(spots), atol=1e-6)


def develop(linear, *settings, seed=5, bands=((0, 24),)):
    image = np.empty((*SIZE, 3), np.uint8)
    for band in bands:
        glare.develop(linear, *settings, np.uint64(seed), *band, image)
    return image


def test_without_noise_it_is_the_tone_curve():
    linear = np.linspace(0, 5, 24 * 32 * 3, dtype=np.float32).reshape(*SIZE, 3)
    expected = SRGB[np.clip(((linear.astype(np.float64) + 0.1) * 0.5 * STEPS).astype(int), 0, len(SRGB) - 1)]
    np.testing.assert_array_equal(develop(linear, 0.5, 0.1, 0.0, 0.0), expected)


def test_noise_belongs_to_seed_and_pixel():
    linear = np.full((*SIZE, 3), 0.2, np.float32)
    noisy = develop(linear, 1.0, 0.0, 0.02, 0.02)
    np.testing.assert_array_equal(noisy, develop(linear, 1.0, 0.0, 0.02, 0.02, bands=((0, 5), (5, 24))))
    assert (noisy != develop(linear, 1.0, 0.0, 0.02, 0.02, seed=6)).mean() > 0.5
    assert abs(noisy.mean() - SRGB[int(0.2 * STEPS)]) < 2 and noisy.std() > 2
    channels = noisy.reshape(-1, 3).astype(float)
    assert abs(np.corrcoef(channels.T)[np.triu_indices(3, 1)]).max() < 0.15
