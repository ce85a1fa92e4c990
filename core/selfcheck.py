"""Asks our own DNS server from outside, over UDP, whether an erased address is gone (spec S15: first answer without it)."""

from __future__ import annotations

import asyncio
import secrets
from ipaddress import ip_address

import dnslib

TRIES = 20
WAIT = 0.25
AT_ONCE = 50


class _Answer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.datagram: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.datagram.done():
            self.datagram.set_result(data)


class SelfCheck:
    """Questions to one of the server's own listen addresses."""

    def __init__(self, server: tuple[str, int]) -> None:
        host, port = server
        if ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
        self._server = (host, port)
        self._places = asyncio.Semaphore(AT_ONCE)  # sockets: a site that goes down takes many clusters along

    async def clean(self, domain: str, places: tuple[str, ...]) -> bool:
        """Ask until an answer for ``domain`` holds none of ``places``, which are addresses or host names; False when there
        was none in a few seconds."""
        types = sorted({"AAAA" if ":" in place else "A" for place in places})
        for _ in range(TRIES):
            async with self._places:
                held = [await self._ask(domain, qtype) for qtype in types]
            if all(found is not None and not found & set(places) for found in held):
                return True
            await asyncio.sleep(WAIT / 10)
        return False

    async def _ask(self, domain: str, qtype: str) -> set[str] | None:
        """The addresses, or the host name, in one answer; None without an answer."""
        question = dnslib.DNSRecord.question(domain, qtype)
        question.header.id = secrets.randbits(16)
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.create_datagram_endpoint(_Answer, remote_addr=self._server)
        except OSError:
            return None
        try:
            transport.sendto(bytes(question.pack()))
            packet = await asyncio.wait_for(protocol.datagram, WAIT)
            answer = dnslib.DNSRecord.parse(packet)
        except Exception:  # dnslib lets more out than its own errors; whatever it was, it was no clean answer
            return None
        finally:
            transport.close()
        if answer.header.id != question.header.id or answer.header.rcode != dnslib.RCODE.NOERROR:
            return None
        names = {str(record.rdata).lower() for record in answer.rr if record.rtype == dnslib.QTYPE.CNAME}
        return names | {str(ip_address(str(record.rdata))) for record in answer.rr if record.rtype in {1, 28}}
