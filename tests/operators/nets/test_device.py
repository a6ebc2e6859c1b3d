"""The device of a net, and the refusals."""

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pytest

from operators.nets import device
from pipeline.errors import RunError

CPU_VERSION, CUDA_VERSION = "cuda: Optional[str] = None\n", "cuda: Optional[str] = '12.4'\n"


@pytest.fixture
def torch_of(tmp_path, monkeypatch):
    """torch_of(text of its version.py) -> as if this torch were installed."""

    def install(text):
        (tmp_path / "version.py").write_text(text)
        spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)

    return install


@pytest.fixture
def driver(monkeypatch):
    """driver(True) -> as if there were an NVIDIA driver."""

    def install(there):
        def load(name):
            if not there:
                raise OSError(f"{name}: cannot open shared object file")

        monkeypatch.setattr(device.ctypes, "CDLL", load)

    return install


@pytest.mark.parametrize("there", [True, False])
def test_a_torch_without_cuda(torch_of, driver, there):
    torch_of(CPU_VERSION)
    driver(there)
    assert device.no_cuda() == "a torch that was built without CUDA"
    with pytest.raises(ValueError, match=r"^device: needs a CUDA device, got a torch that was built without CUDA; device: auto"):
        device.check("cuda")


def test_a_torch_with_cuda(torch_of, driver):
    torch_of(CUDA_VERSION)
    driver(False)
    assert device.no_cuda() == "no NVIDIA driver (libcuda.so.1)"
    driver(True)
    assert device.no_cuda() == ""
    device.check("cuda")


@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_these_need_no_cuda(torch_of, driver, name):
    torch_of(CPU_VERSION)
    driver(False)
    device.check(name)


@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_a_missing_package_is_named(monkeypatch, missing):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else SimpleNamespace(origin=None))
    with pytest.raises(ValueError, match=rf"^needs {missing}, which is not installed; pip install 'perception-pipe\[torch\]'$"):
        device.check("cpu")


@pytest.mark.parametrize(("name", "available", "chosen"), [("cpu", True, "cpu"), ("auto", False, "cpu"), ("auto", True, "cuda")])
def test_choose(monkeypatch, name, available, chosen):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert device.choose(name, "detect") == torch.device(chosen)


def test_choose_refuses_cuda_that_torch_does_not_find(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RunError, match=r"^detect: device: needs a CUDA device, got none that torch .* can use$"):
        device.choose("cuda", "detect")


def test_configs_weights_and_devices_load_no_torch():
    modules = "device, weights, pointpillars_config, fairmot_config, runtimes"
    code = f"import sys; from operators.nets import {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
