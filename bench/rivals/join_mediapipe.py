"""MediaPipe 0.10: one process, calculators in C++; Python adds packets and observes streams. Queues are MediaPipe's default.

Its join is that of every calculator: inputs in the order of their timestamps, those with the same one together; a frame of a
waits until b has gone past it. The reader keeps the newest b. Later releases have no graphs in Python (1.2.3 has tasks only).
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import mediapipe as mp
import numpy as np

from bench.rivals.pairing import A_BYTES, A_HZ, B_BYTES, B_HZ, Reader, Task, sense, stamp_of

GRAPH = """
input_stream: 'a'
input_stream: 'b'
node {
  calculator: 'PassThroughCalculator'
  input_stream: 'a' input_stream: 'b' output_stream: 'a_out' output_stream: 'b_out'
}
"""


def main() -> None:
    task = Task(**json.loads(sys.argv[2]))
    graph, reader = mp.CalculatorGraph(graph_config=GRAPH), Reader(task)
    last, newest = {"a": 0, "b": 0}, {"b": 0}

    def keep(name: str, packet: Any) -> None:
        newest["b"] = packet.timestamp.value * 1000

    def read(name: str, packet: Any) -> None:
        if newest["b"]:
            reader.take(packet.timestamp.value * 1000, newest["b"])

    graph.observe_output_stream("b_out", keep)
    graph.observe_output_stream("a_out", read)
    graph.start_run()

    def add(name: str, data: np.ndarray) -> None:
        """Timestamps are in us and must grow on each stream."""
        at_us = max(stamp_of(data) // 1000, last[name] + 1)
        last[name] = at_us
        if name == "b":
            packet = mp.packet_creator.create_int(0)
        else:
            packet = mp.packet_creator.create_image_frame(
                image_format=mp.ImageFormat.SRGB, data=data[: 3 * (A_BYTES // 3000) * 1000].reshape(-1, 1000, 3)
            )
        graph.add_packet_to_input_stream(name, packet.at(at_us))

    def sensor(name: str) -> None:
        hz, size = (A_HZ, A_BYTES) if name == "a" else (B_HZ, B_BYTES)
        sent = sense(task, hz, size, lambda data: add(name, data))
        if name == "a":
            task.sent.write_text(str(sent))

    sensors = [threading.Thread(target=sensor, args=(name,)) for name in ("b", "a")]
    for thread in sensors:
        thread.start()
    for thread in sensors:
        thread.join()
    graph.close_all_packet_sources()
    graph.wait_until_done()


if __name__ == "__main__":
    main()
