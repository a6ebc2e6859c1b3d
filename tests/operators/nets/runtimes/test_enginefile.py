"""Engines keep their facts, and are refused where a byte of them changed."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx_nets import conv, save  # noqa: E402

from operators.nets.runtimes import onnxfile  # noqa: E402
from operators.nets.runtimes.enginefile import (  # noqa: E402
    Facts,
    is_tensorrt,
    read_facts,
    read_tensorrt,
    save_onnx,
    save_tensorrt,
    weights_hash,
)
from pipeline.errors import InputError  # noqa: E402

FACTS = Facts("pointpillars", {"cell_m": [0.16, 0.16]}, "abc", "int8", {"onnxruntime": {"frames": 64}}, built={"device": "Orin"})


@pytest.fixture
def model():
    return conv().SerializeToString()


def test_facts_in_an_onnx_file(tmp_path, model):
    path = tmp_path / "e.onnx"
    save_onnx(path, model, FACTS)
    found = read_facts(path)
    assert found.engine == onnxfile.fingerprint(path) and found.gates == FACTS.gates and found.built == FACTS.built
    assert not is_tensorrt(path) and onnx.load(path).graph == onnx.load_model_from_string(model).graph
    save_onnx(path, path.read_bytes(), found)
    assert read_facts(path) == found, "saved again it is the same"


def test_facts_before_a_tensorrt_engine(tmp_path):
    path = tmp_path / "e.engine"
    save_tensorrt(path, b"the engine", FACTS)
    facts, engine = read_tensorrt(path)
    assert engine == b"the engine" and facts == read_facts(path) and facts.precision == "int8" and is_tensorrt(path)


def test_a_changed_engine_is_refused(tmp_path, model):
    path = tmp_path / "e.onnx"
    save_onnx(path, model, FACTS)
    other = onnxfile.with_metadata(conv(seed=1).SerializeToString(), onnxfile.read(path).metadata)
    path.write_bytes(other)
    with pytest.raises(
        InputError, match=r"e.onnx: needs the engine that its facts are about \(SHA-256 .*\), got another one \(.*\); it was"
    ):
        read_facts(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "needs the facts of pipe export, got: "),
        ("[]", "got: a mapping of other keys"),
        ('{"architecture": "a", "config": {}, "weights": "", "precision": 8}', "got: precision of another type"),
        ('{"architecture": "a"}', "needs the facts of pipe export, got: .*missing"),
        ('{"more": 1}', "got: a mapping of other keys"),
    ],
)
def test_facts_that_nobody_can_read(tmp_path, model, text, message):
    (tmp_path / "e.onnx").write_bytes(onnxfile.with_metadata(model, {"pipe": text}))
    with pytest.raises(InputError, match=message):
        read_facts(tmp_path / "e.onnx")


def test_other_files(tmp_path, model):
    save(conv(), tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"net.onnx: needs an engine made by pipe export, got an ONNX file without its facts$"):
        read_facts(tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"none.onnx: needs an engine made by pipe export, got: No such file"):
        read_facts(tmp_path / "none.onnx")
    with pytest.raises(
        InputError, match=r"net.onnx: needs a TensorRT engine made by pipe export --to tensorrt, got another file$"
    ):
        read_tensorrt(tmp_path / "net.onnx")


@pytest.mark.parametrize("keep", [15, 21, 30])
def test_a_cut_tensorrt_engine(tmp_path, keep):
    path = tmp_path / "e.engine"
    save_tensorrt(path, b"the engine", FACTS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=f"e.engine: needs a whole engine made by pipe export, got {keep} bytes of one"):
        read_facts(path)


def test_a_folder_that_is_not_there(tmp_path, model):
    with pytest.raises(InputError, match=r"e.onnx: needs a folder that can be written, got: No such file"):
        save_onnx(tmp_path / "no" / "e.onnx", model, FACTS)


def test_the_hash_of_weights():
    tensors = {"a": np.zeros(3, np.float32), "b": np.ones((1, 2), np.float32)}
    same = weights_hash(dict(reversed(tensors.items())))
    assert weights_hash(tensors) == same and len(same) == 64
    for other in ({**tensors, "a": np.ones(3, np.float32)}, {**tensors, "b": np.ones((2, 1), np.float32)}, {"a": tensors["a"]}):
        assert weights_hash(other) != same
