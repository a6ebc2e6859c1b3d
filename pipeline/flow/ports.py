"""The two ends of an edge: where a frame leaves a node and where it enters the next.

OutPort takes a slot, lets the operator fill it, and offers the frame to its OutEdges. An OutEdge holds the queue (it stands
at the sender), the credit and the policy. An InEdge turns a descriptor into read-only views and gives slots back.

Both ends are the same whether the other side is a process away or in this one; only the way between differs. Everything of
an OutPort and its edges is guarded by the port's lock: the node's thread publishes, the I/O thread flushes queues.
"""

from __future__ import annotations

import math
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock, RLock
from time import monotonic_ns, time_ns
from typing import Any

import msgpack
import numpy as np

from pipeline.checksum import crc32
from pipeline.errors import FrameError
from pipeline.flow.faults import point
from pipeline.flow.log import Log, who
from pipeline.flow.shm import Board, Delivery, view
from pipeline.flow.shm import Mapping as Memory
from pipeline.flow.transport import BOUND, CREDIT, FRAME, HEAD, HELLO, ROUSE, STATIC, Channel, body_of, head
from pipeline.frame import NEVER, Header
from pipeline.graph.layout import DONE, LEASE_WORDS, RECEIVED, RELEASED, SLOT_HEADER, EdgeSpec, PortLayout
from pipeline.schema import Schema

MAX_STATIC = 1 << 20
ASKED, NEWER = 1, 2
"""Of the word `armed`: a credit is waited for; and, under `latest`, with a frame that is newer than all that were sent."""

_SLOT = struct.Struct("<QQ")


_fence = Lock()


def fence() -> None:
    """Order a store before a later load (our word before the other side's): taking a lock is a full barrier on x86-64.

    On aarch64 it is nearly one; a credit missed there is found by the I/O thread's look every 0.1 s.
    """
    with _fence:
        pass


class Clock:
    """The graph clock: host time for live sensors, the replay position for files played at a rate, none at `max`."""

    def __init__(self) -> None:
        self.anchor_mono_ns = 0
        self.anchor_stamp_ns: int | None = None
        self.rate: float | None = None
        self.live = False

    def start(self, anchor_mono_ns: int, anchor_stamp_ns: int | None, rate: float | None, live: bool) -> None:
        self.anchor_mono_ns, self.anchor_stamp_ns, self.rate, self.live = anchor_mono_ns, anchor_stamp_ns, rate, live

    def stamp_now(self) -> int | None:
        """The stamp a frame captured now would have, None where stamps and clock are unrelated."""
        if self.rate is None:
            return time_ns() if self.live else None
        if self.anchor_stamp_ns is None:
            return None
        return self.anchor_stamp_ns + int((monotonic_ns() - self.anchor_mono_ns) * self.rate)

    def due_mono_ns(self, stamp_ns: int) -> int | None:
        """When (CLOCK_MONOTONIC) a frame of this stamp is to be emitted; None = at once."""
        if self.rate is None or self.anchor_stamp_ns is None:
            return None
        return self.anchor_mono_ns + int((stamp_ns - self.anchor_stamp_ns) / self.rate)


@dataclass(slots=True)
class Sent:
    """One published frame, as queued and sent: the packed body is made once for all edges."""

    slot: int
    gen: int
    stamp_ns: int
    who: int
    bound: int
    body: bytes


