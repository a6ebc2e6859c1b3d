"""`pipe doctor` on made-up machines: every finding and its advice."""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivers.camera import v4l2
from pipeline.__main__ import main
from pipeline.cli import doctor
from pipeline.cli.checks import clocks, devices, resources, software, system

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:   {} kB\n"


@pytest.fixture
def machine(tmp_path):
    """machine({"proc/meminfo": "..."}) -> a folder with these files, as the root of a machine."""

    def make(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        return tmp_path

    return make


# ---- this machine


def test_this_machine_has_a_line_for_everything_and_nothing_fails(capsys):
    assert main(["doctor"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert all(re.match(r"(ok   |warn ) [a-z0-9]+ +\S", line) for line in lines)
    assert [line.split()[1] for line in lines] == [
        "python", "packages", "torch", "onnxruntime", "openvino", "tensorrt", "open3d", "h264", "kernel", "memfd", "pidfd",
        "sockets", "kernels", "results", "process", "files", "memlock", "cores", "memory", "udp", "clock", "ptp", "chrony", "gpu",
        "cameras", "jetson",
    ]  # fmt: skip
    warnings = sum(line.startswith("warn") for line in lines)
    assert last == f"{len(lines) - warnings} ok, {warnings} to look at, 0 failed"


def test_a_failure_is_exit_1(monkeypatch, capsys):
    monkeypatch.setattr(
        doctor, "examine", lambda: iter([doctor.Line("ok", "a", "good"), doctor.Line("FAIL", "b", "bad; mend it")])
    )
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out == "ok    a          good\nFAIL  b          bad; mend it\n1 ok, 0 to look at, 1 failed\n"


def test_a_check_that_breaks_is_a_finding_not_a_traceback(machine):
    root = machine({"proc/sys/net/core/rmem_max": "much"})
    found = {line.name: line for line in doctor.examine(root)}
    assert str(found["udp"]) == (
        "FAIL  udp        cannot be examined: ValueError: invalid literal for int() with base 10: 'much'; please report this"
    )
    assert found["jetson"].level == "ok"


# ---- other machines


def v2(limit: str, used: int, path: str = "/") -> dict[str, str]:
    """Limits of a cgroup of version 2."""
    folder = f"sys/fs/cgroup{path}".rstrip("/")
    return {"proc/self/cgroup": f"0::{path}", f"{folder}/memory.max": limit, f"{folder}/memory.current": f"{used}"}


def v1(limit: int, used: int, path: str = "/docker/7") -> dict[str, str]:
    folder = "sys/fs/cgroup/memory"
    return {
        "proc/self/cgroup": f"5:cpu,cpuacct:{path}\n4:memory:{path}\n0::/",
        f"{folder}/memory.limit_in_bytes": f"{limit}",
        f"{folder}/memory.usage_in_bytes": f"{used}",
    }


TOO_LITTLE = "; needs 0.5 GB: close something, or raise the container's limit"
CGROUP = ", {} GB by the cgroup's limit"
MEMORY = "{} of 16.4 GB available{}; frames may take half of it{}"


@pytest.mark.parametrize(
    ("available_kb", "cgroup", "level", "text"),
    [
        (8_000_000, {}, "ok", MEMORY.format("8.2", "", "")),
        (8_000_000, v2("max", 1), "ok", MEMORY.format("8.2", "", "")),
        (8_000_000, v1(2**63 - 4096, 1), "ok", MEMORY.format("8.2", "", "")),
        (8_000_000, v2("4000000000", 500_000_000, "/a/b"), "ok", MEMORY.format("8.2", CGROUP.format("3.5 of 4.0"), "")),
        (8_000_000, v1(4_000_000_000, 500_000_000), "ok", MEMORY.format("8.2", CGROUP.format("3.5 of 4.0"), "")),
        (8_000_000, v2("64000000000", 0), "ok", MEMORY.format("8.2", "", "")),
        (1_500_000, {}, "warn", MEMORY.format("1.5", "", "; cameras and big scans need more")),
        (400_000, {}, "FAIL", MEMORY.format("0.4", "", TOO_LITTLE)),
        (8_000_000, v2("1000000000", 900_000_000), "FAIL",
         MEMORY.format("8.2", CGROUP.format("0.1 of 1.0"), TOO_LITTLE)),
    ],
)  # fmt: skip
def test_memory_of_the_machine_and_of_the_container(machine, available_kb, cgroup, level, text):
    found = resources.memory(machine({"proc/meminfo": MEMINFO.format(available_kb), **cgroup}))
    assert (found.level, found.text) == (level, text)


def test_memory_nobody_tells(machine):
    root = machine({})
    assert (
        str(resources.memory(root))
        == f"warn  memory     {root}/proc/meminfo has no MemAvailable; the size of pools cannot be checked"
    )


@pytest.mark.parametrize(
    ("mine", "there", "cgroup", "expected"),
    [
        (8, 16, {}, "ok    cores      8 of 16 cores"),
        (8, 8, {"sys/fs/cgroup/cpu.max": "max 100000"}, "ok    cores      8 of 8 cores"),
        (8, 8, {"sys/fs/cgroup/cpu.max": "250000 100000"}, "ok    cores      8 of 8 cores, limited to 2.5 by the cgroup"),
        (8, 8, {"sys/fs/cgroup/cpu.max": "50000 100000"},
         "warn  cores      8 of 8 cores, limited to 0.5 by the cgroup; "
         "nodes take turns: expect a fraction of the rates in README"),
        (1, 1, {}, "warn  cores      1 of 1 cores; nodes take turns: expect a fraction of the rates in README"),
    ],
)  # fmt: skip
def test_cores(machine, monkeypatch, mine, there, cgroup, expected):
    monkeypatch.setattr(resources.os, "sched_getaffinity", lambda pid: set(range(mine)))
    monkeypatch.setattr(resources.os, "cpu_count", lambda: there)
    assert str(resources.cores(machine({"proc/self/cgroup": "0::/", **cgroup}))) == expected


def test_cores_of_a_version_1_container(machine):
    root = machine(
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/x",
            "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "150000",
            "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
        }
    )
    assert resources.cpu_quota(root) == 1.5


@pytest.mark.parametrize(
    ("rmem_max", "expected"),
    [
        ("8388608", "ok    udp        rmem_max is 8.39 MB"),
        (
            "212992",
            "warn  udp        rmem_max is 0.213 MB: packets of a LiDAR get lost; sudo sysctl -w net.core.rmem_max=8388608",
        ),
    ],
)
def test_udp_buffers(machine, rmem_max, expected):
    assert str(devices.udp(machine({"proc/sys/net/core/rmem_max": rmem_max}))) == expected


@pytest.mark.parametrize(
    ("source", "resolution_s", "expected"),
    [
        ("tsc", 1e-9, "ok    clock      clocksource tsc, CLOCK_MONOTONIC in steps of 1 ns"),
        ("arch_sys_counter", 1e-9, "ok    clock      clocksource arch_sys_counter, CLOCK_MONOTONIC in steps of 1 ns"),
        ("hpet", 1e-9, "warn  clock      clocksource hpet, CLOCK_MONOTONIC in steps of 1 ns; reading it may take microseconds: "
         "latencies are not to be trusted; boot with clocksource=tsc"),
        ("tsc", 4e-3, "warn  clock      clocksource tsc, CLOCK_MONOTONIC in steps of 4e+06 ns; latencies are not to be trusted; "
         "needs a kernel with high-resolution timers"),
    ],
)  # fmt: skip
def test_clocks(machine, monkeypatch, source, resolution_s, expected):
    monkeypatch.setattr(clocks.time, "clock_getres", lambda clock: resolution_s)
    assert str(clocks.clock(machine({"sys/devices/system/clocksource/clocksource0/current_clocksource": source}))) == expected


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("4.19.0-21-amd64", "FAIL  kernel     needs Linux 5.3 or newer (pidfd_open), got 4.19.0-21-amd64; upgrade it"),
        ("5.10.104-tegra", "ok    kernel     Linux 5.10.104-tegra; before 5.14 a pool's first frames cost a page fault per 4 KB"),
        ("5.15.0", "ok    kernel     Linux 5.15.0"),
        ("6.1", "ok    kernel     Linux 6.1"),
    ],
)
def test_kernels(monkeypatch, release, expected):
    monkeypatch.setattr(system.platform, "release", lambda: release)
    assert str(system.kernel()) == expected


