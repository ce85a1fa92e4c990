"""UDP sockets served in batches. Called by the wire thread (:mod:`dnsserver.wire`).

On Linux one ``recvmmsg`` and one ``sendmmsg`` carry up to 64 packets (decision 6). They are called without releasing
the GIL: they never block, and each release would cost a wait for the GIL beside a busy main thread. Elsewhere
``recvmsg`` and ``sendmsg`` do the same, packet by packet.

On a wildcard address the address that was asked travels with each packet (``IP_PKTINFO``, RFC 3542 section 6), and the
answer leaves from it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from array import array
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from itertools import accumulate
from struct import Struct
from typing import Protocol, TypeAlias, cast

from dnsserver.stats import Counters

Answer: TypeAlias = Callable[[list[bytes]], list[bytes | None]]
"""From packets to what is sent for each; None for silence."""

BATCH = 64
_SLOT = 4096
_HEAD = 256
_STARTS = range(0, _HEAD * BATCH, _HEAD)
_PACKED = tuple(Struct(f"{_HEAD}s" * count) for count in range(BATCH + 1))
_NAME = 32
_CONTROL = 64
_RECEIVE_BUFFER = 1 << 20
_IP_PKTINFO = 8  # Linux; the socket module of Python 3.11 does not name it
_BROKEN = (errno.EBADF, errno.ENOTSOCK, errno.EFAULT, errno.EINVAL)


class DatagramPort(Protocol):
    """One bound socket, and how a batch of its packets is answered."""

    sock: socket.socket

    def serve(self, answer: Answer) -> None: ...

    def peer(self, place: int) -> bytes:
        """The address that the packet at a place in the batch under way came from, 4 or 16 octets."""
        ...


def datagram_port(sock: socket.socket, counters: Counters) -> DatagramPort:
    """For a bound UDP socket. ``ValueError`` where a wildcard address cannot be served."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    wildcard = sock.getsockname()[0] in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
    if wildcard:
        if not sys.platform.startswith("linux"):
            raise ValueError("a wildcard address works on Linux only; list each address in dns.listen")
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    batched = sys.platform.startswith("linux") and ctypes.sizeof(ctypes.c_void_p) == 8 and sys.byteorder == "little"
    return (BatchPort if batched else SimplePort)(sock, counters, wildcard=wildcard)


class SimplePort:
    """The portable way."""

    def __init__(self, sock: socket.socket, counters: Counters, *, wildcard: bool) -> None:
        self.sock = sock
        self._counters = counters
        self._control = _CONTROL if wildcard else 0
        self._peer = ""

    def serve(self, answer: Answer) -> None:
        for _ in range(BATCH):
            try:
                packet, ancillary, _, client = self.sock.recvmsg(_SLOT, self._control)
                self._peer = client[0]
            except OSError as error:
                if error.errno in _BROKEN:
                    raise
                return
            (reply,) = answer([packet])
            if reply is None:
                continue
            if self.sock.family == socket.AF_INET:  # the source address is kept, the way out is the routing table's
                ancillary = [(level, kind, bytes(4) + data[4:]) for level, kind, data in ancillary]
            try:
                self.sock.sendmsg([reply], ancillary, 0, client)
            except OSError:
                self._counters.dropped += 1

    def peer(self, place: int) -> bytes:
        return ip_address(self._peer.partition("%")[0]).packed


