"""Names and record data as the wire has them, and the way there from texts and from dnslib. Pure."""

from __future__ import annotations

from typing import Any, TypeAlias

import dns.name
from dnslib.label import DNSBuffer

Labels: TypeAlias = tuple[bytes, ...]
"""A name in lower case, the most specific label first, without the root."""


def labels_of(name: str) -> Labels:
    return tuple(name.lower().rstrip(".").encode("ascii").split(b"."))


def text_of(name: Labels) -> str:
    return dns.name.Name((*name, b"")).to_text()


def wire_name(name: Labels) -> bytes:
    """Uncompressed."""
    return b"".join(bytes((len(label),)) + label for label in name) + b"\0"


def labels_of_wire(name: bytes) -> Labels:
    """The way back from :func:`wire_name`."""
    labels = []
    at = 0
    while name[at]:
        labels.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    return tuple(labels)


def wire_data(rdata: Any) -> bytes:
    """dnslib's record data, its names uncompressed."""
    buffer = _Uncompressed()
    rdata.pack(buffer)
    return bytes(buffer.data)


class _Uncompressed(DNSBuffer):  # type: ignore[misc] # dnslib has no types
    """An offset in here is none in the message."""

    def encode_name(self, name: object) -> None:
        self.encode_name_nocompress(name)
