import json
import re
import resource
import time

import numpy as np
import pytest

pytest.importorskip("safetensors")

from safetensors.numpy import save_file

from operators.nets import weights
from operators.nets.pointpillars_config import CAR, POINTPILLARS, PointPillarsConfig, tensor_shapes
from pipeline import settings
from pipeline.errors import InputError

TINY = PointPillarsConfig(
    cell_m=(1.0, 0.5),
    range_m=(0.0, -4.0, -3.0, 16.0, 4.0, 1.0),
    pillar_channels=8,
    block_layers=(1,),
    block_channels=(64,),
    up_channels=(8,),
    anchors=(CAR,),
)


def tensors(config=TINY, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in tensor_shapes(config).items()}


@pytest.fixture
def path(tmp_path):
    weights.save(tmp_path / "tiny.safetensors", POINTPILLARS, TINY, tensors(), {"seed": 7, "data": "generated"})
    return tmp_path / "tiny.safetensors"


def test_there_and_back(path):
    loaded = weights.load(path, POINTPILLARS)
    assert loaded.config == TINY and loaded.facts == {"seed": 7, "data": "generated"}
    assert list(loaded.tensors) == list(tensor_shapes(TINY))
    for name, value in tensors().items():
        assert loaded.tensors[name].dtype == np.float32
        exact = value if value.size <= weights.SMALL else value.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(loaded.tensors[name], exact)
    assert loaded.tensors["blocks.0.1.conv.weight"].size > weights.SMALL, "one of them is large"
    assert [p.name for p in path.parent.iterdir()] == ["tiny.safetensors"], "no half-written file stays"


def test_a_saved_file_is_the_same_bytes_again(path, tmp_path):
    weights.save(
        tmp_path / "b.safetensors", POINTPILLARS, TINY, dict(reversed(tensors().items())), {"data": "generated", "seed": 7}
    )
    assert (tmp_path / "b.safetensors").read_bytes() == path.read_bytes()


def test_others_may_read_the_file(path, tmp_path):
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_state_dict_will_do(tmp_path):
    torch = pytest.importorskip("torch")
    from operators.nets.pointpillars import PointPillars

    torch.manual_seed(0)
    net = PointPillars(TINY)
    weights.save(tmp_path / "net.safetensors", POINTPILLARS, TINY, net.state_dict())
    loaded = weights.load(tmp_path / "net.safetensors", POINTPILLARS).tensors
    np.testing.assert_array_equal(loaded["pillar_linear.weight"], net.pillar_linear.weight.detach().numpy())
    assert not [name for name in loaded if "num_batches" in name]


def test_an_architecture_that_checks_its_own_tensors(tmp_path):
    """All tensors are kept, of any shape and layout; the config is read without them."""
    architecture = weights.Architecture("tiny", PointPillarsConfig, train="pipe train tiny")
    given = {"count": np.array(3), "wide": np.arange(12, dtype=np.float64).reshape(3, 4).T, "none": np.zeros((0, 2))}
    weights.save(tmp_path / "t.safetensors", architecture, TINY, given)
    loaded = weights.load(tmp_path / "t.safetensors", architecture)
    assert set(loaded.tensors) == set(given) and loaded.config == TINY
    for name, array in given.items():
        assert loaded.tensors[name].shape == array.shape
        np.testing.assert_array_equal(loaded.tensors[name], array)
    assert weights.read_config(tmp_path / "t.safetensors", architecture) == TINY
    with pytest.raises(
        InputError, match=r"^needs the path of a .safetensors file, got none, which is not there; none is shipped: "
    ):
        weights.find("none", architecture)


def test_a_name_is_a_shipped_model(path, monkeypatch):
    monkeypatch.setattr(weights, "MODELS", path.parent)
    assert weights.shipped() == ["tiny"] and weights.find("tiny", POINTPILLARS) == path
    with pytest.raises(
        InputError, match=r"^tinny: needs shipped weights \(tiny\) or the path of a .safetensors file, got no such name$"
    ):
        weights.load("tinny", POINTPILLARS)


