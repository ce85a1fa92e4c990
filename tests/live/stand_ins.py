"""Stand-ins for name servers that misbehave as no real one can be made to; they speak real DNS on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.exception
import dns.flags
import dns.message
import dns.tsig

Behaviour = Callable[[dns.message.Message], dns.message.Message | None]


@asynccontextmanager
async def name_server(behave: Behaviour, key: dns.tsig.Key | None = None) -> AsyncIterator[int]:
    """One on a port of 127.0.0.1, over UDP and TCP: it answers what ``behave`` makes of each message, None for nothing."""
    loop = asyncio.get_running_loop()

    def answer(packet: bytes, *, stream: bool) -> bytes | None:
        query = dns.message.from_wire(packet, keyring={key.name: key} if key else None)
        reply = behave(query)
        if reply is None:
            return None
        try:
            return reply.to_wire(max_size=65535 if stream else 0)
        except dns.exception.TooBig:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            return reply.to_wire()

    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
            reply = answer(data, stream=False)
            if reply:
                self.transport.sendto(reply, peer)  # type: ignore[attr-defined] # a datagram transport

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            packet = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            reply = answer(packet, stream=True)
            if reply:
                writer.write(len(reply).to_bytes(2) + reply)
                await writer.drain()
            else:
                await reader.read()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", port))
    try:
        yield port
    finally:
        transport.close()
        server.close()
