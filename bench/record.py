"""`pipe bench record`: lossless recording compared with plain writing, alternating in the same folder.

disk      plain writes of the same frames from one warm buffer, and fsync at the end
hop       a source that only sends slots of noise -> a tap that takes them in batches like the recorder, and writes nothing
writer    the work of the recorder (encoding, checksums, writing) in one process without the engine, and fsync at the end
pipe      the same source -> the recorder of `--record`, and fsync at the end
mcap      the writer of the package mcap, in one process, with chunk checksums (its default), and fsync at the end
Rates are bytes of frames per second; for an engine run, the time runs from the first frame of the source to the last of the
sink, without the start of the processes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.common import header, run_graph
from bench.rivals import files
from pipeline.frame import Header
from pipeline.graph import sizing
from pipeline.graph.load import parse
from pipeline.graph.spec import GraphSpec
from pipeline.options import Record, RunOptions
from pipeline.recording import recorder as record
from pipeline.recording.mcapfile import Writer
from pipeline.recording.playback import Recording
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import run
from pipeline.runtime.tap_runner import BATCH_BYTES
from pipeline.watch.display import Display

FRAMES = {"6.2 MB": 6_220_800, "1.9 MB": 1_920_000, "64 KB": 65_536}
TOTAL = 250_000_000
"""Bytes of one measurement."""


def sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def writer(folder: Path, size: int, count: int) -> float:
    path = folder / "writer.mcap"
    config = _recorded(size, 1, path).nodes[record.RECORDER].config
    layout, arrays = record.Layout(config), {"data": np.random.default_rng(0).integers(0, 256, size, np.uint8)}
    together = max(1, min(record.BATCH, BATCH_BYTES // size))
    began = time.monotonic()
    out = Writer.create(config.path, layout.records())
    for start in range(0, count, together):
        messages = []
        for i in range(start, min(start + together, count)):
            messages += layout.messages("src.out", Header("src", i, f"{i:06d}", i, 1 + i), i, i, {}, arrays)
        out.append(messages)
    out.close()
    sync(path)
    took = time.monotonic() - began
    path.unlink()
    return took


def hop(folder: Path, size: int, count: int) -> float:
    queue = sizing.queue(_recorded(size, count, folder / "none.mcap"), record.RECORDER, "src.out").size
    text = (
        f"{_source(size, count)}  tap: {{op: 'bench.nodes:Drain', inputs: {{in: src.out}}, queue: {{in: {{size: {queue}}}}}}}\n"
    )
    ns: list[int] = []
    report = run_graph(text, results=lambda out: ns.extend(map(int, (out / "tap" / "ns.txt").read_text().split())))
    if report["sinks"]["tap"]["frames"] != count:
        raise RuntimeError(f"record: needs {count} frames, got {report['sinks']}")
    return (ns[1] - ns[0]) * 1e-9


def pipe(folder: Path, size: int, count: int) -> float:
    path = folder / "ours.mcap"
    session = Session(_recorded(size, count, path), RunOptions(folder / "out", quiet=True))
    outcome = run(session, Display(session, quiet=True))
    ended_ns = path.stat().st_mtime_ns  # the recorder's last write
    record.finish(session, outcome)
    if outcome.recorded is None or outcome.recorded.frames != count or outcome.recorded.lost:
        raise RuntimeError(f"record: needs {count} frames, got {outcome.recorded}, {outcome.errors}")
    began = time.monotonic()
    sync(path)
    synced_s = time.monotonic() - began
    with Recording(path) as recording:
        began_ns = next(iter(recording.sources["src"].readings.values()))[0].stored.header.recv_ns
    path.unlink()
    shutil.rmtree(folder / "out")
    return (ended_ns - began_ns) * 1e-9 + synced_s


def _source(size: int, count: int) -> str:
    return f"version: 1\nnodes:\n  src: {{driver: 'bench.nodes:Noise', config: {{bytes: {size}, frames: {count}}}}}\n"


def _recorded(size: int, count: int, path: Path) -> GraphSpec:
    return record.with_recorder(parse(_source(size, count), "bench.yaml"), Record(path))


WAYS: dict[str, Callable[[Path, int, int], float]] = {
    "disk": files.disk, "hop": hop, "writer": writer, "pipe": pipe, "mcap": files.mcap,
}  # fmt: skip


def main(rounds: int = 5) -> dict[str, Any]:
    data = f"{rounds} rounds of {TOTAL / 1e6:.0f} MB of noise, in ./out; the best round of each, and the median"
    out: dict[str, Any] = {"about": header("pipe bench record", data), "rows": [], "figures": {}}
    Path("out").mkdir(exist_ok=True)
    print(f"{'frame':>8} | " + " | ".join(f"{way:>12}" for way in WAYS) + " | MB/s, best (median); of the disk's best")
    with tempfile.TemporaryDirectory(prefix="bench-record-", dir="out") as name:
        for frame, size in FRAMES.items():
            rates = measure(Path(name), size, min(TOTAL // size, 3000), rounds)
            shares = {way: max(found) / max(rates["disk"]) for way, found in rates.items()}
            out["rows"].append({"frame": frame, "mb_s": rates, "of_disk": shares})
            out["figures"] |= {f"{frame}.{way}.of_disk": share for way, share in shares.items()}
            cells = " | ".join(f"{max(found):5.0f} ({median(found):4.0f})" for found in rates.values())
            text = ", ".join(f"{way} {share:.0%}" for way, share in shares.items())
            print(f"{frame:>8} | {cells} | {text}; load {os.getloadavg()[0]:.1f}", flush=True)
    return out


def measure(folder: Path, size: int, count: int, rounds: int) -> dict[str, list[float]]:
    """Method -> MB/s of each round."""
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, seconds in WAYS.items():
            files.disk(folder, size, count)  # not counted: in a virtual machine fresh page-cache pages cost the first writer 5x
            rates[way].append(count * size / 1e6 / seconds(folder, size, count))
    return rates
