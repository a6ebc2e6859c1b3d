"""Log lines of a worker: plain text on its stderr, which is the log file of its process."""

from __future__ import annotations

import logging


def configure_logging(node_label: str) -> None:
    logging.basicConfig(format=f"%(asctime)s {node_label} %(levelname)s %(message)s", level=logging.INFO, force=True)
