"""`pipe doctor`: compares this machine with Pipe's requirements and says how to fix each difference."""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

OK, WARN, FAIL = "ok", "warn", "FAIL"

PACKAGES = {
    "numpy": "numpy", "numba": "numba", "scipy": "scipy", "cv2": "opencv-python-headless", "zmq": "pyzmq", "msgpack": "msgpack",
    "filterpy": "filterpy", "yaml": "pyyaml", "rich": "rich", "av": "av",
}  # fmt: skip
"""Module -> distribution."""
OPTIONAL = {
    "torch": "detectors",
    "onnxruntime": "detectors in int8, and ONNX nets of your own",
    "openvino": "the same on Intel and AMD CPUs, also in bf16",
    "tensorrt": "detectors at full speed on NVIDIA GPUs",
    "open3d": "worlds of meshes",
}
"""Module -> who needs it."""
GOOD_CLOCKS = ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page")
MIN_RMEM = 8_000_000
"""A LiDAR sends bursts; what the kernel cannot queue while Python sleeps is lost without a trace."""
MIN_FILES = 1024
MAX_SOCKET_PATH = 107


@dataclass(frozen=True)
class Line:
    """One finding. text: the state found and, unless ok, how to fix it."""

    level: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<5} {self.name:<10} {self.text}"


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = "Check this machine: packages, memory, limits, clocks, network buffers, GPU, cameras, video encoder."
    parser.epilog = "Exit codes: 0 nothing FAILs, 1 something does. A warning is about what some graphs need."
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    lines = []
    for line in examine():
        print(line, flush=True)
        lines.append(line)
    count = {level: sum(line.level == level for line in lines) for level in (OK, WARN, FAIL)}
    print(f"{count[OK]} ok, {count[WARN]} to look at, {count[FAIL]} failed")
    return 1 if count[FAIL] else 0


def examine(root: Path = Path("/")) -> Iterator[Line]:
    """All findings. `root`: folder that contains proc, sys, dev and etc."""
    everywhere: tuple[Callable[[], Line | list[Line]], ...] = (
        python,
        packages,
        optional,
        encoder,
        kernel,
        memfd,
        pidfd,
        runtime,
        kernels,
        results,
        process,
        open_files,
        memlock,
    )
    below_root: tuple[Callable[[Path], Line], ...] = (cores, memory, udp, clock, ptp, gpu, cameras, jetson)
    checks = [(c.__name__, c) for c in everywhere] + [(c.__name__, functools.partial(c, root)) for c in below_root]
    for name, check in checks:
        try:
            found = check()
        except Exception as error:  # an unforeseen state of the machine is a finding, not a crash
            found = Line(FAIL, name, f"cannot be examined: {type(error).__name__}: {error}; please report this")
        yield from found if isinstance(found, list) else [found]


# ---- software


def python() -> Line:
    where = "in a virtual environment" if sys.prefix != sys.base_prefix else "not in a virtual environment"
    return Line(OK, "python", f"{platform.python_version()} on {platform.machine()}, {where} ({sys.prefix})")


def packages() -> list[Line]:
    """Imports the packages, not only looks them up, to find a wheel built for another machine."""
    good, bad = [], []
    for module, distribution in PACKAGES.items():
        try:
            importlib.import_module(module)
            good.append(f"{distribution} {importlib.metadata.version(distribution)}")
        except importlib.metadata.PackageNotFoundError:
            good.append(f"{distribution} (of unknown version)")
        except Exception as error:
            reason = " ".join(str(error).split())
            bad.append(Line(FAIL, "packages", f"cannot import {module}: {reason}; pip install --force-reinstall {distribution}"))
    return [Line(OK, "packages", ", ".join(good)), *bad]


