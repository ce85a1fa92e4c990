"""A cluster's router, as far as the lab needs one: an HTTP/1.1 server that answers while it lives.

``GET /healthz`` answers 200, ``GET /`` the cluster's name. Run as a script by :mod:`core.lab.process`, with the standard
library only; prints its port, serves on 127.0.0.1, and ends when its input closes.
"""

from __future__ import annotations

import asyncio
import sys

HEAD = 16384
"""Octets that a request's head may have."""


def answer(head: bytes, cluster: str) -> bytes:
    """The response to one request head. A body of a request is not expected and closes the connection."""
    request, _, fields = head.partition(b"\r\n")
    words = request.split(b" ")
    lowered = fields.lower()
    close = b"connection: close" in lowered or b"content-length" in lowered or b"transfer-encoding" in lowered
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        status, body, close = "400 Bad Request", "not an HTTP request\n", True
    elif words[0] not in (b"GET", b"HEAD"):
        status, body = "405 Method Not Allowed", "GET and HEAD only\n"
    elif words[1].partition(b"?")[0] == b"/healthz":
        status, body = "200 OK", "ok\n"
    elif words[1] == b"/":
        status, body = "200 OK", f"{cluster}\n"
    else:
        status, body = "404 Not Found", "no such page\n"
    close = close or words[-1] == b"HTTP/1.0"
    connection = "close" if close else "keep-alive"
    text = (
        f"HTTP/1.1 {status}\r\nServer: pointsman-lab\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: {connection}\r\n\r\n"
    )
    return (text if words[0] == b"HEAD" else text + body).encode()


class Connection(asyncio.Protocol):
    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            response = answer(head, self._cluster)
            self._transport.write(response)
            if b"\r\nConnection: close\r\n" in response:
                self._transport.close()
                return
        if len(self._buffer) > HEAD:
            self._transport.close()


async def main(cluster: str) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    server = await loop.create_server(lambda: Connection(cluster), "127.0.0.1", 0)
    loop.add_reader(0, ended.set)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
