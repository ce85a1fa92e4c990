"""DNS while probes come in and the console is open: ``python -m bench.probed_dns``, the last of ``make bench-console``.

A whole pointsman with its console on a terminal, and clusters whose routers are asked ten times a second each: 100 of them are
1,000 probes a second. One process here is all the routers, and counts. DNS is asked as a client asks, question after answer.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import dnslib
import uvloop

from bench.console_dns import PACE, ask, on_terminal
from bench.failover import free_port, percentile
from bench.fleet import OK

SETTLES = 10.0
CLUSTER = """
[[cluster]]
name = "c{number}"
addresses = ["192.0.2.{number}"]
[cluster.confirm]
target = "127.0.0.1:{port}/"
"""
REST = """
[[app]]
domain = "svc1.net."
clusters = {names}
[dns]
listen = ["127.0.0.1:{port}"]
[store]
directory = "state"
[control]
socket = "control.sock"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clusters", type=int, default=100)
    chosen = parser.parse_args()
    query = bytes(dnslib.DNSRecord.question("svc1.net", "A").pack())
    times, lost, port = [], 0, free_port()
    with tempfile.TemporaryDirectory(prefix="pointsman-bench-") as scratch, _routers() as routers:
        place, numbers = Path(scratch), range(1, chosen.clusters + 1)
        routed = routers.recv()
        clusters = "".join(CLUSTER.format(number=number, port=routed) for number in numbers)
        names = [f"c{number}" for number in numbers]
        (place / "config.toml").write_text(clusters + REST.format(names=names, port=port))
        command = [sys.executable, "-m", "core.cli", "run", "--config", str(place / "config.toml")]
        with on_terminal(command, place / "control.sock"), socket.socket(type=socket.SOCK_DGRAM) as sock:
            time.sleep(SETTLES)
            sock.connect(("127.0.0.1", port))
            before, began = _asked(routers), time.monotonic()
            while time.monotonic() < began + chosen.seconds:
                took = ask(sock, query)
                if took is None:
                    lost += 1
                else:
                    times.append(took * 1000)
                time.sleep(PACE)
            probes = (_asked(routers) - before) / (time.monotonic() - began)
    p50, p99, most = percentile(times, 0.5), percentile(times, 0.99), max(times)
    print(
        f"the console open, {probes:.0f} probes a second: DNS p50 {p50:.3f} ms, p99 {p99:.3f} ms, "
        f"max {most:.1f} ms, {len(times)} answers, {lost} lost"
    )


@contextmanager
def _routers() -> Iterator[Connection]:
    """Says its port, and then to every word how often it was asked."""
    spawned = multiprocessing.get_context("spawn")
    here, there = spawned.Pipe()
    process = spawned.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.terminate()
        process.join()


def _asked(routers: Connection) -> int:
    routers.send("how often?")
    return cast(int, routers.recv())


class _Router(asyncio.Protocol):
    asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        _Router.asked += data.count(b"\r\n\r\n")
        self._transport.write(OK)


def _serve(bench: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Router, "127.0.0.1", 0)
        bench.send(server.sockets[0].getsockname()[1])
        loop.add_reader(bench.fileno(), lambda: bench.send((bench.recv(), _Router.asked)[1]))
        await server.serve_forever()

    uvloop.run(serve())


if __name__ == "__main__":
    main()
