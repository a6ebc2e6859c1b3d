"""The candidates of `pipe bench rivals`: what they need, how they are set, what is measured. See comparison.py."""

from __future__ import annotations

from bench import rivals

MODULES = {**rivals.NAMES, "mediapipe": "mediapipe"}
PACKAGES = {**rivals.PACKAGES, "mediapipe": "--no-deps mediapipe==0.10.21 absl-py attrs"}
"""MediaPipe's own dependencies want an older NumPy; its graphs run without them."""
SETTINGS = {
    "pipe": "defaults of a live graph: queues `latest` of 1, restart on failure",
    "pyzmq": "DEALER over a Unix socket, high-water mark 2 at both ends",
    "iceoryx2": "publish-subscribe and two events, defaults",
    "zenoh": "peers over a Unix socket, shared memory on, congestion control `block`, FIFO of 16",
    "ezmsg": "publisher and subscriber, defaults, graph server in the reader",
    "dora": "`dora run`, defaults of queues and restarts",
    "mediapipe": "CalculatorGraph in one process, default queues",
}
"""All that is not named here is as installed."""
LIFE_FIGURES = {
    "cold_start_ms": "command to first frame, ms",
    "cpu_us": "CPU per frame, us",
    "pss_mb": "memory, MB",
    "stop_ms": "Ctrl-C to gone, ms",
    "producer.again_ms": "kill -9 of the producer to a frame, ms",
    "consumer.again_ms": "kill -9 of the consumer to a frame, ms",
}
JOIN_FIGURES = {
    "age_last_ms": "age of a read frame at the end, ms",
    "late": "frames the sensor could not take",
    "lost": "frames not read",
    "skew_ms": "difference of stamps in a pair, ms",
    "grown_mb": "growth of memory, MB",
}
