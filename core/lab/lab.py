"""The whole lab: its directory, its addresses, its clusters, and the socket on which faults are ordered.

Called by :mod:`core.lab.__main__` alone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from pathlib import Path

import msgspec

from core.errors import CommandRefused, PointsmanError, StartError
from core.lab import ssh
from core.lab.cluster import Cluster
from core.lab.config import config
from core.lab.protocol import Reply, Request, UnknownName, socket_path
from core.lab.wire import reserve

NAMES = ("tokyo", "osaka", "fukuoka")
STARTING = 4
"""Clusters that start at once; more would only wait for the same cores."""

_REQUEST = 65536


def names(count: int) -> list[str]:
    return [*NAMES[:count], *(f"cluster{number}" for number in range(len(NAMES) + 1, count + 1))]


def addresses(clusters: int, nodes: int) -> list[list[socket.socket]]:
    """For each cluster the listening sockets of its router, database, physical machine and nodes.

    Each cluster has a loopback address of its own, 127.0.N.1 and up, on which the ports are the same; N and the ports are
    the first that are free. Raises StartError.
    """
    for shift in range(0, 1000, 100):
        ports = [8080 + shift, 6379 + shift, *range(2200 + shift, 2201 + shift + nodes)]
        for block in range(1, 100):
            taken: list[list[socket.socket]] = []
            try:
                for number in range(1, clusters + 1):
                    taken.append([])
                    taken[-1].extend(reserve((f"127.0.{block}.{number}", port)) for port in ports)
            except OSError:
                for listener in (listener for row in taken for listener in row):
                    listener.close()
                continue
            return taken
    raise StartError(
        "no free addresses for the lab in 127.0.0.0/16; the last tried were ports " + ", ".join(map(str, ports))
    )


class Lab:
    """``directory`` is the lab's own; ``tether`` the descriptor on which its processes hang."""

    def __init__(
        self, directory: Path, tether: int, tasks: asyncio.TaskGroup, *, clusters: int, nodes: int, pods: int
    ) -> None:
        self._directory = directory
        self._pods = pods
        self._server: asyncio.Server | None = None
        shutil.rmtree(directory / "clusters", ignore_errors=True)
        self.clusters = {
            name: Cluster(
                name,
                number,
                directory=directory / "clusters" / name,
                mark=directory,
                tether=tether,
                listeners=listeners,
                pods=pods,
                tasks=tasks,
            )
            for number, (name, listeners) in enumerate(
                zip(names(clusters), addresses(clusters, nodes), strict=True), start=1
            )
        }

    async def start(self, dns_port: int) -> None:
        """Everything up, and the files written that pointsman and others need: config.toml, known_hosts, client_key."""
        keys = self._directory / "keys"
        keys.mkdir(mode=0o700, exist_ok=True)
        client = ssh.host_key(self._directory, "client_key")
        limit = asyncio.Semaphore(STARTING)

        async def start(cluster: Cluster) -> None:
            async with limit:
                await cluster.start(keys, client)

        async with asyncio.TaskGroup() as group:
            for cluster in self.clusters.values():
                group.create_task(start(cluster))
        known = [
            ssh.known_host(cluster.host_address(host.name), ssh.host_key(keys, f"{cluster.name}-{host.name}"))
            for cluster in self.clusters.values()
            for host in cluster.hosts
        ]
        (self._directory / "known_hosts").write_text("".join(known))
        text = config(list(self.clusters.values()), dns_port=dns_port, pods=self._pods)
        (self._directory / "config.toml").write_text(text)
        await self._listen()

    async def _listen(self) -> None:
        path = socket_path(self._directory)
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, path, limit=_REQUEST)
        except OSError as error:
            raise StartError(f"{path}: {error.strerror or error}; choose a shorter --dir") from error
        finally:
            os.umask(mask)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Reply:
        try:
            return await self._carry_out(msgspec.json.decode(line, type=Request))
        except UnknownName as error:
            return Reply(error=str(error), unknown=True)
        except (PointsmanError, OSError, TimeoutError, msgspec.MsgspecError) as error:
            return Reply(error=str(error))

    async def _carry_out(self, request: Request) -> Reply:
        if request.cluster and request.cluster not in self.clusters:
            raise UnknownName(f"no cluster {request.cluster!r}; there are {', '.join(self.clusters)}")
        chosen = [self.clusters[request.cluster]] if request.cluster else list(self.clusters.values())
        match request.op:
            case "break" if request.cluster:
                return Reply(faults=(await chosen[0].break_(request.kind, request.node),))
            case "mend" if request.cluster:
                return Reply(faults=await chosen[0].mend(request.kind, request.node))
            case "mend":
                broken = [cluster for cluster in chosen if cluster.view().faults]
                if not broken:
                    raise CommandRefused("the lab has no fault")
                return Reply(
                    faults=tuple([fault for c in broken for fault in await c.mend(request.kind, request.node)])
                )
            case "list":
                return Reply(clusters=tuple(cluster.view() for cluster in chosen))
        raise UnknownName(f"no order {request.op!r}; there are break CLUSTER, mend and list")
