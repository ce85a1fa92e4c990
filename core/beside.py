"""The console beside the engine in one process: Textual on the main thread, the engine's loop on a thread of its own.

Called by :mod:`core.app` alone. Only the word ``stop``, typed in the console, or a signal ends the service. A console that
breaks, or a terminal that is closed over it (an SSH session that was cut), leaves DNS answering: ``pointsman attach`` is
the way back. A demo alone ends with its terminal.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

import structlog

from core.control.local import LocalClient
from core.service import Service
from core.settings import Console

_log = structlog.get_logger()
Extra: TypeAlias = tuple[str, str, Callable[[], Awaitable[str]]]
"""A command for the console's palette: its name, its help, and what it does, which returns a line."""

START_ENDS_WITHIN = 2.0
"""Seconds for a start that is under way when the end is wanted."""


class Engine(Protocol):
    """What :class:`core.app.Part` is to the console; ``stop`` and ``hang_up`` are called on the engine's loop."""

    def run(self, ready: Callable[[Service], None]) -> int: ...

    def stop(self) -> None: ...

    def hang_up(self) -> None: ...


class _Thread:
    """The engine on its thread; what it raised is raised again by :meth:`end`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.client: LocalClient | None = None

    def start(self) -> None:
        """Until everything runs, or has failed to."""
        self._thread.start()
        self._started.wait()

    def call(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(function)

    def join(self) -> None:
        self._thread.join()

    def end(self) -> None:
        """A start that takes longer is given up with the process: nothing has been promised yet."""
        if self._started.wait(START_ENDS_WITHIN) and self._loop is not None:
            self.call(self._engine.stop)
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        def ready(service: Service) -> None:
            self._loop = asyncio.get_running_loop()
            self.client = LocalClient(service, self._loop)
            self._started.set()

        try:
            self._engine.run(ready)
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()


class _Signals:
    """What SIGTERM and SIGHUP have told. The console looks; nothing is interrupted, for while it starts Textual loses a
    cancellation, and of a KeyboardInterrupt in an import the interpreter may die at its very end, though it was caught (its
    ``unhandled_keyboard_interrupt``)."""

    def __init__(self, *, outlives_terminal: bool) -> None:
        self._outlives_terminal = outlives_terminal
        self.closed = self.ending = False
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take)

    def _take(self, number: int, _: Any) -> None:
        if number == signal.SIGHUP and self._outlives_terminal:
            if not self.closed:
                _let_go_of_terminal()
            self.closed = True
        else:
            self.ending = True

    def told(self) -> bool:
        return self.ending or self.closed


def with_console(engine: Engine, settings: Console, commands: Sequence[Extra], *, outlives_terminal: bool) -> int:
    """Until the service is told to end; raises what made the engine fail."""
    sys.__stderr__ = io.TextIOWrapper(io.BufferedWriter(_Screen(2, "w", closefd=False)), "utf-8")  # type: ignore[misc] # where Textual paints
    signals = _Signals(outlives_terminal=outlives_terminal)
    thread = _Thread(engine)
    try:
        thread.start()
        if thread.client is None:
            return 0  # :meth:`_Thread.end` tells what kept it from starting
        whole = _console(thread.client, signals, settings, commands)
        if signals.ending:
            return 0  # whatever Textual made of the signal
        if signals.closed:
            _log.warning("terminal_closed", said="DNS goes on; pointsman attach is the way back, SIGTERM the end")
            _stay(engine, thread)
        elif not whole:
            sys.stderr.write("pointsman: the console ended by a defect; DNS goes on, Ctrl-C stops it\n")
            _stay(engine, thread)
    finally:
        thread.end()
    return 0


def _console(client: LocalClient, signals: _Signals, settings: Console, commands: Sequence[Extra]) -> bool:
    """Show it until it is left; False where it ended by a defect."""
    from tui.app import EXIT_STOP, PaletteCommand, run_console  # noqa: PLC0415 (Textual takes a while to import, and headless never needs it)

    extras = [PaletteCommand(*extra) for extra in commands]
    try:
        return run_console(client, settings, attached=False, commands=extras, over=signals.told) in {0, EXIT_STOP}
    except KeyboardInterrupt:
        return True


class _Screen(io.FileIO):
    """A terminal that may go away at any moment: Textual's writer would die of it, and whoever writes then wait for ever."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _let_go_of_terminal() -> None:
    """Nothing is read from it any more, not even its end, which Textual would read again and again."""
    silent, _ = os.pipe2(os.O_NONBLOCK)  # whoever was about to read the terminal's end must not wait here instead
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for ours, theirs in ((silent, 0), (nowhere, 1), (nowhere, 2)):
        os.dup2(ours, theirs)


def _stay(engine: Engine, thread: _Thread) -> None:
    """Go on without a console, as headless does: SIGHUP reads the settings again, SIGTERM and Ctrl-C end."""
    for number, function in (
        (signal.SIGHUP, engine.hang_up),
        (signal.SIGTERM, engine.stop),
        (signal.SIGINT, engine.stop),
    ):
        signal.signal(number, lambda *_, function=function: thread.call(function))
    thread.join()
