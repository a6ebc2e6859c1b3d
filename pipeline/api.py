"""Run a graph from Python: `pipeline.run(...)`, and `pipeline.frames(...)` to iterate over what a port sends.

import pipeline

outcome = pipeline.run("demo", {"world.config.seed": 3}, out="out/seed3")
outcome.report["digest"]

for header, tracks in pipeline.frames("demo", "tracker.tracks", frames=20):
    print(header.item, tracks.track_ids)
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.errors import GraphError, PipeError, RunError, explain
from pipeline.frame import Header
from pipeline.graph.check import check
from pipeline.graph.inject import with_faults
from pipeline.graph.load import load
from pipeline.graph.spec import DEFAULT_CLOSE_S, DEFAULT_HANG_S, DEFAULT_OPEN_HANG_S, GraphSpec, Input, NodeSpec, Queue, Restart
from pipeline.operator import NoConfig, Operator
from pipeline.options import Outcome, Record, RunOptions
from pipeline.runtime import inline, outfolder, report, signals, supervisor
from pipeline.runtime.observer import Guarded
from pipeline.runtime.session import Session
from pipeline.runtime.spawn import Spawner, spawner_for
from pipeline.schema import ANY, Port
from pipeline.settings import Where, suggest
from pipeline.watch.display import Display

if TYPE_CHECKING:
    from pipeline.watch.metrics_server import Server
    from pipeline.watch.view import View

Overrides = Mapping[str, Any] | Iterable[str] | None
_TAP = "_frames"
"""Name of the node that `frames` adds; a graph file cannot have a node of this name."""


def run(
    graph: str | Path,
    overrides: Overrides = None,
    *,
    out: str | Path | None = None,
    frames: int | None = None,
    duration_s: float | None = None,
    rate: float | Literal["max"] | None = None,
    place: Literal["inline"] | None = None,
    quiet: bool = True,
    overwrite: bool = False,
    verify: bool = False,
    record: str | Path | Record | None = None,
    inject: Iterable[str] = (),
    trace: str | Path | None = None,
) -> Outcome:
    """`pipe run`: the same checks, files and report under `out` (default out/GRAPH-TIME), `report.json` among them.

    graph      path of a graph file, or name of a shipped graph
    overrides  {"NODE.config.KEY": value} or ["NODE.config.KEY=VALUE", ...]
    frames     number of frames of the first source; the others end at its last stamp
    place      "inline" = everything in this process and thread: for pdb, and for threads other than the main one
    verify     checksum every frame on both sides
    record     the MCAP file to record to, or a `pipeline.options.Record` that also says what to record
    inject     faults as of `--inject`: ["cam:blackout@10s-15s"]
    trace      file for a trace of all calls, for ui.perfetto.dev
    Raises GraphError or InputError before anything starts. The outcome of a run that fails says so: `exit`, `code`, `errors`.
    Inline, the exception of an operator passes through.
    """
    if place not in (None, "inline"):
        raise GraphError(f"place: needs None or 'inline', got {place!r}")
    if place is None and threading.current_thread() is not threading.main_thread():
        here = threading.current_thread().name
        raise RunError(f"run() needs the main thread to stop its processes on a signal, got thread {here}; use place='inline'")
    with spawner_for(place) as spawner:
        spec = with_faults(load(graph, _sets(overrides)), inject)
        if isinstance(record, (str, Path)):
            record = Record(Path(record), overwrite=overwrite)
        folder = (Path(out) if out else new_out(spec)).resolve()
        file = None if trace is None else Path(trace)
        options = RunOptions(folder, rate, frames, duration_s, verify, quiet=quiet, record=record, trace=file)
        return execute(spec, options, spawner=spawner, overwrite=overwrite, warn=_warn)


def replay(
    recording: str | Path,
    graph: str | Path,
    overrides: Overrides = None,
    *,
    out: str | Path | None = None,
    rate: float | Literal["max"] | None = None,
    place: Literal["inline"] | None = None,
    overwrite: bool = False,
    inject: Iterable[str] = (),
) -> Outcome:
    """`pipe replay`: `run` with a recording in the place of the graph's sources. Raises InputError if it is no recording."""
    from pipeline.recording import playback

    with spawner_for(place) as spawner, playback.Recording(Path(recording)) as opened:
        spec = with_faults(playback.load(opened, graph, _sets(overrides)), inject)
        options = RunOptions((Path(out) if out else new_out(spec)).resolve(), rate, quiet=True)
        return execute(spec, options, spawner=spawner, overwrite=overwrite, warn=_warn)


