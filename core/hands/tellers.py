"""How each kind of caching DNS is told that an address is erased; one class each. I/O.

Programs are run as argument vectors, without a shell, and a name reaches them only as letters, digits, ``-``, ``_`` and dots: so it is safe
also behind ``ssh HOST``, whose other side has a shell.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.tsig
import dns.update

from core.hands.asking import Server, Unreachable
from core.hands.hand import HandError
from core.settings import tsig as keys
from core.settings.base import record_type
from core.settings.hands import InternalDns

_TRIES = 3
_UDP_OCTETS = 1200
_SOA = "pointsman. pointsman. {} 0 0 0 0"
_PROMPT = b"> "
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*")


class Teller(Protocol):
    """``lifts``: whether it must also be told that something is erased no longer; a cache finds that out by its TTLs."""

    lifts: bool

    async def tell(self, domain: str, places: frozenset[str], serial: int) -> None:
        """``places`` are all that no answer for the name may hold now. Harmless to repeat. Raises HandError, OSError."""
        ...


def teller(settings: InternalDns) -> Teller:
    """Raises ConfigError for a key file that cannot be used."""
    server = Server.at(settings.address, settings.timeout)
    key = keys.read(settings.tsig) if settings.tsig else None
    match settings.kind:
        case "pointsman":
            return Orders(server, key)
        case "unbound":
            return Flush(settings.command or ("unbound-control",), ("flush", "flush_zone"), settings.timeout)
        case "bind":
            return Flush(settings.command or ("rndc",), ("flushname", "flushtree"), settings.timeout)
        case "knot-resolver":
            return KnotResolver(settings.sockets, settings.timeout)


class Orders:
    """``pointsman internal-dns``: an UPDATE (RFC 2136) that names what is erased, confirmed by a signed answer."""

    lifts = True

    def __init__(self, server: Server, key: dns.tsig.Key | None) -> None:
        self._server = server
        self._key = key

    async def tell(self, domain: str, places: frozenset[str], serial: int) -> None:
        order = dns.update.UpdateMessage(domain)
        order.add(domain, 0, "SOA", _SOA.format(serial))
        for place in sorted(places):
            order.delete(domain, record_type(place), place)
        await _send(order, self._server, self._key, f"the order for {domain}")


class Flush:
    """unbound and BIND: their own control program, which knows sockets, TLS and keys. ``verbs``: for a name, for a tree."""

    lifts = False

    def __init__(self, command: Sequence[str], verbs: tuple[str, str], timeout: float) -> None:
        self._command = tuple(command)
        self._verbs = verbs
        self._timeout = timeout

    async def tell(self, domain: str, places: frozenset[str], serial: int) -> None:
        verb, name = self._verbs[domain.startswith("*.")], _plain(domain)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._command, verb, name, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(self._timeout):
                output, _ = await process.communicate()
        except TimeoutError:
            raise Unreachable(f"{self._command[0]} {verb} has not ended after {self._timeout:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode:
            said = output.decode(errors="replace").strip().splitlines()
            raise HandError(f"{self._command[0]} {verb}: {said[-1] if said else f'exit code {process.returncode}'}")


class KnotResolver:
    """kresd: ``cache.clear`` on the control socket of each of its processes, which share the cache but not what they compute."""

    lifts = False

    def __init__(self, sockets: Sequence[str], timeout: float) -> None:
        self._sockets = tuple(sockets)
        self._timeout = timeout

    async def tell(self, domain: str, places: frozenset[str], serial: int) -> None:
        exact = "false" if domain.startswith("*.") else "true"
        order = f"cache.clear('{_plain(domain)}', {exact})\n"
        try:
            async with asyncio.timeout(self._timeout):
                for place in self._sockets:
                    await self._order(place, order.encode())
        except TimeoutError:
            raise Unreachable(f"the control socket has not answered for {self._timeout:g} s") from None

    @staticmethod
    async def _order(place: str, order: bytes) -> None:
        reader, writer = await asyncio.open_unix_connection(place)
        try:
            await reader.readuntil(_PROMPT)
            writer.write(order)
            said = (await reader.readuntil(b"\n" + _PROMPT)).decode(errors="replace")
            if not said.startswith("{"):  # a table of what was cleared; anything else is an error
                raise HandError(f"{place}: {said.splitlines()[0]}")
        except asyncio.IncompleteReadError:
            raise HandError(f"{place} was closed without an answer") from None
        finally:
            writer.close()


async def _send(message: dns.message.Message, server: Server, key: dns.tsig.Key | None, what: str) -> None:
    """Over UDP where it fits, repeated until it is answered well; dnspython refuses an answer that is not signed as it was."""
    if key:
        message.use_tsig(key)
    for left in reversed(range(_TRIES)):
        timeout = server.timeout / _TRIES
        try:
            if len(message.to_wire()) > _UDP_OCTETS:
                answer = await dns.asyncquery.tcp(message, server.host, server.timeout, server.port)
            else:
                answer = await dns.asyncquery.udp(message, server.host, timeout, server.port, ignore_unexpected=True)
        except dns.exception.Timeout:
            if left:
                continue
            raise Unreachable(f"{what} was not answered by {server}") from None
        except dns.exception.DNSException as error:
            raise HandError(f"{what} was refused by {server}: {error or type(error).__name__}") from error
        break
    if answer.rcode() != dns.rcode.NOERROR:
        raise HandError(f"{what} was answered {dns.rcode.to_text(answer.rcode())} by {server}")


def _plain(domain: str) -> str:
    """The name for a program's arguments; of a wildcard, the name below which it stands. Raises HandError."""
    name = domain.removeprefix("*.")
    if not _NAME.fullmatch(name):
        raise HandError(f"{domain!r} cannot be named to a program")
    return name
