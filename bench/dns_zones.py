"""How long it takes to read thousands of zones: ``python -m bench.dns_zones``, the last of ``make bench-dns``.

Each zone is a file of its own with fifteen records. The clock runs from the settings to a server that has bound its sockets, and
to its answer for the zone that was written last; memory is what the process has grown by. Beside it: what every further table
costs, which is swapped without looking at any zone.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import tempfile
import time
from pathlib import Path

import dns.message
import dns.query

from bench.failover import percentile
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings, Zone
from dnsserver.server import DnsServer

_APP = "app.z0.test."
_HOSTS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--zones", type=int, default=10_000)
    parser.add_argument("--swaps", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pointsman-") as directory:
        settings = _settings(Path(directory), chosen.zones)
        memory, began, spent = _resident(), time.perf_counter(), time.process_time()
        server = DnsServer(settings, _table(1, 1, 2), lambda error: print(f"DNS died: {error!r}"))
        server.start()
        took, spent = time.perf_counter() - began, time.process_time() - spent
        query = dns.message.make_query(f"host1.z{chosen.zones - 1}.test.", "A")
        answer = dns.query.udp(query, server.addresses[0][0], port=server.addresses[0][1], timeout=5)
        assert answer.answer, answer
        grown, swaps = _resident() - memory, []
        for serial in range(2, chosen.swaps + 2):
            began = time.perf_counter()
            server.publish(_table(serial, *((1,) if serial % 2 else (1, 2))))
            swaps.append((time.perf_counter() - began) * 1000)
        server.stop()
    print(
        f"Python {platform.python_version()}: {chosen.zones} zones of {_HOSTS + 7} records: served after {took:.1f} s "
        f"({spent:.1f} s of CPU), {grown:.0f} MiB; a swap p50 {statistics.median(swaps):.3f} ms, p99 {percentile(sorted(swaps), 0.99):.3f} ms"
    )


def _settings(place: Path, count: int) -> Settings:
    hosts = "".join(f"host{n} A 192.0.2.{n}\n" for n in range(_HOSTS))
    rest = '@ NS ns1\n@ NS ns2.elsewhere.test.\nns1 A 192.0.2.53\n@ MX 10 host1\nwww CNAME host2\n@ TXT "v=spf1 -all"\n'
    zones = []
    for number in range(count):
        path = place / f"z{number}"
        path.write_text(f"$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 1209600 60\n{rest}{hosts}")
        zones.append(Zone(name=f"z{number}.test.", file=str(path)))
    app = App(domain=_APP, clusters=("a", "b"))
    return Settings(dns=Dns(listen=("127.0.0.1:0",)), zone=tuple(zones), app=(app,))


def _table(serial: int, *numbers: int) -> RecordTable:
    return RecordTable(
        serial, {_APP: AppRecords(_APP, 5, tuple(Record(f"c{n}", (f"198.51.100.{n}",)) for n in numbers))}
    )


def _resident() -> float:
    """MiB, the most there was."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
