"""The supervisor settles the frames of dead processes: docs/decisions/001-frame-life.md, column "who settles, how".

Called after waitpid and after the event logs were read. The ring of an edge shows which frames were sent and received, so no
living process is asked.
"""

from __future__ import annotations

from pipeline.flow.board import Board
from pipeline.graph.layout import ARMED, DONE, RELEASED, SENT
from pipeline.graph.plan import Plan
from pipeline.runtime.books import Accountant


def bury(plan: Plan, board: Board, accountant: Accountant, place: str) -> None:
    """Settle every edge that has an end in this dead process."""
    for edge in plan.edges_of(place):
        if not edge.static:
            if plan.place_of(edge.src_node) == place:
                bury_writer(board, accountant, edge.id)
            if plan.place_of(edge.dst_node) == place:
                bury_reader(board, accountant, edge.id)


def bury_writer(board: Board, accountant: Accountant, edge: int) -> None:
    """Frames not yet sent are lost; those in the ring belong to the reader. Withdraws the request for credit."""
    last = board.last_sent(edge)
    for gen in sorted(gen for gen in accountant.edges[edge].open if gen > last):
        accountant.settle(edge, gen, "restart")
    for lease in board.leases(edge):
        if lease[SENT] != lease[RELEASED] and lease[SENT] > last:  # recorded in the lease, but not sent
            lease[SENT] = lease[RELEASED]
    board.words[board.edge(edge) + ARMED] = 0


def bury_reader(board: Board, accountant: Accountant, edge: int) -> None:
    """Received frames are lost, and their slots are given back; frames in the ring wait for the successor."""
    last = board.last_received(edge)
    for gen in sorted(gen for gen in accountant.edges[edge].open if gen <= last):
        accountant.settle(edge, gen, "restart")
    for lease in board.leases(edge):
        if lease[SENT] != lease[RELEASED] and lease[SENT] <= last:
            lease[DONE] = lease[RELEASED] = lease[SENT]


def settle_sent(board: Board, accountant: Accountant, edge: int) -> None:
    """There will be no reader: frames sent to it are lost. The sender drops the frames in its queue."""
    last = board.last_sent(edge)
    for gen in sorted(gen for gen in accountant.edges[edge].open if gen <= last):
        accountant.settle(edge, gen, "restart")
