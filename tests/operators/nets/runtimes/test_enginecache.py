"""Engines built before are found again, on the stand-in for TensorRT; nothing else is."""

import os

import pytest

pytest.importorskip("onnx")

from fake_tensorrt import Host
from onnx_nets import conv

from operators.nets.runtimes import enginecache
from operators.nets.runtimes.enginecache import engine, folder, key
from operators.nets.runtimes.tensorrt import Stamp
from pipeline.errors import InputError

MODEL = conv().SerializeToString()
STAMP = Stamp("11.4.0", "Orin", "8.7")


def builds(trt):
    return sum(entry[0] == "flags" for entry in trt.log if isinstance(entry, tuple))


def test_the_second_export_builds_nothing(tmp_path, trt):
    first = engine(MODEL, "fp32", "export", at=tmp_path, memory=Host())
    second = engine(MODEL, "fp32", "export", at=tmp_path, memory=Host())
    assert (first.found, second.found, builds(trt)) == (False, True, 1)
    assert first.engine == second.engine and first.stamp == second.stamp == STAMP
    assert {path.suffix for path in tmp_path.iterdir()} == {".engine", ".timing"}


@pytest.mark.parametrize(
    "model, precision, memory, version",
    [
        (MODEL + b" ", "fp32", Host(), "11.4.0"),
        (MODEL, "fp16", Host(), "11.4.0"),
        (MODEL, "fp32", Host("Xavier"), "11.4.0"),
        (MODEL, "fp32", Host("Orin", "7.2"), "11.4.0"),
        (MODEL, "fp32", Host(), "10.3.0"),
    ],
)
def test_another_model_precision_device_or_version_has_an_engine_of_its_own(tmp_path, trt, model, precision, memory, version):
    engine(MODEL, "fp32", "export", at=tmp_path, memory=Host())
    trt.__version__ = version
    assert not engine(model, precision, "export", at=tmp_path, memory=memory).found
    assert len(list(tmp_path.glob("*.engine"))) == 2


def test_parts_of_a_key_do_not_run_together():
    assert key(MODEL, "fp32", Stamp("1", "1a", "b")) != key(MODEL, "fp32", Stamp("1", "1", "ab"))


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:40] + b"x" + data[41:]])
def test_a_damaged_file_is_built_anew(tmp_path, trt, damage):
    good = engine(MODEL, "fp32", "export", at=tmp_path, memory=Host()).engine
    (path,) = tmp_path.glob("*.engine")
    path.write_bytes(damage(path.read_bytes()))
    again = engine(MODEL, "fp32", "export", at=tmp_path, memory=Host())
    assert not again.found and again.engine == good
    assert engine(MODEL, "fp32", "export", at=tmp_path, memory=Host()).found


def test_what_cannot_be_built_leaves_nothing(tmp_path, trt):
    trt.cannot_build = True
    with pytest.raises(InputError, match="cannot build the engine"):
        engine(MODEL, "fp32", "export", at=tmp_path, memory=Host())
    assert list(tmp_path.glob("*.engine")) == []


def test_a_folder_that_cannot_be_made(tmp_path, trt):
    (tmp_path / "file").touch()
    for _ in range(2):
        assert not engine(MODEL, "fp32", "export", at=tmp_path / "file" / "cache", memory=Host()).found
    assert builds(trt) == 2


def test_the_engine_unused_for_longest_goes_first(tmp_path, trt, monkeypatch):
    monkeypatch.setattr(enginecache, "KEPT", 2)
    for age, precision in ((30, "fp32"), (20, "fp16")):
        engine(MODEL, precision, "export", at=tmp_path, memory=Host())
        path = tmp_path / f"{key(MODEL, precision, STAMP)}.engine"
        os.utime(path, (path.stat().st_atime - age, path.stat().st_mtime - age))
    assert engine(MODEL, "fp32", "export", at=tmp_path, memory=Host()).found, "used again: now the newest"
    engine(MODEL, "int8", "export", at=tmp_path, memory=Host())
    assert {path.stem for path in tmp_path.glob("*.engine")} == {key(MODEL, p, STAMP) for p in ("fp32", "int8")}


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder() == tmp_path / "pipe" / "tensorrt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert folder().parts[-3:] == (".cache", "pipe", "tensorrt")
