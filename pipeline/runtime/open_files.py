"""The limit of open files: raised as far as a run needs it, before libraries that abort the process without files are loaded."""

from __future__ import annotations

import resource

from pipeline.errors import RunError

PER_PROCESS, OTHERS = 5, 40
"""Files of the supervisor: per child process (pidfd, log, three of its control channel), and those of every graph."""


def allow(shared: int, processes: int) -> None:
    """Raise this process's soft limit if it is too low; its children inherit it. Raises RunError if the hard limit is too low.

    shared  descriptors of the board, the bells and the pools
    """
    needed = shared + PER_PROCESS * processes + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise RunError(
            f"open files: needs {needed} for {processes} processes, this user may have {hard}; ulimit -n {max(1024, needed)} "
            "(container: --ulimit nofile=), or fewer processes: place:"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
