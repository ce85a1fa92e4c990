"""A prober in the manner of Kubernetes' kubelet, which drives a plain DNS table: a stand-in to compare with, named as such.

As a kubelet's HTTP probe does it (``periodSeconds``, ``timeoutSeconds``, ``failureThreshold``, ``successThreshold`` 1): one GET to each target at each
period on a new connection, the first at a random moment of the first period; a status of 200 to 399 is a success, and so many failures in a
row take the target out. There is no kubelet that answers DNS: what it would tell its endpoints is published at once to the same DNS server
that pointsman has, so that the difference lies in the probing alone.

    python -m bench.prober --dns-port 5301 --period 1 --failures 1 [--timeout 1] svc1.net. 127.0.21.1:8081 127.0.21.2:8081
"""

from __future__ import annotations

import argparse
import http.client
import random
import sys
import threading
import time

from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings
from dnsserver.server import DnsServer


class Table:
    """Which targets are ready, and the DNS server that answers so."""

    def __init__(self, domain: str, port: int, targets: list[str]) -> None:
        self._domain, self._lock = domain, threading.Lock()
        self._ready = dict.fromkeys(targets, True)
        app = App(domain=domain, clusters=tuple(f"c{number}" for number in range(len(targets))))
        self._serial = 0
        settings = Settings(dns=Dns(listen=(f"127.0.0.1:{port}",)), app=(app,))
        self._server = DnsServer(settings, self._table(), lambda error: sys.exit(f"the wire thread died: {error!r}"))
        self._server.start()

    def _table(self) -> RecordTable:
        self._serial += 1
        ready = [target for target, well in self._ready.items() if well] or list(self._ready)
        records = tuple(Record(target, (target.partition(":")[0],)) for target in ready)
        return RecordTable(self._serial, {self._domain: AppRecords(self._domain, 1, records)})

    def set(self, target: str, *, ready: bool) -> None:
        with self._lock:
            if self._ready[target] is not ready:
                self._ready[target] = ready
                self._server.publish(self._table())


def get(target: str, timeout: float) -> bool:
    """One probe."""
    connection = http.client.HTTPConnection(target, timeout=timeout)
    try:
        connection.request("GET", "/healthz", headers={"Connection": "close"})
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def probe(table: Table, target: str, period: float, timeout: float, failures: int) -> None:
    """Probes one target until the process ends."""
    failed = 0
    due = time.monotonic() + random.uniform(0, period)
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + period, time.monotonic())
        failed = 0 if get(target, timeout) else failed + 1
        if failed in {0, failures}:
            table.set(target, ready=failed == 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dns-port", type=int, required=True)
    parser.add_argument("--period", type=float, default=10.0)
    parser.add_argument("--timeout", type=float, default=1.0)
    parser.add_argument("--failures", type=int, default=3)
    parser.add_argument("domain")
    parser.add_argument("target", nargs="+")
    options = parser.parse_args()
    table = Table(options.domain, options.dns_port, options.target)
    for target in options.target:
        settings = (table, target, options.period, options.timeout, options.failures)
        threading.Thread(target=probe, args=settings, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
