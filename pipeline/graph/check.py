"""`pipe check`: can this graph run? Types, pairs of streams, files, memory, before any process starts.

`graph.load` has checked names, keys and wiring. This module checks schemas, coordinate frames, sync against the rates and
stamps of the sources, pools, memory, files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import GraphError, PipeError
from pipeline.graph import check_sync, sizing
from pipeline.graph.fault import TIMED
from pipeline.graph.spec import GraphSpec, NodeSpec
from pipeline.machine.facts import ram_mb
from pipeline.operator import Found
from pipeline.settings import show

MEMORY_SHARE = 0.5
"""Share of the available memory that frames may take."""


@dataclass
class Checked:
    """A graph that may start. found: source -> what it will read; pool_bytes: of all pools together."""

    warnings: list[str] = field(default_factory=list)
    found: dict[str, Found] = field(default_factory=dict)
    pool_bytes: int = 0


def check(spec: GraphSpec) -> Checked:
    """Raises GraphError with one line for each problem: `FILE:LINE: node.key: needed, got; hint`."""
    problems: list[str] = []
    checked = Checked()
    for injection in spec.faults:
        if injection.fault in TIMED and not spec.live:
            checked.warnings.append(f"{spec.path}: {injection.text}: has no effect offline: stamps decide there, not time")
    checked.warnings += _quality(spec)
    for name, node in spec.nodes.items():
        problems += _types(spec, node) + _cpus(node)
        errors, warnings = _memory(node)
        problems += errors
        checked.warnings += warnings
        if node.is_source:
            try:
                checked.found[name] = spec.find(name)
                node.cls.check_ports(name, node.config, *sizing.wanted(spec, name))
            except Exception as error:
                kind = "" if isinstance(error, (PipeError, OSError, ValueError)) else f"{type(error).__name__}: "
                problems.append(f"{node.where}: {kind}{' '.join(str(error).split()).removeprefix(f'{name}: ')}")
    if len(checked.found) == sum(node.is_source for node in spec.nodes.values()):  # rates are known
        for node in spec.nodes.values():
            errors, warnings = _sync(spec, node)
            problems += errors
            checked.warnings += warnings
        pool_problems, checked.pool_bytes = _pools(spec)
        problems += pool_problems
        checked.warnings += _budgets(spec, checked.pool_bytes)
    if problems:
        raise GraphError("\n".join(problems))
    return checked


def _quality(spec: GraphSpec) -> list[str]:
    """`quality:` that never switches anything."""
    if not spec.quality:
        return []
    if not spec.live:
        return [f"{spec.path}: quality: has no effect offline and in a replay: the same input gives the same bytes there"]
    if not any(node.levels for node in spec.nodes.values()):
        return [f"{spec.path}: quality: has no effect: no operator of this graph has levels (pipe ops NAME shows them)"]
    return []


def _types(spec: GraphSpec, node: NodeSpec) -> list[str]:
    problems = []
    for port, i in node.inputs.items():
        at = node.where.child("inputs", port)
        at_line = str(at).removesuffix(f": {at.name}")
        out = spec.nodes[i.source_node].outputs[i.source_port]
        origin = f"{i.source_node}.{i.source_port}"
        if out.static != i.port_spec.static:
            kinds = ("a static (latched) value", "a stream")
            need, got = kinds if i.port_spec.static else kinds[::-1]
            problems.append(f"{at_line}: {node.name}.{port}: needs {need}, got {got} from {origin}")
            continue
        reason = out.schema.mismatch(i.port_spec.schema)
        if reason is None:
            continue
        array, colon, rest = reason.partition(": ")
        if colon and array in i.port_spec.schema.arrays:  # name the array only where there are several
            reason, suffix = rest, f".{array}" if len(i.port_spec.schema.arrays) > 1 else ""
        else:
            suffix = ""
        problems.append(f"{at_line}: {node.name}.{port}{suffix}: {reason} from {origin}")
    return problems


def _cpus(node: NodeSpec) -> list[str]:
    here = os.sched_getaffinity(0)
    if node.cpus is None or here.intersection(node.cpus):
        return []
    return [f"{node.where.child('cpus')}: needs CPUs of this machine ({show(sorted(here))}), got {show(list(node.cpus))}"]


def _memory(node: NodeSpec) -> tuple[list[str], list[str]]:
    """Does the node's own estimate fit into its memory_budget_mb?"""
    if node.memory_budget_mb is None:
        return [], []
    where, who, needed = node.where.child("memory_budget_mb"), node.op or node.driver, node.cls.memory_bytes(node.config)
    if needed is None:
        return [], [f"{where}: has no effect: {who} gives no estimate of its memory"]
    if needed <= node.memory_budget_mb * 1e6:
        return [], []
    return [
        f"{where}: needs {_mb(needed)} by the estimate of {who}, got {node.memory_budget_mb:g} MB; raise it, or a smaller net?"
    ], []


