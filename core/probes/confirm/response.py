"""The responses of an HTTP/1.1 connection, one after another, from octets to status codes (RFC 9112). Pure.

Only what a confirmation needs: the status code, and where the response ends, so that the connection can be used again.
Called by :mod:`core.probes.confirm.http`.
"""

from __future__ import annotations

import re

HEAD_LIMIT, BODY_LIMIT = 16_384, 65_536
"""Longest head, and longest body after which a connection is still used again, in octets."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?$")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?$")


class ResponseReader:
    """Feed it octets. ``status`` is there as soon as the head is; ``complete`` when the whole response has been read.

    ``reusable`` False: the connection ends with this response. ValueError: not HTTP/1.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.next()

    def next(self) -> None:
        """Begin the next response."""
        self.status = 0
        self.complete = False
        self.reusable = True
        self._left = 0
        self._chunked = False
        self._trailer = False
        self._body = 0

    @property
    def idle(self) -> bool:
        """Whether nothing has come that belongs to no response."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while not self.complete and self._step():
            pass

    def _step(self) -> bool:
        if not self.status:
            return self._read_head()
        if self._left:
            taken = min(self._left, len(self._buffer))
            del self._buffer[:taken]
            self._left -= taken
            self.complete = not self._left and not self._chunked
            return bool(taken)
        return self._chunked and self._read_chunk_line()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT or not b"HTTP/1.".startswith(self._buffer[:7]):
                raise ValueError("not an HTTP response")
            return False
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        match = _STATUS_LINE.match(first)
        if not match:
            raise ValueError("not an HTTP response")
        status = int(match[2])
        if status < 200:  # 100, 103: an interim response, the final one follows (RFC 9110 section 15.2)
            if status == 101:
                raise ValueError("switched protocols unasked")
            return True
        self.status = status
        headers = {name.lower(): value.strip().lower() for name, _, value in (line.partition(b":") for line in lines)}
        connection = headers.get(b"connection", b"")
        self.reusable = (match[1] == b"1" and b"close" not in connection) or b"keep-alive" in connection
        self._frame(headers)
        return True

    def _frame(self, headers: dict[bytes, bytes]) -> None:
        """Where the response ends (RFC 9112 section 6.3)."""
        length = headers.get(b"content-length")
        if self.status in (204, 304):
            self.complete = True
        elif headers.get(b"transfer-encoding") == b"chunked":
            self._chunked = True
        elif length is not None and b"transfer-encoding" not in headers and re.fullmatch(rb"\d{1,15}", length):
            self._left = int(length)
            self.complete = not self._left
            self.reusable = self.reusable and self._left <= BODY_LIMIT
        else:  # it ends with the connection
            self.reusable = False

    def _read_chunk_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise ValueError("a chunk without a size")
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self._trailer:
            self.complete = not line
        elif match := _CHUNK_SIZE.match(line):
            size = int(match[1], 16)
            self._trailer = not size
            self._left = size + 2 if size else 0  # with the CRLF after it
            self._body += size
            self.reusable = self.reusable and self._body <= BODY_LIMIT
        else:
            raise ValueError("a chunk without a size")
        return True
