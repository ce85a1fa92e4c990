"""The sockets of the internal DNS: UDP and TCP on asyncio, with limits against those who hold connections.

Called by the command ``pointsman internal-dns``, in a process of its own: nothing of the engine is imported.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import dns.rcode
import structlog

from core.notify import notify
from core.settings import Settings
from core.settings import tsig as key_files
from core.settings.base import listen_address
from dnsserver import message, tsig
from dnsserver.internal.resolver import Answer, Resolver
from dnsserver.listen import bind

MOST_CONNECTIONS = 500
IDLE = 10.0
"""Seconds that a TCP connection may be idle, or may take to read an answer (RFC 7766)."""
_WAITING = 2000  # datagrams whose answers are under way; more than that are not answered
_log = structlog.get_logger()


async def serve(settings: Settings, ready: Callable[[], None]) -> None:
    """Until SIGTERM or SIGINT. Raises ConfigError for a key file, StartError where it cannot listen."""
    keys = tsig.Keyring([key_files.read(settings.resolver.tsig)] if settings.resolver.tsig else ())
    async with InternalServer(settings, keys):
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        notify("READY=1")
        ready()
        await ended.wait()
        notify("STOPPING=1")


class InternalServer:
    """An internal DNS on the sockets of ``resolver.listen``, from entering to leaving; ``ports`` are theirs."""

    def __init__(self, settings: Settings, keys: tsig.Keyring) -> None:
        self._settings = settings.resolver
        self._networks = self._settings.networks
        self.resolver = Resolver(self._settings, keys, time.monotonic)
        self.ports: list[int] = []
        self._stack = AsyncExitStack()
        self._work: set[asyncio.Task[bytes]] = set()
        self._connections = 0

    async def __aenter__(self) -> InternalServer:
        sockets = [bind(*listen_address(text), key="resolver.listen") for text in self._settings.listen]
        loop = asyncio.get_running_loop()
        for datagrams, listener in sockets:
            datagrams.setblocking(False)
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
            self._stack.callback(transport.close)
            server = await asyncio.start_server(self._connected, sock=listener, limit=message.STREAM_OCTETS + 2)
            self._stack.callback(server.close)
            self.ports.append(listener.getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        for task in self._work:
            task.cancel()

    def trusts(self, address: str) -> bool:
        """Whether a client may ask: an open resolver is an amplifier for anybody (RFC 5358)."""
        peer: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped:
            peer = peer.ipv4_mapped
        return any(peer in network for network in self._networks)

    def answer(self, packet: bytes, address: str, *, stream: bool) -> Answer:
        """As the resolver's; a defect costs one answer, and is told."""
        try:
            return self.resolver.answer(packet, trusted=self.trusts(address), stream=stream)
        except Exception:
            _log.exception("answer_failed")
            return message.refuse(packet, dns.rcode.SERVFAIL)

    def later(self, packet: bytes, found: Coroutine[Any, Any, bytes], send: Callable[[bytes], None]) -> None:
        """Answer when there is an answer, unless too many wait for theirs."""
        if len(self._work) >= _WAITING:
            found.close()
            return
        task = asyncio.create_task(self.settled(packet, found))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        task.add_done_callback(lambda done: None if done.cancelled() else send(done.result()))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self._connections += 1
            if self._connections <= MOST_CONNECTIONS:
                await self._converse(reader, writer, writer.get_extra_info("peername")[0])
        except (OSError, EOFError, TimeoutError):
            pass  # it has gone, or says nothing that is whole
        finally:
            self._connections -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        while True:
            async with asyncio.timeout(IDLE):
                packet = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            found = self.answer(packet, address, stream=True)
            reply = found if isinstance(found, bytes | None) else await self.settled(packet, found)
            if reply is None:
                return
            writer.write(len(reply).to_bytes(2) + reply)
            async with asyncio.timeout(IDLE):
                await writer.drain()

    @staticmethod
    async def settled(packet: bytes, found: Coroutine[Any, Any, bytes]) -> bytes:
        """The answer; a defect costs this one, and is told."""
        try:
            return await found
        except Exception:
            _log.exception("answer_failed")
            return message.refuse(packet, dns.rcode.SERVFAIL)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: InternalServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override] # a datagram one
        self._transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        found = self._server.answer(data, peer[0], stream=False)
        if isinstance(found, bytes):
            self._send(found, peer)
        elif found is not None:
            self._server.later(data, found, lambda reply: self._send(reply, peer))

    def _send(self, reply: bytes, peer: tuple[str, int]) -> None:
        if self._transport and not self._transport.is_closing():
            with suppress(OSError):
                self._transport.sendto(reply, peer)