@pytest.mark.parametrize(
    ("files", "ptp", "cameras", "jetson"),
    [
        ({}, "no PTP clock; sensors are stamped when their data arrive", "none at /dev/video*", "no"),
        (
            {"dev/ptp0": "", "dev/ptp1": "", "dev/video0": "", "dev/video2": "",
             "etc/nv_tegra_release": "# R36 (release), REVISION: 3.0, GCID: 36923193, BOARD: generic"},
            "ptp0, ptp1; ptp4l: not running", "video0, video2", "R36 (release), REVISION: 3.0",
        ),
    ],
)  # fmt: skip
def test_devices(machine, files, ptp, cameras, jetson):
    root = machine(files)
    for check, text in ((clocks.ptp, ptp), (devices.cameras, cameras), (devices.jetson, jetson)):
        assert (check(root).level, check(root).text) == ("ok", text)


def test_a_camera_that_may_not_be_used(machine, monkeypatch):
    root = machine({"dev/video0": "", "dev/video1": ""})
    monkeypatch.setattr(devices.os, "access", lambda path, mode: path.name == "video0")
    assert str(devices.cameras(root)) == (
        "warn  cameras    no right to use video1: sudo usermod -aG video $USER, then log in again"
    )


def test_a_camera_says_its_name_and_formats(machine, monkeypatch):
    """Answers of a UVC camera's two nodes; the third does not answer."""
    root = machine({f"dev/video{k}": "" for k in range(3)})
    offers = (v4l2.Offer("MJPG", ("640x480",)), v4l2.Offer("YUYV"))
    answers = {
        "video0": v4l2.Device("HD Webcam", "uvcvideo", True, offers),
        "video1": v4l2.Device("HD Webcam", "uvcvideo", False),
    }

    def ask(path):
        if path.name not in answers:
            raise OSError(25, "Inappropriate ioctl for device")
        return answers[path.name]

    monkeypatch.setattr(v4l2, "ask", ask)
    assert str(devices.cameras(root)) == (
        "ok    cameras    video0 (HD Webcam: MJPG YUYV), video1 (HD Webcam: no pictures), video2"
    )


