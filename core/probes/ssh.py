"""SSH connections to sources: keys and known hosts are read once, connects are limited, failures say what to do.

Owns asyncssh; called by :mod:`core.probes.supervisor` (which makes one :class:`Ssh`) and :mod:`core.probes.session`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from asyncssh.known_hosts import SSHKnownHosts, match_known_hosts

from core.errors import ConfigError
from core.probes.kinds.text import printable
from core.probes.transport import Channel, Receiver, Unreachable
from core.settings import Ssh as SshSettings

_KEEPALIVE = 5.0
_KEEPALIVES = 2
_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"  # preferred: a packet costs less CPU than with ChaCha20
_OPEN = 5.0  # seconds until a session that is not opened is given up
_CHANNEL_RETRIES = (0.05, 0.1, 0.2, 0.4, 0.8)  # a server frees the place of a closed session late


@dataclass(frozen=True, slots=True)
class Target:
    """``[user@]host[:port]``, an IPv6 address in brackets where a port follows."""

    user: str
    host: str
    port: int = 22

    @classmethod
    def parse(cls, text: str, default_user: str) -> Target:
        user, _, place = text.rpartition("@")
        host, colon, port = place.rpartition(":")
        if not colon or (host.count(":") and not host.startswith("[")):
            host, port = place, "22"
        if not host or not port.isdigit():
            raise ConfigError(f"not an SSH target: {text!r}: write user@host:port")
        return cls(user or default_user, host.strip("[]"), int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 22 else f"{host}:{self.port}"


class Ssh:
    """What all connections share. ConfigError when keys or known hosts cannot be read."""

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings
        self.read()
        self._total = asyncio.Semaphore(settings.connects_total)
        self._places: dict[Target, asyncio.Semaphore] = {}
        self._jump: SshTransport | None = None
        self._jump_lock = asyncio.Lock()
        self._jump_error: Unreachable | None = None
        self._jump_retry_at = 0.0

    def read(self) -> None:
        """Reads keys and known hosts anew, for the connects that come."""
        settings = self._settings
        keys = _load_keys(settings)
        self._known_hosts = None if settings.insecure_accept_any_host_key else _load_known_hosts(settings.known_hosts)
        self._keys = keys

    async def connect(self, target: Target) -> SshTransport:
        """A connection to ``target``; Unreachable with the reason when there is none."""
        jump = Target.parse(self._settings.jump, self._settings.user) if self._settings.jump else None
        tunnel = await self._through(jump) if jump else None
        return await self._connect(target, jump or target, tunnel)

    async def close(self) -> None:
        if self._jump:
            await self._jump.close()

    async def _through(self, jump: Target) -> asyncssh.SSHClientConnection:
        async with self._jump_lock:
            now = asyncio.get_running_loop().time()
            if self._jump is None or self._jump.connection.is_closed():
                if self._jump_error and now < self._jump_retry_at:  # what one learned, those in the queue know
                    raise Unreachable(str(self._jump_error), slow=self._jump_error.slow)
                try:
                    self._jump, self._jump_error = await self._connect(jump, jump, None), None
                    self._jump.begun()
                except Unreachable as error:
                    self._jump_retry_at = now + self._settings.connect_timeout + self._settings.backoff
                    self._jump_error = Unreachable(f"jump host: {error}", slow=error.slow)
                    raise self._jump_error from error
            return self._jump.connection

    async def _connect(
        self, target: Target, place: Target, tunnel: asyncssh.SSHClientConnection | None
    ) -> SshTransport:
        settings = self._settings
        at_once = self._places.setdefault(place, asyncio.Semaphore(settings.connects))
        client = _Client()
        await at_once.acquire()
        with contextlib.ExitStack() as held:
            held.callback(at_once.release)
            try:
                async with asyncio.timeout(settings.connect_timeout):
                    # Outside the total: a host that is down only takes its own place (spec S36).
                    sock = None if tunnel else await _tcp(target)
                    with contextlib.ExitStack() as unused:
                        if sock:
                            unused.callback(sock.close)
                        async with self._total:
                            unused.pop_all()  # from here on asyncssh closes it
                            connection = await self._authenticated(target, sock, tunnel, client)
                    return SshTransport(connection, client, held.pop_all().close)
            except (OSError, TimeoutError, asyncssh.Error) as error:
                raise self._unreachable(target, error) from error

    async def _authenticated(
        self,
        target: Target,
        sock: socket.socket | None,
        tunnel: asyncssh.SSHClientConnection | None,
        client: _Client,
    ) -> asyncssh.SSHClientConnection:
        return await asyncssh.connect(
            target.host,
            target.port,
            sock=sock,
            tunnel=tunnel or (),
            client_factory=lambda: client,
            username=target.user,
            client_keys=self._keys,
            known_hosts=self._known_hosts,
            config=None,
            agent_path=None,
            preferred_auth="publickey",
            keepalive_interval=_KEEPALIVE,
            keepalive_count_max=_KEEPALIVES,
            compression_algs=None,
            encryption_algs=_CIPHERS,
        )

    def _unreachable(self, target: Target, error: Exception) -> Unreachable:
        slow = False
        match error:
            case asyncssh.HostKeyNotVerifiable() if self._knows(target):
                slow = True
                reason = (
                    f"HOST KEY OF {target} HAS CHANGED: somebody may be in between. If the change is yours, remove the "
                    f"old key from {self._settings.known_hosts} and add the new one"
                )
            case asyncssh.HostKeyNotVerifiable():
                slow = True
                reason = (
                    f"host key of {target} is not in known_hosts: compare and add it (ssh-keyscan -p {target.port} "
                    f"{target.host}) to {self._settings.known_hosts}"
                )
            case asyncssh.PermissionDenied():
                slow = True
                reason = (
                    f"authentication refused for user {target.user} at {target}: is our public key in its "
                    "authorized_keys?"
                )
            case TimeoutError():
                reason = f"no SSH connection to {target} in {self._settings.connect_timeout:g} s"
            case asyncssh.ChannelOpenError():
                reason = f"the jump host cannot reach {target}: {error.reason}"
            case asyncssh.Error():
                reason = f"SSH connection to {target} lost while connecting: {error.reason}"
            case ConnectionRefusedError():
                reason = f"connection refused by {target}: is sshd running there?"
            case OSError(strerror=str(text)):
                reason = f"{target} cannot be reached: {text}"
            case _:
                reason = f"{target} cannot be reached: {error}"
        return Unreachable(printable(reason), slow=slow)

    def _knows(self, target: Target) -> bool:
        assert self._known_hosts is not None
        host_keys, ca_keys, *_ = match_known_hosts(self._known_hosts, target.host, "", target.port)
        return bool(host_keys or ca_keys)


class _Client(asyncssh.SSHClient):
    """Remembers why its connection was lost."""

    def __init__(self) -> None:
        self.reason = "closed by the other side"

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.reason = printable(str(exc))


class SshTransport:
    """One SSH connection. A channel that is refused (MaxSessions) is tried again and never taken for a dead host.

    ``begun`` is called once the first of them was opened, or refused: until then the server may count it among those that
    are not authenticated yet (MaxStartups)."""

    def __init__(self, connection: asyncssh.SSHClientConnection, client: _Client, begun: Callable[[], None]) -> None:
        self.connection, self._client, self.begun = connection, client, begun

    async def open(self, command: str, receiver: Receiver) -> Channel:
        try:
            return await self._open(command, receiver)
        finally:
            self.begun()

    async def _open(self, command: str, receiver: Receiver) -> Channel:
        for pause in (*_CHANNEL_RETRIES, None):
            try:
                async with asyncio.timeout(_OPEN):
                    channel, _ = await self.connection.create_session(
                        lambda: _Session(receiver), command, encoding=None, env=(), send_env=()
                    )
            except TimeoutError:
                raise Unreachable(f"the SSH server does not open a session in {_OPEN:g} s") from None
            except asyncssh.ChannelOpenError as error:
                if pause is None or self.connection.is_closed():
                    raise Unreachable(
                        f"the SSH server refuses another session (MaxSessions?): {error.reason}"
                    ) from None
                await asyncio.sleep(pause)
            except (OSError, asyncssh.Error) as error:
                raise Unreachable(f"SSH connection lost: {error}") from error
            else:
                return _SshChannel(channel)
        raise AssertionError

    async def lost(self) -> str:
        await self.connection.wait_closed()
        return f"SSH connection lost: {self._client.reason}"

    async def close(self) -> None:
        self.begun()
        self.connection.abort()


class _Session(asyncssh.SSHClientSession[bytes]):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._code: int | None = None

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        (self._receiver.error if datatype == asyncssh.EXTENDED_DATA_STDERR else self._receiver.data)(data)

    def exit_status_received(self, status: int) -> None:
        self._code = status

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.ended(self._code)


class _SshChannel:
    def __init__(self, channel: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = channel

    def write(self, octets: bytes) -> None:
        if not self._channel.is_closing():
            self._channel.write(octets)

    def close(self) -> None:
        self._channel.close()


async def _tcp(target: Target) -> socket.socket:
    """A connected socket; the last address's error when none of the host's addresses takes it."""
    loop = asyncio.get_running_loop()
    last = OSError("no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last


def _load_keys(settings: SshSettings) -> list[asyncssh.SSHKeyPair]:
    passphrase = None
    try:
        if settings.passphrase_file:
            passphrase = Path(settings.passphrase_file).expanduser().read_text().rstrip("\n")
        if settings.keys:
            return list(asyncssh.load_keypairs([str(Path(key).expanduser()) for key in settings.keys], passphrase))
        names = ("id_ed25519", "id_ecdsa", "id_rsa")
        found = [str(path) for name in names if (path := Path.home() / ".ssh" / name).exists()]
        keys = list(asyncssh.load_keypairs(found, passphrase, ignore_encrypted=True)) if found else []
    except (OSError, ValueError, asyncssh.Error) as error:
        raise ConfigError(f"ssh.keys: cannot be used: {error}") from error
    if not keys:
        raise ConfigError("ssh.keys: no private key: name one, or make ~/.ssh/id_ed25519 (ssh-keygen -t ed25519)")
    return keys


def _load_known_hosts(name: str) -> SSHKnownHosts:
    try:
        return asyncssh.read_known_hosts(str(Path(name).expanduser()))
    except (OSError, ValueError, asyncssh.Error) as error:
        raise ConfigError(f"ssh.known_hosts: cannot be read: {error}") from error
