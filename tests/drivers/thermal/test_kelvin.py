import math

import numpy as np
import pytest

from drivers.thermal import kelvin
from drivers.thermal.kelvin import Planck

E4 = Planck(r1=14906.216, b=1396.5, f=1.0, o=-7261.0, r2=0.010956882)
"""Constants of a FLIR E4, as ExifTool prints them."""


def naive(count, c, emissivity, reflected_k):
    """raw2temp of Thermimage without atmosphere and window, one count at a time."""
    reflected = c.r1 / (c.r2 * (math.exp(c.b / reflected_k) - c.f)) - c.o
    of_object = count / emissivity - (1 - emissivity) / emissivity * reflected
    inside = c.r1 / (c.r2 * (of_object + c.o)) + c.f if of_object + c.o else math.inf
    return c.b / math.log(inside) if inside > 1 else math.nan


def test_linear_is_leptons_tlinear():
    table = kelvin.linear(0.01, 0.0)
    assert table.shape == (65536,) and table.dtype == np.float32
    assert table[29315] == np.float32(293.15) and np.isnan(table[0])
    assert kelvin.linear(0.04, -100.0)[10000] == np.float32(300.0)


@pytest.mark.parametrize("emissivity, reflected_k", [(1.0, 293.15), (0.95, 293.15), (0.6, 310.0)])
def test_planck_is_the_published_formula(emissivity, reflected_k):
    table = kelvin.planck(E4, emissivity, reflected_k)
    for count in (0, 7000, 8000, 10000, 12345, 15000, 20000, 65535):
        assert table[count] == pytest.approx(naive(count, E4, emissivity, reflected_k), rel=1e-6, nan_ok=True)
    there = table[np.isfinite(table)]
    assert np.all(np.diff(there) > 0)  # warmer is larger


def test_planck_is_the_inverse_of_plancks_law():
    for t in (250.0, 293.15, 350.0):
        count = E4.r1 / (E4.r2 * (math.exp(E4.b / t) - E4.f)) - E4.o
        assert kelvin.planck(E4)[round(count)] == pytest.approx(t, abs=0.1)


def test_an_object_as_warm_as_what_it_reflects_keeps_its_temperature():
    count = round(E4.r1 / (E4.r2 * (math.exp(E4.b / 300.0) - E4.f)) - E4.o)
    assert kelvin.planck(E4, 0.7, 300.0)[count] == pytest.approx(kelvin.planck(E4)[count], abs=0.02)


def test_pictures_are_converted_in_the_given_memory():
    table = kelvin.linear(0.01, 0.0)
    for shape in ((0, 0), (1, 1), (5, 7)):
        counts = np.random.default_rng(1).integers(1, 65536, shape, np.uint16)
        out = np.zeros(shape, np.float32)
        kelvin.convert(counts, table, out)
        assert np.array_equal(out, table[counts])


def test_constants_that_are_refused():
    assert not Planck().known and E4.known
    with pytest.raises(ValueError, match=r"^r1: needs r1, b, r2 of 0 or more, got -1"):
        Planck(r1=-1)
