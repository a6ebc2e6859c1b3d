"""Who settles what when a process dies: docs/decisions/001-frame-life.md.

The supervisor is the heir of a dead process: it takes back the leases on its words and names the frames that are lost. It may do
so only when nobody alive still counts on those words, so the process at the other end of each edge is asked first to close it
(EdgeDown). Its answer carries the number of the question: an answer to an earlier death says nothing of what came after that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.flow.shm import Board
from pipeline.graph.layout import RECEIVED, RELEASED, SENT
from pipeline.graph.plan import Plan
from pipeline.runtime.books import Accountant
from pipeline.runtime.children import Child, other_end
from pipeline.runtime.messages import EdgeDown, ToWorker


@dataclass(frozen=True)
class _Open:
    """An edge with a dead end whose living end has not answered yet. number: of the EdgeDown that counts."""

    writer_dead: bool
    reader_dead: bool
    number: int


class Settling:
    """Closes the edges of dead processes; calls `settled` with each child whose successor may start now."""

    def __init__(
        self,
        plan: Plan,
        board: Board,
        accountant: Accountant,
        children: Mapping[str, Child],
        tell: Callable[[Child, ToWorker], None],
        settled: Callable[[Child], None],
    ) -> None:
        self.plan, self.board, self.accountant, self.children = plan, board, accountant, children
        self._tell, self._settled = tell, settled
        self._open: dict[int, _Open] = {}
        self._numbers = 0

    def died(self, child: Child) -> None:
        """Settle the streams of a dead process, or ask their other ends to close them; its static edges are just closed."""
        for edge in self.plan.edges_of(child.place):
            if edge.static:
                continue
            other = other_end(self.plan, self.children, edge, child)
            writer_dead = self.plan.place_of(edge.src_node) == child.place
            reader_dead = self.plan.place_of(edge.dst_node) == child.place
            before = self._open.pop(edge.id, None)
            if before is not None:  # the other end died while it was asked, or this one died again
                writer_dead, reader_dead = writer_dead or before.writer_dead, reader_dead or before.reader_dead
            if other is None or not other.has_plan or (writer_dead and reader_dead):
                # Nobody alive holds or queues anything here (a process without its plan has never seen the edge).
                self._settle(edge.id, True, True)
            else:
                self._numbers += 1
                self._open[edge.id] = _Open(writer_dead, reader_dead, self._numbers)
                child.waits_for.add(edge.id)
                self._tell(other, EdgeDown(edge.id, self._numbers))
        for edge in self.plan.edges_of(child.place):
            other = other_end(self.plan, self.children, edge, child)
            if edge.static and other is not None and other.has_plan:
                self._tell(other, EdgeDown(edge.id, 0))

    def acknowledged(self, edge: int, number: int) -> None:
        """The living end has closed an edge."""
        entry = self._open.get(edge)
        if entry is None or entry.number != number:
            return
        del self._open[edge]
        self.accountant.drain()
        self._settle(edge, entry.writer_dead, entry.reader_dead)

    def _settle(self, edge: int, writer_dead: bool, reader_dead: bool) -> None:
        settle_edge(self.board, self.plan.edge_specs[edge].slots, self.accountant, edge, writer_dead, reader_dead)
        for child in self.children.values():
            if edge in child.waits_for:
                child.waits_for.discard(edge)
                if not child.waits_for:
                    self._settled(child)


def settle_edge(
    board: Board, slots: int, accountant: Accountant, edge: int, writer_dead: bool, reader_dead: bool, reason: str = "restart"
) -> None:
    """As the heir of the dead: name what is lost, take the leases back. The rings have been drained."""
    leases = board.leases(edge, slots)
    if writer_dead and reader_dead:
        accountant.settle_all(edge, reason)
        leases[:, RELEASED] = leases[:, SENT]
        return
    if reader_dead:
        # What it had received or was sent is lost; what waits in the writer's queue waits for the successor.
        for lease in leases:
            if lease[SENT] != lease[RELEASED]:
                accountant.settle(edge, int(lease[SENT]), reason)
                lease[RELEASED] = lease[SENT]
        return
    # What the reader has received it will account for itself; the rest never comes.
    received = set(leases[:, RECEIVED].tolist())
    for generation in sorted(set(accountant.edges[edge].open) - received):
        accountant.settle(edge, generation, reason)
    for lease in leases:
        if lease[SENT] not in (lease[RELEASED], lease[RECEIVED]):
            lease[SENT] = lease[RELEASED]
