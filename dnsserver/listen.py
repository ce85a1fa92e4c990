"""Binds what ``dns.listen`` names. Called by :mod:`dnsserver.server`."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import TypeAlias

from core.errors import StartError

_PAIR_TRIES = 20
_BACKLOG = 512


Pair: TypeAlias = tuple[socket.socket, socket.socket]
"""A UDP socket and a TCP listener on the same port."""


def bind(address: str, port: int, *, beside: bool = False, key: str = "dns.listen") -> Pair:
    """``beside``: others of ours have the port, and share it (:func:`share`); ``key`` is the setting that names it. Raises
    StartError."""
    for _ in range(_PAIR_TRIES):
        datagrams = _bind(address, port, socket.SOCK_DGRAM, beside=beside, key=key)
        try:
            return datagrams, _bind(address, datagrams.getsockname()[1], socket.SOCK_STREAM, beside=beside, key=key)
        except StartError as error:
            datagrams.close()
            if port or not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
                raise
    raise StartError(f"cannot listen on {address}: found no port that is free for UDP and TCP")


def share(pairs: Iterable[Pair]) -> None:
    """From now on more sockets of ours may be bound to the same ports. Sockets that were bound before keep all others off:
    a second server that would take half of the questions is refused."""
    for pair in pairs:
        for sock in pair:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def close(pairs: Iterable[Pair]) -> None:
    for pair in pairs:
        for sock in pair:
            sock.close()


def _bind(address: str, port: int, kind: socket.SocketKind, *, beside: bool, key: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if beside:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        protocol = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
        where = f"[{address}]:{port}" if family == socket.AF_INET6 else f"{address}:{port}"
        raise StartError(f"cannot listen on {where} ({protocol}): {_reason(error, port, key)}") from error
    return sock


def _reason(error: OSError, port: int, key: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"the port is busy; see who has it with `ss -lntup 'sport = :{port}'`, or choose another in {key}"
        case errno.EACCES | errno.EPERM:
            return f"no permission; ports below 1024 need root or CAP_NET_BIND_SERVICE, or choose another in {key}"
        case errno.EADDRNOTAVAIL:
            return f"this machine has no such address; correct {key}"
        case errno.EAFNOSUPPORT:
            return f"this machine has no IPv6; correct {key}"
    return f"{error.strerror}; correct {key}"
