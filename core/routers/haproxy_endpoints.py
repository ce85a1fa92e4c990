"""The deployment instruction for HAProxy (spec S18): the backend's lines, and what of them can be done at run time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from core.hands.hand import HandError
from core.routers.endpoints import Difference, Endpoint, pod_of
from core.routers.runtime_api import RuntimeApi, Server, servers
from core.settings import Cluster
from core.settings.base import host_and_port, is_address


class HaproxyEndpoints:
    """One cluster's backends with the endpoints that belong into each."""

    def __init__(self, cluster: Cluster, wanted: Mapping[str, Sequence[Endpoint]]) -> None:
        self._wanted = wanted
        self._api = RuntimeApi(cluster.router.address)

    def render(self) -> Iterator[str]:
        """Lines for ``haproxy.cfg``. The weights are the set values: what is decided now is set at run time."""
        for backend, endpoints in self._wanted.items():
            yield f"backend {backend}"
            yield "  balance roundrobin"
            yield "  option redispatch 1"  # what a pod that just died does not take goes to another at once
            for endpoint in endpoints:
                line = f"server {endpoint.name} {endpoint.address} weight {endpoint.weight}"
                yield f"  {line}" if endpoint.address else f"  # {line}: set app.endpoint or cluster.router.pods"
            yield ""

    async def diff(self) -> list[Difference]:
        """What HAProxy lacks, and which servers stand for pods that nobody sees. Raises HandError, OSError, TimeoutError."""
        return [
            each
            for backend, wanted in self._wanted.items()
            for each in _differences(await self._read(backend), wanted, backend)
        ]

    async def apply(self, difference: Difference) -> None:
        """Raises HandError with what HAProxy said against it; whether it is so, :meth:`diff` tells."""
        said = await self._api.ask(difference.commands)
        refused = [text for text in said if text and not text.endswith((" registered.", " deleted."))]
        if refused:
            raise HandError(refused[0])

    async def _read(self, backend: str) -> tuple[Server, ...]:
        stat, state = await self._api.ask(["show stat", f"show servers state {backend}"])
        return servers(backend, state, stat)


def _differences(has: Sequence[Server], wanted: Sequence[Endpoint], backend: str) -> Iterator[Difference]:
    known = {server.name: server for server in has}
    for endpoint in wanted:
        server, place = known.get(endpoint.name), f"{backend}/{endpoint.name}"
        line = f"server {endpoint.name} {endpoint.address} weight {endpoint.weight}"
        if not endpoint.address:
            yield Difference("!", f"{place}: its address is not known: set app.endpoint or cluster.router.pods")
        elif server is None and not _is_ip(endpoint.address):
            yield Difference(
                "!", f"{place}: HAProxy looks up no name at run time: put `{line}` into backend {backend}, and reload"
            )
        elif server is None:
            orders = (
                f"add server {place} {endpoint.address} weight {endpoint.weight}",
                f"set server {place} weight {endpoint.share}%",
                f"enable server {place}",
            )
            yield Difference("+", f"{place} {endpoint.address} weight {endpoint.weight}", orders)
        else:
            if server.address != endpoint.address and _is_ip(endpoint.address):
                host, port = host_and_port(endpoint.address)
                yield Difference(
                    "~",
                    f"{place}: {server.address} to {endpoint.address}",
                    (f"set server {place} addr {host} port {port}",),
                )
            if server.full != endpoint.weight:
                yield Difference(
                    "!",
                    f"{place}: weight {server.full}, set is {endpoint.weight}: put `{line}` into backend {backend}, and reload",
                )
    names = {endpoint.name for endpoint in wanted}
    for server in has:
        if server.name not in names and "." in server.name:
            place = f"{backend}/{server.name}"
            yield Difference("-", f"{place} stands for {pod_of(server.name)}, which is no pod that is seen",
                             (f"set server {place} state maint", f"del server {place}"))  # fmt: skip


def _is_ip(address: str) -> bool:
    return is_address(host_and_port(address)[0])


def deployment(cluster: Cluster, wanted: Mapping[str, Sequence[Endpoint]], _: object = None) -> HaproxyEndpoints:
    return HaproxyEndpoints(cluster, wanted)
