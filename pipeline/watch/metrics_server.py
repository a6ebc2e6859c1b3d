"""Serves the metrics of a run over HTTP, for Prometheus, on threads of its own.

The books belong to the thread of the run. A request asks that thread for a snapshot and waits until it has made one, at its next
look (ten times a second); nothing is computed while nobody asks.
"""

from __future__ import annotations

import importlib.util
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.errors import GraphError
from pipeline.runtime import streams
from pipeline.runtime.observer import Observer, Pids
from pipeline.runtime.session import Session
from pipeline.runtime.snapshot import snapshot
from pipeline.watch.metrics import Collector, Snapshot

ANSWER_S, CLIENT_S, POLL_S = 1.0, 5.0, 0.1
"""Longest wait for a new snapshot (then the last one is served); for a client's request; for the end of the server."""


class Server(ThreadingHTTPServer):
    """Bound and listening, but nothing is served before `serve`. Raises GraphError: no such address, or it is in use."""

    def __init__(self, host: str, port: int) -> None:
        if importlib.util.find_spec("prometheus_client") is None:
            raise GraphError("--metrics: needs prometheus-client, which is not installed; pip install 'perception-pipe[metrics]'")
        self.host = f"[{host}]" if ":" in host else host
        try:
            self.address_family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            super().__init__((str(address[0]), port), BaseHTTPRequestHandler)  # the handler comes with the run
        except OSError as error:
            hint = "another port, or 0 for any that is free"
            raise GraphError(
                f"--metrics {self.host}:{port}: needs an address to listen on, got: {error.strerror}; {hint}"
            ) from None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.server_address[1]}/metrics"

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks the network for the name of this machine
        self.server_name, self.server_port = self.host, self.server_address[1]

    def handle_error(self, *request: Any) -> None:
        """A client that went away is no error of the run."""

    def observer(self, session: Session, quiet: bool) -> Metrics:
        """Of the run whose metrics are served."""
        return Metrics(session, self, quiet)

    def serve(self, collector: Collector) -> None:
        from prometheus_client import CollectorRegistry, MetricsHandler, ProcessCollector

        registry = CollectorRegistry()
        registry.register(collector)
        ProcessCollector(registry=registry)  # process_*: of `pipe run` itself
        self.RequestHandlerClass = type("Handler", (MetricsHandler,), {"registry": registry, "timeout": CLIENT_S})
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL_S,), name="metrics", daemon=True)
        self._thread.start()

    def __exit__(self, *raised: object) -> None:
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
            self._thread = None
        self.server_close()


class Metrics(Observer):
    """The observer that makes the snapshots. server: closed by its owner, after the run."""

    def __init__(self, session: Session, server: Server, quiet: bool) -> None:
        self._session, self._server, self._quiet = session, server, quiet
        self._changed = threading.Condition()
        self._wanted = self._ended = False
        self._made = 0
        self._newest: Snapshot | None = None

    def start(self) -> None:
        self._server.serve(Collector(self.newest))
        if not self._quiet:
            streams.show([f"metrics: {self._server.url}"])  # a closed standard output ends neither run nor metrics

    def update(self, pids: Pids) -> None:
        with self._changed:
            if self._wanted:
                self._newest = snapshot(self._session)
                self._made += 1
                self._wanted = False
                self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def newest(self) -> Snapshot | None:
        """For the threads of requests: one made after the request; while the run is too busy, or ends, the last one."""
        with self._changed:
            before, self._wanted = self._made, True
            self._changed.wait_for(lambda: self._made > before or self._ended, ANSWER_S)
            return self._newest