class BatchPort:
    """``recvmmsg`` and ``sendmmsg`` on 64-bit little-endian Linux.

    A ``struct mmsghdr`` is eight words there: name, name length, iovec, iovec count, control, control length, flags,
    and the length of the message. Everything that stays the same is laid out once, and what changes is written for the
    whole batch at once. The head of each packet goes to memory that is copied in one piece; what is longer, elsewhere.
    """

    _NAME_LENGTH, _CONTROL_POINTER, _CONTROL_LENGTH, _LENGTH, _WORDS = 1, 4, 5, 7, 8
    _VECTORS = 2

    def __init__(self, sock: socket.socket, counters: Counters, *, wildcard: bool) -> None:
        self.sock = sock
        self._fd = sock.fileno()
        self._counters = counters
        self._wildcard = wildcard
        self._route_free = wildcard and sock.family == socket.AF_INET
        libc = ctypes.PyDLL(None, use_errno=True)
        self._recvmmsg, self._sendmmsg = libc.recvmmsg, libc.sendmmsg
        name_length, address = (16, slice(4, 8)) if sock.family == socket.AF_INET else (28, slice(8, 24))
        memory = _Memory()
        names, name_view = memory.area_and_view(_NAME, "B")
        self._peers = tuple(name_view[_NAME * i :][address] for i in range(BATCH))
        self._control_at, self._controls = memory.area_and_view(_CONTROL, "I")
        heads, self._heads = memory.area_and_view(_HEAD, "B")
        rests, self._rests = memory.area_and_view(_SLOT - _HEAD, "B")
        self._outgoing_at, self._outgoing = memory.area_and_view(_SLOT, "B")
        in_vectors, in_view = memory.area_and_view(16 * self._VECTORS, "Q")
        out_vectors, self._out_vectors = memory.area_and_view(16, "Q")
        self._in_headers, self._received = memory.area_and_view(8 * self._WORDS, "Q")
        self._out_headers, self._sent = memory.area_and_view(8 * self._WORDS, "Q")
        self._names = tuple(names + _NAME * i for i in range(BATCH))
        self._asked: Sequence[int] = range(BATCH)
        self._slots = array("Q", [self._outgoing_at + _HEAD * i for i in range(BATCH)])
        self._out_vectors[::2] = self._slots
        self._moved = False
        for i in range(BATCH):
            vectors = (heads + _HEAD * i, _HEAD, rests + (_SLOT - _HEAD) * i, _SLOT - _HEAD)
            in_view[4 * i : 4 * i + 4] = array("Q", vectors)
            control = (self._control_at + _CONTROL * i, _CONTROL) if wildcard else (0, 0)
            words = slice(self._WORDS * i, self._WORDS * i + self._WORDS)
            at = in_vectors + 16 * self._VECTORS * i
            self._received[words] = array("Q", (names + _NAME * i, name_length, at, self._VECTORS, *control, 0, 0))
            self._sent[words] = array("Q", (names + _NAME * i, name_length, out_vectors + 16 * i, 1, 0, 0, 0, 0))
        self._pristine = self._received.tobytes()
        self._received_bytes = self._received.cast("B")
        self._memory = memory

    def serve(self, answer: Answer) -> None:
        self._received_bytes[:] = self._pristine
        count = self._recvmmsg(self._fd, ctypes.c_void_p(self._in_headers), BATCH, socket.MSG_DONTWAIT, None)
        if count < 0:
            error = ctypes.get_errno()
            if error in _BROKEN:
                raise OSError(error, os.strerror(error))
            return
        heads = self._heads[: count * _HEAD].tobytes()
        lengths = self._received[self._LENGTH : self._WORDS * count : self._WORDS].tolist()
        packets = [heads[start : start + length] for start, length in zip(_STARTS, lengths, strict=False)]
        if max(lengths) > _HEAD:
            self._lengthen(packets, heads, lengths)
        replies = answer(packets)
        if all(replies):
            asked: Sequence[int] = range(count)
            sent = cast(list[bytes], replies)
        else:
            asked = [i for i, reply in enumerate(replies) if reply]
            sent = [reply for reply in replies if reply]
        self._lay_out(asked, sent)
        self._send(len(sent))

    def peer(self, place: int) -> bytes:
        return self._peers[place].tobytes()

    def _lengthen(self, packets: list[bytes], heads: bytes, lengths: Sequence[int]) -> None:
        for i, length in enumerate(lengths):
            if length > _HEAD:
                start = (_SLOT - _HEAD) * i
                packets[i] = (
                    heads[_HEAD * i : _HEAD * i + _HEAD] + self._rests[start : start + length - _HEAD].tobytes()
                )

    def _lay_out(self, asked: Sequence[int], replies: Sequence[bytes]) -> None:
        """Each reply in a slot of its own, or all end to end where one is longer than that; each to who asked."""
        count = len(replies)
        sizes = array("Q", map(len, replies))
        self._out_vectors[1 : 2 * count : 2] = sizes
        fits = max(sizes, default=0) <= _HEAD
        if fits:
            if self._moved:
                self._out_vectors[::2] = self._slots
            _PACKED[count].pack_into(self._outgoing, 0, *replies)
        else:
            written = b"".join(replies)
            self._outgoing[: len(written)] = written
            self._out_vectors[: 2 * count : 2] = array("Q", accumulate(sizes[:-1], initial=self._outgoing_at))
        self._moved = not fits
        if asked != self._asked[:count]:
            self._asked = asked
            self._sent[: self._WORDS * count : self._WORDS] = array("Q", [self._names[i] for i in asked])
        if self._wildcard:
            for reply, i in enumerate(asked):
                self._from_asked_address(i, reply)

    def _from_asked_address(self, i: int, reply: int) -> None:
        if self._route_free:
            self._controls[(i * _CONTROL + 16) // 4] = 0  # ipi_ifindex: the way out is the routing table's
        self._sent[self._WORDS * reply + self._CONTROL_POINTER] = self._control_at + _CONTROL * i
        self._sent[self._WORDS * reply + self._CONTROL_LENGTH] = self._received[self._WORDS * i + self._CONTROL_LENGTH]

    def _send(self, replies: int) -> None:
        done = 0
        while done < replies:
            headers = ctypes.c_void_p(self._out_headers + 8 * self._WORDS * done)
            count = self._sendmmsg(self._fd, headers, replies - done, socket.MSG_DONTWAIT)
            if count > 0:
                done += count
            elif ctypes.get_errno() in (errno.EAGAIN, errno.ENOBUFS):
                self._counters.dropped += replies - done
                return
            else:  # the one client cannot be reached (port 0, no route); the others can
                self._counters.dropped += 1
                done += 1


class _Memory:
    """Memory for the kernel: areas of ``BATCH`` equal slots that live as long as this object."""

    def __init__(self) -> None:
        self._areas: list[ctypes.Array[ctypes.c_char]] = []

    def area_and_view(self, slot: int, unit: str) -> tuple[int, memoryview]:
        area = ctypes.create_string_buffer(slot * BATCH)
        self._areas.append(area)
        return ctypes.addressof(area), memoryview(area).cast("B").cast(unit)  # type: ignore[call-overload] # unit is one of three