class OutEdge:
    """Queue, credit and policy of one edge, at its sender."""

    def __init__(self, spec: EdgeSpec, port: OutPort, board: Board, log: Log, clock: Clock) -> None:
        self.spec, self.port = spec, port
        self._board, self._words, self._log, self._clock = board, board.words, log, clock
        self._lease = board.lease(spec.index, 0)
        self.channel: Channel | None = None
        self.local: InEdge | None = None
        self.up = False
        self.gone = False
        self.seq = 0
        self.queue: deque[Sent] = deque()
        self.undone: set[int] = set()
        self.leased: dict[int, int] = {}
        self.bound = NEVER
        self.bound_sent = NEVER
        self._armed = board.armed(spec.index)
        self._words[self._armed] = 0
        # A successor finds slots that readers still hold from its predecessor's time.
        for slot, (sent, _, released) in enumerate(board.leases(spec.index, spec.slots).tolist()):
            if sent != released:
                self.leased[slot] = sent
                port.refs[slot] += 1

    # -- flow -----------------------------------------------------------------------------------------------------
    def credit(self) -> bool:
        spec = self.spec
        return self.up and len(self.undone) < spec.window and len(self.leased) < spec.window + spec.holds

    def room(self) -> bool:
        """May the node start a step that publishes here? `block` waits for credit; the others make room themselves."""
        if self.spec.policy != "block" or self.gone:
            return True
        return not self.queue and self.find_credit()

    def find_credit(self) -> bool:
        """`credit()`, after a look at what the reader has given back; without, ask for a message when there is some."""
        if self.credit():
            return True
        self.fetch()
        if self.credit():
            return True
        self.ask_for_credit()
        return self.credit()

    def fetch(self) -> None:
        """Read the reader's words: frames it is done with, slots it has released."""
        words, lease = self._words, self._lease
        for slot, gen in list(self.leased.items()):
            at = lease + LEASE_WORDS * slot
            if words[at + RELEASED] == gen:  # released: done, too, whatever the other word said a moment ago
                self.undone.discard(gen)
                self._release(slot)
            elif words[at + DONE] == gen:
                self.undone.discard(gen)

    def ask_for_credit(self) -> None:
        """Have the reader ring at its next release; it may have been just before: look once more."""
        self._words[self._armed] = NEWER if self.queue and self.spec.policy == "latest" else ASKED
        fence()
        self.fetch()

    def offer(self, frame: Sent) -> None:
        """Take a published frame: send it, queue it, or drop what the policy says."""
        if self.gone:
            self._drop(frame, "restart")
        elif not self.queue and self.find_credit():
            self._send(frame)
        elif self.spec.tap and self.spec.policy != "block":
            self._drop(frame, "queue_full")
        else:
            policy = self.spec.policy
            if policy != "block":
                while len(self.queue) >= (1 if policy == "latest" else self.spec.size):
                    self._drop(self.queue.popleft(), "queue_full")
            self.queue.append(frame)
            self.ask_for_credit()
            self.flush()
        self.bound = frame.bound  # last: a bound told before its frame would make the frame stale

    def flush(self) -> None:
        """Send what waits, as far as the credit goes; then the bound, if the frames did not carry it."""
        while self.queue and self.credit():
            frame = self.queue.popleft()
            if self._words[self._armed] == NEWER:
                self._words[self._armed] = ASKED  # before it is there: it is not older than itself
            if self._too_old(frame.stamp_ns):
                self._drop(frame, "too_old")
            else:
                self._send(frame)
        if self.queue and not self._words[self._armed]:
            self._words[self._armed] = NEWER if self.spec.policy == "latest" else ASKED
        if self.up and not self.queue and self.bound > self.bound_sent:
            self.bound_sent = self.bound
            if self.local is not None:
                self.local.take_bound(self.bound)
            else:
                self._transmit(BOUND, msgpack.packb(self.bound))

    def _too_old(self, stamp_ns: int) -> bool:
        limit = self.spec.max_age_ns
        if limit is None or not self._clock.live:
            return False
        now = self._clock.stamp_now()
        return now is not None and now - stamp_ns > limit

    def _send(self, frame: Sent) -> None:
        self._words[self._lease + LEASE_WORDS * frame.slot] = frame.gen
        self.leased[frame.slot] = frame.gen
        self.undone.add(frame.gen)
        self.bound_sent = max(self.bound_sent, frame.bound)
        if self.local is not None:
            self.local.take_frame(frame.body)
        else:
            self._transmit(FRAME, frame.body)
        point("sent")

    def _transmit(self, kind: int, body: bytes) -> None:
        assert self.channel is not None
        spec = self.spec
        self.seq += 1
        self.channel.send(head(kind, spec.index, self.seq & 0xFFFFFFFF, spec.writer_epoch, spec.reader_epoch) + body)
        self.work_off()

    def _drop(self, frame: Sent, reason: str) -> None:
        with self._log.lock:
            self._log.drop(self.spec.index, frame.gen, frame.who, frame.stamp_ns, reason, frame.slot)
            self._log.commit()
        self.port.unref(frame.slot)

    def rouse(self) -> None:
        """A frame is about to come: wake the sleeping processes on the way now, not when it is there (006-rouse.md)."""
        if self.up and self.channel is not None and not self.queue and not self.spec.tap:
            self._transmit(ROUSE, b"")

    # -- what the reader says -------------------------------------------------------------------------------------
    def work_off(self) -> None:
        """Handle what has come in the channel's inbox; the caller holds the port's lock."""
        channel = self.channel
        if channel is None:
            return
        while channel.inbox:
            data = channel.inbox.popleft()
            kind, edge, _, writer_epoch, reader_epoch = HEAD.unpack_from(data)
            spec = self.spec
            if (edge, writer_epoch, reader_epoch) != (spec.index, spec.writer_epoch, spec.reader_epoch):
                continue  # of another life of either side
            if kind == HELLO:
                self.connected()
            elif kind == CREDIT:
                self.rung()

    def connected(self) -> None:
        """The reader is there: latched values, what it released while nobody listened, the bound, then the queue."""
        self.up = True
        self.fetch()
        self.bound_sent = NEVER
        if self.spec.static:
            self.send_statics()
        self.port.flushed()

    def send_statics(self) -> None:
        if not self.up:
            return
        for body in self.port.statics:
            if self.local is not None:
                self.local.take_static(msgpack.unpackb(body))
            else:
                self._transmit(STATIC, body)

    def look(self) -> None:
        """Was a ring missed? Only asked while a credit is waited for."""
        if self._words[self._armed] and self.up:
            self.rung()

    def rung(self) -> None:
        """The reader gave something back after we had asked."""
        self._words[self._armed] = 0
        fence()
        self.fetch()
        self.port.flushed()

    def _release(self, slot: int) -> None:
        del self.leased[slot]
        self.port.unref(slot)

    # -- what the supervisor says ---------------------------------------------------------------------------------
    def down(self) -> None:
        """The reader is dead (waitpid): forget what it had. Its frames are settled by the supervisor, our queue stays."""
        self.up = False
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        for slot in list(self.leased):
            self._release(slot)
        self.undone.clear()

    def give_up(self) -> None:
        """There will be no reader any more: nothing waits for it."""
        self.down()
        self.gone = True
        while self.queue:
            self._drop(self.queue.popleft(), "restart")
        self.port.flushed()

    def describe(self) -> str:
        kept = len(self.leased) - len(self.undone)
        return f"{self.spec.name}: {len(self.undone)} in work, {kept} kept as views, {len(self.queue)} queued"


