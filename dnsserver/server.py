"""The DNS server as the rest of the process sees it. Used by the composition root and the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from core.errors import ConfigError, InvariantError, StartError
from core.records import RecordTable
from core.settings import Dns, Settings
from core.settings.base import listen_address
from core.snapshot import AnswerView, DnsStats
from dnsserver import cookies, listen, transfer, zone, zonenotes
from dnsserver.crew import Crew
from dnsserver.dnssec.ahead import Ahead
from dnsserver.generation import Generation, Generations
from dnsserver.guard import Guard
from dnsserver.respond import Responder
from dnsserver.stats import Counters, Stats
from dnsserver.transfer import Accesses
from dnsserver.udp import DatagramPort, datagram_port
from dnsserver.wire import Wire
from dnsserver.zone import Zones

REFRESH_EVERY = 3600.0


@dataclass(frozen=True, slots=True)
class Files:
    """What the files of the settings say, read and found good; ``notes`` is what is allowed there and seldom meant."""

    zones: Zones
    accesses: Accesses
    cookie_secrets: tuple[bytes, ...]
    notes: tuple[str, ...]


def read(settings: Settings) -> Files:
    """Reads all files that zones name. Raises ConfigError with all problems. Takes a millisecond for a small zone, so that
    who has thousands calls it in a thread of its own."""
    problems: list[str] = []
    found: list[Any] = []
    for part in (zone.load, transfer.accesses, cookies.read_secrets):
        try:
            found.append(part(settings))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    zones, accesses, secrets = found
    return Files(zones, accesses, secrets, tuple(zonenotes.notes(settings, zones)))


class DnsServer:
    """An authoritative server of the zones of the settings and of the record table.

    All methods are for one thread, the engine's. ``on_death`` is called in the thread that answers, or that keeps those who
    do (``dns.workers`` over 1), should it end by an exception, which is a defect; ``report`` gets a line about each worker
    that had to be replaced. Raises ConfigError, with file and line where there is one.
    """

    def __init__(
        self,
        settings: Settings,
        table: RecordTable,
        on_death: Callable[[BaseException], None],
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._workers = settings.dns.workers
        self._report = report
        self._listen = [listen_address(text) for text in settings.dns.listen]
        self._counters = Counters()
        self._stats = Stats(self._counters)
        self._generations = Generations(self._counters)
        files = read(settings)
        self._accesses = files.accesses
        self._history: tuple[RecordTable, ...] | None = ()
        self._own_secret = cookies.new_secret()
        self._guard = self._new_guard(settings.dns, files)
        self._generation = self._generations.make(files.zones, table, settings.dns, self._accesses, (), self._guard)
        self._on_death = on_death
        self._ahead = Ahead()
        self._answering: Wire | Crew | None = None
        self._addresses: tuple[tuple[str, int], ...] = ()

    def start(self) -> None:
        """Binds every ``dns.listen`` for UDP and TCP and starts to answer. Raises StartError with what to do."""
        if self._workers > 1:
            crew = Crew(self._workers, self._listen, self._generation, self._counters, self._report, self._on_death)
            crew.start()
            self._answering, self._addresses = crew, crew.addresses
            return
        ports: list[DatagramPort] = []
        listeners = []
        try:
            for address, number in self._listen:
                datagrams, listener = listen.bind(address, number)
                listeners.append(listener)
                try:
                    ports.append(datagram_port(datagrams, self._counters))
                except ValueError as error:
                    datagrams.close()
                    raise StartError(f"cannot listen on {address}: {error}") from error
        except StartError:
            for sock in (*(port.sock for port in ports), *listeners):
                sock.close()
            raise
        self._addresses = tuple(sock.getsockname()[:2] for sock in listeners)
        self._answering = wire = Wire(ports, listeners, self._generation, self._counters, self._on_death)
        wire.start()
        self._ahead.prepare(self._generation.zones, self._generation.table)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each socket as bound; empty until started."""
        return self._addresses

    def publish(self, table: RecordTable) -> None:
        """Swaps the record table. When this returns, no later answer holds what the new table lacks (spec S14, S32).

        A TCP answer from the old table that has not been handed to the kernel is dropped with its connection.
        """
        if table.serial < self._generation.table.serial:
            raise InvariantError(f"record table {table.serial} is older than {self._generation.table.serial}")
        now = self._generation
        if self._history is None or table.serial == now.table.serial:
            self._history = self._history or ()
        else:
            self._history = (*self._history, now.table)[-transfer.KEPT :]
        self._swap(self._generations.make(now.zones, table, now.settings, self._accesses, self._history, self._guard))

    def replace_zones(self, settings: Settings, files: Files | None = None) -> None:
        """Takes the zones as :func:`read` found them, and what ``dns`` says of answers and limits. Where they are not given
        they are read here; on ConfigError all stays as it is.

        ``dns.listen`` is read at the start alone. Until the next table is published two versions of a zone go by the same
        serial; a secondary that has it gets the whole zone then, for nobody knows which of them it has.
        """
        files = files or read(settings)
        self._accesses, self._history = files.accesses, None
        self._guard = self._new_guard(settings.dns, files)
        self._swap(
            self._generations.make(files.zones, self._generation.table, settings.dns, files.accesses, (), self._guard)
        )

    def refresh(self) -> None:
        """What was built is built again, so that no signature grows old in an answer; call every :data:`REFRESH_EVERY`."""
        now = self._generation
        if any(zone.signer for zone in now.zones.values()):
            self._swap(
                self._generations.make(
                    now.zones, now.table, now.settings, self._accesses, self._history or (), self._guard
                )
            )

    def stats(self) -> DnsStats:
        return self._stats.view()

    def ask(self, name: str, qtype: str, table: RecordTable | None = None) -> AnswerView:
        """What would be answered over TCP, from the present table or a hypothetical one. ValueError on nonsense."""
        try:
            rdtype = dns.rdatatype.from_text(qtype)
        except (dns.exception.DNSException, ValueError) as error:
            raise ValueError(f'"{qtype}" is not a record type: write A, AAAA, TXT, …') from error
        try:
            asked = dns.name.from_text(name)
        except dns.exception.DNSException as error:
            raise ValueError(f'"{name}" is not a domain name: {error}') from error
        if not name:
            raise ValueError("no name to ask for: write a domain name, or . for the root")
        table = table or self._generation.table
        responder = Responder(self._generation.zones, table, self._generation.settings, stream=True)
        question = dns.message.make_query(asked, rdtype, flags=0).to_wire()
        answer = dns.message.from_wire(responder.respond(question, 0).message)
        return AnswerView(
            name=asked.to_text().lower(),
            qtype=dns.rdatatype.to_text(rdtype),
            rcode=dns.rcode.to_text(answer.rcode()),
            answer=tuple(line for rrset in answer.answer for line in rrset.to_text().splitlines()),
            authority=tuple(line for rrset in answer.authority for line in rrset.to_text().splitlines()),
            serial=table.serial,
        )

    def stop(self) -> None:
        """Stops answering and closes all sockets. Harmless when repeated."""
        self._ahead.stop()
        answering, self._answering = self._answering, None
        if answering:
            answering.stop()

    def _new_guard(self, settings: Dns, files: Files) -> Guard:
        return Guard(settings, files.cookie_secrets or (self._own_secret,), self._counters)

    def _swap(self, generation: Generation) -> None:
        self._generation = generation
        if self._answering:
            self._answering.publish(generation)
        if isinstance(self._answering, Wire):  # workers sign for themselves
            self._ahead.prepare(generation.zones, generation.table)