def execute(
    spec: GraphSpec, options: RunOptions, *, spawner: Spawner | None, overwrite: bool, warn: Callable[[str], None]
) -> Outcome:
    """Check, run, and write report.json to `options.out`. `pipe run` and `pipeline.run` both call this.

    spawner  starts the processes; None: the run is inline
    """
    if options.record is not None:
        from pipeline.recording import recorder, target

        spec = recorder.with_recorder(spec, options.record)
    if options.view == "foxglove":
        from pipeline.recording import foxglove

        spec = foxglove.with_view(spec)
    for warning in check(spec).warnings:
        warn(warning)
    for path, option in ((options.report, "--report"), (options.trace, "--trace")):
        if path is not None:
            report.require_writable(path, option)
    with contextlib.ExitStack() as held:
        server = None if options.metrics is None else held.enter_context(_metrics_server(*options.metrics))
        view = held.enter_context(_view(spec, options)) if options.view == "page" else None
        recording = None if options.record is None else held.enter_context(target.Target(options.record))
        folder = held.enter_context(outfolder.take(spec, options.out, overwrite))
        if recording is not None:
            recording.begin()
        session = Session(spec, options)
        display = Display(session, options.quiet)
        more = [] if server is None else [server.observer(session, options.quiet)]
        observers = Guarded(*([] if view is None else [view.of(session)]), display, *more)
        outcome = None
        # A signal after the end of the run must not lose the report.
        held.enter_context(signals.caught(lambda number: None))
        try:
            outcome = inline.run(session, observers) if spawner is None else supervisor.run(session, observers, spawner)
        finally:  # also if an operator's exception passes through
            if recording is not None:
                recorder.finish(session, outcome)
            if session.outcome is not None:
                for path in (options.out / "report.json", *([] if options.report is None else [options.report])):
                    _save_report(session.outcome, path)
                if options.trace is not None:
                    _save_trace(session.outcome, options.out, options.trace)
                page = _save_page(session, session.outcome, warn)
                if view is not None:
                    view.final(page)
            folder.list_files()
    return outcome


def _metrics_server(host: str, port: int) -> Server:
    from pipeline.watch.metrics_server import Server  # half of a run's other imports

    return Server(host, port)