class OutPort:
    """One output port: its slots, and the frame being written."""

    def __init__(
        self,
        node: str,
        name: str,
        schema: Schema,
        index: int,
        place: PortLayout,
        memory: Memory,
        verify: bool,
        epoch: int,
        on_room: Callable[[], None],
    ) -> None:
        self.node, self.name, self.schema, self.index, self.place = node, name, schema, index, place
        self.lock = RLock()
        self.refs = [0] * place.slots
        self.edges: list[OutEdge] = []
        self.free: deque[int] = deque()
        self.statics: list[bytes] = []
        self._memory, self._verify, self._on_room = memory, verify, on_room
        self.label = f"{node}.{name}"
        self._pack = msgpack.Packer().pack  # one packer per port: making one for every frame costs more than packing
        self._gen = epoch << 40
        self._headers = [place.offset + slot * place.stride for slot in range(place.slots)]
        self._capacity = place.slot_bytes
        self._slot: int | None = None
        self._last: Sent | None = None
        self._used = 0
        self._loans: list[np.ndarray] = []

    def ready(self) -> None:
        """All edges are attached: what nobody holds is free."""
        self.free = deque(s for s in range(self.place.slots) if self.refs[s] == 0)

    def room(self) -> bool:
        if not self.edges:
            return True
        with self.lock:
            for edge in self.edges:
                if not edge.room():
                    return False
            if self._slot is None and not self.free:
                for edge in self.edges:
                    edge.ask_for_credit()
            return self._slot is not None or bool(self.free)

    def blocked_by(self) -> OutEdge | None:
        """The edge that has no room, for the board and for error texts."""
        with self.lock:  # looking for room reads the reader's words, as the I/O thread does
            return next((e for e in self.edges if not e.room()), None)

    def flushed(self) -> None:
        """Credit or slots came back: move queues on, wake the node if it waits."""
        for edge in self.edges:
            edge.flush()
        self._on_room()

    def unref(self, slot: int) -> None:
        self.refs[slot] -= 1
        if self.refs[slot] == 0:
            self.free.append(slot)

    # -- writing --------------------------------------------------------------------------------------------------
    def _start(self) -> int:
        """The slot being written; takes a free one for the first array of a frame."""
        slot = self._slot
        if slot is None:
            with self.lock:
                if not self.free:
                    for edge in self.edges:
                        edge.fetch()
                if not self.free:
                    holders = "; ".join(e.describe() for e in self.edges)
                    raise FrameError(
                        f"{self.label}: needs a free slot, all {self.place.slots} are held ({holders}); "
                        "declare holds or copy what is kept"
                    )
                slot = self._slot = self.free.popleft()
            self._used = 0
            _SLOT.pack_into(self._memory.view, self._headers[slot], 0, 0)
            point("allocated")
        return slot

    def _reserve(self, nbytes: int) -> int:
        """Payload offset for an array of `nbytes` in the slot being written."""
        at = self._used
        if at + nbytes > self._capacity:
            raise FrameError(
                f"{self.label}: frame needs {(at + nbytes) / 1e6:.3g} MB, its slot holds {self._capacity / 1e6:.3g} MB; "
                f"set pool: {{{self.name}: {{max_mb: {-(-(at + nbytes) // 1_000_000)}}}}} in node {self.node}"
            )
        self._used = (at + nbytes + 63) & ~63
        return at

    def alloc(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """A writeable array inside the slot of the frame being made."""
        kind = np.dtype(dtype)
        start = self._headers[self._start()] + SLOT_HEADER
        array = np.ndarray(shape, kind, self._memory.map, start + self._reserve(math.prod(shape) * kind.itemsize))
        self._loans.append(array)
        return array

    def write(self, arrays: Mapping[str, np.ndarray]) -> tuple[list[list[Any]], int, int]:
        """Bring all arrays into the slot; returns (their descriptors, bytes, bytes that had to be copied)."""
        start = self._headers[self._start()] + SLOT_HEADER
        memory = self._memory
        out, total, copied = [], 0, 0
        for name, array in arrays.items():
            nbytes, shape, dtype = array.nbytes, array.shape, array.dtype
            at = -1
            if self._loans and array.flags.c_contiguous:
                at = array.__array_interface__["data"][0] - memory.address - start
            if 0 <= at and at + nbytes <= self._used:
                array.flags.writeable = False
            else:
                at = self._reserve(nbytes)
                if nbytes:
                    np.ndarray(shape, dtype, memory.map, start + at)[...] = array
                copied += nbytes
            out.append([name, dtype.str, shape, at])
            total += nbytes
        point("written")
        return out, total, copied

    def seal(
        self, header: Header, source: int, described: list[list[Any]], bound: int, meta: Mapping[str, Any], made_ns: int
    ) -> Sent:
        """Close the slot under a new generation; the frame exists once the caller has committed it to the log.

        made_ns  when the operator (or `read`) returned it, CLOCK_MONOTONIC: a hop starts there
        """
        assert self._slot is not None
        slot = self._slot
        at = self._headers[slot]
        self._gen += 1
        crc = crc32(self._memory.view[at + SLOT_HEADER : at + SLOT_HEADER + self._used]) if self._verify else 0
        _SLOT.pack_into(self._memory.view, at, self._gen, crc)
        body = self._pack(
            [
                slot,
                self._gen,
                source,
                header.frame_id,
                header.item,
                header.stamp_ns,
                header.recv_ns,
                bound,
                made_ns,
                self._used,
                described,
                meta,
            ]
        )
        if self._loans:
            for loan in self._loans:
                loan.flags.writeable = False
            self._loans.clear()
        self._slot = None
        return Sent(slot, self._gen, header.stamp_ns, who(source, header.frame_id), bound, body)

    def abort(self) -> None:
        """The step came to nothing: its slot is free again."""
        self._loans.clear()
        if self._slot is not None:
            with self.lock:
                self.free.appendleft(self._slot)
            self._slot = None

    def discard(self, frame: Sent) -> None:
        """A sealed frame whose step failed on another port: it was never."""
        with self.lock:
            self.free.appendleft(frame.slot)

    # -- sending --------------------------------------------------------------------------------------------------
    def dispatch(self, frame: Sent) -> None:
        self._last = frame
        with self.lock:
            if not self.edges:
                self.free.append(frame.slot)
                return
            self.refs[frame.slot] += len(self.edges)
            for edge in self.edges:
                edge.offer(frame)

    def rouse(self) -> None:
        """Tell the readers that a frame is near, and bring what publishing it touches back into this core's caches."""
        with self.lock:
            for edge in self.edges:
                edge.rouse()
            if self._last is not None:
                msgpack.packb(msgpack.unpackb(self._last.body))
                np.ndarray((1,), np.uint8, self._memory.map, self._headers[self._last.slot])

    def advance(self, bound: int) -> None:
        """Nothing was emitted, but nothing older than `bound` will come."""
        with self.lock:
            for edge in self.edges:
                if bound > edge.bound:
                    edge.bound = bound
                    edge.flush()

    def latch(self, values: list[tuple[int, Mapping[str, np.ndarray]]]) -> None:
        """Keep a static port's values (stamp they hold from, arrays) and send them to every reader there is."""
        bodies = []
        for i, (from_ns, arrays) in enumerate(values):
            packed = [[n, a.dtype.str, a.shape, np.ascontiguousarray(a).tobytes()] for n, a in arrays.items()]
            body = msgpack.packb([i, len(values), from_ns, packed])
            if len(body) > MAX_STATIC:
                raise FrameError(
                    f"{self.label}: a static value needs at most 1 MB, got {len(body) / 1e6:.3g} MB; send it as a stream"
                )
            bodies.append(body)
        with self.lock:
            self.statics = bodies or [msgpack.packb([0, 0, 0, []])]  # that there is none is said, too
            for edge in self.edges:
                edge.send_statics()


@dataclass(slots=True, eq=False)
class Arrived:
    """A frame at its reader."""

    edge: InEdge
    slot: int
    gen: int
    source: int
    header: Header
    bound: int
    made_ns: int
    used: int
    described: list[list[Any]]
    meta: dict[str, Any]
    accounted: bool = False
    lost: str = "too_old"
    """Why, if no set that it was in is processed."""
    arrays: dict[str, np.ndarray] | None = None

    @property
    def who(self) -> int:
        return who(self.source, self.header.frame_id)


@dataclass(slots=True)
class Latched:
    """The values of one static input."""

    total: int = -1
    values: dict[int, tuple[int, dict[str, np.ndarray]]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.total >= 0 and len(self.values) == self.total

    def ordered(self) -> list[tuple[int, dict[str, np.ndarray]]]:
        return sorted(self.values.values(), key=lambda v: v[0])

    def at(self, stamp_ns: int) -> dict[str, np.ndarray] | None:
        """The value valid for a stamp: the last one from before it, else the first."""
        ordered = self.ordered()
        valid = [v for v in ordered if v[0] <= stamp_ns] or ordered[:1]
        return valid[-1][1] if valid else None


class InEdge:
    """Where frames enter a node."""

    def __init__(
        self, spec: EdgeSpec, port: str, place: PortLayout, memory: Memory, board: Board, sources: list[str], verify: bool
    ) -> None:
        self.spec, self.port = spec, port
        self.inbox: deque[Arrived | int] = deque()  # int = a bound
        self.latched = Latched()
        self.channel: Channel | None = None
        self.local: OutEdge | None = None
        self.released: deque[tuple[int, int]] = deque()
        self.kept = 0
        self.roused = False
        self.cut = False  # nothing more will come: the writer was given up
        self._last_body = b""
        self._memory, self._board, self._words = memory, board, board.words
        self._sources, self._verify = sources, verify
        self._headers = [place.offset + slot * place.stride for slot in range(place.slots)]
        self._lease = board.lease(spec.index, 0)
        self._seq = 0
        self._armed = board.armed(spec.index)
        self._given = 0
        self._lock = RLock()
        # `latest` wants the next frame at once; a `block` reader has more in its window, so half a queue of credit may gather.
        self._batch = max(1, spec.size // 2) if spec.policy == "block" else 1

    # -- arriving -------------------------------------------------------------------------------------------------
    def work_off(self) -> None:
        """Handle what has come in the channel's inbox: the node's thread, or the I/O thread when the writer died."""
        channel = self.channel
        if channel is None or not channel.inbox:
            return
        with self._lock:
            while channel.inbox:
                data = channel.inbox.popleft()
                kind, edge, seq, writer_epoch, reader_epoch = HEAD.unpack_from(data)
                spec = self.spec
                if (edge, writer_epoch, reader_epoch) != (spec.index, spec.writer_epoch, spec.reader_epoch):
                    continue
                self._seq += 1
                if seq != self._seq & 0xFFFFFFFF:
                    raise FrameError(f"{spec.name}: message {self._seq} of this edge is missing, got {seq}; please report this")
                if kind == FRAME:
                    self.take_frame(data[16:])
                elif kind == BOUND:
                    self.take_bound(body_of(data))
                elif kind == STATIC:
                    self.take_static(body_of(data))
                elif kind == ROUSE:
                    self.roused = True

    def rehearse(self) -> None:
        """Walk the way of the next frame with the last one's descriptor: code and memory come back into the caches."""
        self.roused = False
        if self._last_body:
            frame = self._arrived(self._last_body)
            _SLOT.unpack_from(self._memory.view, self._headers[frame.slot])
            owner = Delivery(deque(), (0, 0))
            base = self._memory.address + self._headers[frame.slot] + SLOT_HEADER
            for _, dtype, shape, at in frame.described:
                view(base + at, dtype, tuple(shape), owner)

    def take_frame(self, body: bytes) -> None:
        frame = self._arrived(body)
        self._last_body = body
        self._words[self._lease + LEASE_WORDS * frame.slot + RECEIVED] = frame.gen
        point("received")
        self.inbox.append(frame)

    def _arrived(self, body: bytes) -> Arrived:
        slot, gen, source, frame_id, item, stamp, recv, bound, made, used, described, meta = msgpack.unpackb(
            body, strict_map_key=False
        )
        header = Header(self._sources[source], frame_id, item, stamp, recv)
        return Arrived(self, slot, gen, source, header, bound, made, used, described, meta)

    def overtaken(self) -> int:
        """Generation up to which frames of this edge have been replaced, under `latest`: a newer one than all that were sent
        waits at the (living) sender. -1: none."""
        if self._words[self._armed] != NEWER or (self.channel is None and self.local is None):
            return -1
        sent = max(self._words[self._lease + LEASE_WORDS * slot] for slot in range(self.spec.slots))
        return sent if self._words[self._armed] == NEWER else -1  # else it is being sent, and may be what was just read

    def take_bound(self, bound: int) -> None:
        self.inbox.append(bound)

    def take_static(self, body: list[Any]) -> None:
        i, total, from_ns, packed = body
        arrays = {name: np.frombuffer(raw, dtype).reshape(shape) for name, dtype, shape, raw in packed}
        if self.latched.total != total:
            self.latched.values.clear()
        self.latched.total = total
        if total:
            self.latched.values[i] = (from_ns, arrays)

    # -- reading --------------------------------------------------------------------------------------------------
    def views(self, frame: Arrived) -> dict[str, np.ndarray]:
        """Read-only arrays over the slot. Raises FrameError when the slot holds another frame by now."""
        if frame.arrays is None:
            self.verify(frame)
            base = self._memory.address + self._headers[frame.slot] + SLOT_HEADER
            owner = Delivery(self.released, (frame.slot, frame.gen))
            self.kept += 1
            frame.arrays = {name: view(base + at, dtype, tuple(shape), owner) for name, dtype, shape, at in frame.described}
        return frame.arrays

    def verify(self, frame: Arrived) -> None:
        """The slot still holds this frame: its generation, and with --verify-frames its checksum."""
        at = self._headers[frame.slot]
        gen, crc = _SLOT.unpack_from(self._memory.view, at)
        if gen != frame.gen:
            raise FrameError(
                f"{self.spec.name}: torn frame {frame.header}: slot {frame.slot} needs generation {frame.gen}, got {gen}; "
                "please report this"
            )
        if self._verify:
            got = crc32(self._memory.view[at + SLOT_HEADER : at + SLOT_HEADER + frame.used])
            if got != crc:
                raise FrameError(
                    f"{self.spec.name}: frame {frame.header} changed after it was published: checksum {crc:08x}, got {got:08x}; "
                    "who still writes to it?"
                )

    # -- giving back ----------------------------------------------------------------------------------------------
    def done(self, frame: Arrived) -> None:
        """Processed or dropped: one more may come. The slot goes back when the last view is gone (now, if there is none)."""
        at = self._lease + LEASE_WORDS * frame.slot
        if frame.arrays is not None:
            frame.arrays = None
            if not (self.released and self.released[-1] == (frame.slot, frame.gen)):
                self._words[at + DONE] = frame.gen
                self._give()
                return
            self.released.pop()
            self.kept -= 1
        self._words[at + DONE] = frame.gen
        self._words[at + RELEASED] = frame.gen
        point("released")
        self._give()

    def collect(self) -> None:
        """Give back slots whose last view went away after `done`."""
        while self.released:
            slot, gen = self.released.popleft()
            self.kept -= 1
            self._words[self._lease + LEASE_WORDS * slot + RELEASED] = gen
            self._give()

    def _give(self) -> None:
        self._given += 1
        if self._given >= self._batch:
            self.ring()

    def ring(self) -> None:
        """If the writer waits for what was given back, tell it; else it will look by itself when it needs some."""
        if self._given:
            fence()
            if self._words[self._armed]:
                self._given = 0
                self._ring()

    def _ring(self) -> None:
        if self.local is not None:
            with self.local.port.lock:
                self.local.rung()
        elif self.channel is not None:
            spec = self.spec
            self.channel.send(head(CREDIT, spec.index, 0, spec.writer_epoch, spec.reader_epoch))

    # -- what the supervisor says ---------------------------------------------------------------------------------
    def connect(self, channel: Channel) -> None:
        spec = self.spec
        self._seq = 0
        self.channel = channel
        channel.send(head(HELLO, spec.index, 0, spec.writer_epoch, spec.reader_epoch))

    def down(self) -> None:
        """The writer is dead (waitpid): keep what has arrived, close the rest."""
        if self.channel is not None:
            self.channel.drain()
            self.work_off()
            self.channel.close()
            self.channel = None
