"""What the kernel lets a process do, and where a run may write."""

from __future__ import annotations

import fcntl
import importlib
import os
import platform
import re
import resource
from pathlib import Path

from pipeline.cli.checks.line import FAIL, OK, WARN, Line

MIN_FILES = 1024
MAX_SOCKET_PATH = 107


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