def _save_report(outcome: Outcome, path: Path) -> None:
    try:
        report.save(outcome.report, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            if path.is_file():
                path.unlink()
        outcome.errors.append(f"{path}: needs to be written, got: {error.strerror}")
        outcome.code = outcome.code or 1


def _save_trace(outcome: Outcome, out: Path, path: Path) -> None:
    from pipeline.watch.history import History
    from pipeline.watch.trace import write

    try:
        write(History(out), path)
    except (OSError, PipeError) as error:
        outcome.errors.append(f"--trace {path}: needs to be written, got: {explain(error)}")
        outcome.code = outcome.code or 1


def _save_page(session: Session, outcome: Outcome, warn: Callable[[str], None]) -> Mapping[str, Any] | None:
    from pipeline.watch.page.save import save

    return save(session, outcome, warn)


def _view(spec: GraphSpec, options: RunOptions) -> View:
    from pipeline.watch.view import View  # http.server takes 30 ms

    return View(options.out, spec.nodes, options.view_port)


def new_out(spec: GraphSpec) -> Path:
    """A folder out/GRAPH-TIME that does not exist yet."""
    stem = Path("out") / f"{spec.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, n = stem, 1
    while folder.exists():  # short runs in a loop start within one second
        n += 1
        folder = stem.with_name(f"{stem.name}-{n}")
    return folder


def frames(
    graph: str | Path,
    port: str,
    overrides: Overrides = None,
    *,
    frames: int | None = None,
    rate: float | Literal["max"] | None = None,
    out: str | Path | None = None,
) -> Generator[tuple[Header, Any], None, None]:
    """Every frame that a port ("NODE.PORT") sends, as (header, value); the arrays are copies, which you may keep and change.

    Runs only the nodes that the port needs, in this process and thread, one step at a time while you iterate. Leaving the
    loop early ends the run. Operators write files to `out`, else to a temporary folder.
    Raises GraphError or InputError at the call; exceptions of operators pass through while iterating.
    """
    spec = _with_tap(load(graph, _sets(overrides)), port)
    for warning in check(spec).warnings:
        _warn(warning, stacklevel=3)
    return _iterate(spec, port, RunOptions(Path(), rate, frames, quiet=True), None if out is None else Path(out).resolve())


class Tap(Operator):
    """Collects every frame of one port for `frames`."""

    inputs = {"frame": ANY}

    def open(self) -> None:
        self.taken: list[tuple[Header, Any]] = []

    def process(self, frame: Any) -> None:
        self.taken.append((self.header, {n: np.array(a, order="C") for n, a in ANY.unpack(frame, _TAP).items()}))


def _iterate(spec: GraphSpec, port: str, options: RunOptions, out: Path | None) -> Generator[tuple[Header, Any], None, None]:
    try:
        if out is not None:
            with outfolder.take(spec, out, overwrite=False):
                yield from _steps(spec, port, dataclasses.replace(options, out=out))
        else:
            import tempfile

            with tempfile.TemporaryDirectory(prefix="pipe-frames-") as folder:
                yield from _steps(spec, port, dataclasses.replace(options, out=Path(folder)))
    finally:
        gc.collect()  # runners and edges refer to each other and keep the pools mapped


def _steps(spec: GraphSpec, port: str, options: RunOptions) -> Generator[tuple[Header, Any], None, None]:
    node, _, name = port.rpartition(".")
    schema = spec.nodes[node].outputs[name].schema
    session = Session(spec, options)
    try:
        run = inline.Inline(session)
        tap = next(r.operator for r in run.built.runners if r.node.name == _TAP)
        assert isinstance(tap, Tap)
        ended = False
        try:
            for _ in run.steps():
                while tap.taken:
                    header, arrays = tap.taken.pop(0)
                    yield header, schema.pack(arrays)
            ended = True
        finally:
            run.close_nodes()
            outcome = run.finish("completed" if ended else "stopped", 0)
    finally:
        session.close()
    if outcome.errors:
        raise RunError("; ".join(outcome.errors))


def _with_tap(spec: GraphSpec, port: str) -> GraphSpec:
    """The nodes that `port` needs, and a tap that takes its frames."""
    node, dot, name = port.rpartition(".")
    if not (node and dot and name):
        raise GraphError(f"frames: needs NODE.PORT, got {port!r}")
    if node not in spec.nodes:
        raise GraphError(f"frames: {spec.path} has no node {node}{suggest(node, spec.nodes)}")
    outputs = spec.nodes[node].outputs
    if name not in outputs:
        raise GraphError(f"frames: {node} has no output {name}{suggest(name, outputs)}")
    if outputs[name].static:
        streams = ", ".join(p for p, s in outputs.items() if not s.static)
        raise GraphError(f"frames: {port} is static: it is latched, not a stream; {node} sends {streams or 'no stream'}")
    needed, todo = {node}, [node]
    while todo:
        for i in spec.nodes[todo.pop()].inputs.values():
            if i.source_node not in needed:
                needed.add(i.source_node)
                todo.append(i.source_node)
    tap = NodeSpec(
        name=_TAP, driver=None, op=_TAP, cls=Tap, config=NoConfig(), outputs={}, place=_TAP, threads=1, restart=Restart(),
        inputs={"frame": Input("frame", node, name, Queue(), Port(ANY))}, on_error="stop",
        hang_s=DEFAULT_HANG_S, open_hang_s=DEFAULT_OPEN_HANG_S, close_s=DEFAULT_CLOSE_S, cpus=None, nice=None,
        rate_hz=None, live=False, sync=None, pool={}, line=0, where=Where(spec.path, {}, ("nodes", _TAP)),
    )  # fmt: skip
    kept = {n: s for n, s in spec.nodes.items() if n in needed}
    return dataclasses.replace(spec, nodes=kept | {_TAP: tap}, budget={})  # the pace is that of the caller


def _warn(text: str, stacklevel: int = 4) -> None:
    """Warn at the line that called run()."""
    import warnings

    warnings.warn(text, stacklevel=stacklevel)


def _sets(overrides: Overrides) -> Mapping[str, Any] | Iterable[str]:
    return [overrides] if isinstance(overrides, str) else overrides or ()
