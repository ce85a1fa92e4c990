"""The composition root: builds every part from the settings, joins them, and ends them in order.

The one module that imports the DNS server. Called by :mod:`core.cli`. Threads: the engine's asyncio loop, the DNS wire
thread, and with the console Textual's loop on the main thread (then the engine's loop has a thread of its own).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from core.alerts.alerts import Alerts
from core.alerts.receivers import receivers
from core.beside import Extra, with_console
from core.clock import Clock
from core.collector import calm
from core.control import access
from core.control.server import ControlServer
from core.engine import Engine
from core.errors import CommandRefused, ConfigError, PointsmanError, StartError
from core.hands.build import hands as build_hands
from core.hands.hand import Hand, Target
from core.hands.runner import Hands
from core.hands.target import target
from core.hands.telling import events
from core.log import log_event, set_up
from core.model import Event, EventName, Result
from core.notify import notify
from core.past import Recorder
from core.privileges import become
from core.probes.sink import ProbeSink
from core.probes.supervisor import Probes
from core.restore import restore
from core.saver import Saver
from core.selfcheck import SelfCheck
from core.service import Service
from core.settings import Peers, Settings
from core.settings.load import load
from core.sharing.session import Sharer
from core.store import Store
from core.watchdog import Watchdog
from core.world import build
from dnsserver.server import REFRESH_EVERY, DnsServer
from dnsserver.server import read as read_zone_files

_log = structlog.get_logger()
SWITCH_INTERVAL = 0.0005
"""Seconds a thread may keep the interpreter: the default of 5 ms makes DNS wait for a busy console ten times as long."""
STOP_DEADLINE = 1.2
"""Seconds from the wish to end in which every part may end in order."""
LEAVE_DEADLINE = 1.6
"""Seconds until the process ends all the same: a name server, a disk or a library that hangs keeps nobody from ending."""
WATCH_EVERY = 0.5
_MEMORY = "raise its limit (MemoryMax= or LimitAS= of the unit), or lower dns.limits.cache_entries; what was acknowledged is saved"
_PEERS = tuple(f"peers.{key}" for key in Peers.model_fields if key not in ("silent_quorum", "alone"))
NEEDS_RESTART = ("dns.listen", "dns.workers", "dns.user", "store", "control.socket", "control.tcp", "log", *_PEERS)


def run(
    settings: Settings,
    *,
    headless: bool,
    config: Path | None,
    flags: Mapping[str, object] | None = None,
    commands: Sequence[Extra] = (),
    outlives_terminal: bool = True,
) -> int:
    """Run until told to end; the process' exit code. Raises ConfigError and StartError before anything has started."""
    become(settings.dns.user)
    sys.setswitchinterval(SWITCH_INTERVAL)
    set_up(settings.log.level, settings.log.format, None if headless else settings.log_file)
    part = Part(settings, config, flags)
    if headless:
        return part.run()
    return with_console(part, settings.console, commands, outlives_terminal=outlives_terminal)


async def probe_once(settings: Settings, within: float) -> list[Result]:
    """Every check once, for ``pointsman check --probe``."""
    return await Probes(settings, _Nowhere(), Clock()).check_once(within)


