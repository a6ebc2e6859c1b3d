"""`pipe bench record`: lossless recording beside the disk's own writing, in turns in the same folder.

disk      plain writes of the same frames from one warm buffer, and fsync at the end
blocks    the same bytes in writes of 8 MB: what the disk takes at all
hop       a source that only hands out slots of noise -> a tap that takes them in batches as the recorder does, and writes nothing
writer    the recorder's own work, encoding, checksums and writing, in one process without the engine, and fsync at the end
pipe      that source -> the recorder of `--record`, and fsync at the end; with the checksums that are the default, and without
mcap      the writer of the package mcap, in one process, with chunk checksums as is its default, and fsync at the end
Rates are bytes of frames over seconds; of an engine run the seconds from when its source has its first frame to the sink's
last, without the start of the processes.
The CPU time of plain writes and of the recorder's work stands below: a write ends in the page cache, so it is what counts, and
other programs change it less than they change the clock.
Also: what a frame of each kind costs the recorder to encode, as protobuf by hand and as JSON, which MCAP would allow as well.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.common import header, quantile
from pipeline.frame import Header
from pipeline.graph import sizing
from pipeline.graph.load import parse
from pipeline.graph.lookup import format_class
from pipeline.graph.spec import GraphSpec
from pipeline.options import Record, RunOptions
from pipeline.recording import recorder as record
from pipeline.recording.mcapfile import Writer
from pipeline.recording.message import pack
from pipeline.recording.playback import Recording
from pipeline.runtime.runner import BATCH_BYTES
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import run
from pipeline.schema import Array, Port, Schema
from pipeline.watch.display import Display

FRAMES = {"6.2 MB": 6_220_800, "1.9 MB": 1_920_000, "64 KB": 65_536}
TOTAL = 250_000_000
"""Bytes of one measurement."""
BLOCK = 8 << 20
CPU_TOTAL = 40_000_000
CLOUD = Schema("POINTS", {"points": Array("float32", ("N", 4), "m")}, frame="velodyne", limits={"N": 200_000})


def timed(path: Path, write: Callable[[Any], None]) -> float:
    """Seconds to write a new file and have it on the disk."""
    began = time.monotonic()
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    took = time.monotonic() - began
    path.unlink()
    return took


def sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def disk(folder: Path, size: int, count: int) -> float:
    data = np.random.default_rng(0).bytes(size)

    def write(file: Any) -> None:
        for _ in range(count):
            file.write(data)

    return timed(folder / "plain", write)


def blocks(folder: Path, size: int, count: int) -> float:
    times = count * size / BLOCK
    return disk(folder, BLOCK, round(times)) * times / round(times)


def theirs(folder: Path, size: int, count: int) -> float:
    from mcap.writer import CompressionType, Writer

    data = np.random.default_rng(0).bytes(size)

    def write(file: Any) -> None:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start()
        channel = writer.register_channel("/a", "x", writer.register_schema("s", "", b""))
        for i in range(count):
            writer.add_message(channel, i, data, i, i)
        writer.finish()

    return timed(folder / "theirs.mcap", write)


def writer(folder: Path, size: int, count: int) -> float:
    write, path = _writer(folder, size)
    began = time.monotonic()
    write(count)
    sync(path)
    took = time.monotonic() - began
    path.unlink()
    return took


def _writer(folder: Path, size: int) -> tuple[Callable[[int], None], Path]:
    """A function that writes so many frames as the recorder does, and where to."""
    config = _recorded(size, 1, folder / "writer.mcap", True).nodes[record.RECORDER].config
    layout, arrays = record.Layout(config), {"data": np.random.default_rng(0).integers(0, 256, size, np.uint8)}
    together = max(1, min(record.BATCH, BATCH_BYTES // size))

    def write(count: int) -> None:
        out = Writer.create(config.path, layout.records())
        for start in range(0, count, together):
            messages = []
            for i in range(start, min(start + together, count)):
                messages += layout.messages("src.out", Header("src", i, f"{i:06d}", i, 1 + i), i, i, {}, arrays)
            out.append(messages)
        out.close()

    return write, config.path


def cpu(folder: Path, size: int, rounds: int = 40) -> tuple[float, float]:
    """CPU µs per frame, best of rounds: of plain writes, of the recorder's work."""
    write, path = _writer(folder, size)
    data, count = np.random.default_rng(0).bytes(size), max(4, CPU_TOTAL // size)

    def plain(count: int) -> None:
        with path.open("wb", buffering=0) as file:
            for _ in range(count):
                file.write(data)

    def us(work: Callable[[int], None]) -> float:
        path.unlink(missing_ok=True)  # freeing its pages is not counted
        began = time.thread_time()
        work(count)
        return (time.thread_time() - began) / count * 1e6

    times = [(us(plain), us(write)) for _ in range(rounds)]
    path.unlink()
    return min(t[0] for t in times), min(t[1] for t in times)


def hop(folder: Path, size: int, count: int) -> float:
    queue = sizing.queue(_recorded(size, count, folder / "none.mcap", True), record.RECORDER, "src.out").size
    text = (
        f"{_source(size, count)}  tap: {{op: 'bench.nodes:Drain', inputs: {{in: src.out}}, queue: {{in: {{size: {queue}}}}}}}\n"
    )
    session = Session(parse(text, "bench.yaml"), RunOptions(folder / "out", quiet=True))
    outcome = run(session, Display(session, quiet=True))
    if outcome.code or outcome.report["sinks"]["tap"]["frames"] != count:
        raise RuntimeError(f"record: needs {count} frames, got {outcome.report['sinks']}, {outcome.errors}")
    began_ns, ended_ns = map(int, (folder / "out" / "tap" / "ns.txt").read_text().split())
    shutil.rmtree(folder / "out")
    return (ended_ns - began_ns) * 1e-9


def ours(folder: Path, size: int, count: int, crc: bool) -> float:
    path = folder / "ours.mcap"
    session = Session(_recorded(size, count, path, crc), RunOptions(folder / "out", quiet=True))
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


def _recorded(size: int, count: int, path: Path, crc: bool) -> GraphSpec:
    graph = record.with_recorder(parse(_source(size, count), "bench.yaml"), Record(path))
    node = graph.nodes[record.RECORDER]
    node = dataclasses.replace(node, config=dataclasses.replace(node.config, crc=crc))
    return dataclasses.replace(graph, nodes=graph.nodes | {node.name: node})


WAYS: dict[str, Callable[[Path, int, int], float]] = {
    "disk": disk,
    "blocks": blocks,
    "hop": hop,
    "writer": writer,
    "pipe": lambda folder, size, count: ours(folder, size, count, True),
    "pipe, no CRC": lambda folder, size, count: ours(folder, size, count, False),
    "mcap": theirs,
}


def encoding(rounds: int = 20) -> dict[str, float]:
    """ms to make a message of a cloud of 120,000 points."""
    points = np.random.default_rng(0).random((120_000, 4), np.float32)
    told, arrays = Header("lidar", 1, "000001", 10**18), {"points": points}
    encoder = format_class("foxglove")().encoder("lidar.points", Port(CLOUD), "raw")
    if encoder is None:
        raise RuntimeError("record: operators/record/foxglove.py does not know clouds any more")

    def as_json() -> None:
        data = base64.b64encode(points.tobytes()).decode()
        json.dumps({"timestamp": {"sec": 1, "nsec": 0}, "frame_id": "velodyne", "point_stride": 16, "data": data}).encode()

    def ms(make: Callable[[], Any]) -> float:
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            make()
            times.append((time.perf_counter() - began) * 1e3)
        return quantile(times, 0.5)

    return {
        "protobuf": ms(lambda: pack(told, 0, {}, arrays, encoder.encode(told, arrays), True)),
        "JSON": ms(as_json),
    }


def main(rounds: int = 5) -> dict[str, Any]:
    about = header(
        "pipe bench record", f"{rounds} rounds of {TOTAL / 1e6:.0f} MB of noise, in ./out; the best round of each, and the median"
    )
    out: dict[str, Any] = {"about": about, "rows": [], "figures": {}}
    Path("out").mkdir(exist_ok=True)
    print(f"{'frame':>8} | " + " | ".join(f"{way:>12}" for way in WAYS) + " | MB/s, best (median); of the disk's best")
    with tempfile.TemporaryDirectory(prefix="bench-record-", dir="out") as name:
        folder = Path(name)
        for frame, size in FRAMES.items():
            count = min(TOTAL // size, 3000)
            rates: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(rounds):
                for way, measure in WAYS.items():
                    disk(folder, size, count)  # not counted: in a virtual machine fresh page-cache pages cost the first writer 5x
                    rates[way].append(count * size / 1e6 / measure(folder, size, count))
            shares = {way: max(found) / max(rates["disk"]) for way, found in rates.items()}
            out["rows"].append({"frame": frame, "mb_s": rates, "of_disk": shares})
            out["figures"] |= {f"{frame}.{way}.of_disk": share for way, share in shares.items()}
            cells = " | ".join(f"{max(found):5.0f} ({median(found):4.0f})" for found in rates.values())
            told = ", ".join(f"{way} {share:.0%}" for way, share in shares.items())
            print(f"{frame:>8} | {cells} | {told}; load {os.getloadavg()[0]:.1f}", flush=True)
            plain_us, writer_us = cpu(folder, size)
            out["figures"] |= {f"{frame}.cpu_us.disk": plain_us, f"{frame}.cpu_us.writer": writer_us}
            print(
                f"{'':>8} | CPU per frame: disk {plain_us:.0f} µs, writer {writer_us:.0f} µs ({plain_us / writer_us:.0%})",
                flush=True,
            )
    times = encoding()
    out["figures"] |= {f"encode.{kind}.ms": value for kind, value in times.items()}
    print("a cloud of 120,000 points into a message: " + ", ".join(f"{kind} {ms:.3g} ms" for kind, ms in times.items()))
    return out
