"""KITTI layouts written by hand, and a fixture that plays a source without the engine."""

import logging

import pytest
from kitti_files import Kitti, checked

from pipeline.operator import prepare


@pytest.fixture
def kitti(tmp_path):
    return Kitti(tmp_path / "kitti")


@pytest.fixture
def play(tmp_path):
    """play(Source, config, wanted=all ports, start=0) -> statics, readings; the checks first, as in the engine."""

    def run(cls, config, wanted=None, start=0):
        found = checked(cls, config, wanted)
        source = opened(cls, config, wanted, start)
        statics, readings = list(source.statics()), []
        while (reading := source.read()) is not None:
            readings.append(reading)
        source.close()
        assert [r.stamp_ns for r in readings] == found.stamps_ns[start:].tolist()
        assert found.frames == start + len(readings)
        return statics, readings

    def opened(cls, config, wanted=None, start=0):
        log = logging.getLogger("src")
        source = prepare(cls(), "src", config, log=log, out_dir=tmp_path / "out", wanted=wanted)
        source.open(start)
        return source

    run.opened = opened
    return run