def optional() -> list[Line]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else onnxruntime writes files and reports at its import
    modules = cast("dict[str, Any]", sys.modules)
    modules.setdefault("openvino_telemetry", None)  # an import of None fails: OpenVINO does without, and writes no files
    lines = []
    for module, who in OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            lines.append(Line(OK, module, f"not installed; needed by {who}"))
            continue
        try:
            loaded = importlib.import_module(module)
        except Exception as error:
            reason = " ".join(str(error).split())
            lines.append(Line(WARN, module, f"is installed but cannot be imported: {reason}; needed by {who}"))
            continue
        text = str(getattr(loaded, "__version__", "of unknown version"))
        if module == "torch":
            text += f", CUDA {'available' if loaded.cuda.is_available() else 'not available'}"
        lines.append(Line(OK, module, text))
    return lines


def encoder() -> Line:
    try:
        from av.codec import Codec

        name = Codec("h264", "w").name
    except Exception as error:
        return Line(WARN, "h264", f"no encoder in PyAV ({error}): render cannot write MP4; pip install --force-reinstall av")
    return Line(OK, "h264", f"{name} in PyAV")


# ---- kernel and limits


def kernel() -> Line:
    release = platform.release()
    numbers = tuple(int(n) for n in re.findall(r"\d+", release)[:2])
    if numbers < (5, 3):
        return Line(FAIL, "kernel", f"needs Linux 5.3 or newer (pidfd_open), got {release}; upgrade it")
    if numbers < (5, 14):
        return Line(OK, "kernel", f"Linux {release}; before 5.14 a pool's first frames cost a page fault per 4 KB")
    return Line(OK, "kernel", f"Linux {release}")


def memfd() -> Line:
    try:
        fd = os.memfd_create("pipe:doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except (OSError, AttributeError) as error:
        return Line(FAIL, "memfd", f"memfd_create: {error}; frames live there: allow it in the container's seccomp profile")
    try:
        os.ftruncate(fd, 4096)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        try:
            os.ftruncate(fd, 0)
        except OSError:
            return Line(OK, "memfd", "shared memory can be made and sealed")
        return Line(FAIL, "memfd", "a sealed memfd could be cut; this kernel does not keep seals")
    except (OSError, AttributeError) as error:
        return Line(FAIL, "memfd", f"sealing: {error}; frames need it: allow fcntl(F_ADD_SEALS)")
    finally:
        os.close(fd)


def pidfd() -> Line:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError) as error:
        return Line(FAIL, "pidfd", f"pidfd_open: {error}; the supervisor needs it: Linux 5.3, and allowed in the seccomp profile")
    return Line(OK, "pidfd", "dead processes are noticed at once")


def cores(root: Path) -> Line:
    mine, there = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    quota = cpu_quota(root)
    text = f"{mine} of {there} cores" + (f", limited to {quota:g} by the cgroup" if quota is not None else "")
    if min(mine, quota or mine) < 2:
        return Line(WARN, "cores", f"{text}; nodes take turns: expect a fraction of the rates in README")
    return Line(OK, "cores", text)


def cpu_quota(root: Path) -> float | None:
    for folder in cgroup_folders(root, "cpu"):
        both = (_read(folder / "cpu.max") or "").split()
        if not both:
            both = [_read(folder / "cpu.cfs_quota_us") or "-1", _read(folder / "cpu.cfs_period_us") or "100000"]
        if both[0] not in ("max", "-1"):
            return int(both[0]) / int(both[1])
    return None


def memory(root: Path) -> Line:
    info = dict(re.findall(r"^(\w+):\s+(\d+) kB", _read(root / "proc/meminfo") or "", re.MULTILINE))
    if "MemAvailable" not in info:
        return Line(WARN, "memory", f"{root / 'proc/meminfo'} has no MemAvailable; the size of pools cannot be checked")
    available = int(info["MemAvailable"]) * 1024
    text = f"{available / 1e9:.1f} of {int(info['MemTotal']) * 1024 / 1e9:.1f} GB available"
    limit = memory_limit(root)
    if limit is not None and limit[0] - limit[1] < available:
        available = max(0, limit[0] - limit[1])
        text += f", {available / 1e9:.1f} of {limit[0] / 1e9:.1f} GB by the cgroup's limit"
    text += "; frames may take half of it"
    if available < 0.5e9:
        return Line(FAIL, "memory", f"{text}; needs 0.5 GB: close something, or raise the container's limit")
    if available < 2e9:
        return Line(WARN, "memory", f"{text}; cameras and big scans need more")
    return Line(OK, "memory", text)


