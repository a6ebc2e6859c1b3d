"""Every name and signature of TensorRT that the backend uses is in NVIDIA's own bindings, 10.16 and 11.4. Needs no GPU.

    make test-tensorrt

fetches the wheels tensorrt_cu12_bindings and tensorrt_cu13_bindings (1.3 MB each, NVIDIA's licence, never committed) to a folder
and sets PIPE_TENSORRT_BINDINGS to it; without that these tests are skipped. The bindings need nine functions of TensorRT's
libraries to be loaded; this test compiles libraries that have them and return null. Then all classes, enums and signatures are
real, and nothing can run. The names come from the backend's source.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from operators.nets.runtimes import tensorrt

CLASS_OF = {
    "builder": "Builder", "network": "INetworkDefinition", "parser": "OnnxParser", "problem": "ParserError",
    "config": "IBuilderConfig", "profile": "IOptimizationProfile", "cache": "ITimingCache", "self._runtime": "Runtime",
    "self._engine": "ICudaEngine", "self._context": "IExecutionContext",
}  # fmt: skip
"""Variable of the backend -> its class in TensorRT; `trt` is the module."""

STUB = """\
void *createInferBuilder_INTERNAL() { return 0; } void *createInferRuntime_INTERNAL() { return 0; }
void *createInferRefitter_INTERNAL() { return 0; } void *createNvOnnxParser_INTERNAL() { return 0; }
void *createNvOnnxParserRefitter_INTERNAL() { return 0; } int getNvOnnxParserVersion() { return 0; }
void *getPluginRegistry() { return 0; } void *getBuilderPluginRegistry() { return 0; } int initLibNvInferPlugins() { return 0; }
"""

# Runs beside the stub libraries: reads uses, prints what is wrong.
LOOK = r"""
import json, re, sys
import tensorrt_bindings as trt
wrong = []
for path, kind, count, keywords in json.load(sys.stdin):
    found = trt
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is None:
        wrong.append(f"{path} is not there")
    elif kind == "set" and not (isinstance(found, property) and found.fset):
        wrong.append(f"{path} cannot be set")
    elif kind == "call":
        target = found.__init__ if isinstance(found, type) else found
        lines = [line for line in (target.__doc__ or "").splitlines() if re.search(r"\w+\(.*\) ->", line)]
        def fits(line):
            inside = re.search(r"\((.*)\) ->", line).group(1)
            names = re.findall(r"(?:^|, )(\w+): ", inside)
            optional = re.findall(r"(?:^|, )(\w+): [^,=]*(?:\[[^]]*\])?[^,=]* = ", inside)
            names = names[1:]  # self
            needed = [n for n in names if n not in optional]
            given = names[:count] + keywords
            return count <= len(names) and set(keywords) <= set(names) and set(needed) <= set(given)
        if lines and not any(fits(line) for line in lines):
            wrong.append(f"{path} takes another number of arguments or other keywords than {count} and {keywords}: {lines}")
        if not lines and not isinstance(found, type):
            wrong.append(f"{path} tells no signature")
print(json.dumps([trt.__version__ if hasattr(trt, "__version__") else "", wrong]))
"""


def uses():
    """(Class.name, "get" | "set" | "call", number of positional arguments, keywords) of everything that the backend touches."""
    tree = ast.parse(Path(tensorrt.__file__).read_text())
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue
        parts = ast.unparse(node).split(".") if all(c.isalnum() or c in "._" for c in ast.unparse(node)) else []
        if parts[:1] == ["trt"]:
            path = parts[1:]
        else:
            owner = next((o for o in (".".join(parts[:n]) for n in (1, 2)) if o in CLASS_OF), None)
            if owner is None or ".".join(parts) == owner:  # another name, or the variable itself
                continue
            path = [CLASS_OF[owner], *parts[owner.count(".") + 1 :]]
        call = calls.get(id(node))
        count = len(call.args) if call else 0
        kind = "call" if call else "set" if isinstance(node.ctx, ast.Store) else "get"
        if path[-1] == "__init__":
            kind, path, count = "call", path[:-1], count - 1
        found.add((".".join(path), kind, count, tuple(k.arg for k in call.keywords) if call else ()))
    return sorted(found)


def test_the_table_is_read_from_the_source():
    found = {path: (kind, count, keywords) for path, kind, count, keywords in uses()}
    assert found["IExecutionContext.execute_async_v3"] == ("call", 1, ())
    assert found["IBuilderConfig.set_timing_cache"] == ("call", 1, ("ignore_mismatch",))
    assert found["IBuilderConfig.builder_optimization_level"] == ("set", 0, ())
    assert found["NetworkDefinitionCreationFlag.STRONGLY_TYPED"] == ("get", 0, ())
    assert {"Builder", "OnnxParser", "Runtime", "DataType.HALF", "TensorIOMode.INPUT", "ParserError.desc"} <= set(found)
    assert len(found) >= 35


@pytest.mark.parametrize(("package", "major"), [("tensorrt_cu12_bindings", "10"), ("tensorrt_cu13_bindings", "11")])
def test_every_name_and_signature_is_in_the_bindings(tmp_path, package, major):
    folder = os.environ.get("PIPE_TENSORRT_BINDINGS")
    if not folder:
        pytest.skip("PIPE_TENSORRT_BINDINGS is not set: make test-tensorrt fetches the bindings and sets it")
    wheels = Path(folder) / package
    if not wheels.is_dir():
        pytest.skip(f"no bindings in {wheels}: make test-tensorrt fetches them")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc)")
    (tmp_path / "stub.c").write_text(STUB)
    for name in ("libnvinfer", "libnvinfer_plugin", "libnvonnxparser"):
        library = f"{name}.so.{major}"
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", library, "stub.c"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    env = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(wheels)}
    command = [sys.executable, "-c", LOOK]
    done = subprocess.run(command, input=json.dumps(uses()), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    version, wrong = json.loads(done.stdout)
    assert not wrong, f"TensorRT {version or major}: " + "; ".join(wrong)
