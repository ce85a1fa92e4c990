"""What stands still is found: the service manager hears nothing while the engine or DNS does, and the log says where it stands."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.model import Action
from core.watchdog import period
from tests.live.app_program import CONFIG, ROOT, Program, eventually, program, written
from tests.live.strace_tools import injected

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
QUIET = 4.0
"""Seconds without a sign, of which there are three a second, that tell that there are none."""
WAITS = "epoll_wait,epoll_pwait"
FOR_EVER = "delay_enter=600000000:when=1"


class Manager:
    """Stands in for systemd: the datagrams that it would get."""

    def __init__(self, place: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(place))

    def close(self) -> None:
        self._socket.close()

    def hears(self, within: float) -> bool:
        """Whether a sign of life comes within so many seconds."""
        self._socket.settimeout(within)
        try:
            while self._socket.recv(100) != b"WATCHDOG=1":
                pass
        except TimeoutError:
            return False
        return True


@contextmanager
def managed(directory: Path, config: str = CONFIG) -> Iterator[tuple[Program, Manager]]:
    place = directory / "notify"
    manager = Manager(place)
    try:
        with program(written(directory, config), NOTIFY_SOCKET=str(place), WATCHDOG_USEC="1000000") as it:
            assert manager.hears(30)
            yield it, manager
            eventually(lambda: manager.hears(1))
            it.order(Action.DRAIN, "a")
            assert it.addresses() == {"192.0.2.2"}
            it.end()
    finally:
        manager.close()


def wire_thread(it: Program) -> int:
    """The thread that waits for datagrams, which beside the main one alone waits for a selector."""
    pid, waiting = it.process.pid, {"232", "281"}  # epoll_wait and epoll_pwait on x86-64

    def found() -> list[int]:
        tasks = [task for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid)]
        return [int(task.name) for task in tasks if (task / "syscall").read_text().split()[0] in waiting]

    eventually(lambda: len(found()) == 1)
    return found()[0]


def test_while_the_engine_stands_still_the_manager_hears_nothing(tmp_path: Path) -> None:
    with managed(tmp_path) as (it, manager):
        with injected(it.process.pid, tmp_path / "strace", WAITS, FOR_EVER, one_thread=True):
            eventually(lambda: not manager.hears(QUIET), within=60)
            assert it.addresses() == {"192.0.2.1", "192.0.2.2"}, "DNS goes on"
            eventually(lambda: "engine_stalled" in it.said())
        eventually(lambda: "engine_goes_on" in it.said())


def test_while_dns_stands_still_the_manager_hears_nothing(tmp_path: Path) -> None:
    with managed(tmp_path) as (it, manager):
        with injected(wire_thread(it), tmp_path / "strace", WAITS, FOR_EVER, one_thread=True):
            eventually(lambda: not manager.hears(QUIET), within=60)
            assert not it.snapshot().trouble, "the engine goes on"
            eventually(lambda: "dns_stalled" in it.said())
        eventually(lambda: "dns_answers_again" in it.said())


@contextmanager
def flooded(address: tuple[str, int]) -> Iterator[None]:
    """Meanwhile questions come that are refused, a thousand a second."""
    end = threading.Event()

    def ask() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            while not end.wait(0.001):
                sock.sendto(b"\0\1\0\0\0\1" + bytes(6) + b"\0\0\6\0\1", address)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_in_a_flood_that_the_rate_limit_leaves_unanswered_the_manager_still_hears(tmp_path: Path) -> None:
    limited = CONFIG.replace("[store]", "[dns.rate_limit]\nper_second = 10\nslip = 0\n[store]")
    with managed(tmp_path, limited) as (it, manager), flooded(("127.0.0.1", int(it.port))):
        for _ in range(5):
            assert manager.hears(30)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_what_systemd_wants_is_read_as_it_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], seconds: float | None
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert period() == seconds


# --- a driver that is none ----------------------------------------------------------------------------------------------

DRIVER = '''"""Stands in for a database driver with a defect."""
import asyncio, os, time

class ClientConfigurationError(Exception):
    pass

async def connect(*_, **__):
    {body}
'''
WITH_DATABASES = (
    CONFIG.replace('["a", "b"]', '["a", "b", "c"]').replace(
        'addresses = ["192.0.2.2"]',
        'addresses = ["192.0.2.2"]\n[[cluster.node]]\nname = "n"\nlocal = true\nchecks = []\n[[cluster.node.command]]\nname = "mine"\ncommand = "test ! -e broken"',
    )
    + '\n[[cluster]]\nname = "c"\naddresses = ["192.0.2.3"]\n[[cluster.database]]\nname = "first"\nkind = "postgresql"\ndsn = "postgresql://app@127.0.0.1/app"\n'
)


@contextmanager
def with_driver(directory: Path, body: str) -> Iterator[Program]:
    """Cluster c has a database whose driver does that; cluster b has a check that fails once there is a file ``broken``."""
    (directory / "drivers").mkdir()
    (directory / "drivers" / "asyncpg.py").write_text(DRIVER.format(body=body))
    with program(written(directory, WITH_DATABASES), PYTHONPATH=f"{directory / 'drivers'}:{ROOT}") as it:
        yield it


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('no such thing')", "RuntimeError: no such thing"),
        ("raise MemoryError", "MemoryError"),
        ("await asyncio.sleep(3600)", "no answer within 1 s"),
        ("return None", "AttributeError: "),
    ],
)
def test_a_driver_that_raises_or_hangs_is_silence_of_its_own_check_alone(tmp_path: Path, body: str, said: str) -> None:
    with with_driver(tmp_path, body) as it:
        eventually(lambda: any(said in source.detail for source in it.cluster("c").sources))
        eventually(lambda: it.cluster("b").state == "ok", within=30)
        (tmp_path / "broken").touch()
        eventually(lambda: it.cluster("b").state == "erased", within=30)
        eventually(lambda: it.addresses() == {"192.0.2.1", "192.0.2.3"})
        it.end()


def test_a_driver_that_gives_up_no_question_holds_up_itself_alone(tmp_path: Path) -> None:
    body = "\n    ".join(
        ("while True:", "    try: await asyncio.sleep(3600)", "    except asyncio.CancelledError: pass")
    )
    with with_driver(tmp_path, body) as it:
        eventually(lambda: it.cluster("b").state == "ok", within=30)
        (tmp_path / "broken").touch()
        eventually(lambda: it.cluster("b").state == "erased", within=30)
        assert it.cluster("c").state != "erased"


def test_where_a_driver_blocks_the_engine_is_said_and_dns_goes_on(tmp_path: Path) -> None:
    lines = (
        "while os.path.exists('block'):",
        "    time.sleep(0.1)",
        "if os.path.exists('refuse'):",
        "    raise ConnectionRefusedError",
        "await asyncio.sleep(3600)",
    )
    body = "\n    ".join(lines)
    with with_driver(tmp_path, body) as it:
        (tmp_path / "block").touch()
        eventually(lambda: "engine_stalled" in it.said(), within=30)
        line = next(line for line in it.said().splitlines() if "engine_stalled" in line)
        assert "drivers/asyncpg.py:" in line
        for _ in range(20):
            assert it.addresses() == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
        (tmp_path / "refuse").touch()
        (tmp_path / "block").unlink()
        eventually(lambda: "engine_goes_on" in it.said())
        eventually(lambda: it.addresses() == {"192.0.2.1", "192.0.2.2"})