def memory_limit(root: Path) -> tuple[int, int] | None:
    """(limit, used) in bytes of the nearest cgroup that has a limit; version 2 or 1."""
    for folder in cgroup_folders(root, "memory"):
        for limit_file, used_file in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, used = _read(folder / limit_file), _read(folder / used_file)
            if (
                limit is not None and used is not None and limit != "max" and int(limit) < 1 << 60
            ):  # version 1 writes "no limit" as 2**63
                return int(limit), int(used)
    return None


def cgroup_folders(root: Path, controller: str) -> list[Path]:
    """Folders with the limits of this process: its own group first, then the parent groups."""
    folders = []
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        number, controllers, path = line.split(":", 2)
        mount = root / "sys/fs/cgroup"
        if number != "0" and controller in controllers.split(","):
            mount = mount / controller
        elif number != "0":
            continue
        parts = Path(path.lstrip("/")).parts
        folders += [mount.joinpath(*parts[:n]) for n in range(len(parts), -1, -1)]
    return folders


def runtime() -> Line:
    from pipeline.errors import RunError
    from pipeline.flow.transport import runtime_root

    try:
        root = runtime_root()
        (root / f".doctor-{os.getpid()}").touch()
        (root / f".doctor-{os.getpid()}").unlink()
    except (RunError, OSError) as error:
        return Line(FAIL, "sockets", f"{error}")
    return sockets(root)


def sockets(root: Path) -> Line:
    """Length of socket paths; the longest is ROOT/GRAPH-PID-MILLISECONDS/e123.45.67."""
    room = MAX_SOCKET_PATH - len(os.fsencode(root)) - len("/-4194304-12345678/e123.45.67")
    if room < 8:
        return Line(
            FAIL,
            "sockets",
            f"{root} is too long a path: needs {8 - room} characters less; set XDG_RUNTIME_DIR to a shorter folder",
        )
    if room < 24:
        return Line(
            WARN, "sockets", f"{root}: graph names may have {room} characters; set XDG_RUNTIME_DIR to a shorter folder for more"
        )
    return Line(OK, "sockets", f"{root} is writeable; graph names may have {room} characters")


def kernels() -> Line:
    """Where compiled kernels are kept; without such a place no kernel can be imported."""
    try:
        importlib.import_module("operators.kernels")
    except OSError as error:
        return Line(FAIL, "kernels", str(error))
    given = os.environ.get("NUMBA_CACHE_DIR")
    return Line(OK, "kernels", f"compiled code is kept {f'in {given}' if given else 'beside the source'}")


def results() -> Line:
    here = os.getcwd()
    if not os.access(here, os.W_OK | os.X_OK):
        return Line(WARN, "results", f"the working folder {here} cannot be written: give every run an --out")
    return Line(OK, "results", "runs write to out/ in the working folder, or to --out")


def process() -> Line:
    if os.getpid() == 1:
        return Line(OK, "process", "process 1 of a container; SIGTERM and SIGINT stop a run as anywhere else")
    home = "" if os.environ.get("HOME") else ", no HOME (nothing needs one)"
    return Line(OK, "process", f"uid {os.getuid()}{home}")


def open_files() -> Line:
    soft, hard = (None if n == resource.RLIM_INFINITY else n for n in resource.getrlimit(resource.RLIMIT_NOFILE))
    if hard is not None and hard < MIN_FILES:
        return Line(WARN, "files", f"at most {hard} open files per process; big graphs need {MIN_FILES}: ulimit -n {MIN_FILES}")
    most = hard or "any number"
    return Line(OK, "files", f"{soft or 'any number of'} open files per process, raised to {most} if need be")