def _budgets(spec: GraphSpec, pool_bytes: int) -> list[str]:
    """Do the budgets of all nodes and the frames fit into the memory of this machine? A Jetson's GPU uses the same memory."""
    budgets = {name: node.memory_budget_mb for name, node in spec.nodes.items() if node.memory_budget_mb is not None}
    there = ram_mb()
    total = sum(budgets.values()) + pool_bytes / 1e6
    if not budgets or there is None or total <= there:
        return []
    parts = ", ".join(f"{name} {budget:g}" for name, budget in sorted(budgets.items(), key=lambda item: -item[1]))
    return [
        f"{spec.path}: memory_budget_mb: the budgets ({parts}) and {pool_bytes / 1e6:.0f} MB of frames are {total:.0f} MB, this "
        f"machine has {there} MB; lower them, or leave nodes out"
    ]


def _sync(spec: GraphSpec, node: NodeSpec) -> tuple[list[str], list[str]]:
    if node.sync is None:
        return [], []
    where = node.where.child("sync")
    if len(node.streams) < 2:
        return [], [f"{where}: has no effect: {node.name} has one stream input"]
    errors, warnings = [], []
    for port in node.streams:
        if port == node.trigger:
            continue
        verdict = check_sync.judge(spec, node, port)
        if verdict is None:
            continue
        if verdict.never and port not in node.sync.optional:
            errors.append(f"{where}: {verdict.text}")
        elif verdict.never or port not in node.sync.optional:
            warnings.append(f"{where}: {verdict.text}")
    return errors, warnings


def _pools(spec: GraphSpec) -> tuple[list[str], int]:
    problems: list[str] = []
    sizes: dict[str, int] = {}
    for name, node in spec.nodes.items():
        for port in node.outputs:
            try:
                sizes[f"{name}.{port}"] = sizing.slots(spec, name, port) * sizing.slot_bytes(spec, name, port)
            except GraphError as error:
                problems.append(str(error))
            terms = sizing.slot_terms(spec, name, port)
            needed, given = sum(terms.values()), sizing.slots(spec, name, port)
            if given < needed:
                parts = " + ".join(f"{count} {part}" for part, count in terms.items())
                problems.append(
                    f"{node.where.child('pool', port, 'slots')}: pool too small: needs {needed} slots ({parts}), got {given}; "
                    f"raise slots or lower the queues"
                )
    total, available = sum(sizes.values()), available_bytes()
    if available is not None and total > MEMORY_SHARE * available:
        largest = ", ".join(f"{name} {_mb(size)}" for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:3])
        problems.append(
            f"{spec.path}: frame memory: needs {_mb(total)} ({largest}), got {_mb(int(MEMORY_SHARE * available))}, half of what "
            f"is available; lower queue sizes or pool: max_mb"
        )
    return problems, total


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size < 10e9 else f"{size / 1e9:.1f} GB"


def available_bytes() -> int | None:
    """Available memory: the smaller of the machine's and the container's; None = unknown."""
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
        group = Path("/sys/fs/cgroup")
        limits.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no cgroup v2 here, or "max": no limit
    return min(limits, default=None)
