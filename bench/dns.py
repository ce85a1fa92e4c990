"""What an answer costs, side by side with gdnsd, Knot and NSD: ``python -m bench.dns``, called by ``make bench-dns``.

1,000 apps of three clusters in one zone. The peers hold the same records in a zone file; each server has one thread that
answers, and is pinned to one core, the client to another. CPU is that of all the server's threads and processes by the
scheduler's own count, system calls included, divided by the answers that the client got. Rates say little where others use
the cores too; CPU per answer and its ratio do. Each round goes through all servers, and the best one
counts: others on the machine only add.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import dns_load
from bench.failover import percentile
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings, Zone
from dnsserver.server import DnsServer
from tests.conftest import require
from tests.live.name_servers import NameServer, await_zone, free_ports, stop
from tests.wire.peers import PROGRAMS

ZONE = "shop.test."
CLUSTERS = ("a", "b", "c")
PACKETS = 50_000
LATENCY_RATE = 2000
LATENCY_SECONDS = 2.0
SWITCH_INTERVAL = 0.0005
"""As the program sets it."""


@dataclass
class Server:
    """One that runs, and what was measured of it."""

    name: str
    port: int
    pid: int
    costs: dict[str, list[float]] = field(default_factory=dict)
    """Of answers to bursts."""
    loaded: dict[str, list[float]] = field(default_factory=dict)
    """Of answers to dnsperf."""
    rates: dict[str, list[float]] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="length of each run")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--apps", type=int, default=1000)
    parser.add_argument("--only", default="pointsman,gdnsd,knot,nsd", help="comma-separated")
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        _serve(int(chosen.serve[0]), Path(chosen.serve[1]), chosen.apps, chosen.workers)
        return
    names = [f"{app}" for app in domains(chosen.apps)]
    mixes = {
        "realistic": dns_load.realistic(names, ZONE, PACKETS),
        "plain": dns_load.plain(names, PACKETS),
    }
    print(
        f"Python {platform.python_version()} on {platform.machine()}, {chosen.apps} apps, {chosen.rounds} × {chosen.seconds:g} s"
    )
    with tempfile.TemporaryDirectory(prefix="pointsman-") as directory, ExitStack() as stack:
        place = Path(directory)
        servers = list(_started(place, chosen.apps, chosen.only.split(","), stack))
        for mix, packets in mixes.items():
            for server in servers:
                dns_load.warm(server.port, packets)
            for _ in range(chosen.rounds):
                for server in servers:
                    _measure(server, mix, packets, chosen.seconds, place / "queries")
            _print(servers, mix, packets)


def _print(servers: list[Server], mix: str, packets: list[bytes]) -> None:
    heads = ("answers/s", "lost", "CPU µs", "in bursts", "of gdnsd", "p50 ms", "p99 ms", "MiB")
    print(f"{mix:12}", *(f"{head:>10}" for head in heads))
    costs = {server.name: min(server.costs[mix]) for server in servers}
    for server in servers:
        times = dns_load.latencies(server.port, packets, LATENCY_RATE, LATENCY_SECONDS)
        figures = (
            f"{max(server.rates[mix]):,.0f}",
            f"{server.lost[mix]}",
            f"{min(server.loaded[mix]):.2f}",
            f"{costs[server.name]:.2f}",
            f"{costs['gdnsd'] / costs[server.name]:.2f}" if "gdnsd" in costs else "",
            f"{percentile(times, 0.5) * 1000:.3f}",
            f"{percentile(times, 0.99) * 1000:.3f}",
            f"{sum(map(_resident, family(server.pid))):.1f}",
        )
        print(f"{server.name:12}", *(f"{figure:>10}" for figure in figures), flush=True)


def _measure(server: Server, mix: str, packets: list[bytes], seconds: float, file: Path) -> None:
    before = _cpu(server.pid)
    answered, lost, took = dns_load.run(server.port, packets, seconds, file, _client_core())
    between = _cpu(server.pid)
    server.loaded.setdefault(mix, []).append((between - before) / answered * 1e6)
    burst = dns_load.bursts(server.port, family(server.pid), packets, seconds)
    server.costs.setdefault(mix, []).append((_cpu(server.pid) - between) / burst * 1e6)
    server.rates.setdefault(mix, []).append(answered / took)
    server.lost[mix] = server.lost.get(mix, 0) + lost


def domains(apps: int) -> list[str]:
    return [f"app{number:04}.{ZONE}" for number in range(apps)]


def zone_file(place: Path) -> Path:
    path = place / "static.zone"
    path.write_text(
        f"$TTL 300\n@ SOA ns1.{ZONE} hostmaster.{ZONE} 1 3600 600 1209600 5\n@ NS ns1.{ZONE}\nns1 A 192.0.2.53\n"
    )
    return path


def _address(app: int, cluster: int) -> str:
    return f"10.{cluster}.{app >> 8}.{app & 255}"


def site(port: int, zone: Path, apps: int, workers: int) -> tuple[Settings, RecordTable]:
    """What ours is to serve."""
    records = {
        domain: AppRecords(domain, 5, tuple(Record(c, (_address(n, i),)) for i, c in enumerate(CLUSTERS)))
        for n, domain in enumerate(domains(apps))
    }
    settings = Settings(
        dns=Dns(listen=(f"127.0.0.1:{port}",), workers=workers),
        zone=(Zone(name=ZONE, file=str(zone)),),
        app=tuple(App(domain=domain, clusters=CLUSTERS) for domain in records),
    )
    return settings, RecordTable(1, records)


def ours(port: int, zone: Path, apps: int, workers: int) -> list[str]:
    """The command of ours."""
    numbers = ["--apps", str(apps), "--workers", str(workers)]
    return [sys.executable, "-m", "bench.dns", *numbers, "--serve", str(port), str(zone)]


def _serve(port: int, zone: Path, apps: int, workers: int) -> None:
    """Ours, in a process of its own."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    settings, table = site(port, zone, apps, workers)
    DnsServer(settings, table, lambda error: print(f"DNS died: {error!r}"), print).start()
    gc.freeze()  # as the program does
    threading.Event().wait()