def memlock() -> Line:
    """Limit of locked memory: Pipe asks for none; the CUDA driver and those of cameras lock buffers, on their own account."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    amount = "no limit" if soft == resource.RLIM_INFINITY else f"{soft / 1e6:.3g} MB per process"
    return Line(OK, "memlock", f"{amount}; frames are not locked, only some camera and GPU drivers lock buffers")


def udp(root: Path) -> Line:
    most = int(_read(root / "proc/sys/net/core/rmem_max") or 0)
    if most < MIN_RMEM:
        return Line(
            WARN,
            "udp",
            f"rmem_max is {most / 1e6:.3g} MB: packets of a LiDAR get lost; sudo sysctl -w net.core.rmem_max={1 << 23}",
        )
    return Line(OK, "udp", f"rmem_max is {most / 1e6:.3g} MB")


# ---- clocks and devices


def clock(root: Path) -> Line:
    source = _read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource") or "unknown"
    resolution_ns = time.clock_getres(time.CLOCK_MONOTONIC) * 1e9
    text = f"clocksource {source}, CLOCK_MONOTONIC in steps of {resolution_ns:g} ns"
    if source not in GOOD_CLOCKS:
        return Line(
            WARN, "clock", f"{text}; reading it may take microseconds: latencies are not to be trusted; boot with clocksource=tsc"
        )
    if resolution_ns > 1000:
        return Line(WARN, "clock", f"{text}; latencies are not to be trusted; needs a kernel with high-resolution timers")
    return Line(OK, "clock", text)


def ptp(root: Path) -> Line:
    devices = sorted(p.name for p in (root / "dev").glob("ptp*"))
    return Line(OK, "ptp", ", ".join(devices) if devices else "no PTP clock; sensors are stamped when their data arrive")


def gpu(root: Path) -> Line:
    """The GPU according to its driver: torch may be absent, or built without CUDA."""
    devices = sorted(p.name for p in (root / "dev").glob("nvidia[0-9]*"))
    try:
        cuda: Any = ctypes.CDLL("libcuda.so.1")
    except OSError:
        if devices:
            return Line(
                WARN,
                "gpu",
                f"{', '.join(devices)} but no libcuda.so.1; install the NVIDIA driver's libraries (container: --gpus all)",
            )
        return Line(OK, "gpu", "none; everything runs on the CPU")
    count = ctypes.c_int(0)
    failed = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if failed or not count.value:
        return Line(WARN, "gpu", f"libcuda.so.1 is there, but cuInit says {failed} for {count.value} devices; see nvidia-smi")
    return Line(OK, "gpu", ", ".join(_gpu_name(cuda, i) for i in range(count.value)))


def _gpu_name(cuda: Any, index: int) -> str:
    device, name, size = ctypes.c_int(0), ctypes.create_string_buffer(128), ctypes.c_size_t(0)
    if cuda.cuDeviceGet(ctypes.byref(device), index) or cuda.cuDeviceGetName(name, len(name), device):
        return f"device {index} without a name"
    cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    return f"{name.value.decode(errors='replace')} ({size.value / 1e9:.0f} GB)"


def cameras(root: Path) -> Line:
    devices = sorted((root / "dev").glob("video[0-9]*"))
    if not devices:
        return Line(OK, "cameras", "none at /dev/video*")
    closed = [d.name for d in devices if not os.access(d, os.R_OK | os.W_OK)]
    if closed:
        return Line(WARN, "cameras", f"no right to use {', '.join(closed)}: sudo usermod -aG video $USER, then log in again")
    return Line(OK, "cameras", ", ".join(d.name for d in devices))


def jetson(root: Path) -> Line:
    release = _read(root / "etc/nv_tegra_release")
    return Line(OK, "jetson", release.partition(", GCID")[0].lstrip("# ") if release else "no")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
