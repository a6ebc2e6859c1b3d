"""`make chaos`: all scenarios, then the table; exit code 1 if there are findings."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.common import machine
from chaos.rig import stop_all
from chaos.scenarios import plan
from chaos.tally import FINDINGS, Tally

GROUPS = ("steps", "random", "stops", "disk", "supervisor")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few kills of each sort, half a minute")
    parser.add_argument("--seed", type=int, default=0, help="whom to kill when (default 0)")
    parser.add_argument(
        "--only", metavar="WORD[,WORD]", default="", help=f"{', '.join(GROUPS)}, or names such as join-sent, random-3"
    )
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="at each step and kind of node (default 50)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="scenarios at a time (default 1)")
    parser.add_argument("--out", type=Path, default=Path("out/chaos"), metavar="DIR", help="what runs leave, and chaos.json")
    parser.add_argument("--json", type=Path, metavar="F", help="also write the figures there")
    args = parser.parse_args(argv)
    wanted = [word for word in args.only.split(",") if word]
    todo = [
        (name, what)
        for group, name, what in plan(args.seed, args.quick, args.kills)
        if not wanted or group in wanted or name in wanted
    ]
    if not todo:
        parser.error(f"--only {args.only}: needs one of {', '.join(GROUPS)} or the name of a scenario")
    about = {
        "command": " ".join(["python -m chaos", *(sys.argv[1:] if argv is None else argv)]),
        **machine(),
        "seed": args.seed,
    }
    print("  ".join(f"{key}: {value}" for key, value in about.items()), flush=True)
    shutil.rmtree(args.out, ignore_errors=True)
    total = Tally()
    began = time.monotonic()

    def one(item: tuple[str, Callable[[Path], Tally]]) -> Tally:
        name, what = item
        since = time.monotonic()
        tally: Tally = what((args.out / name).resolve())
        print(f"{name:<18} {time.monotonic() - since:6.1f} s   {tally.summary()}", flush=True)
        for finding in (*FINDINGS, "left_out"):
            for text in getattr(tally, finding)[:5]:
                print(f"    {finding}: {text}", flush=True)
        if not tally.found:
            shutil.rmtree(args.out / name, ignore_errors=True)
        return tally

    old = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadPoolExecutor(args.jobs) as pool:
        try:
            for tally in pool.map(one, todo):
                total.add(tally)
        except BaseException:
            stop_all()
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            signal.signal(signal.SIGTERM, old)
    print(f"\n{total.table()}\n\n{total.summary()}   wall: {time.monotonic() - began:.0f} s")
    result = {**about, "wall_s": round(time.monotonic() - began), **total.plain()}
    for path in (args.out / "chaos.json", args.json):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if total.found else 0


if __name__ == "__main__":
    sys.exit(main())
