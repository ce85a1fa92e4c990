"""The same fault at the same moment, seen by pointsman and by others: ``make bench-beside``.

Three clusters, whose routers are HAProxy with a health page; each contender watches them by HTTP, answers ``svc1.net.`` by itself, and is asked over
UDP from this process. A fault is one that all of them can see: the router is *killed* (SIGKILL), or *hung* (SIGSTOP: it takes connections and
answers nothing). It is made at a random moment once everybody answers all addresses; the time is that of the first answer without the
dead one's, where no later answer holds it again. The contenders:

- ``pointsman`` with default detection, and nothing but the confirmation message (no node tells anything here), started anew for each
  fault: it is more patient with a router that was silent for long a few minutes ago (:mod:`core.detection.rhythm`);
- ``gdnsd`` at its fastest: ``http_status`` with ``interval = 2``, ``timeout = 1``, one failure (its default: 10 s, ten failures);
- ``prober 1 s × 1`` and ``prober 10 s × 3``: a kubelet-like prober (:mod:`bench.prober`) at the fastest and at the default settings of Kubernetes.

What the routers are is a :class:`Place`: :class:`HaproxyPlace` makes them here; another may break real ones.

    python -m bench.beside [--faults 50] [--contenders pointsman,gdnsd] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from bench.failover import DOMAIN, UNDER_TEST, Watcher, free_port, percentile
from core.detection.silence import MET

FAULTS = ("killed", "hung")
PACE = 0.002
GIVE_UP = 90.0
PORT = 8081


class Place(Protocol):
    """Where faults are made. ``addresses`` are those of the routers, by cluster: each answers ``/healthz`` there at :data:`PORT`."""

    @property
    def addresses(self) -> Mapping[str, str]: ...

    def break_(self, cluster: str, fault: str) -> float:
        """Makes a fault; the instant at which it is there."""
        ...

    def mend(self, cluster: str) -> None: ...


class HaproxyPlace:
    """Routers of this machine, each a HAProxy on an address of its own."""

    addresses: Mapping[str, str] = {"tokyo": "127.0.21.1", "osaka": "127.0.21.2", "fukuoka": "127.0.21.3"}

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for cluster, address in self.addresses.items():
            with suppress(ConnectionRefusedError), socket.create_connection((address, PORT), 1):
                sys.exit(f"somebody answers at {address}:{PORT}: a HAProxy that an earlier run has left?")
            self._start(cluster)

    def _start(self, cluster: str) -> None:
        config = self._directory / f"{cluster}.cfg"
        config.write_text(
            "defaults\n mode http\n timeout client 1m\n timeout server 1m\n timeout connect 1s\n"
            f"frontend web\n bind {self.addresses[cluster]}:{PORT}\n monitor-uri /healthz\n"
        )
        self._running[cluster] = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(config)])

    def break_(self, cluster: str, fault: str) -> float:
        process = self._running[cluster]
        process.send_signal(signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
        return time.time()

    def mend(self, cluster: str) -> None:
        process = self._running[cluster]
        process.send_signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
            self._start(cluster)

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


# --- contenders ----------------------------------------------------------------------------------------------------------


@contextmanager
def _process(command: list[str], directory: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Runs until the end of the block; it has said ``ready`` where that is its way."""
    name = directory / f"{Path(command[0]).name}-{command[-1].rsplit('/', 1)[-1]}.log"
    with name.open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env={**os.environ, **environment})
    try:
        assert process.stdout is not None
        if command[0] == sys.executable and process.stdout.readline() != b"ready\n":
            sys.exit(f"{' '.join(command)} did not start: {name.read_text()[-500:]}")
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def pointsman(place: Place, directory: Path, port: int) -> Iterator[None]:
    clusters = "".join(
        f'[[cluster]]\nname = "{name}"\naddresses = ["{address}"]\nconfirm = {{ target = ":{PORT}/healthz" }}\n'
        for name, address in place.addresses.items()
    )
    config = directory / "pointsman.toml"
    config.write_text(
        f'dns = {{ listen = ["127.0.0.1:{port}"] }}\nstore = {{ directory = "{directory}/state" }}\n'
        f'control = {{ socket = "{directory}/control.sock" }}\n'
        f'[[app]]\ndomain = "{DOMAIN}"\nclusters = {json.dumps(list(place.addresses))}\n{clusters}'
    )
    command = [sys.executable, "-m", "core.cli", "run", "--headless", "--config", str(config)]
    with _process(command, directory, UNDER_TEST):
        yield