class Cuda:
    """libcuda.so.1 with these devices, or an error of cuInit."""

    def __init__(self, names=(), error=0):
        self.names, self.error = names, error

    def cuInit(self, flags):
        return self.error

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.names)
        return 0

    def cuDeviceGet(self, device, index):
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name, size, device):
        name.value = self.names[device.value].encode()
        return 0

    def cuDeviceTotalMem_v2(self, size, device):
        size._obj.value = 24_000_000_000
        return 0


@pytest.mark.parametrize(
    ("library", "files", "expected"),
    [
        (None, {}, "ok    gpu        none; everything runs on the CPU"),
        (None, {"dev/nvidia0": "", "dev/nvidiactl": ""},
         "warn  gpu        nvidia0 but no libcuda.so.1; install the NVIDIA driver's libraries (container: --gpus all)"),
        (Cuda(["RTX 4090", "RTX 4090"]), {}, "ok    gpu        RTX 4090 (24 GB), RTX 4090 (24 GB)"),
        (Cuda(error=100), {}, "warn  gpu        libcuda.so.1 is there, but cuInit says 100 for 0 devices; see nvidia-smi"),
        (Cuda(), {}, "warn  gpu        libcuda.so.1 is there, but cuInit says 0 for 0 devices; see nvidia-smi"),
    ],
)  # fmt: skip
def test_gpus(machine, monkeypatch, library, files, expected):
    def load(name):
        if library is None:
            raise OSError(name)
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert str(devices.gpu(machine(files))) == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ((64, 256), "warn  files      at most 256 open files per process; big graphs need 1024: ulimit -n 1024"),
        ((64, 4096), "ok    files      64 open files per process, raised to 4096 if need be"),
        (
            (resource.RLIM_INFINITY,) * 2,
            "ok    files      any number of open files per process, raised to any number if need be",
        ),
    ],
)
def test_open_files(monkeypatch, limit, expected):
    monkeypatch.setattr(resource, "getrlimit", lambda which: limit)
    assert str(system.open_files()) == expected


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (65536, "0.0655 MB per process; frames are not locked, only some camera and GPU drivers lock buffers"),
        (resource.RLIM_INFINITY, "no limit; frames are not locked, only some camera and GPU drivers lock buffers"),
    ],
)
def test_memlock(monkeypatch, limit, text):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert (system.memlock().level, system.memlock().text) == ("ok", text)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (15, "ok    sockets    ROOT is writeable; graph names may have 63 characters"),
        (54, "ok    sockets    ROOT is writeable; graph names may have 24 characters"),
        (55, "warn  sockets    ROOT: graph names may have 23 characters; set XDG_RUNTIME_DIR to a shorter folder for more"),
        (70, "warn  sockets    ROOT: graph names may have 8 characters; set XDG_RUNTIME_DIR to a shorter folder for more"),
        (73, "FAIL  sockets    ROOT is too long a path: needs 3 characters less; set XDG_RUNTIME_DIR to a shorter folder"),
    ],
)
def test_room_in_socket_paths(length, expected):
    root = "/" + "r" * (length - 1)
    assert str(system.sockets(Path(root))) == expected.replace("ROOT", root)