def _started(place: Path, apps: int, only: list[str], stack: ExitStack) -> Iterator[Server]:
    static = zone_file(place)
    whole = place / "whole.zone"
    lines = (f"app{n:04} 5 A {_address(n, c)}\n" for n in range(apps) for c in range(len(CLUSTERS)))
    whole.write_text(static.read_text() + "".join(lines))
    commands: dict[str, Callable[[Path, int], list[str]]] = {
        "pointsman": lambda _, port: ours(port, static, apps, 1),
        "gdnsd": lambda home, port: _gdnsd(home, whole, port),
        "knot": lambda home, port: PROGRAMS["knot"](home, {ZONE: whole}, port),
        "nsd": lambda home, port: PROGRAMS["nsd"](home, {ZONE: whole}, port),
    }
    for name, port in zip(only, free_ports(len(only)), strict=True):
        home = place / name
        home.mkdir()
        process = stack.enter_context(_running(commands[name](home, port), home))
        await_zone(NameServer(name, port), ZONE, home / "log")
        yield Server(name, port, process.pid)


@contextmanager
def _running(command: list[str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(["taskset", "-c", str(_server_core()), *command], stdout=log, stderr=log)
    try:
        yield process
    finally:
        stop(process)


def _gdnsd(home: Path, zone: Path, port: int) -> list[str]:
    (home / "zones").mkdir()
    (home / "zones" / ZONE.rstrip(".")).write_text(zone.read_text())
    (home / "config").write_text(f"""\
options => {{
  listen => 127.0.0.1:{port}, run_dir => {home}/run, state_dir => {home}/state, udp_threads => 1, tcp_threads => 1
}}
""")
    return [require("gdnsd"), "-c", str(home), "start"]


def _server_core() -> int:
    return min(os.sched_getaffinity(0))


def _client_core() -> int:
    return max(os.sched_getaffinity(0))


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def _cpu(pid: int) -> float:
    """Seconds that all threads of a process and of its children have run."""
    spent = 0
    for each in family(pid):
        for task in Path(f"/proc/{each}/task").iterdir():
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def _resident(pid: int) -> float:
    """MiB, pages that are shared with others in proportion."""
    line = next(line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
