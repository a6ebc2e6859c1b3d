"""`pipe bench hop`: time from "producer has finished a frame" to "consumer has it" between processes, with rivals in the run.

back-to-back        one frame in flight at a time, the cores stay awake
50 Hz               played at 50 Hz: the engine knows when the next frame is due; the cores sleep in between
50 Hz, self-paced   a driver whose read() blocks until the due time of its frame, like a sensor
The producer writes every byte of every frame (in the loan if there is one); this time is `fill`, not part of the hop.
CPU: of all participating processes, per frame. Rivals: bench/rivals/; missing ones are listed. All take turns in rounds;
figures are medians over the rounds.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from bench import rivals
from bench.common import header, quantile, run_graph
from bench.rivals import Measured

SIZES = {"8 B": 8, "4 KB": 4096, "6.2 MB": 6_220_800, "40 MB": 40_000_000}
BACK, PACED, SELF = "back-to-back", "50 Hz", "50 Hz, self-paced"
ROWS = [(BACK, name) for name in SIZES] + [(pace, name) for pace in (PACED, SELF) for name in ("8 B", "6.2 MB")]
RATE_HZ = 50.0
GRAPHS = {
    BACK: """
  ping: {{driver: "bench.nodes:Ping", config: {{frames: {frames}, bytes: {size}}}, place: ends}}
  echo: {{op: "bench.nodes:Echo", inputs: {{in: ping.out}}}}
  end:  {{op: "bench.nodes:End", inputs: {{in: echo.out}}, config: {{frames: {frames}}}, place: ends}}
""",
    PACED: """
  ping: {{driver: "bench.nodes:Ping", config: {{frames: {frames}, bytes: {size}, wait: false}}, live: true}}
  end:  {{op: "bench.nodes:Take", inputs: {{in: ping.out}}, config: {{frames: {frames}, played: true}}}}
""",
    SELF: """
  ping: {{driver: "bench.nodes:Sensor", config: {{frames: {frames}, bytes: {size}}}, rate_hz: 50}}
  end:  {{op: "bench.nodes:Take", inputs: {{in: ping.out}}, config: {{frames: {frames}}}}}
""",
}


def engine(pace: str, size: int, frames: int) -> Measured:
    found: dict[str, Any] = {}

    def read(folder: Path) -> None:
        found.update(json.loads((folder / "end" / "hops.json").read_text()))

    report = run_graph("version: 1\nnodes:" + GRAPHS[pace].format(size=size, frames=frames), results=read)
    edge = next(edge for name, edge in report["edges"].items() if name.startswith("ping.out->"))
    if edge["delivered"] < (frames if pace == BACK else frames // 2) or edge["copied_bytes"]:  # live, a busy machine drops some
        raise RuntimeError(f"bench hop: needs {frames} loaned frames, got {edge}")
    hop, filled = zip(*found["ns"], strict=True)
    return Measured([ns * 1e-3 for ns in hop], [ns * 1e-3 for ns in filled], found["cpu_ns"] * 1e-3)


def main(rounds: int = 3, frames: int = 2000, paced_frames: int = 250) -> dict[str, Any]:
    who = ["pipe", *rivals.installed()]
    data = (
        f"{rounds} rounds of {frames} frames back-to-back (of a tenth from 1 MB on), {paced_frames} at 50 Hz, all bytes written"
    )
    out: dict[str, Any] = {"about": header("pipe bench hop", data), "rows": [], "figures": {}, "missing": rivals.missing()}
    print(f"{'frame':>7} {'pace':>18} {'':>9} | p50 us    p99 us | fill us | CPU us/frame | p50 of pyzmq's")
    for pace, frame in ROWS:
        size = SIZES[frame]
        count = (frames if size < 10**6 else frames // 10) if pace == BACK else paced_frames
        found: dict[str, list[Measured]] = {name: [] for name in who}
        for _ in range(rounds):
            for name in who:
                try:
                    found[name].append(measure(name, pace, size, count))
                except rivals.Failed as error:
                    out["missing"].append(f"{name}: no {frame} {pace}: {error}")
        rows = [{"frame": frame, "pace": pace, "who": n, **medians(measured)} for n, measured in found.items() if measured]
        out["rows"] += rows
        _compare(out["figures"], rows)
    print("\n".join(out["missing"]))
    return out


def measure(name: str, pace: str, size: int, frames: int) -> Measured:
    if name == "pipe":
        return engine(pace, size, frames)
    return rivals.measure(name, size, frames, 0.0 if pace == BACK else 1 / RATE_HZ)


def medians(rounds: list[Measured]) -> dict[str, float]:
    return {
        "p50_us": median(quantile(one.hop_us, 0.5) for one in rounds),
        "p99_us": median(quantile(one.hop_us, 0.99) for one in rounds),
        "fill_us": median(quantile(one.fill_us, 0.5) for one in rounds),
        "cpu_us": median(one.cpu_us for one in rounds),
    }


def _compare(figures: dict[str, float], rows: list[dict[str, Any]]) -> None:
    """Print rows of one frame and pace, and store their figures: of Pipe as "FRAME.PACE", of a rival with its name appended."""
    bare = next((row["p50_us"] for row in rows if row["who"] == "pyzmq"), None)
    for row in rows:
        frame, pace, who = row["frame"], row["pace"], row["who"]
        told = "-"
        if bare is not None:
            row["ratio"] = row["p50_us"] / bare
            told = f"{row['ratio']:.2f}"
        if who == "pipe":
            row["of_8B"] = row["p50_us"] / figures.get(f"8 B.{pace}.p50_us", row["p50_us"])
            told += f"  ({row['of_8B']:.2f} of its 8 B)"
        key = f"{frame}.{pace}" + ("" if who == "pipe" else f".{who}")
        figures |= {f"{key}.{name}": value for name, value in row.items() if isinstance(value, float)}
        print(
            f"{frame:>7} {pace:>18} {who:>9} | {row['p50_us']:6.0f} {row['p99_us']:9.0f} | {row['fill_us']:7.0f} "
            f"| {row['cpu_us']:12.0f} | {told}",
            flush=True,
        )
