"""`pipe set`: a key of a running operator's config gets another value.

    supervisor                          process of the node
    checks the value as in the file
    Configure                       ->  builds the config (I/O thread)
                                        puts it in place before the next frame (the node's thread)
    Configured, with that frame     <-
    answers, keeps it for the report
    and for a successor

A node has one change under way; further changes of it wait for their turn. The plan of a successor has the change that its dead
predecessor did not confirm; the successor confirms it with its own first frame. The keys are those that the operator declares
(`Operator.tunable`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

from pipeline import settings
from pipeline.errors import GraphError
from pipeline.graph.spec import GraphSpec
from pipeline.operator import Node
from pipeline.runtime.messages import Configure, Configured, ProcessPlan
from pipeline.settings import Where, suggest

MOST_WAITING, MOST_KEPT = 100, 1000
"""Changes of one node that wait for a frame; outcomes that are kept for whoever asks."""


class _Change(NamedTuple):
    number: int
    node: str
    key: str
    value: Any


class LiveConfig:
    """Answers two requests of the door:

        {"ask": "set", "node": N, "key": K, "value": V}  ->  {"number": 1, "waits": line} or an outcome
        {"ask": "was_set", "number": 1}                  ->  {"waits": line} or an outcome
        outcome: {"set": row of the report}, {"refused": line} if the request is wrong, {"failed": line} if it came to nothing

    tell(node, message): to its process, if that has its plan; done: nodes at their end; rows: of the report, added to
    """

    def __init__(
        self, graph: GraphSpec, tell: Callable[[str, Configure], None], done: Set[str], rows: list[dict[str, Any]]
    ) -> None:
        self._graph, self._tell, self._done, self._rows = graph, tell, done, rows
        self._configs = {name: node.config for name, node in graph.nodes.items()}  # as confirmed
        self._under_way: dict[str, tuple[_Change, Any]] = {}  # by node, with the config
        self._waiting: dict[str, deque[_Change]] = {}
        self._outcomes: dict[int, dict[str, Any]] = {}
        self._count = 0

    def set(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ValueError if it is no such request."""
        name, key = request.get("node"), request.get("key")
        if not isinstance(name, str) or not isinstance(key, str) or "value" not in request:
            raise ValueError("needs node, key and value")
        spec = self._graph.nodes.get(name)
        if spec is None:
            return {"refused": f"pipe set: {name[:40]}: no such node in {self._graph.name}{suggest(name, self._graph.nodes)}"}
        waiting = self._waiting.setdefault(name, deque())
        if len(waiting) >= MOST_WAITING:
            return {"refused": f"pipe set: {name}: {len(waiting)} changes wait for a frame of this node already"}
        self._count += 1
        waiting.append(_Change(self._count, name, key, request["value"]))
        self._go_on(name)
        return {"number": self._count} | self.was_set({"number": self._count})

    def was_set(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ValueError for a number that no change has."""
        number = request.get("number")
        if number in self._outcomes:
            return self._outcomes[number]
        begun = [change for change, _ in self._under_way.values()]
        open_ = next((c for c in chain(begun, *self._waiting.values()) if c.number == number), None)
        if open_ is None:
            raise ValueError(f"number: needs that of a change, got {str(number)[:40]}")
        if open_.node in self._done:
            return {"failed": f"pipe set: {open_.node}.{open_.key}: not set: the node has ended"}
        return {"waits": f"{open_.node}.{open_.key}: waits for the next frame of {open_.node}"}

    def _go_on(self, name: str) -> None:
        """Begin the next change that is right, if none is under way."""
        waiting = self._waiting[name]
        while waiting and name not in self._under_way:
            change = waiting.popleft()
            try:
                config = changed(name, self._graph.nodes[name].cls, self._configs[name], change.key, change.value)
            except GraphError as error:
                self._ended(change.number, {"refused": " ".join(str(error).split("\n"))})
            else:
                self._under_way[name] = change, config
                self._tell(name, Configure(name, change.number, settings.plain(config)))

    def _ended(self, number: int, outcome: dict[str, Any]) -> None:
        self._outcomes[number] = outcome
        if len(self._outcomes) > MOST_KEPT:
            del self._outcomes[next(iter(self._outcomes))]

    def confirmed(self, message: Configured) -> str:
        """A line for the user; "" if the message says nothing new."""
        name = message.node
        change, config = self._under_way.get(name, (None, None))
        if change is None or change.number != message.number:
            return ""
        del self._under_way[name]
        if message.error is not None:
            text = f"pipe set: {name}.{change.key}: refused by the operator: {message.error}"
            self._ended(change.number, {"refused": text})
        else:
            row = {"node": name, "key": change.key, "from": _at(self._configs[name], change.key), "to": _at(config, change.key)}
            row |= {"source": message.source, "at_frame": message.frame_id}
            self._configs[name] = config
            self._rows.append(row)
            self._ended(change.number, {"set": row})
            text = said(row)
        self._go_on(name)
        return text

    def in_place(self, plan: ProcessPlan) -> ProcessPlan:
        """The plan of a process with what has been set, the changes under way included."""
        nodes = []
        for node in plan.nodes:
            change, config = self._under_way.get(node.name, (None, self._configs[node.name]))
            nodes.append(replace(node, config=settings.plain(config), configuring=change.number if change else 0))
        return replace(plan, nodes=tuple(nodes))


def said(row: Mapping[str, Any]) -> str:
    """A row of the report in words: `detect.min_score: 0.3 -> 0.5 from lidar:134`."""
    shown = f"{settings.show(row['from'])} -> {settings.show(row['to'])}"
    return f"{row['node']}.{row['key']}: {shown} from {row['source']}:{row['at_frame']}"


def changed(name: str, cls: type[Node], config: Any, key: str, value: Any) -> Any:
    """The config of a node of this class with another value, checked as in the file.

    key  `min_score`, or `best.car.min_hits` inside of mappings
    Raises GraphError, one line: an unknown key, one that is not live, a value of another type or out of range.
    """
    where = Where("pipe set", {}, ("nodes", name))
    top, *inner = key.split(".")
    types = settings.field_types(cls.Config)
    if top not in types:
        raise where.child(top).error(f"unknown key{suggest(top, types)}")
    live = getattr(cls, "tunable", ())
    if top not in live:
        has = f"live ones: {', '.join(live)}" if live else "this node has none"
        raise where.child(top).error(f"needs a live key, got one that is read at the start; {has}")
    plain = level = settings.plain(config)
    for outer in (top, *inner)[:-1]:
        if not isinstance(level.get(outer), dict):
            raise where.child(top, *inner).error(f"needs a key inside of a mapping, but {outer} is none")
        level = level[outer]
    level[(top, *inner)[-1]] = value
    return settings.build(cls.Config, plain, where)


def _at(config: Any, key: str) -> Any:
    """The value of a key as plain data."""
    value: Any = config
    for k in key.split("."):
        value = value.get(k) if isinstance(value, Mapping) else getattr(value, k)
    return settings.plain(value)
