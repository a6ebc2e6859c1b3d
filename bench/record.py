"""`pipe bench record`: lossless recording beside the disk's own writing, in turns in the same folder.

disk      plain writes of the same frames from one warm buffer, and fsync at the end
pipe      a source that only hands out slots of noise -> the recorder of `--record`, and fsync at the end; with the checksums that
          are the default, and without
mcap      the writer of the package mcap, in one process, with chunk checksums as is its default, and fsync at the end
Rates are bytes of frames over seconds; of an engine run the seconds from its first frame to its last, without its start.
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
from pipeline import record
from pipeline.display import Display
from pipeline.frame import Header
from pipeline.graph import parse
from pipeline.lookup import format_class
from pipeline.plan import RunOptions
from pipeline.playback import Recording
from pipeline.recording import pack
from pipeline.schema import Array, Port, Schema
from pipeline.session import Session
from pipeline.supervisor import run

FRAMES = {"6.2 MB": 6_220_800, "1.9 MB": 1_920_000, "64 KB": 65_536}
TOTAL = 250_000_000
"""Bytes of one measurement."""
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


def disk(folder: Path, size: int, count: int) -> float:
    data = np.random.default_rng(0).bytes(size)

    def write(file: Any) -> None:
        for _ in range(count):
            file.write(data)

    return timed(folder / "plain", write)


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


def ours(folder: Path, size: int, count: int, crc: bool) -> float:
    text = f"version: 1\nnodes:\n  src: {{driver: 'bench.nodes:Noise', config: {{bytes: {size}, frames: {count}}}}}\n"
    path = folder / "ours.mcap"
    graph = record.with_recorder(parse(text, "bench.yaml"), record.Record(path))
    node = graph.nodes[record.RECORDER]
    node = dataclasses.replace(node, config=dataclasses.replace(node.config, crc=crc))
    graph = dataclasses.replace(graph, nodes=graph.nodes | {node.name: node})
    session = Session(graph, RunOptions(folder / "out", quiet=True))
    outcome = run(session, Display(session, quiet=True))
    record.finish(session, outcome)
    if outcome.recorded is None or outcome.recorded.frames != count or outcome.recorded.lost:
        raise RuntimeError(f"record: needs {count} frames, got {outcome.recorded}, {outcome.errors}")
    began = time.monotonic()
    with path.open("rb") as file:
        os.fsync(file.fileno())
    synced_s = time.monotonic() - began
    with Recording(path) as recording:
        readings = list(recording.sources["src"].readings.values())
        first, last = (readings[i][0].stored.header.recv_ns for i in (0, -1))
    path.unlink()
    shutil.rmtree(folder / "out")
    return (last - first) * 1e-9 * count / (count - 1) + synced_s


WAYS: dict[str, Callable[[Path, int, int], float]] = {
    "disk": disk,
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


def main(rounds: int = 7) -> dict[str, Any]:
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
            print(f"{frame:>8} | {cells} | " + ", ".join(f"{way} {share:.0%}" for way, share in shares.items()), flush=True)
    times = encoding()
    out["figures"] |= {f"encode.{kind}.ms": value for kind, value in times.items()}
    print("a cloud of 120,000 points into a message: " + ", ".join(f"{kind} {ms:.3g} ms" for kind, ms in times.items()))
    return out
