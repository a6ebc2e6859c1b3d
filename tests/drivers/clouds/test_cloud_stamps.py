from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.clouds.stamps import stamps_ns
from pipeline.errors import InputError

AT = 1509590432823038000


def read(*names, unit="auto"):
    return stamps_ns([Path(f"{name}.pcd") for name in names], unit)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1509590432823038000", AT),
        ("1509590432823038", AT),
        ("1509590432823", AT // 10**6 * 10**6),
        ("1509590432", AT // 10**9 * 10**9),
        ("1509590432.823038000", AT),
        ("1509590432.823038", AT),
        ("1509590432.8", AT // 10**8 * 10**8),
        ("1509590432_823038000", AT),
        ("12.25", 12_250_000_000),
        ("cloud_1509590432823038000", AT),
        ("cloud_1509590432.823038000", AT),
        ("n015-2018-07-24-11-22-45+0800__LIDAR_TOP__1532402927647951.pcd", 1532402927647951000),
    ],
)
def test_the_unit_is_found(name, expected):
    assert read(name) == [expected]


def test_the_greatest_name_decides():
    assert read("99", "1673400471837873222") == [99, 1673400471837873222]
    assert read("999999999.5", "1000000000") == [999_999_999_500_000_000, 10**18]


def test_nanoseconds_without_zeros_in_front():
    """A decimal does not end with 0 where others have more digits."""
    assert read("1509590432.923038000", "1509590433.23038000") == [AT + 10**8, AT + 2 * 10**8]


def test_decimals_of_different_length():
    assert read("10.5", "10.25", "11.0") == [10_500_000_000, 10_250_000_000, 11_000_000_000]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], r"a\.pcd: config.stamps: names needs a file called by its time; config.stamps: rate\?"),
        (["9" * 200], "needs a file called by its time"),
        (["1.2.3"], "needs a file called by its time"),
        (["000001", "000002"], r"000001\.pcd: .* to find their unit, got 1 digits at most; set config.stamp_unit: s, ms"),
        (["1.5", "1.123456789"], r"1\.5\.pcd: .* other names have more digits; set config.stamp_unit: s for"),
        (["9" * 19], r"needs a time in 1970\.\.2262 in ns"),
    ],
)
def test_names_without_a_certain_time(names, message):
    with pytest.raises(InputError, match=message):
        read(*names)


@pytest.mark.parametrize(
    ("names", "unit", "expected"),
    [
        (["1", "2"], "us", [1000, 2000]),
        (["1", "2"], "ms", [10**6, 2 * 10**6]),
        (["1.5", "1.123456789"], "s", [1_500_000_000, 1_123_456_789]),
        (["1.5", "1.123456789"], "s.ns", [1_000_000_005, 1_123_456_789]),
        (["1500000000000"], "ns", [1500000000000]),
        (["12.5"], "ms", [12_500_000]),
    ],
)
def test_the_unit_that_was_asked_for(names, unit, expected):
    assert read(*names, unit=unit) == expected


@pytest.mark.parametrize(("name", "unit"), [("9300000000", "s"), ("1.1234567890", "s.ns"), ("9" * 30, "ms")])
def test_times_out_of_range(name, unit):
    with pytest.raises(InputError, match=f"in {unit}, got this name; set config.stamp_unit"):
        read(name, unit=unit)


@given(st.text(max_size=30))
def test_any_name(name):
    """A time, or an error that names the file."""
    try:
        (stamp,) = stamps_ns([Path("d", name.replace("/", "_") + ".pcd")], "auto")
    except InputError as error:
        text = str(error)
    else:
        text = "config.stamp" if 0 <= stamp < 2**63 else f"{stamp}"
    assert "config.stamp" in text
