"""What befalls pointsman itself while it serves: a slow disk, no descriptors left, a stalled engine, a dead DNS thread."""

from __future__ import annotations

import resource
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import dns.exception
import pytest

from core.errors import NotRunning
from core.model import Action
from tests.live.app_program import Program, eventually, program, written
from tests.live.strace_tools import injected

pytestmark = pytest.mark.live
A, B = "192.0.2.1", "192.0.2.2"


def _answered(running: Program, times: int) -> None:
    """Each question has an answer, whatever else goes on."""
    for _ in range(times):
        assert running.addresses() & {A, B}


def test_a_disk_that_takes_a_second_to_sync_holds_up_an_order_and_no_answer(tmp_path: Path) -> None:
    with program(written(tmp_path)) as running, ThreadPoolExecutor() as threads:
        with injected(running.process.pid, tmp_path / "strace", "fdatasync,fsync", "delay_enter=1000000"):
            order = threads.submit(running.order, Action.DRAIN, "a", why="new disk")
            eventually(lambda: running.addresses() == {B})
            _answered(running, 20)
            order.result(30)
        assert "DELAYED" in (tmp_path / "strace").read_text()
        running.end()


def test_without_a_free_descriptor_dns_goes_on_and_the_rest_comes_back_with_them(tmp_path: Path) -> None:
    with program(written(tmp_path)) as running:
        pid = running.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))  # what is open stays open
        _answered(running, 50)
        with pytest.raises(NotRunning):
            running.snapshot()
        _answered(running, 50)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
        eventually(lambda: _reached(running))
        running.order(Action.DRAIN, "a")
        assert running.addresses() == {B}
        running.end()


def _reached(running: Program) -> bool:
    try:
        running.snapshot()
    except NotRunning:
        return False
    return True


def test_without_memory_it_answers_or_ends_with_a_word_and_nothing_is_lost(tmp_path: Path) -> None:
    """No octet more of address space than it has; a cgroup's limit is another kill -9 (test_kill)."""
    with program(written(tmp_path)) as running:
        pid = running.process.pid
        running.order(Action.DRAIN, "a", why="kept")
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        resource.prlimit(pid, resource.RLIMIT_AS, (int(fields["VmSize"].split()[0]) * 1024, resource.RLIM_INFINITY))
        with suppress(dns.exception.DNSException, OSError):
            for number in range(3000):
                if running.process.poll() is not None:
                    break
                running.answer(f"n{number}.svc1.net.")
        if running.process.poll() is None:
            with suppress(AssertionError):  # it may be about to end
                eventually(lambda: running.process.poll() is not None, within=5)
        if running.process.poll() is None:
            _answered(running, 50)
        else:
            assert running.process.returncode == 1
            assert "pointsman: ended, as there was no memory left: raise its limit" in running.said()
    with program(tmp_path / "config.toml") as again:
        assert again.addresses() == {B}


def test_while_the_engine_stalls_dns_goes_on(tmp_path: Path) -> None:
    """The main thread alone stands still for 5 s, in the call in which it waits for work."""
    log = tmp_path / "strace"
    with program(written(tmp_path)) as running:
        pid, calls = running.process.pid, "epoll_wait,epoll_pwait"
        with injected(pid, log, calls, "delay_enter=5000000:when=1", one_thread=True):
            eventually(lambda: log.read_text() or running.process.poll())
            while "DELAYED" not in log.read_text():
                _answered(running, 20)
        running.order(Action.DRAIN, "a")
        assert running.addresses() == {B}
        running.end()


def test_a_dns_thread_that_dies_ends_the_process_so_that_it_is_started_again(tmp_path: Path) -> None:
    with program(written(tmp_path)) as running:
        with injected(running.process.pid, tmp_path / "strace", "recvmmsg", "error=EBADF:when=1"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"\0" * 12, ("127.0.0.1", int(running.port)))
            assert running.process.wait(20) == 1
        last = running.said().strip().splitlines()[-1]
        assert last.startswith("pointsman: ended by a defect"), running.said()
    with program(tmp_path / "config.toml") as again:
        assert again.addresses() == {A, B}