def test_a_model_that_will_ship_says_how_to_train_it(path, tmp_path):
    """An architecture with a folder of its own: until its weights are there, the name leads to the command."""
    models = tmp_path / "models"
    models.mkdir()
    architecture = weights.Architecture("tiny", PointPillarsConfig, train="pipe train tiny", models=models)
    with pytest.raises(
        InputError,
        match=rf"^needs {models}/one.safetensors, got no such file; train it with pipe train tiny and set weights to its model",
    ):
        weights.find("one", architecture)
    assert weights.find(path, architecture) == path, "a path is a path"
    path.rename(models / "one.safetensors")
    assert weights.find("one", architecture) == models / "one.safetensors"
    with pytest.raises(InputError, match=r"^two: needs shipped weights \(one\) or the path of a .safetensors file, got no such"):
        weights.find("two", architecture)
    with pytest.raises(InputError, match=r"^needs the path of a .safetensors file, got nothing; none is shipped: train one with"):
        weights.find("", architecture)


@pytest.mark.parametrize("name", ["none.safetensors", "./none", "sub/none.safetensors"])
def test_a_missing_file_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^{re.escape(name)}: needs a .safetensors file, got nothing there$"):
        weights.load(name, POINTPILLARS)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match=r": needs a .safetensors file, got a folder$"):
        weights.load(tmp_path, POINTPILLARS)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_file_cut_short(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"tiny.safetensors: needs a whole .safetensors file, got: "):
        weights.load(path, POINTPILLARS)


@pytest.mark.parametrize("content", [b"\x80\x04\x95" * 50, b"PK\x03\x04" + bytes(200), b"version: 1\n" * 9])
def test_a_file_of_another_kind(path, content):
    """A pickle, a torch .pt (a zip of pickles), text: none is executed, all are refused."""
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"tiny.safetensors: needs a whole .safetensors file, got: "):
        weights.load(path, POINTPILLARS)


def test_weights_for_another_net_name_the_first_difference(path):
    wider = PointPillarsConfig(
        cell_m=TINY.cell_m, range_m=TINY.range_m, pillar_channels=8, block_layers=(1,), block_channels=(32,), up_channels=(16,),
        anchors=(CAR,),
    )  # fmt: skip
    with pytest.raises(
        InputError, match=r"weights of another net: blocks.0.0.conv.weight: needs \[32, 8, 3, 3\], got \[64, 8, 3, 3\]$"
    ):
        weights.load(path, POINTPILLARS, wider)


def test_weights_of_another_architecture(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"backbone.conv1": np.zeros((3, 3), np.float32)}, path, metadata={"model": '{"architecture": "tanet"}'})
    with pytest.raises(InputError, match=r"another net: pillar_linear.weight: needs \[64, 9\], got no such tensor$"):
        weights.load(path, POINTPILLARS)
    save_file({n: np.zeros(s, np.float16) for n, s in tensor_shapes(PointPillarsConfig()).items()}, path)
    with pytest.raises(InputError, match=r"needs weights of the architecture pointpillars, got none in its metadata$"):
        weights.load(path, POINTPILLARS)


def tampered(path, model=None, change=lambda t: None):
    """The file with other metadata or other tensors"""
    content = tensors()
    change(content)
    if model is None:
        text = path.read_bytes()
        model = json.loads(text[8 : 8 + int.from_bytes(text[:8], "little")])["__metadata__"]["model"]
    save_file(content, path, metadata={"model": model})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("", "needs JSON in its metadata 'model', got: Expecting value"),
        ("[]", r"needs a mapping in its metadata 'model', facts as another, got \[\]"),
        ('{"facts": 3}', "needs a mapping in its metadata 'model', facts as another, got a mapping"),
        ('{"architecture": "pointpillars", "config": 3}', "cannot read its config: .*needs a mapping, got 3"),
        ('{"architecture": "pointpillars", "config": {"widths": 3}}', "cannot read its config: .*widths: unknown key"),
        (
            '{"architecture": "pointpillars", "config": {"max_points": 0}}',
            "cannot read its config: .*max_points: needs 1 or more, got 0",
        ),
        ('{"architecture": "pointpillars"}', r"another net: pillar_linear.weight: needs \[64, 9\], got \[8, 9\]"),
    ],
)
def test_metadata_that_does_not_fit(path, model, message):
    tampered(path, model)
    with pytest.raises(InputError, match=f"tiny.safetensors: .*{message}"):
        weights.load(path, POINTPILLARS)


def test_a_tensor_too_many(path):
    tampered(path, change=lambda t: t.update({"extra.weight": np.zeros(3, np.float32)}))
    with pytest.raises(InputError, match=r"another net: needs no tensor extra.weight, got \[3\]$"):
        weights.load(path, POINTPILLARS)


