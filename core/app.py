"""The composition root: builds every part from the settings, joins them, and ends them in order.

The one module that imports the DNS server. Called by :mod:`core.cli`. Threads: the engine's asyncio loop, the DNS wire
thread, and with the console Textual's loop on the main thread (then the engine's loop has a thread of its own).
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import structlog

from core.clock import Clock
from core.control.local import LocalClient
from core.control.server import ControlServer
from core.engine import Engine
from core.errors import CommandRefused, ConfigError, PointsmanError, StartError
from core.log import log_event, set_up
from core.model import Result
from core.notify import notify
from core.probes.sink import ProbeSink
from core.probes.supervisor import Probes
from core.restore import restore
from core.saver import Saver
from core.selfcheck import SelfCheck
from core.service import Service
from core.settings import Settings
from core.settings.load import load
from core.store import Store
from core.world import build
from dnsserver.server import DnsServer

_log = structlog.get_logger()
Extra: TypeAlias = tuple[str, str, Callable[[], Awaitable[str]]]
"""A command for the console's palette: its name, its help, and what it does, which returns a line."""
SWITCH_INTERVAL = 0.0005
"""Seconds a thread may keep the interpreter: the default of 5 ms makes DNS wait for a busy console ten times as long."""
STOP_DEADLINE = 1.5
NEEDS_RESTART = ("dns.listen", "dns.workers", "store", "control")


def run(
    settings: Settings,
    *,
    headless: bool,
    config: Path | None,
    flags: Mapping[str, object] | None = None,
    commands: Sequence[Extra] = (),
) -> int:
    """Run until told to end; the process' exit code. Raises ConfigError and StartError before anything has started."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    set_up(settings.log.level, settings.log.format, None if headless else settings.log_file)
    part = Part(settings, config, flags)
    if headless:
        with _runner() as runner:
            return runner.run(part.serve())
    return _with_console(part, settings, commands)


async def probe_once(settings: Settings, within: float) -> list[Result]:
    """Every check once, for ``pointsman check --probe``."""
    return await Probes(settings, _Nowhere(), Clock()).check_once(within)


class Part:
    """A resolver plus monitor, from its settings to its end."""

    def __init__(self, settings: Settings, config: Path | None, flags: Mapping[str, object] | None) -> None:
        self.settings = settings
        self._config = config
        self._flags = flags
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None

    async def serve(self, ready: Callable[[Service], None] | None = None) -> int:
        """Serve until SIGTERM, SIGINT or :meth:`stop`; ``ready`` gets the service once everything runs."""
        loop = asyncio.get_running_loop()
        alone = threading.current_thread() is threading.main_thread()
        if alone:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop.set)
        async with self._running() as service:
            if alone:
                loop.add_signal_handler(signal.SIGHUP, lambda: asyncio.ensure_future(self._hang_up(service)))
            notify("READY=1")
            if ready:
                ready(service)
            else:
                sys.stdout.write("ready\n")
                sys.stdout.flush()
            await self._stop.wait()
            notify("STOPPING=1")
        if self._failure:
            raise StartError(f"ended by a defect: {self._failure!r}") from self._failure
        return 0

    def stop(self) -> None:
        """End; call on the loop of :meth:`serve`."""
        self._stop.set()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Service]:
        clock = Clock()
        settings = self.settings
        loop = asyncio.get_running_loop()
        store = await Store.open(Path(settings.store.directory), settings.store.keep_events)
        try:
            state = restore(build(settings), await store.load(), clock.now())
            dns = DnsServer(settings, state.table, lambda error: _say(loop, self._fail, error))
            dns.start()
            try:
                saver = Saver(store, clock)
                check = SelfCheck(dns.addresses[0])
                engine = Engine(state, saver, await store.last_event_id(), dns, check.clean, clock, log_event)
                probes = Probes(settings, engine, clock)
                self._dns, self._engine, self._probes = dns, engine, probes
                service = Service(engine, store, dns, clock, self._reload)
                control = ControlServer(
                    service,
                    settings.control_socket,
                    lambda: not engine.state.world.clusters or engine.state.round_over,
                    version=service.version,
                    tcp=settings.control.tcp,
                    token_file=Path(settings.control.token_file) if settings.control.token_file else None,
                )
                async with _tasks(self._fail, engine.run(), probes.run()):
                    await control.start()
                    try:
                        yield service
                    finally:
                        await control.stop()
            finally:
                dns.stop()
        finally:
            with suppress(TimeoutError):  # a disk that does not answer keeps nobody from ending
                await asyncio.wait_for(store.close(), STOP_DEADLINE / 2)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop.set()

    async def _reload(self) -> str:
        """Read the settings again; raises CommandRefused with the problems, and then nothing has changed."""
        try:
            settings = load(self._config, self._flags)
        except ConfigError as error:
            raise CommandRefused("; ".join(error.problems)) from error
        old, new = self.settings.model_dump(), settings.model_dump()
        later = [key for key in NEEDS_RESTART if _at(old, key) != _at(new, key)]
        try:
            self._dns.replace_zones(settings)
        except ConfigError as error:
            raise CommandRefused("; ".join(error.problems)) from error
        self.settings = settings
        self._engine.reload(build(settings))
        await self._probes.replace(settings)
        return "reloaded" + (f"; a restart is needed for {', '.join(later)}" if later else "")

    async def _hang_up(self, service: Service) -> None:
        try:
            _log.warning(await service.reload())
        except PointsmanError as error:
            _log.error(f"not reloaded: {error}")


def _with_console(part: Part, settings: Settings, commands: Sequence[Extra]) -> int:
    """The engine's loop on a thread of its own, the console on this one; ends when the console is left."""
    from tui.app import EXIT_STOP, PaletteCommand, run_console  # noqa: PLC0415 (Textual takes a while to import, and headless never needs it)

    started = threading.Event()
    found: dict[str, object] = {}

    def engine_thread() -> None:
        def ready(service: Service) -> None:
            found["service"], found["loop"] = service, asyncio.get_running_loop()
            started.set()

        try:
            with _runner() as runner:
                runner.run(part.serve(ready))
        except BaseException as error:
            found["error"] = error
        finally:
            started.set()

    thread = threading.Thread(target=engine_thread, name="engine")
    thread.start()
    started.wait()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    loop, service = found.get("loop"), found.get("service")
    try:
        if isinstance(loop, asyncio.AbstractEventLoop) and isinstance(service, Service):
            extras = [PaletteCommand(*extra) for extra in commands]
            left = run_console(LocalClient(service, loop), settings.console, attached=False, commands=extras)
            if left not in {0, EXIT_STOP}:
                sys.stderr.write("pointsman: the console ended by a defect; DNS goes on, Ctrl-C stops it\n")
                thread.join()
    except KeyboardInterrupt:
        pass
    finally:
        if isinstance(loop, asyncio.AbstractEventLoop):
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(part.stop)
        thread.join(STOP_DEADLINE)
    if isinstance(found.get("error"), BaseException):
        raise found["error"]  # type: ignore[misc] # mypy does not narrow a dictionary's value
    return 0


def _interrupt(number: int, frame: object) -> None:
    """SIGTERM, and the terminal's end, leave the console as Ctrl-C leaves other programs."""
    raise KeyboardInterrupt


@asynccontextmanager
async def _tasks(fail: Callable[[BaseException], None], *work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run these beside the body; one that ends by an exception ends the whole."""
    tasks = [asyncio.ensure_future(job) for job in work]

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            fail(error)

    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_DEADLINE / 2)


def _runner() -> asyncio.Runner:
    try:
        import uvloop  # noqa: PLC0415 (only where it exists)
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


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
