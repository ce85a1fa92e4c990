"""A client of etcd's v3 API, by its JSON gateway: the seven calls that we need, of one member at a time. I/O.

The gateway is a part of every etcd since 3.4 (``/v3/…``, https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/), and aiohttp is here already; the
clients that speak gRPC would bring its C core and a second event loop's worth of threads along. Numbers of 64 bits come as texts,
keys and values as base64. Every call has a deadline; a watch ends by whoever reads it.
"""

from __future__ import annotations

import json
import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from core.errors import ConfigError
from core.settings import Peers

LONGEST = 4 * 1024 * 1024
"""Octets of one message; etcd itself takes no request over 1.5 MiB."""


class EtcdError(Exception):
    """It was not done; the text is one line for the operator, without any secret."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as it stands at a revision. ``value`` is None where it was deleted."""

    key: str
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class News:
    """What a watch tells at once, up to ``revision``."""

    revision: int
    entries: tuple[Entry, ...]


class Member:
    """One member of the etcd cluster. ``within`` is the deadline of a call in seconds; ``login`` user and password, or None."""

    def __init__(
        self, session: aiohttp.ClientSession, endpoint: str, within: float, login: tuple[str, str] | None
    ) -> None:
        self.endpoint = endpoint
        self._session = session
        self._within = aiohttp.ClientTimeout(total=within)
        self._connect = aiohttp.ClientTimeout(total=None, sock_connect=within)
        self._login = login
        self._token = ""

    async def read(self, prefix: str) -> News:
        """Every key that begins with ``prefix``, as a majority of the members has it."""
        body = {"key": _text(prefix), "range_end": _text(_after(prefix))}
        answer = await self._ask("kv/range", body)
        return News(_revision(answer), tuple(map(_entry, answer.get("kvs", ()))))

    async def put(self, key: str, value: bytes, lease: int = 0) -> int:
        """Write; the revision of it."""
        return _revision(await self._ask("kv/put", _put(key, value, lease)))

    async def swap(self, key: str, revision: int, value: bytes) -> tuple[bool, Entry]:
        """Write if the key still stands at a revision, 0: if there is none. Whether it was written, and how it stands now."""
        compare = {"key": _text(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}
        body = {
            "compare": [compare],
            "success": [{"request_put": _put(key, value, 0)}],
            "failure": [{"request_range": {"key": _text(key)}}],
        }
        answer = await self._ask("kv/txn", body)
        if answer.get("succeeded"):
            return True, Entry(key, value, _revision(answer))
        kvs = answer["responses"][0]["response_range"].get("kvs", ())
        return False, _entry(kvs[0]) if kvs else Entry(key, None, 0)

    async def grant(self, seconds: int) -> int:
        """A new lease."""
        return int((await self._ask("lease/grant", {"TTL": str(seconds)}))["ID"])

    async def keep(self, lease: int) -> bool:
        """Whether a lease goes on from now; False where it has ended."""
        answer = await self._ask("lease/keepalive", {"ID": str(lease)})
        return int(answer["result"].get("TTL", 0)) > 0

    async def left(self, lease: int) -> float:
        """Seconds that a lease still holds; below 0 where it has ended."""
        return float((await self._ask("lease/timetolive", {"ID": str(lease)})).get("TTL", 0))

    async def revoke(self, lease: int) -> None:
        """End a lease, and every key that hangs on it."""
        await self._ask("lease/revoke", {"ID": str(lease)})

    async def watch(self, prefix: str, after: int) -> AsyncIterator[News]:
        """What changes under ``prefix`` after a revision, until whoever reads leaves. Raises EtcdError when it breaks off."""
        create = {"key": _text(prefix), "range_end": _text(_after(prefix)), "start_revision": str(after + 1)}
        body = {"create_request": create}
        async with self._session.post(
            f"{self.endpoint}/v3/watch", json=body, headers=await self._headers(), timeout=self._connect
        ) as answer:
            if answer.status != 200:
                raise EtcdError(f"{self.endpoint}: HTTP {answer.status} to a watch")
            async with aclosing(_lines(answer.content)) as lines:
                async for line in lines:
                    told = json.loads(line)
                    if "result" not in told or told["result"].get("canceled"):
                        raise EtcdError(f"{self.endpoint}: the watch was ended: {_said(told)}")
                    events = told["result"].get("events", ())
                    yield News(_revision(told["result"]), tuple(_event(event) for event in events))
        raise EtcdError(f"{self.endpoint}: the watch broke off")

    async def _ask(self, call: str, body: dict[str, Any]) -> Any:
        headers = await self._headers()
        try:
            return await self._post(call, body, headers)
        except PermissionError:  # a token holds for some minutes only
            self._token = ""
            return await self._post(call, body, await self._headers())

    async def _headers(self) -> dict[str, str]:
        if self._login and not self._token:
            name, password = self._login
            answer = await self._post("auth/authenticate", {"name": name, "password": password}, {})
            self._token = answer["token"]
        return {"Authorization": self._token} if self._token else {}

    async def _post(self, call: str, body: dict[str, Any], headers: dict[str, str]) -> Any:
        url = f"{self.endpoint}/v3/{call}"
        async with self._session.post(url, json=body, headers=headers, timeout=self._within) as answer:
            text = await answer.read()
            if answer.status == 401 and headers:
                raise PermissionError(f"{self.endpoint}: the token has run out")
            try:
                told = json.loads(text.partition(b"\n")[0] if call == "lease/keepalive" else text)
            except ValueError:
                said = text.decode(errors="replace").strip()[:200]
                raise EtcdError(f"{self.endpoint}: HTTP {answer.status} to {call}: {said}") from None
            if answer.status != 200:
                raise EtcdError(f"{self.endpoint}: HTTP {answer.status}: {_said(told)}")
            return told


def login(settings: Peers) -> tuple[str, str] | None:
    """User and password. Raises ConfigError for a file that cannot be read."""
    if not settings.user:
        return None
    try:
        return settings.user, Path(settings.password_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{settings.password_file}: cannot be read: {error}") from None


def tls(settings: Peers) -> ssl.SSLContext:
    """Whom we trust, and who we are. Raises ConfigError for a file that is no certificate or key."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        context.set_alpn_protocols(["http/1.1"])  # else etcd takes us for a client that speaks gRPC
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"peers: certificates: {error}") from None
    return context


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """The lines of a stream, which may be longer than the reader's own buffer."""
    held = bytearray()
    async for piece in content.iter_any():
        held += piece
        if len(held) > LONGEST:
            raise EtcdError("a message of a watch is too long")
        *whole, rest = held.split(b"\n")
        held = bytearray(rest)
        for line in whole:
            if line.strip():
                yield bytes(line)


def _text(key: str) -> str:
    return b64encode(key.encode()).decode()


def _after(prefix: str) -> str:
    """The first key that does not begin with ``prefix``, which ends in a slash."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _put(key: str, value: bytes, lease: int) -> dict[str, str]:
    return {"key": _text(key), "value": b64encode(value).decode(), "lease": str(lease)}


def _entry(told: Any) -> Entry:
    return Entry(b64decode(told["key"]).decode(), b64decode(told.get("value", "")), int(told["mod_revision"]))


def _event(told: Any) -> Entry:
    if told.get("type") != "DELETE":
        return _entry(told["kv"])
    return Entry(b64decode(told["kv"]["key"]).decode(), None, int(told["kv"]["mod_revision"]))


def _revision(answer: Any) -> int:
    return int(answer["header"]["revision"])


def _said(told: Any) -> str:
    found = told.get("error") or told.get("message") or told.get("result", {}).get("cancel_reason") or "no reason given"
    return str(found.get("message", found) if isinstance(found, dict) else found)[:200]