def test_weights_that_are_not_finite(path, tmp_path):
    def spoil(content):
        content["class_head.bias"][1] = np.nan

    tampered(path, change=spoil)
    with pytest.raises(InputError, match=r"class_head.bias: needs finite weights, got 1 of 2 that are not$"):
        weights.load(path, POINTPILLARS)
    large = tensors()
    large["blocks.0.1.conv.weight"][:] = 1e5  # too large for float16
    with pytest.raises(InputError, match=r"blocks.0.1.conv.weight: needs finite weights, got 36864 of 36864 that are not$"):
        weights.save(tmp_path / "large.safetensors", POINTPILLARS, TINY, large)
    assert not (tmp_path / "large.safetensors").exists()


def test_saving_something_else_is_refused(tmp_path):
    content = tensors()
    del content["ups.0.norm.bias"]
    with pytest.raises(InputError, match=r"another net: ups.0.norm.bias: needs \[8\], got no such tensor$"):
        weights.save(tmp_path / "a.safetensors", POINTPILLARS, TINY, content)


@pytest.mark.parametrize(
    "config",
    [
        {"block_layers": [10**9]},
        {"block_layers": [10**6] * 3, "block_channels": [8] * 3, "up_channels": [8] * 3},
        {"block_layers": [1] * 500, "block_channels": [8] * 500, "up_channels": [8] * 500},
        {"cell_m": [1e-9, 1e-9]},
        {"max_points": 10**400},
        {"max_pillars": float("inf")},
        {"range_m": [float("nan")] * 6},
    ],
)
def test_no_number_of_a_config_takes_memory(path, config):
    began = time.monotonic()
    model = {"architecture": "pointpillars", "config": settings.plain(TINY) | config}
    tampered(path, json.dumps(model))
    with pytest.raises(InputError, match=r"tiny.safetensors: (cannot read its config|needs JSON)"):
        weights.load(path, POINTPILLARS)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("depth", [2_000, 1_000_000])
def test_metadata_with_deep_brackets(path, depth):
    for model in ("[" * depth, '{"a":' * depth, '{"architecture": "pointpillars", "config": ' + "[" * depth + "]" * depth + "}"):
        tampered(path, model)
        with pytest.raises(InputError, match=r"tiny.safetensors: (needs JSON in its metadata|cannot read its config)"):
            weights.load(path, POINTPILLARS)


@pytest.mark.parametrize("dtype", ["BF16", "I64", "BOOL", "F8_E4M3", "nonsense"])
def test_tensors_of_other_numbers(path, dtype):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + size])
    name = "class_head.bias"
    begin, end = head[name]["data_offsets"]
    nbytes = {"BF16": 2, "I64": 8}.get(dtype, 1)
    head[name] |= {"dtype": dtype, "shape": [(end - begin) // nbytes]}
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    with pytest.raises(InputError, match=r"tiny.safetensors: "):
        weights.load(path, POINTPILLARS)


def fuzz(path, count, seed):
    """Every damaged file is read as weights, or refused in one line, quickly and in little memory."""
    rng, whole = np.random.default_rng(seed), path.read_bytes()
    head = 8 + int.from_bytes(whole[:8], "little")
    before, loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            at, n = int(rng.integers(0, max(min(head, len(data)), 1))), int(rng.integers(1, 9))
            kind = int(rng.integers(0, 5))
            if kind == 0 and data:
                data[at] ^= 1 << int(rng.integers(0, 8))
            elif kind == 1:
                data[at : at + n] = b'0123456789[]{}",:e-'[int(rng.integers(0, 18)) :][:n]
            elif kind == 2:
                del data[at : at + n]
            elif kind == 3:
                data[at:at] = data[at : at + n] * int(rng.integers(1, 50))
            else:
                del data[int(rng.integers(0, len(data))) :]
        path.write_bytes(data)
        began = time.monotonic()
        try:
            weights.load(path, POINTPILLARS)
            loaded += 1
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)  # noqa: PT017 - either is right
        assert time.monotonic() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    return loaded


def test_any_bytes(path):
    assert fuzz(path, 400, 0) < 400


@pytest.mark.fuzz
@pytest.mark.timeout(1200)
def test_any_bytes_for_long(path):
    fuzz(path, 50_000, None)
