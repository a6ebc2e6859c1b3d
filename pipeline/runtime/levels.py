"""Levels of operators in a run: what the books say goes to the controller, its switches to the board, and into the report.

A switch is a word on the board that the operator's thread reads before each frame, so it costs no message and survives a
restart. The level of each step comes back in the event log: the report names the first frame that was computed with it.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import numpy as np

from pipeline.flow.board import Board
from pipeline.flow.log import VALUES, WHO, level_of
from pipeline.flow.slot import whose
from pipeline.graph.layout import WANTED_LEVEL
from pipeline.graph.plan import Plan
from pipeline.graph.spec import GraphSpec
from pipeline.operator import BEST
from pipeline.runtime.books import Accountant
from pipeline.runtime.quality import Controller, Stage, Switch


class Levels:
    """switches: rows of the report."""

    def __init__(self, plan: Plan, board: Board, accountant: Accountant) -> None:
        graph = plan.graph
        self.switches: list[dict[str, Any]] = []
        self._board, self._index, self._nodes = board, plan.node_index, list(plan.node_index)
        self._levels = {name: (BEST, *(level.name for level in node.levels)) for name, node in graph.nodes.items()}
        self._sinks = {name for name, node in graph.nodes.items() if node.is_sink and not node.is_tap}
        self._under_way: dict[str, Switch] = {}  # decided, and no frame has been computed at the new level yet
        self._applied_level: dict[str, int] = {}
        self._controller: Controller | None = None
        self._is_helpless = False
        stages, target_ms = stages_of(graph), graph.quality.get("target_latency_ms")
        if target_ms is not None and graph.live and stages and plan.options.rate != "step":
            self._controller = Controller(target_ms, stages)
            accountant.watch = self._booked

    def level(self, name: str) -> str | None:
        """Name of the level that a node is told to have; None: it has no levels."""
        names = self._levels[name]
        return names[self._board.words[self._board.node(self._index[name]) + WANTED_LEVEL]] if len(names) > 1 else None

    def tick(self, steady: bool) -> list[str]:
        """A few times a second, when the books are up to date. Returns lines for the user.

        steady  the run has started and every process is ready
        """
        controller, now_s = self._controller, monotonic()
        if controller is None:
            return []
        if not steady:
            controller.pause(now_s)
            return []
        switch = controller.decide(now_s)
        was_helpless, self._is_helpless = self._is_helpless, bool(controller.helpless)
        if self._is_helpless and not was_helpless:
            return [f"quality: {controller.helpless}; every operator is at its lowest level"]
        if switch is None:
            return []
        node, level, reason = switch
        word = self._board.node(self._index[node]) + WANTED_LEVEL
        before, self._board.words[word] = self._board.words[word], level
        self._under_way[node] = switch
        names = self._levels[node]
        return [f"{node}: level {names[level]} instead of {names[before]}: {reason}"]

    def _booked(self, index: int, rows: np.ndarray) -> None:
        """Steps of a node (flow/log.py), as they are booked."""
        name, controller, now_s = self._nodes[index], self._controller, monotonic()
        assert controller is not None
        if name in self._sinks:
            controller.arrived(now_s, name, (rows[:, VALUES + 1] * 1e-6).tolist())
        level = controller.level.get(name)
        if level is not None:
            rows = rows[level_of(rows) == level]
            if len(rows) and name in self._under_way:
                self._applied(self._under_way.pop(name), int(rows[0, WHO]))
        controller.computed(now_s, name, (rows[:, VALUES] * 1e-6).tolist())

    def _applied(self, switch: Switch, who: int) -> None:
        if self._applied_level.get(switch.node, 0) == switch.level:
            return  # the operator could not, and stayed at its level
        self._applied_level[switch.node] = switch.level
        name = self._levels[switch.node][switch.level]
        self.switches.append({"node": switch.node, "level": name, "at_frame": whose(who)[1], "reason": switch.reason})


def stages_of(graph: GraphSpec) -> list[Stage]:
    """The operators that have levels in this graph, in file order."""
    readers: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for edge in graph.edges():
        if not edge.static and not graph.nodes[edge.dst_node].is_tap and edge.dst_node not in readers[edge.src_node]:
            readers[edge.src_node].append(edge.dst_node)
    sinks: dict[str, frozenset[str]] = {}
    for name in reversed(graph.order()):
        own = {name} if graph.nodes[name].is_sink else set()
        sinks[name] = frozenset(own.union(*(sinks[reader] for reader in readers[name])))
    return [Stage(name, node.levels, tuple(readers[name]), sinks[name]) for name, node in graph.nodes.items() if node.levels]
