"""TensorRT for machines without it."""

import pytest


@pytest.fixture
def trt(monkeypatch):
    """The stand-in, installed as module tensorrt; what it does wrong is set on it."""
    pytest.importorskip("onnx")
    import fake_tensorrt

    return fake_tensorrt.install(monkeypatch)