class Part:
    """A resolver plus monitor, from its settings to its end."""

    def __init__(self, settings: Settings, config: Path | None, flags: Mapping[str, object] | None) -> None:
        self.settings = settings
        self._started_with = settings.model_dump()
        self._config = config
        self._flags = flags
        self._stop = asyncio.Event()
        self._reload_wanted = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._failure: BaseException | None = None
        self._ends_at = 0.0
        self._leave = threading.Timer(LEAVE_DEADLINE, self._leave_behind)
        self._leave.daemon = True

    def run(self, ready: Callable[[Service], None] | None = None) -> int:
        """:meth:`serve` on a loop of its own."""
        try:
            with _runner() as runner:
                return runner.run(self.serve(ready))
        finally:
            self._leave.cancel()

    async def serve(self, ready: Callable[[Service], None] | None = None) -> int:
        """Serve until SIGTERM, SIGINT or :meth:`stop`; ``ready`` gets the service once everything runs."""
        loop = asyncio.get_running_loop()
        alone = threading.current_thread() is threading.main_thread()
        if alone:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
            loop.add_signal_handler(signal.SIGHUP, self.hang_up)
        async with self._running() as service:
            notify("READY=1")
            if ready:
                ready(service)
            else:
                sys.stdout.write("ready\n")
                sys.stdout.flush()
            await self._stop.wait()
            notify("STOPPING=1")
        if isinstance(self._failure, MemoryError):
            raise StartError(f"ended, as there was no memory left: {_MEMORY}") from self._failure
        if self._failure:
            raise StartError(f"ended by a defect: {self._failure!r}") from self._failure
        return 0

    def stop(self) -> None:
        """End; call on the loop of :meth:`serve`."""
        if not self._stop.is_set():
            self._stop.set()
            loop = asyncio.get_running_loop()
            self._ends_at = loop.time() + STOP_DEADLINE
            try:
                self._leave.start()
            except RuntimeError:  # no memory for a thread: the loop itself has to do, as far as it turns
                loop.call_later(LEAVE_DEADLINE, self._leave_behind)

    def hang_up(self) -> None:
        """Read the settings again; call on the loop of :meth:`serve`."""
        self._reload_wanted.set()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Service]:
        clock = self._clock = Clock()
        settings = self.settings
        loop = asyncio.get_running_loop()
        admitted = access.read(settings.control)
        where, kept = Path(settings.store.directory), settings.store.keep_events
        store = await Store.open(where, kept, salvaging=settings.store.damaged == "salvage")
        try:
            state = restore(build(settings), await store.load(), clock.now())
            dns = DnsServer(
                settings,
                state.table,
                lambda error: _say(loop, self._fail, error),
                lambda line: _log.warning("dns_worker_replaced", why=line),
            )
            dns.start()
            try:
                saver = Saver(store, clock)
                check = SelfCheck(dns.addresses[0])
                hands = Hands(build_hands(settings), target(state), clock, _jitter, self._confirmed)
                alerts = self._alerts = Alerts(receivers(settings), settings.alerts, clock, _jitter)

                def tell(event: Event) -> None:
                    log_event(event)
                    alerts.take(event)

                last = await store.last_event_id()
                engine = Engine(state, saver, last, dns, hands.tell, check.clean, clock, tell)
                probes = Probes(settings, engine, clock)
                self._dns, self._engine, self._probes, self._hands = dns, engine, probes, hands
                sharer = Sharer(settings, engine, clock, _jitter) if settings.peers.etcd else None

                def trouble() -> tuple[str, ...]:
                    return (*alerts.trouble, *(sharer.trouble if sharer else ()))

                service = Service(engine, store, dns, hands, clock, self._reload, trouble, sharer)

                def settled() -> bool:
                    return not engine.state.world.clusters or engine.state.round_over

                control = self._control = ControlServer(
                    service,
                    settings.control_socket,
                    settled,
                    version=service.version,
                    access=admitted,
                    record=service.record,
                )
                await control.start()
                recorder = Recorder(engine, service, store)
                if store.salvaged:
                    engine.tell(Event(EventName.STORE_DEGRADED, clock.now(), cause=store.salvaged))
                work = (
                    Watchdog(dns.addresses[0]).beat(),
                    engine.run(),
                    probes.run(),
                    control.keep(),
                    recorder.run(),
                    hands.run(),
                    alerts.run(),
                    self._reload_on_hang_up(),
                    self._watch_store(),
                    self._refresh_dns(),
                    calm(settled, lambda: len(engine.heard_at)),
                    *((sharer.run(),) if sharer else ()),
                )
                async with self._beside(*work):
                    try:
                        yield service
                    finally:
                        await control.stop()
            finally:
                dns.stop()
        finally:
            with suppress(TimeoutError):  # a disk that does not answer keeps nobody from ending
                await asyncio.wait_for(store.close(), self._left())

    @asynccontextmanager
    async def _beside(self, *work: Coroutine[None, None, None]) -> AsyncIterator[None]:
        """Run these beside the body; one that ends by an exception ends the whole."""
        tasks = [asyncio.ensure_future(job) for job in work]

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()):
                self._fail(error)

        for task in tasks:
            task.add_done_callback(ended)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=self._left())

    def _left(self) -> float:
        """Seconds that a part may still take to end; each gets a moment."""
        return max(0.1, self._ends_at - asyncio.get_running_loop().time())

    def _leave_behind(self) -> None:
        """End now: what was acknowledged is on disk, as after a kill (spec S30). Runs on a thread of its own."""
        sys.stderr.write("pointsman: ended without waiting for what hangs; what was acknowledged is saved\n")
        sys.stderr.flush()
        os._exit(1 if self._failure else 0)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self.stop()

    def _confirmed(self, hand: Hand, before: Target, after: Target) -> None:
        """What a hand has carried out is told with its times (spec S15, S33)."""
        for event in events(hand, before, after, self._engine.state, self._clock.now()):
            self._engine.tell(event)
        self._engine.confirmed(hand, after)

    async def _watch_store(self) -> None:
        """A store that cannot be written is told where people look, once each time (spec S30)."""
        told = ""
        while True:
            trouble = self._engine.saver.trouble
            if trouble and not told:
                self._engine.tell(Event(EventName.STORE_DEGRADED, self._clock.now(), cause=trouble))
            elif told and not trouble:
                self._engine.tell(Event(EventName.RECOVERED, self._clock.now(), cause="store"))
            told = trouble
            await asyncio.sleep(WATCH_EVERY)

    async def _refresh_dns(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_EVERY)
            self._dns.refresh()

    async def _reload(self) -> str:
        """Read the settings again; raises CommandRefused with the problems, and then nothing has changed."""
        async with self._reloading:
            try:
                settings = load(self._config, self._flags)
                # the one part that could still refuse when the others have changed already
                files = await asyncio.to_thread(read_zone_files, settings)
                hands = build_hands(settings)
                told = receivers(settings)
                admitted = access.read(settings.control)
                await self._probes.replace(settings)
                self._dns.replace_zones(settings, files)
            except ConfigError as error:
                raise CommandRefused("; ".join(error.problems)) from error
            self._engine.reload(build(settings))
            self._hands.replace(hands)
            self._alerts.replace(told, settings.alerts)
            await self._control.admit(admitted)
            self.settings = settings
            now = settings.model_dump()
            later = [key for key in NEEDS_RESTART if _at(self._started_with, key) != _at(now, key)]
            return "reloaded" + (f"; a restart is needed for {', '.join(later)}" if later else "")

    async def _reload_on_hang_up(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            try:
                _log.warning("reload", said=await self._reload())
            except PointsmanError as error:
                _log.error("reload_refused", reason=str(error))


def _runner() -> asyncio.Runner:
    try:
        import uvloop  # noqa: PLC0415 (only where it exists)
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - spreads attempts, keeps no secret


def _say(loop: asyncio.AbstractEventLoop, fail: Callable[[BaseException], None], error: BaseException) -> None:
    loop.call_soon_threadsafe(fail, error)


def _at(settings: Mapping[str, object], key: str) -> object:
    value: object = settings
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else None
    return value


class _Nowhere(ProbeSink):
    """Results of a single round are returned, not told."""

    def result(self, result: object) -> None: ...

    def heard(self, source: object, at: float) -> None: ...

    def status(self, status: object) -> None: ...