@contextmanager
def gdnsd(place: Place, directory: Path, port: int) -> Iterator[None]:
    here = directory / "gdnsd"
    for part in ("run", "state", "zones"):
        (here / part).mkdir(parents=True)
    zone = DOMAIN.rstrip(".")
    (here / "zones" / zone).write_text(
        "@ SOA ns1 hostmaster 1 7200 1800 259200 1\n@ NS ns1\nns1 A 127.0.0.1\n@ 1 DYNA multifo!app\n"
    )
    addresses = ", ".join(f"{name} => {address}" for name, address in place.addresses.items())
    (here / "config").write_text(
        f"options => {{ listen => [ 127.0.0.1:{port} ], run_dir => {here}/run, state_dir => {here}/state, udp_threads => 1, tcp_threads => 1 }}\n"
        f"service_types => {{ web => {{ plugin => http_status, port => {PORT}, url_path => /healthz, ok_codes => [ 200 ], "
        "interval => 2, timeout => 1, up_thresh => 1, ok_thresh => 1, down_thresh => 1 } }\n"
        f"plugins => {{ multifo => {{ app => {{ service_types => web, {addresses} }} }} }}\n"
    )
    with _process(["gdnsd", "-c", str(here), "start"], directory, {}):
        yield


def prober(period: float, failures: int) -> Callable[[Place, Path, int], Iterator[None]]:
    def run(place: Place, directory: Path, port: int) -> Iterator[None]:
        command = [sys.executable, "-m", "bench.prober", "--dns-port", str(port), "--period", str(period)]
        command += ["--failures", str(failures), DOMAIN, *(f"{address}:{PORT}" for address in place.addresses.values())]
        with _process(command, directory, {}):
            yield

    return run


CONTENDERS = {
    "pointsman": pointsman,
    "gdnsd": gdnsd,
    "prober 1 s × 1": contextmanager(prober(1, 1)),
    "prober 10 s × 3": contextmanager(prober(10, 3)),
}
Times = dict[str, dict[str, list[float]]]


def one(place: Place, ports: Mapping[str, int], cluster: str, fault: str) -> dict[str, float | None]:
    """One fault, mended again: the milliseconds until the first clean answer of each, None where there was none."""
    watchers = {name: Watcher(port, PACE) for name, port in ports.items()}
    for watcher in watchers.values():
        watcher.start()
    everything = frozenset(place.addresses.values())
    deadline = time.monotonic() + GIVE_UP
    while not all(watcher.answers and watcher.answers[-1][1] == everything for watcher in watchers.values()):
        if time.monotonic() > deadline:
            sys.exit(f"not everybody answers {sorted(everything)}")
        time.sleep(0.05)
    # just after its start pointsman gives a silent router longer: no state to be measured in
    time.sleep(MET + random.uniform(0.5, 2.5))
    at = place.break_(cluster, fault)
    clean: dict[str, float | None] = dict.fromkeys(ports)
    deadline = time.monotonic() + GIVE_UP
    while None in clean.values() and time.monotonic() < deadline:
        time.sleep(0.02)
        clean = {name: watcher.first_without(place.addresses[cluster], at) for name, watcher in watchers.items()}
    time.sleep(0.1)
    for watcher in watchers.values():
        watcher.end()
    place.mend(cluster)
    return {name: None if found is None else (found - at) * 1000 for name, found in clean.items()}


def report(times: Times, missed: Mapping[str, int]) -> None:
    print("fault → first clean answer, milliseconds, asked from outside over UDP")
    print(f"{'':<18}{'fault':<8}{'n':>4}{'p50':>9}{'p99':>9}{'max':>9}{'missed':>8}")
    for name, by_fault in times.items():
        for fault, values in by_fault.items():
            p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
            print(f"{name:<18}{fault:<8}{len(values):>4}{p50:>9.0f}{p99:>9.0f}{max(values):>9.0f}{missed[name]:>8}")


def _empty(scratch: str, name: str) -> Path:
    directory = Path(scratch, name.replace(" ", "-"))
    directory.mkdir()
    return directory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=50, help="half of them killed, half hung")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--json", type=Path, help="every single time is added to those that are there already")
    options = parser.parse_args()
    for program in ("haproxy", "gdnsd"):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            sys.exit(f"{program} is not installed (Debian: {program})")
    os.environ["PATH"] += ":/usr/sbin"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no HAProxy is left
    times: Times = defaultdict(lambda: defaultdict(list))
    missed: defaultdict[str, int] = defaultdict(int)
    with tempfile.TemporaryDirectory(prefix="pointsman-beside-") as scratch, ExitStack() as stack:
        place = HaproxyPlace(Path(scratch))
        stack.callback(place.end)
        ports = {name: free_port() for name in options.contenders.split(",")}
        for name, port in ports.items():
            if name != "pointsman":
                stack.enter_context(CONTENDERS[name](place, _empty(scratch, name), port))
        for number in range(options.faults):
            cluster = random.choice(list(place.addresses))
            fault = FAULTS[number % len(FAULTS)]
            with ExitStack() as anew:
                if "pointsman" in ports:
                    anew.enter_context(pointsman(place, _empty(scratch, f"pointsman-{number}"), ports["pointsman"]))
                found = one(place, ports, cluster, fault)
            for name, took in found.items():
                if took is None:
                    missed[name] += 1
                else:
                    times[name][fault].append(took)
            print(f"\r{number + 1}/{options.faults}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    report(times, missed)
    if options.json:
        for name, by_fault in (json.loads(options.json.read_text()) if options.json.exists() else {}).items():
            for fault, values in by_fault.items():
                times[name][fault] += values
        options.json.write_text(json.dumps(times, indent=1))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