def test_the_runtime_folder_of_somebody_else(runtime, monkeypatch):
    assert system.runtime().level == "ok"
    assert list((runtime / "pipe").iterdir()) == []
    me = os.getuid()
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert str(system.runtime()) == (
        f"FAIL  sockets    {runtime}/pipe: needs a folder owned by uid 4711, got owner {me}; remove it or set XDG_RUNTIME_DIR"
    )


def test_kernels_that_forbid(monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.memfd_create", refuse)
    monkeypatch.setattr("os.pidfd_open", refuse)
    assert str(system.memfd()) == (
        "FAIL  memfd      memfd_create: [Errno 1] Operation not permitted; frames live there: "
        "allow it in the container's seccomp profile"
    )
    assert str(system.pidfd()) == (
        "FAIL  pidfd      pidfd_open: [Errno 1] Operation not permitted; the supervisor needs it: Linux 5.3, "
        "and allowed in the seccomp profile"
    )


def test_sealing_that_is_refused_or_does_nothing(monkeypatch):
    monkeypatch.setattr("fcntl.fcntl", lambda *args: 0)
    assert str(system.memfd()) == "FAIL  memfd      a sealed memfd could be cut; this kernel does not keep seals"


# ---- software


def imports(monkeypatch, modules):
    """Sets the result or error of `import_module` for these names."""
    real = importlib.import_module

    def load(name, package=None):
        made = modules.get(name)
        if isinstance(made, Exception):
            raise made
        return made if made is not None else real(name, package)

    monkeypatch.setattr(importlib, "import_module", load)


def test_a_package_that_cannot_be_loaded(monkeypatch):
    imports(monkeypatch, {"cv2": ImportError("libGL.so.1: cannot open\n shared object file")})
    good, bad = software.packages()
    assert "numpy " in good.text and "opencv" not in good.text
    assert str(bad) == (
        "FAIL  packages   cannot import cv2: libGL.so.1: cannot open shared object file; "
        "pip install --force-reinstall opencv-python-headless"
    )


def test_packages_that_may_be_absent(monkeypatch):
    torch = SimpleNamespace(__version__="2.8.0", cuda=SimpleNamespace(is_available=lambda: True))
    found = {"torch": torch, "tensorrt": ImportError("libnvinfer.so.10: no such file")}
    monkeypatch.setattr(importlib.util, "find_spec", found.get)
    imports(monkeypatch, found)
    assert [str(line) for line in software.optional()] == [
        "ok    torch      2.8.0, CUDA available",
        "ok    onnxruntime not installed; needed by detectors in int8, and ONNX nets of your own",
        "ok    openvino   not installed; needed by the same on Intel and AMD CPUs, also in bf16",
        "warn  tensorrt   is installed but cannot be imported: libnvinfer.so.10: no such file; needed by detectors at full speed "
        "on NVIDIA GPUs",
        "ok    open3d     not installed; needed by worlds of meshes",
    ]


def test_an_encoder_that_is_not_there(monkeypatch):
    def missing(name, mode):
        raise ValueError(name)

    monkeypatch.setattr("av.codec.Codec", missing)
    assert str(software.encoder()) == (
        "warn  h264       no encoder in PyAV (h264): render cannot write MP4; pip install --force-reinstall av"
    )
