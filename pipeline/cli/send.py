"""`pipe send`: play recorded packets and pictures to a port, to rehearse a live run without a sensor."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import Any

from pipeline.cli.run import count
from pipeline.errors import GraphError


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send a recording as the sensor would: packets of a capture (pcap, pcapng) or of a ROS 2 bag (velodyne_msgs) to a UDP "
        "port, pictures of a folder or video as MJPEG over HTTP."
    )
    parser.epilog = "Exit codes: 0 all sent, 2 a wrong file or address, 130/143 stopped. What was sent is printed at the end."
    parser.add_argument("file", type=Path, metavar="FILE", help="capture, bag, video, or folder of pictures")
    parser.add_argument(
        "--to", required=True, metavar="URL", help="udp://HOST:PORT, or http://127.0.0.1:PORT/PATH to serve there"
    )
    parser.add_argument("--rate", default="1", metavar="R|max", help="speed: 1 = as recorded (default), max = no pacing")
    parser.add_argument(
        "--hz", type=float, metavar="H", help="so many datagrams or pictures per second, whatever their times are"
    )
    parser.add_argument("--port", type=int, metavar="N", help="of a capture: send the datagrams that went to this port")
    parser.add_argument("--loss", type=float, default=0.0, metavar="P", help="leave out each item with this probability")
    parser.add_argument(
        "--reorder", type=float, default=0.0, metavar="P", help="swap each item with the next at this probability"
    )
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="of --loss and --reorder (default 0)")
    parser.add_argument("--repeat", type=count, default=1, metavar="N", help="send it N times, 0 = until Ctrl-C (default 1)")
    parser.add_argument(
        "--restamp", action="store_true", help="of Velodyne packets: their time is that of sending; for --repeat and other rates"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.graph import lookup

    for name in ("loss", "reorder"):
        if not 0 <= getattr(args, name) <= 1:
            raise GraphError(f"--{name}: needs a probability of 0 .. 1, got {getattr(args, name):g}")
    if args.hz is not None and not 0 < args.hz < 1e6:
        raise GraphError(f"--hz: needs more than 0, got {args.hz:g}")
    module = lookup.sender()
    config = module.SendConfig(
        path=args.file,
        to=args.to,
        rate=_rate(args.rate),
        hz=args.hz,
        port=args.port,
        loss=args.loss,
        reorder=args.reorder,
        seed=args.seed,
        repeat=args.repeat,
        restamp=args.restamp,
    )
    tally = module.Tally()
    code = 0
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        module.send(config, tally)
    except KeyboardInterrupt:
        code = 130
    except _Terminated:
        code = 143
    finally:
        signal.signal(signal.SIGTERM, before)
    print(tally.line(), flush=True)
    return code


class _Terminated(BaseException):
    """SIGTERM has come."""


def _terminate(number: int, frame: Any) -> None:
    raise _Terminated


def _rate(text: str) -> float | None:
    if text == "max":
        return None
    try:
        rate = float(text)
        if not 0 < rate < 1e6:
            raise ValueError
    except ValueError:
        raise GraphError(f"--rate {text}: needs a number above 0, or max") from None
    return rate
