"""Secondaries of our zones: told by NOTIFY (RFC 1996) that there is a new serial, and asked until they answer it.

One hand for each name server that ``zone.transfer_to`` names, with all the zones that it holds. They fetch the zones
from our DNS server by themselves; nothing here knows what stands in them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.tsig

from core.hands.hand import Hand, HandError, Target
from core.model import HandKind
from core.settings import Settings
from core.settings import tsig as keys
from core.settings.base import listen_address, peer_address

PATIENCE = 8.0
"""Seconds until a secondary that has not taken over the serial is told as one that has not."""
NOTIFY_AGAIN = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds from one NOTIFY to the next, while the serial is not there."""
_ANSWER_WITHIN = 1.0
_ASK_AGAIN = (0.002, 0.1)
_ZONES_AT_ONCE = 16
_HALF = 1 << 31


@dataclass(frozen=True, slots=True)
class SecondaryZone:
    """One zone that a secondary holds, and the key that signs what we send for it."""

    name: dns.name.Name
    key: dns.tsig.Key | None = field(default=None, repr=False)


def secondaries(settings: Settings) -> tuple[Hand, ...]:
    """One hand for each name server that the zones name. Raises ConfigError for a key file that cannot be used."""
    held: dict[tuple[str, int], list[SecondaryZone]] = {}
    for zone in settings.zone:
        key = keys.read(zone.tsig) if zone.transfer_to and zone.tsig else None
        for peer in zone.transfer_to:
            held.setdefault(peer_address(peer), []).append(SecondaryZone(dns.name.from_text(zone.name), key))
    return tuple(
        Secondary(host, port, zones, _source(host, settings.dns.listen)) for (host, port), zones in held.items()
    )


def _source(host: str, listen: Iterable[str]) -> str | None:
    """The address that the secondary knows as its primary's: the first of its family that DNS listens on by name."""
    for text in listen:
        address, _ = listen_address(text)
        if (":" in address) == (":" in host) and address not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            return address
    return None


class Secondary:
    """One name server that transfers zones from us."""

    kind = HandKind.SECONDARY
    cluster = ""

    def __init__(self, host: str, port: int, zones: Iterable[SecondaryZone], source: str | None = None) -> None:
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.name = host if port == 53 else self.address
        self._host, self._port, self._source = host, port, source
        self._zones = tuple(zones)
        self._places = asyncio.Semaphore(_ZONES_AT_ONCE)

    async def carry_out(self, target: Target) -> str:
        """Returns once every zone is answered there with the serial of the table, or a later one."""
        wanted = target.table.serial & 0xFFFFFFFF
        behind = [said for said in await asyncio.gather(*(self._bring(zone, wanted) for zone in self._zones)) if said]
        if behind:
            more = f" (and {len(behind) - 1} more zones)" if len(behind) > 1 else ""
            raise HandError(behind[0] + more)
        return f"serial {wanted}"

    async def close(self) -> None:
        """Nothing is held open."""

    async def _bring(self, zone: SecondaryZone, wanted: int) -> str:
        """Nothing once the zone is there; after a while what it has instead."""
        async with self._places:
            until = time.monotonic() + PATIENCE
            seen, refused = None, ""
            for wait in (*NOTIFY_AGAIN, PATIENCE):
                refused = await self._notify(zone)
                seen = await self._await(zone, wanted, min(until, time.monotonic() + wait))
                if seen is not None and (seen - wanted) % (2 * _HALF) < _HALF:
                    return ""
                if time.monotonic() >= until:
                    break
        has = "does not answer for it" if seen is None else f"has serial {seen}, not {wanted}"
        return f"{zone.name}: {has}" + (f"; {refused}" if refused else "")

    async def _notify(self, zone: SecondaryZone) -> str:
        """Why the NOTIFY came to nothing, if it did."""
        message = dns.message.make_query(zone.name, dns.rdatatype.SOA, flags=dns.flags.AA)
        message.set_opcode(dns.opcode.NOTIFY)
        if zone.key:
            message.use_tsig(zone.key)
        try:
            answer = await self._ask(message)
        except dns.exception.Timeout:
            return "NOTIFY was not answered"
        except (OSError, dns.exception.DNSException) as error:
            return f"NOTIFY failed: {error or type(error).__name__}"
        rcode = answer.rcode()
        return "" if rcode == dns.rcode.NOERROR else f"NOTIFY was answered {dns.rcode.to_text(rcode)}"

    async def _await(self, zone: SecondaryZone, wanted: int, until: float) -> int | None:
        """Ask until the serial is there or the time is over; the serial that was seen last."""
        pause, longest = _ASK_AGAIN
        seen = None
        while True:
            question = dns.message.make_query(zone.name, dns.rdatatype.SOA, flags=0)
            with suppress(OSError, dns.exception.DNSException):
                found = await self._ask(question)
                rrset = found.get_rrset(found.answer, zone.name, question.question[0].rdclass, dns.rdatatype.SOA)
                seen = int(rrset[0].serial) if rrset else None
            if seen is not None and (seen - wanted) % (2 * _HALF) < _HALF:
                return seen
            if time.monotonic() + pause >= until:
                return seen
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def _ask(self, message: dns.message.Message) -> dns.message.Message:
        return await dns.asyncquery.udp(
            message, self._host, timeout=_ANSWER_WITHIN, port=self._port, source=self._source, ignore_unexpected=True
        )
