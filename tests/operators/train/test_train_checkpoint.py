"""A checkpoint is restored unchanged, for the same training only."""

import re
from dataclasses import dataclass, field, replace

import pytest

torch = pytest.importorskip("torch")

from operators.train import checkpoint  # noqa: E402
from pipeline.errors import GraphError, InputError  # noqa: E402


@dataclass(frozen=True)
class Model:
    width: int = 8


@dataclass(frozen=True)
class Config:
    seed: int = 1
    threads: int = 1
    model: Model = field(default_factory=Model)


@pytest.fixture
def path(tmp_path):
    checkpoint.save(tmp_path / "c.pt", Config(), {"step": 7, "net": {"w": torch.arange(3)}})
    return tmp_path / "c.pt"


def test_there_and_back(path):
    saved = checkpoint.load(path, Config(), ())
    assert saved["step"] == 7 and saved["net"]["w"].tolist() == [0, 1, 2]
    assert [file.name for file in path.parent.iterdir()] == ["c.pt"], "no half-written file stays"


def test_a_key_that_is_free_to_change(path):
    assert checkpoint.load(path, Config(threads=2), ("threads",))["step"] == 7


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(threads=2), "--resume: threads: needs 1 as in "),
        (replace(Config(), model=Model(16)), "--resume: model.width: needs 8 as in "),
    ],
)
def test_another_config_is_refused(path, config, message):
    with pytest.raises(GraphError, match=f"^{re.escape(message)}"):
        checkpoint.load(path, config, ("seed",))


def test_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"^--resume: needs .*none.pt, got no such file; leave --resume out to start$"):
        checkpoint.load(tmp_path / "none.pt", Config(), ())


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_no_whole_checkpoint(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"c.pt: cannot read the checkpoint: \w+: "):
        checkpoint.load(path, Config(), ())
