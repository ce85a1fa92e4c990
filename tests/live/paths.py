"""The way from one instance to a cluster's router: well, refused with evidence, or silent. A small HTTP server on a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Path

    def do_GET(self) -> None:
        if not self.server.open.wait(20):
            return
        self.send_response(200 if self.server.well else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


class Path(ThreadingHTTPServer):
    """``open``: packets come through; ``well``: what the router says then."""

    daemon_threads = True

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.well = True
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that the other side has given up."""


@contextmanager
def paths(count: int) -> Iterator[list[Path]]:
    found = [Path() for _ in range(count)]
    threads = [threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True) for each in found]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        for each, thread in zip(found, threads, strict=True):
            each.open.set()
            each.shutdown()
            each.server_close()
            thread.join(5)
