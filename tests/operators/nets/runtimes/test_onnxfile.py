"""The reader of ONNX files against package onnx, and damaged files: arrays or one line."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx_nets import conv, model, save  # noqa: E402

from operators.nets.runtimes import onnxfile  # noqa: E402
from operators.nets.runtimes.onnxfile import TensorSpec, fingerprint, fit, read, read_specs, with_metadata  # noqa: E402
from pipeline.errors import InputError  # noqa: E402


def test_inputs_and_outputs(tmp_path):
    inputs, outputs = read_specs(save(conv(), tmp_path / "net.onnx"))
    assert inputs == (TensorSpec("x", (1, 3, 6, 6), "float32"),)
    assert outputs == (TensorSpec("y", (1, 2, 6, 6), "float32"),)


def test_free_dimensions(tmp_path):
    inputs, outputs = read_specs(save(conv(free=True), tmp_path / "net.onnx"))
    assert inputs[0].shape == (1, 3, None, None) and outputs[0].shape == (1, 2, None, None)
    assert str(inputs[0]) == "x (1, 3, free, free) float32"


@pytest.mark.parametrize(
    "name", ["FLOAT16", "DOUBLE", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "UINT32", "UINT64", "BOOL"]
)
def test_types_are_those_of_numpy(tmp_path, name):
    element = getattr(TensorProto, name)
    made = model([helper.make_node("Identity", ["x"], ["y"])], {"x": (element, [2])}, {"y": (element, [2])})
    inputs, _ = read_specs(save(made, tmp_path / "net.onnx"))
    assert np.dtype(inputs[0].dtype) == helper.tensor_dtype_to_np_dtype(element)


def test_many_inputs_and_a_scalar_in_the_order_of_the_file(tmp_path):
    specs = {name: (TensorProto.FLOAT, []) for name in "cab"}
    made = model([helper.make_node("Sum", list("cab"), ["y"])], specs, {"y": (TensorProto.FLOAT, [])})
    inputs, _ = read_specs(save(made, tmp_path / "net.onnx"))
    assert [spec.name for spec in inputs] == ["c", "a", "b"] and inputs[0].shape == ()


def test_weights_that_are_listed_as_inputs_are_none(tmp_path):
    made = conv()
    for tensor in made.graph.initializer:
        made.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    made.ir_version = 3
    assert [spec.name for spec in read_specs(save(made, tmp_path / "net.onnx"))[0]] == ["x"]


def test_an_output_without_a_shape_is_inferred(tmp_path):
    made = conv()
    made.graph.output[0].type.tensor_type.ClearField("shape")
    (tmp_path / "net.onnx").write_bytes(made.SerializeToString())
    assert read_specs(tmp_path / "net.onnx")[1] == (TensorSpec("y", (1, 2, 6, 6), "float32"),)


def test_an_input_without_a_shape_is_refused(tmp_path):
    made = conv()
    made.graph.input[0].type.tensor_type.ClearField("shape")
    (tmp_path / "net.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(
        InputError, match=r"net.onnx: input x: needs a shape in the file, got none; write them with onnx.shape_inf"
    ):
        read_specs(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("element", "message"),
    [(TensorProto.FLOAT8E4M3FN, "input x: needs a tensor of float32, .*, got element type 17 of ONNX"), (0, "got no tensor")],
)
def test_types_that_no_array_has(tmp_path, element, message):
    made = conv()
    made.graph.input[0].type.tensor_type.elem_type = element
    (tmp_path / "net.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(InputError, match=message):
        read_specs(tmp_path / "net.onnx")


def test_quantized_and_half(tmp_path):
    plain = read(save(conv(), tmp_path / "net.onnx"))
    assert not plain.quantized and not plain.half and plain.operators == {"Conv", "Relu"}
    weights = {"w": np.zeros(2, np.float16), "s": np.float32(1)}
    nodes = [helper.make_node("Add", ["x", "w"], ["y"]), helper.make_node("QuantizeLinear", ["f", "s"], ["q"])]
    made = model(
        nodes,
        {"x": (TensorProto.FLOAT16, [2]), "f": (TensorProto.FLOAT, [1])},
        {"y": (TensorProto.FLOAT16, [2]), "q": (TensorProto.UINT8, [1])},
        weights,
    )
    other = read(save(made, tmp_path / "other.onnx"))
    assert other.quantized and other.half


def test_operators_of_branches(tmp_path):
    """An engine of fuse.gate has its quantized convolutions in the branches of an If."""
    scale = numpy_helper.from_array(np.float32(1), "s")
    half = numpy_helper.from_array(np.zeros(1, np.float16), "h")
    quantize = helper.make_node("QuantizeLinear", ["x", "s"], ["q"])
    back = helper.make_node("DequantizeLinear", ["q", "s"], ["t"])
    value = helper.make_tensor_value_info
    then = helper.make_graph([quantize, back], "then", [], [value("t", TensorProto.FLOAT, [1])], [scale])
    cast = helper.make_node("Cast", ["h"], ["e"], to=TensorProto.FLOAT)
    other = helper.make_graph([cast], "other", [], [value("e", TensorProto.FLOAT, [1])], [half])
    made = model(
        [helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
        {"x": (TensorProto.FLOAT, [1]), "c": (TensorProto.BOOL, [])},
        {"y": (TensorProto.FLOAT, [1])},
    )
    found = read(save(made, tmp_path / "net.onnx"))
    assert found.operators == {"If", "QuantizeLinear", "DequantizeLinear", "Cast"} and found.quantized and found.half


def test_branches_that_never_end_are_refused(tmp_path):
    inner = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=1)], "g", [], [helper.make_tensor_value_info("y", 1, [1])]
    )
    for _ in range(20):
        node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", 1, [1])])
        del inner.node[0].attribute[1]
    made = model(list(inner.node), {"x": (1, [1]), "c": (TensorProto.BOOL, [])}, {"y": (1, [1])})
    (tmp_path / "net.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(InputError, match="branches lie in each other more than 16 deep"):
        read(tmp_path / "net.onnx")


# ---- weights in a file beside


def external(tmp_path, location="net.bin"):
    made = conv()
    onnx.external_data_helper.convert_model_to_external_data(made, location="net.bin", size_threshold=0)
    onnx.save(made, tmp_path / "net.onnx")
    if location != "net.bin":
        loaded = onnx.load(tmp_path / "net.onnx", load_external_data=False)
        for entry in loaded.graph.initializer[0].external_data:
            entry.value = location if entry.key == "location" else entry.value
        (tmp_path / "net.onnx").write_bytes(loaded.SerializeToString())
    return tmp_path / "net.onnx"


def test_weights_in_a_file_beside(tmp_path):
    assert read_specs(external(tmp_path))[0][0].name == "x"
    (tmp_path / "net.bin").unlink()
    with pytest.raises(InputError, match=r"net.onnx: weights w1: needs .*net.bin, its file of weights, got nothing there$"):
        read_specs(tmp_path / "net.onnx")


@pytest.mark.parametrize("location", ["../net.bin", "/etc/passwd", "a/../../net.bin"])
def test_weights_elsewhere_are_refused(tmp_path, location):
    with pytest.raises(InputError, match=r"weights w1: needs a file beside it, got '"):
        read_specs(external(tmp_path, location))


# ---- files that are none


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello, this is text", r"net.onnx: needs a valid ONNX file, got 19 bytes where "),
        (b"version https://git-lfs.github.com/spec/v1\n", r"needs a valid ONNX file, .*; a Git LFS pointer: git lfs pull$"),
        (b"PK\x03\x04 a zip", "needs a valid ONNX file"),
        (b"\x08\x08", r"where 0 graphs and 0 sets of operators are found instead of one and one or more$"),
        (b"", r"needs an ONNX file of 1 byte to 2 GiB, got 0 bytes$"),
        (b"\xff" * 40, "needs a valid ONNX file"),
    ],
)
def test_a_file_that_is_none(tmp_path, content, message):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_specs(tmp_path / "net.onnx")
    assert "\n" not in str(caught.value)


def test_nothing_there_a_folder_and_a_huge_file(tmp_path):
    for path, message in ((tmp_path / "none.onnx", "No such file"), (tmp_path, "it is a folder, not a file")):
        with pytest.raises(InputError, match=f"needs an ONNX file, got: {message}"):
            read_specs(path)
    with open(tmp_path / "huge.onnx", "wb") as file:
        file.truncate(2**31)
    with pytest.raises(InputError, match="needs an ONNX file of 1 byte to 2 GiB, got 2147483648 bytes"):
        read_specs(tmp_path / "huge.onnx")


def test_a_list_without_end_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(onnxfile, "_MOST_FIELDS", 20)
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08" * 30)
    with pytest.raises(InputError, match="more than 20 fields follow byte 0"):
        read_specs(tmp_path / "net.onnx")


def test_damaged_files_end_in_one_line(tmp_path):
    whole = conv().SerializeToString()
    rng = np.random.default_rng(0)
    path = tmp_path / "net.onnx"
    for _ in range(400):
        data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for at in rng.integers(0, len(data), rng.integers(0, 6)):
            data[at] = rng.integers(256)
        path.write_bytes(data)
        said = ""
        try:
            inputs, outputs = read_specs(path)
        except InputError as error:
            said = str(error)
        assert "\n" not in said and (said or all(isinstance(spec, TensorSpec) for spec in (*inputs, *outputs)))


# ---- metadata


def test_metadata_is_replaced_and_the_fingerprint_stays(tmp_path):
    made = conv()
    helper.set_model_props(made, {"author": "someone"})
    path = save(made, tmp_path / "net.onnx")
    before = fingerprint(path)
    path.write_bytes(with_metadata(path.read_bytes(), {"pipe": "facts – of it", "more": ""}))
    assert read(path).metadata == {"pipe": "facts – of it", "more": ""} and fingerprint(path) == before
    assert {p.key: p.value for p in onnx.load(path).metadata_props} == {"pipe": "facts – of it", "more": ""}
    onnx.checker.check_model(onnx.load(path))
    other = save(conv(seed=1), tmp_path / "other.onnx")
    assert fingerprint(other) != before


# ---- arrays against specs


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "needs inputs x, got none"),
        ({"y": np.zeros(1)}, "needs inputs x, got y"),
        ({"x": np.zeros((1, 3, 5), np.float32)}, r"needs x \(1, 3, free, 6\) float32, got \(1, 3, 5\) float32"),
        ({"x": np.zeros((1, 3, 5, 5), np.float32)}, r"got \(1, 3, 5, 5\) float32"),
        ({"x": np.zeros((1, 3, 5, 6))}, r"got \(1, 3, 5, 6\) float64"),
    ],
)
def test_arrays_that_do_not_fit(arrays, message):
    with pytest.raises(ValueError, match=message):
        fit([TensorSpec("x", (1, 3, None, 6), "float32")], arrays)


def test_arrays_that_fit():
    fit(
        [TensorSpec("x", (1, None), "float32"), TensorSpec("n", (), "int64")],
        {"n": np.zeros((), np.int64), "x": np.zeros((1, 0), "f4")},
    )
